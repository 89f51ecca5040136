// SPDX-License-Identifier: Apache-2.0
import Base
import Storage
import Wire

// Commands on many fields: all of them, a page, or a random choice.

/// HGETALL key: all fields with their values, as a map.
public enum HGETALL: KeyCommand {
    public static let spec = CommandSpec(
        "hgetall", arity: 2, [.readOnly, .loadsRecords],
        keys: [.one(at: 1, [.readOnly, .access])], usage: "key:key", since: "2.0.0",
        complexity: "O(N) for a hash of N fields.",
        summary: "Returns all fields of a hash with their values.",
        tips: ["nondeterministic_output_order"])

    public static func run(
        _ arguments: Arguments, _ keys: borrowing Hold, _ reply: inout ReplyWriter
    ) {
        guard let found = keys.read(0, as: .hash, else: .emptyMap, &reply) else { return }
        let hash = HashValue(found)
        reply.map(hash.count)
        hash.forEach { reply.pair($0) }
    }
}

/// What HKEYS and HVALS share: one half of every pair, as an array.
private enum HashHalf {
    @inline(__always)
    static func run(
        _ arguments: Arguments, _ keys: borrowing Hold, _ reply: inout ReplyWriter,
        _ half: (HashValue.Pair) -> Bytes
    ) {
        guard let found = keys.read(0, as: .hash, else: .emptyArray, &reply) else { return }
        let hash = HashValue(found)
        reply.array(hash.count)
        hash.forEach { reply.bulk(half($0)) }
    }
}

/// HKEYS key: all fields.
public enum HKEYS: KeyCommand {
    public static let spec = CommandSpec(
        "hkeys", arity: 2, [.readOnly, .loadsRecords], keys: [.one(at: 1, [.readOnly, .access])],
        usage: "key:key", since: "2.0.0", complexity: "O(N) for a hash of N fields.",
        summary: "Returns all fields of a hash.",
        tips: ["nondeterministic_output_order"])

    public static func run(
        _ arguments: Arguments, _ keys: borrowing Hold, _ reply: inout ReplyWriter
    ) {
        HashHalf.run(arguments, keys, &reply) { $0.field }
    }
}

/// HVALS key: all values.
public enum HVALS: KeyCommand {
    public static let spec = CommandSpec(
        "hvals", arity: 2, [.readOnly, .loadsRecords], keys: [.one(at: 1, [.readOnly, .access])],
        usage: "key:key", since: "2.0.0", complexity: "O(N) for a hash of N fields.",
        summary: "Returns the values of all fields of a hash.",
        tips: ["nondeterministic_output_order"])

    public static func run(
        _ arguments: Arguments, _ keys: borrowing Hold, _ reply: inout ReplyWriter
    ) {
        HashHalf.run(arguments, keys, &reply) { $0.value }
    }
}

extension ReplyWriter {
    /// A field, then its value.
    @inline(__always)
    fileprivate func pair(_ pair: HashValue.Pair) {
        bulk(pair.field)
        bulk(pair.value)
    }
}

/// HSCAN key cursor [MATCH pattern] [COUNT count] [NOVALUES]: a page of fields and the next cursor.
public enum HSCAN: KeyCommand {
    public static let spec = CommandSpec(
        "hscan", arity: -3, [.readOnly, .loadsRecords], keys: [.one(at: 1, [.readOnly, .access])],
        usage: "key:key cursor:integer [MATCH pattern:pattern] [COUNT count:integer] [NOVALUES]",
        since: "2.8.0",
        complexity: "O(1) for a call, O(N) for all calls over a hash of N fields.",
        summary: "Iterates over the fields of a hash.",
        tips: ["nondeterministic_output"])

    public static func run(
        _ arguments: Arguments, _ keys: borrowing Hold, _ reply: inout ReplyWriter
    ) {
        guard let cursor = ScanOptions.cursor(arguments[2], &reply) else { return }
        guard let found = keys.read(0, as: .hash, else: .emptyPage, &reply),
            let options = ScanOptions(arguments, from: 3, .hash, &reply)
        else { return }
        write(HashValue(found), cursor, options, &reply)
    }

