// SPDX-License-Identifier: Apache-2.0
import Base
import Storage
import Wire

/// GET key: the value, or null.
public enum GET: KeyCommand {
    public static let spec = CommandSpec(
        "get", arity: 2, [.readOnly, .fast, .loadsRecords],
        keys: [.one(at: 1, [.readOnly, .access])],
        usage: "key:key", since: "1.0.0", complexity: "O(1)",
        summary: "Returns the string value of a key.")

    public static func run(
        _ arguments: Arguments, _ keys: borrowing Hold, _ reply: inout ReplyWriter
    ) {
        switch keys.readString(0) {
        case .missing: reply.null()
        case .wrongType: reply.error(.wrongType)
        case .found(let content): reply.string(content)
        }
    }
}

/// SET key value [NX | XX] [GET] [EX … | PX … | EXAT … | PXAT … | KEEPTTL]: OK, or the old value
/// with GET.
public enum SET: KeyCommand {
    public static let spec = CommandSpec(
        "set", arity: -3, [.write, .denyOOM],
        keys: [.one(at: 1, [.readWrite, .access, .update, .variableFlags])],
        usage: """
            key:key value [NX | XX] [GET] [EX seconds:integer | PX milliseconds:integer | \
            EXAT unix-time-seconds:unix-time | PXAT unix-time-milliseconds:unix-time | KEEPTTL]
            """,
        since: "1.0.0", complexity: "O(1)",
        summary:
            "Sets the string value of a key, ignoring its type. The key is created if it "
            + "doesn't exist.",
        accessOf: { arguments in
            for index in 3..<max(3, arguments.count) where arguments[index].isKeyword("GET") {
                return [.readWrite, .access, .update]
            }
            return [.overwrite, .update]
        })

    public static func run(
        _ arguments: Arguments, _ keys: borrowing Hold, _ reply: inout ReplyWriter
    ) {
        if arguments.count > 3 { return runWithOptions(arguments, keys, &reply) }
        keys.setString(0, arguments[2], replacing: keys.find(0), .remove)
        reply.ok()
    }

    @inline(never)
    private static func runWithOptions(
        _ arguments: Arguments, _ keys: borrowing Hold, _ reply: inout ReplyWriter
    ) {
        guard let options = StringOptions.parseSet(arguments) else { return reply.error(.syntax) }
        var change = ExpiryChange.remove
        switch options.expiry {
        case .unsaid, .persist: break
        case .keep: change = .keep
        case .option(let option):
            guard let moment = option.moment(now: keys.now, command: "set", &reply) else { return }
            change = .at(moment)
        }
        let found: Found?
        if options.returnsOld {
            found = keys.read(0)
            guard reply.oldString(found, keys) else { return }
        } else {
            found = keys.find(0)
        }
        guard options.condition == .always || (options.condition == .ifPresent) == (found != nil)
        else {
            if !options.returnsOld { reply.null() }
            return
        }
        keys.setString(0, arguments[2], replacing: found, change)
        // A moment that has passed: the key is there for nobody, and this removes it.
        if case .at(let moment) = change, moment <= keys.now { _ = keys.find(0) }
        if !options.returnsOld { reply.ok() }
    }
}

/// SETNX key value: 1 where the key was missing and has been set, else 0.
public enum SETNX: KeyCommand {
    public static let spec = CommandSpec(
        "setnx", arity: 3, [.write, .denyOOM, .fast], keys: [.one(at: 1, [.overwrite, .insert])],
        usage: "key:key value", since: "1.0.0", complexity: "O(1)",
        summary: "Sets the string value of a key only when the key doesn't exist.")

    public static func run(
        _ arguments: Arguments, _ keys: borrowing Hold, _ reply: inout ReplyWriter
    ) {
        guard keys.find(0) == nil else { return reply.integer(0) }
        keys.setString(0, arguments[2], replacing: nil, .remove)
        reply.integer(1)
    }
}

/// SETEX key seconds value.
public enum SETEX: KeyCommand {
    public static let spec = CommandSpec(
        "setex", arity: 4, [.write, .denyOOM], keys: [.one(at: 1, [.overwrite, .update])],
        usage: "key:key seconds:integer value", since: "2.0.0", complexity: "O(1)",
        summary:
            "Sets the string value and expiration time of a key. Creates the key if it "
            + "doesn't exist."
    )

    public static func run(
        _ arguments: Arguments, _ keys: borrowing Hold, _ reply: inout ReplyWriter
    ) {
        PSETEX.set(arguments, .seconds, "setex", keys, &reply)
    }
}

