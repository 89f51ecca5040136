// SPDX-License-Identifier: Apache-2.0
import Base
import Storage
import Wire

/// What EXPIRE and its siblings share. A moment that has passed removes the key.
enum Expiration {
    private struct Condition: OptionSet {
        let rawValue: UInt8
        static let onlyNew = Condition(rawValue: 1)
        static let onlyExisting = Condition(rawValue: 2)
        static let onlyLater = Condition(rawValue: 4)
        static let onlyEarlier = Condition(rawValue: 8)
    }

    static func spec(_ name: String, since: String, usage: String, summary: String) -> CommandSpec {
        CommandSpec(
            name, arity: -3, [.write, .fast], keys: [.one(at: 1, [.readWrite, .update])],
            usage: "key:key \(usage) [NX | XX | GT | LT]", since: since, complexity: "O(1)",
            summary: summary)
    }

    static func run(
        _ name: String, _ unit: ExpiryOption.Unit, _ arguments: Arguments, _ keys: borrowing Hold,
        _ reply: inout ReplyWriter
    ) {
        guard let condition = condition(arguments, &reply) else { return }
        guard let amount = ASCIIInteger.parse(arguments[2]) else { return reply.error(.notInteger) }
        guard let moment = unit.moment(amount, now: keys.now) else {
            return reply.error("ERR invalid expire time in '\(name)' command")
        }
        guard let found = keys.find(0), permits(condition, found.entry.expiry, moment)
        else { return reply.integer(0) }
        if moment <= keys.now {
            keys.remove(found)
        } else {
            keys.setExpiry(found, moment)
        }
        reply.integer(1)
    }

    private static func condition(
        _ arguments: Arguments, _ reply: inout ReplyWriter
    ) -> Condition? {
        var condition: Condition = []
        var options = OptionReader(arguments, from: 3)
        while let option = options.next() {
            if option.isKeyword("NX") {
                condition.insert(.onlyNew)
            } else if option.isKeyword("XX") {
                condition.insert(.onlyExisting)
            } else if option.isKeyword("GT") {
                condition.insert(.onlyLater)
            } else if option.isKeyword("LT") {
                condition.insert(.onlyEarlier)
            } else {
                reply.error("ERR Unsupported option ", quoting: option)
                return nil
            }
        }
        if condition.contains(.onlyNew) && condition != .onlyNew {
            reply.error(
                "ERR NX and XX, GT or LT options at the same time are not compatible")
            return nil
        }
        if condition.contains([.onlyLater, .onlyEarlier]) {
            reply.error("ERR GT and LT options at the same time are not compatible")
            return nil
        }
        return condition
    }

    /// Whether `condition` allows `moment`. A key without an expiry counts as expiring after any
    /// moment.
    private static func permits(
        _ condition: Condition, _ current: Milliseconds?, _ moment: Milliseconds
    ) -> Bool {
        if condition.contains(.onlyNew) && current != nil { return false }
        if condition.contains(.onlyExisting) && current == nil { return false }
        if condition.contains(.onlyLater) {
            guard let current, moment > current else { return false }
        }
        if condition.contains(.onlyEarlier), let current, moment >= current { return false }
        return true
    }
}

/// EXPIRE key seconds [NX | XX | GT | LT]: replies 1 if it set the expiry, else 0.
public enum EXPIRE: KeyCommand {
    public static let spec = Expiration.spec(
        "expire", since: "1.0.0", usage: "seconds:integer",
        summary: "Sets a key's time to live in seconds.")

    public static func run(
        _ arguments: Arguments, _ keys: borrowing Hold, _ reply: inout ReplyWriter
    ) {
        Expiration.run("expire", .seconds, arguments, keys, &reply)
    }
}

/// PEXPIRE key milliseconds [NX | XX | GT | LT]: EXPIRE in milliseconds.
public enum PEXPIRE: KeyCommand {
    public static let spec = Expiration.spec(
        "pexpire", since: "2.6.0", usage: "milliseconds:integer",
        summary: "Sets a key's time to live in milliseconds.")

    public static func run(
        _ arguments: Arguments, _ keys: borrowing Hold, _ reply: inout ReplyWriter
    ) {
        Expiration.run("pexpire", .milliseconds, arguments, keys, &reply)
    }
}

/// EXPIREAT key unix-time-seconds [NX | XX | GT | LT]: EXPIRE at a moment.
public enum EXPIREAT: KeyCommand {
    public static let spec = Expiration.spec(
        "expireat", since: "1.2.0", usage: "unix-time-seconds:unix-time",
        summary: "Sets the Unix time in seconds at which a key expires.")

    public static func run(
        _ arguments: Arguments, _ keys: borrowing Hold, _ reply: inout ReplyWriter
    ) {
        Expiration.run("expireat", .unixSeconds, arguments, keys, &reply)
    }
}

/// PEXPIREAT key unix-time-milliseconds [NX | XX | GT | LT]: EXPIREAT in milliseconds.
public enum PEXPIREAT: KeyCommand {
    public static let spec = Expiration.spec(
        "pexpireat", since: "2.6.0", usage: "unix-time-milliseconds:unix-time",
        summary: "Sets the Unix time in milliseconds at which a key expires.")

    public static func run(
        _ arguments: Arguments, _ keys: borrowing Hold, _ reply: inout ReplyWriter
    ) {
        Expiration.run("pexpireat", .unixMilliseconds, arguments, keys, &reply)
    }
}

/// PERSIST key: removes the expiry and replies 1, or replies 0 if the key has none.
public enum PERSIST: KeyCommand {
    public static let spec = CommandSpec(
        "persist", arity: 2, [.write, .fast], keys: [.one(at: 1, [.readWrite, .update])],
        usage: "key:key", since: "2.2.0", complexity: "O(1)",
        summary: "Removes the expiration of a key.")

    public static func run(
        _ arguments: Arguments, _ keys: borrowing Hold, _ reply: inout ReplyWriter
    ) {
        guard let found = keys.find(0), found.entry.hasExpiry else {
            return reply.integer(0)
        }
        keys.setExpiry(found, nil)
        reply.integer(1)
    }
}
