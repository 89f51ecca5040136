// SPDX-License-Identifier: Apache-2.0
import Base
import Storage
import Wire

/// INCR key: adds one and replies the sum.
public enum INCR: KeyCommand {
    public static let spec = CommandSpec(
        "incr", arity: 2, [.write, .denyOOM, .fast],
        keys: [.one(at: 1, [.readWrite, .access, .update])], usage: "key:key", since: "1.0.0",
        complexity: "O(1)",
        summary:
            "Increments the integer value of a key by one. Uses 0 as initial value if the key "
            + "doesn't exist."
    )

    public static func run(
        _ arguments: Arguments, _ keys: borrowing Hold, _ reply: inout ReplyWriter
    ) {
        keys.add(1, &reply)
    }
}

/// DECR key: subtracts one and replies the result.
public enum DECR: KeyCommand {
    public static let spec = CommandSpec(
        "decr", arity: 2, [.write, .denyOOM, .fast],
        keys: [.one(at: 1, [.readWrite, .access, .update])], usage: "key:key", since: "1.0.0",
        complexity: "O(1)",
        summary:
            "Decrements the integer value of a key by one. Uses 0 as initial value if the key "
            + "doesn't exist."
    )

    public static func run(
        _ arguments: Arguments, _ keys: borrowing Hold, _ reply: inout ReplyWriter
    ) {
        keys.add(-1, &reply)
    }
}

/// INCRBY key increment: adds and replies the sum.
public enum INCRBY: KeyCommand {
    public static let spec = CommandSpec(
        "incrby", arity: 3, [.write, .denyOOM, .fast],
        keys: [.one(at: 1, [.readWrite, .access, .update])], usage: "key:key increment:integer",
        since: "1.0.0", complexity: "O(1)",
        summary:
            "Increments the integer value of a key by a number. Uses 0 as initial value if the key "
            + "doesn't exist."
    )

    public static func run(
        _ arguments: Arguments, _ keys: borrowing Hold, _ reply: inout ReplyWriter
    ) {
        guard let amount = ASCIIInteger.parse(arguments[2]) else { return reply.error(.notInteger) }
        keys.add(amount, &reply)
    }
}

/// DECRBY key decrement: subtracts and replies the result.
public enum DECRBY: KeyCommand {
    public static let spec = CommandSpec(
        "decrby", arity: 3, [.write, .denyOOM, .fast],
        keys: [.one(at: 1, [.readWrite, .access, .update])], usage: "key:key decrement:integer",
        since: "1.0.0", complexity: "O(1)",
        summary: """
            Decrements a number from the integer value of a key. \
            Uses 0 as initial value if the key doesn't exist.
            """)

    public static func run(
        _ arguments: Arguments, _ keys: borrowing Hold, _ reply: inout ReplyWriter
    ) {
        guard let amount = ASCIIInteger.parse(arguments[2]) else { return reply.error(.notInteger) }
        guard amount != .min else { return reply.error("ERR decrement would overflow") }
        keys.add(-amount, &reply)
    }
}

/// INCRBYFLOAT key increment: adds and replies the sum, with at most 17 decimal places.
public enum INCRBYFLOAT: KeyCommand {
    public static let spec = CommandSpec(
        "incrbyfloat", arity: 3, [.write, .denyOOM, .fast],
        keys: [.one(at: 1, [.readWrite, .access, .update])], usage: "key:key increment:double",
        since: "2.6.0", complexity: "O(1)",
        summary: """
            Increments the floating point value of a key by a number. \
            Uses 0 as initial value if the key doesn't exist.
            """)

    public static func run(
        _ arguments: Arguments, _ keys: borrowing Hold, _ reply: inout ReplyWriter
    ) {
        let found = keys.find(0)
        if let found, found.entry.type != .string { return reply.error(.wrongType) }
        let old: LongDouble? =
            if let found {
                keys.content(found).withBytes { LongDouble.parse($0) }
            } else {
                LongDouble(0)
            }
        guard let old, let amount = LongDouble.parse(arguments[2]) else {
            return reply.error(.notFloat)
        }
        let sum = old + amount
        guard sum.isFinite else { return reply.error(.incrementNaN) }
        sum.text.withBytes {
            keys.setText(0, $0, replacing: found)
            reply.bulk($0)
        }
    }
}

extension Hold {
    /// Adds `amount` to the integer at the command's key and replies the sum. A missing key counts
    /// as 0.
    @inline(__always)
    fileprivate func add(_ amount: Int64, _ reply: inout ReplyWriter) {
        var old: Int64 = 0
        let found = find(0)
        if let found {
            guard found.entry.type == .string else { return reply.error(.wrongType) }
            guard let integer = content(found).integer else { return reply.error(.notInteger) }
            old = integer
        }
        let (sum, overflowed) = old.addingReportingOverflow(amount)
        guard !overflowed else { return reply.error(.overflow) }
        setInteger(0, sum, replacing: found)
        reply.integer(sum)
    }
}
