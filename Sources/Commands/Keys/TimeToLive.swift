// SPDX-License-Identifier: Apache-2.0
import Base
import Storage
import Wire

/// What TTL and its siblings share: -2 for a missing key, -1 for a key without an expiry.
enum TimeToLive {
    static func spec(
        _ name: String, since: String, summary: String, tips: [String] = []
    ) -> CommandSpec {
        CommandSpec(
            name, arity: 2, [.readOnly, .fast, .loadsRecords],
            keys: [.one(at: 1, [.readOnly, .access])], usage: "key:key", since: since,
            complexity: "O(1)", summary: summary, tips: tips)
    }

    @inline(__always)
    static func run(
        _ arguments: Arguments, _ keys: borrowing Hold, _ reply: inout ReplyWriter,
        _ convert: (_ expiry: Milliseconds, _ now: Milliseconds) -> Int64
    ) {
        guard let found = keys.peek(0) else { return reply.integer(-2) }
        guard let expiry = found.entry.expiry else { return reply.integer(-1) }
        reply.integer(convert(expiry, keys.now))
    }

    /// Rounds to the nearest second. Adding 500 first would overflow for the latest moments.
    static func seconds(_ milliseconds: Milliseconds) -> Int64 {
        milliseconds / 1000 + (milliseconds % 1000 >= 500 ? 1 : 0)
    }
}

/// TTL key: the seconds until the key expires, rounded.
public enum TTL: KeyCommand {
    public static let spec = TimeToLive.spec(
        "ttl", since: "1.0.0", summary: "Tells a key's time to live in seconds.",
        tips: ["nondeterministic_output"])

    public static func run(
        _ arguments: Arguments, _ keys: borrowing Hold, _ reply: inout ReplyWriter
    ) {
        TimeToLive.run(arguments, keys, &reply) { TimeToLive.seconds(max(0, $0 - $1)) }
    }
}

/// PTTL key: the milliseconds until the key expires.
public enum PTTL: KeyCommand {
    public static let spec = TimeToLive.spec(
        "pttl", since: "2.6.0", summary: "Tells a key's time to live in milliseconds.",
        tips: ["nondeterministic_output"])

    public static func run(
        _ arguments: Arguments, _ keys: borrowing Hold, _ reply: inout ReplyWriter
    ) {
        TimeToLive.run(arguments, keys, &reply) { max(0, $0 - $1) }
    }
}

/// EXPIRETIME key: the Unix time in seconds at which the key expires, rounded.
public enum EXPIRETIME: KeyCommand {
    public static let spec = TimeToLive.spec(
        "expiretime", since: "7.0.0",
        summary: "Tells the Unix time in seconds at which a key expires.")

    public static func run(
        _ arguments: Arguments, _ keys: borrowing Hold, _ reply: inout ReplyWriter
    ) {
        TimeToLive.run(arguments, keys, &reply) { expiry, _ in TimeToLive.seconds(expiry) }
    }
}

/// PEXPIRETIME key: the Unix time in milliseconds at which the key expires.
public enum PEXPIRETIME: KeyCommand {
    public static let spec = TimeToLive.spec(
        "pexpiretime", since: "7.0.0",
        summary: "Tells the Unix time in milliseconds at which a key expires.")

    public static func run(
        _ arguments: Arguments, _ keys: borrowing Hold, _ reply: inout ReplyWriter
    ) {
        TimeToLive.run(arguments, keys, &reply) { expiry, _ in expiry }
    }
}