/// PSETEX key milliseconds value.
public enum PSETEX: KeyCommand {
    public static let spec = CommandSpec(
        "psetex", arity: 4, [.write, .denyOOM], keys: [.one(at: 1, [.overwrite, .update])],
        usage: "key:key milliseconds:integer value", since: "2.6.0", complexity: "O(1)",
        summary: "Sets both string value and expiration time in milliseconds of a key.")

    public static func run(
        _ arguments: Arguments, _ keys: borrowing Hold, _ reply: inout ReplyWriter
    ) {
        set(arguments, .milliseconds, "psetex", keys, &reply)
    }

    fileprivate static func set(
        _ arguments: Arguments, _ unit: ExpiryOption.Unit, _ command: StaticString,
        _ keys: borrowing Hold, _ reply: inout ReplyWriter
    ) {
        let option = ExpiryOption(unit: unit, number: arguments[2])
        guard let moment = option.moment(now: keys.now, command: command, &reply) else { return }
        keys.setString(0, arguments[3], replacing: keys.find(0), .at(moment))
        reply.ok()
    }
}

/// GETSET key value: the old value, or null.
public enum GETSET: KeyCommand {
    public static let spec = CommandSpec(
        "getset", arity: 3, [.write, .denyOOM, .fast],
        keys: [.one(at: 1, [.readWrite, .access, .update])],
        usage: "key:key value", since: "1.0.0", complexity: "O(1)",
        summary: "Returns the previous string value of a key after setting it to a new value.")

    public static func run(
        _ arguments: Arguments, _ keys: borrowing Hold, _ reply: inout ReplyWriter
    ) {
        let found = keys.read(0)
        guard reply.oldString(found, keys) else { return }
        keys.setString(0, arguments[2], replacing: found, .remove)
    }
}

/// GETDEL key: the value of the key, which is gone then.
public enum GETDEL: KeyCommand {
    public static let spec = CommandSpec(
        "getdel", arity: 2, [.write, .fast, .loadsRecords],
        keys: [.one(at: 1, [.readWrite, .access, .delete])],
        usage: "key:key", since: "6.2.0", complexity: "O(1)",
        summary: "Returns the string value of a key after deleting the key.")

    public static func run(
        _ arguments: Arguments, _ keys: borrowing Hold, _ reply: inout ReplyWriter
    ) {
        let found = keys.read(0)
        guard reply.oldString(found, keys), let found else { return }
        keys.remove(found)
    }
}

/// GETEX key [EX … | PX … | EXAT … | PXAT … | PERSIST]: the value, and another expiry from now on.
public enum GETEX: KeyCommand {
    public static let spec = CommandSpec(
        "getex", arity: -2, [.write, .fast, .loadsRecords],
        keys: [.one(at: 1, [.readWrite, .access, .update])],
        usage: """
            key:key [EX seconds:integer | PX milliseconds:integer | \
            EXAT unix-time-seconds:unix-time | PXAT unix-time-milliseconds:unix-time | PERSIST]
            """,
        since: "6.2.0", complexity: "O(1)",
        summary: "Returns the string value of a key after setting its expiration time.")

    public static func run(
        _ arguments: Arguments, _ keys: borrowing Hold, _ reply: inout ReplyWriter
    ) {
        guard let options = StringOptions.parseGetEx(arguments) else { return reply.error(.syntax) }
        guard let found = keys.read(0) else { return reply.null() }
        guard found.entry.type == .string else { return reply.error(.wrongType) }
        switch options.expiry {
        case .unsaid, .keep:
            reply.string(keys.content(found))
        case .persist:
            reply.string(keys.content(found))
            if found.entry.hasExpiry { keys.setExpiry(found, nil) }
        case .option(let option):
            guard let moment = option.moment(now: keys.now, command: "getex", &reply) else {
                return
            }
            reply.string(keys.content(found))
            if moment <= keys.now { keys.remove(found) } else { keys.setExpiry(found, moment) }
        }
    }
}

extension ReplyWriter {
    /// A string's content as a bulk string.
    @inline(__always)
    func string(_ content: StringContent) {
        switch content {
        case .bytes(let bytes): bulk(bytes)
        case .integer(let value): bulk(value)
        }
    }

    /// The value that is about to be replaced, or null. False, with an error replied, where it is
    /// no string.
    mutating func oldString(_ found: Found?, _ keys: borrowing Hold) -> Bool {
        guard let found else {
            null()
            return true
        }
        guard found.entry.type == .string else {
            error(.wrongType)
            return false
        }
        string(keys.content(found))
        return true
    }
}
