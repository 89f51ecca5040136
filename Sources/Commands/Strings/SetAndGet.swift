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
        guard let content = keys.readString(0, else: .null, &reply) else { return }
        reply.string(content)
    }
}

/// SET key value [NX | XX] [GET] [EX … | PX … | EXAT … | PXAT … | KEEPTTL]: replies OK, or with GET
/// the old value.
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
            var options = OptionReader(arguments, from: 3)
            while let option = options.next() {
                if option.isKeyword("GET") { return [.readWrite, .access, .update] }
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
        case .unspecified, .persist: break
        case .keep: change = .keep
        case .option(let option):
            guard let moment = option.moment(now: keys.now, command: "set", &reply) else { return }
            change = .at(moment)
        }
        let found = options.returnsOld ? keys.readToReplace(0) : keys.find(0)
        if options.returnsOld {
            guard reply.oldString(found, keys) else { return }
        }
        guard options.condition == .always || (options.condition == .ifPresent) == (found != nil)
        else {
            if !options.returnsOld { reply.null() }
            return
        }
        keys.setString(0, arguments[2], replacing: found, change)
        // If the moment has passed, the look-up removes the key as expired.
        if case .at(let moment) = change, moment <= keys.now { _ = keys.find(0) }
        if !options.returnsOld { reply.ok() }
    }
}

/// SETNX key value: sets a missing key and replies 1, or replies 0 if the key exists.
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

/// SETEX key seconds value: sets the value and its expiry.
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

/// PSETEX key milliseconds value: sets the value and its expiry.
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

/// GETSET key value: sets the value and replies the old one, or null.
public enum GETSET: KeyCommand {
    public static let spec = CommandSpec(
        "getset", arity: 3, [.write, .denyOOM, .fast],
        keys: [.one(at: 1, [.readWrite, .access, .update])],
        usage: "key:key value", since: "1.0.0", complexity: "O(1)",
        summary: "Returns the previous string value of a key after setting it to a new value.")

    public static func run(
        _ arguments: Arguments, _ keys: borrowing Hold, _ reply: inout ReplyWriter
    ) {
        let found = keys.readToReplace(0)
        guard reply.oldString(found, keys) else { return }
        keys.setString(0, arguments[2], replacing: found, .remove)
    }
}

/// GETDEL key: replies the value and removes the key.
public enum GETDEL: KeyCommand {
    public static let spec = CommandSpec(
        "getdel", arity: 2, [.write, .fast, .loadsRecords],
        keys: [.one(at: 1, [.readWrite, .access, .delete])],
        usage: "key:key", since: "6.2.0", complexity: "O(1)",
        summary: "Returns the string value of a key after deleting the key.")

    public static func run(
        _ arguments: Arguments, _ keys: borrowing Hold, _ reply: inout ReplyWriter
    ) {
        guard let found = keys.read(0, as: .string, else: .null, &reply) else { return }
        reply.string(keys.content(found))
        keys.remove(found)
    }
}

/// GETEX key [EX … | PX … | EXAT … | PXAT … | PERSIST]: replies the value and changes its expiry.
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
        guard let found = keys.read(0, as: .string, else: .null, &reply) else { return }
        switch options.expiry {
        case .unspecified, .keep:
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

    /// Replies the value that is about to be replaced, or null. Returns false after an error reply,
    /// if the key holds another type.
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