    private static func write(
        _ hash: HashValue, _ cursor: UInt64, _ options: ScanOptions, _ reply: inout ReplyWriter
    ) {
        // Why an array: the reply starts with the next cursor, which is known only after the page.
        var page: [HashValue.Pair] = []
        let next = hash.scan(
            from: MemberCursor.position(cursor), limit: options.count,
            bucketLimit: MemberCursor.bucketLimit(options.count)
        ) { pair in
            if options.matches(pair.field) { page.append(pair) }
        }
        ScanOptions.writeHead(MemberCursor.cursor(next), &reply)
        reply.array(options.withoutValues ? page.count : page.count * 2)
        for pair in page {
            if options.withoutValues { reply.bulk(pair.field) } else { reply.pair(pair) }
        }
    }
}

/// HRANDFIELD key [count [WITHVALUES]]: random fields. A positive count returns distinct fields, a
/// negative one may repeat them.
public enum HRANDFIELD: KeyCommand {
    public static let spec = CommandSpec(
        "hrandfield", arity: -2, [.readOnly, .loadsRecords],
        keys: [.one(at: 1, [.readOnly, .access])],
        usage: "key:key [count:integer [WITHVALUES]]", since: "6.2.0",
        complexity: "O(N) for N fields returned.",
        summary: "Returns one or more fields of a hash by chance.",
        tips: ["nondeterministic_output"])

    public static func run(
        _ arguments: Arguments, _ keys: borrowing Hold, _ reply: inout ReplyWriter
    ) {
        var count: Int?
        if arguments.count > 2 {
            guard let parsed = parseCount(arguments, &reply) else { return }
            count = parsed
        }
        let missing = count == nil ? MissingReply.null : .emptyArray
        guard let found = keys.read(0, as: .hash, else: missing, &reply) else { return }
        let hash = HashValue(found)
        guard let count else { return reply.bulk(hash.random(&keys.random).field) }
        write(count, withValues: arguments.count == 4, of: hash, &keys.random, &reply)
    }

    /// The count, within the range that Redis accepts; nil after an error reply.
    private static func parseCount(_ arguments: Arguments, _ reply: inout ReplyWriter) -> Int? {
        guard let count = RandomDraw.count(arguments[2], &reply) else { return nil }
        guard arguments.count > 3 else { return count }
        guard arguments.count == 4, arguments[3].isKeyword("WITHVALUES") else {
            reply.error(.syntax)
            return nil
        }
        guard count.magnitude <= Int.max / 2 else {
            reply.error("ERR value is out of range")
            return nil
        }
        return count
    }

    private static func write(
        _ count: Int, withValues: Bool, of hash: HashValue, _ random: inout Random,
        _ reply: inout ReplyWriter
    ) {
        // Wire: each pair is an array of two in RESP3; RESP2 has one flat array.
        let elementsPerField = withValues && !reply.isRESP3 ? 2 : 1
        guard count >= 0 else {
            let writer = reply
            return RandomDraw.writeRepeating(-count * elementsPerField, &reply) { mayGoOn in
                hash.draw(-count, &random) { pair in
                    writer.field(pair, withValue: withValues)
                    return mayGoOn()
                }
            }
        }
        let total = min(count, hash.count)
        reply.array(total * elementsPerField)
        guard total > 0 else { return }
        guard total < hash.count else {
            return hash.forEach { reply.field($0, withValue: withValues) }
        }
        hash.sample(total, &random) { reply.field($0, withValue: withValues) }
    }
}

extension ReplyWriter {
    /// One field of HRANDFIELD's reply.
    fileprivate func field(_ pair: HashValue.Pair, withValue: Bool) {
        guard withValue else { return bulk(pair.field) }
        if isRESP3 { array(2) }
        self.pair(pair)
    }
}
