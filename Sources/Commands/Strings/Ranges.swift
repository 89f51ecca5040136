// SPDX-License-Identifier: Apache-2.0
import Base
import Glibc
import Storage
import Wire

/// GETRANGE key start end: the bytes from `start` to `end` inclusive. Negative indices count from
/// the end.
public enum GETRANGE: KeyCommand {
    public static let spec = CommandSpec(
        "getrange", arity: 4, [.readOnly, .loadsRecords],
        keys: [.one(at: 1, [.readOnly, .access])], usage: "key:key start:integer end:integer",
        since: "2.4.0", complexity: "O(N) where N is the length of the returned string.",
        summary: "Returns a substring of the string stored at a key.")

    public static func run(
        _ arguments: Arguments, _ keys: borrowing Hold, _ reply: inout ReplyWriter
    ) {
        guard let start = ASCIIInteger.parse(arguments[2]),
            let end = ASCIIInteger.parse(arguments[3])
        else { return reply.error(.notInteger) }
        guard let content = keys.readString(0, else: .emptyString, &reply) else { return }
        content.withBytes { reply.bulk($0[range(start, end, count: $0.count)]) }
    }

    /// The range of `count` bytes that two indices name. As in Redis, an end before the first byte
    /// means the first byte.
    static func range(_ start: Int64, _ end: Int64, count: Int) -> Range<Int> {
        if start < 0 && end < 0 && start > end { return 0..<0 }
        // Bound: `count` is not negative, so adding it to a negative number cannot overflow.
        let first = max(0, start < 0 ? start + Int64(count) : start)
        let last = min(max(0, end < 0 ? end + Int64(count) : end), Int64(count) - 1)
        return first > last ? 0..<0 : Int(first)..<Int(last) + 1
    }
}

/// SUBSTR: the older name of GETRANGE.
public enum SUBSTR: KeyCommand {
    public static let spec = CommandSpec(
        "substr", arity: 4, [.readOnly, .loadsRecords],
        keys: [.one(at: 1, [.readOnly, .access])], usage: "key:key start:integer end:integer",
        since: "1.0.0", complexity: "O(N) where N is the length of the returned string.",
        summary: "Returns a substring from a string value.")

    public static func run(
        _ arguments: Arguments, _ keys: borrowing Hold, _ reply: inout ReplyWriter
    ) {
        GETRANGE.run(arguments, keys, &reply)
    }
}

/// SETRANGE key offset value: overwrites the bytes from `offset` on and replies the new length. A
/// string that ends before `offset` is padded with zeros.
public enum SETRANGE: KeyCommand {
    public static let spec = CommandSpec(
        "setrange", arity: 4, [.write, .denyOOM], keys: [.one(at: 1, [.readWrite, .update])],
        usage: "key:key offset:integer value", since: "2.2.0",
        complexity: "O(M) where M is the length of the value, and of the zeros before it.",
        summary: """
            Overwrites a part of a string value with another by an offset. \
            Creates the key if it doesn't exist.
            """)

    public static func run(
        _ arguments: Arguments, _ keys: borrowing Hold, _ reply: inout ReplyWriter
    ) {
        guard let offset = ASCIIInteger.parse(arguments[2]) else { return reply.error(.notInteger) }
        guard offset >= 0 else { return reply.error(.offsetOutOfRange) }
        let value = arguments[3]
        let found = keys.find(0)
        if let found, found.entry.type != .string { return reply.error(.wrongType) }
        let old = found.map { keys.content($0).count } ?? 0
        if value.isEmpty { return reply.integer(old) }
        guard let needed = keys.stringSize(offset, value.count) else {
            return reply.error(.stringTooLong)
        }
        let count = max(old, needed)
        if count > old, let refusal = keys.refusal(ofGrowth: count - old, at: 0) {
            return reply.error(refusal)
        }
        // Why find again: making room may have moved the entry.
        keys.overwrite(0, keys.find(0), count: count, with: value, at: Int(offset))
        reply.integer(count)
    }
}

/// APPEND key value: appends and replies the new length.
public enum APPEND: KeyCommand {
    public static let spec = CommandSpec(
        "append", arity: 3, [.write, .denyOOM, .fast], keys: [.one(at: 1, [.readWrite, .insert])],
        usage: "key:key value", since: "2.0.0",
        complexity: "O(1) amortized: a string that grows is given room to grow again.",
        summary: "Appends a string to the value of a key. Creates the key if it doesn't exist.")

    public static func run(
        _ arguments: Arguments, _ keys: borrowing Hold, _ reply: inout ReplyWriter
    ) {
        let value = arguments[2]
        guard let found = keys.find(0) else {
            keys.setString(0, value, replacing: nil, .remove)
            return reply.integer(value.count)
        }
        guard found.entry.type == .string else { return reply.error(.wrongType) }
        let old = keys.content(found).count
        guard let count = keys.stringSize(Int64(old), value.count) else {
            return reply.error(.stringTooLong)
        }
        // Why `count` and not the difference: a string that must move doubles its capacity.
        if let refusal = keys.refusal(ofGrowth: count, at: 0) { return reply.error(refusal) }
        // Why find again: making room may have moved the entry.
        keys.overwrite(0, keys.find(0), count: count, with: value, at: old)
        reply.integer(count)
    }
}

/// STRLEN key: the number of bytes, 0 if the key is missing.
public enum STRLEN: KeyCommand {
    public static let spec = CommandSpec(
        "strlen", arity: 2, [.readOnly, .fast, .loadsRecords], keys: [.one(at: 1, [.readOnly])],
        usage: "key:key", since: "2.2.0", complexity: "O(1)",
        summary: "Returns the length of a string value.")

    public static func run(
        _ arguments: Arguments, _ keys: borrowing Hold, _ reply: inout ReplyWriter
    ) {
        guard let content = keys.readString(0, else: .zero, &reply) else { return }
        reply.integer(content.count)
    }
}

extension Hold {
    /// The size of a string that ends with `count` bytes at `offset`; nil if `proto-max-bulk-len`
    /// forbids that size or an entry cannot hold it.
    func stringSize(_ offset: Int64, _ count: Int) -> Int? {
        let sizeMax = min(settings.bulkSizeMax, Entry.valueSizeMax)
        let (size, overflowed) = Int(offset).addingReportingOverflow(count)
        return overflowed || size > sizeMax ? nil : size
    }
}
