// SPDX-License-Identifier: Apache-2.0
import Base
import Storage
import Wire

/// KEYS pattern: all keys that match the pattern. A lock is held for a few dozen buckets at a time.
public enum KEYS: SessionCommand {
    public static let spec = CommandSpec(
        "keys", arity: 2, [.readOnly, .wholeDatabase], usage: "pattern:pattern", since: "1.0.0",
        complexity: "O(N) in the number of keys of the database.",
        summary: "Returns all keys that match a pattern.",
        tips: ["request_policy:all_shards", "nondeterministic_output_order"],
        categories: ["keyspace", "dangerous"])

    public static func run(
        _ arguments: Arguments, _ context: inout CommandContext, _ reply: inout ReplyWriter
    ) {
        guard let pattern = Glob(arguments[1]) else { return reply.error(.patternTooLong) }
        let isEverything = Glob.isEverything(arguments[1])
        let now = context.now
        let mark = reply.begin()
        var count = 0
        let writer = reply
        context.worker.scanAll(
            context.session.pointee.tenant, context.session.pointee.database,
            inTenants: context.seesTenants,
            // As in Redis, KEYS skips an expired key but does not remove it.
            isWanted: {
                ($0.expiry ?? .max) > now && (isEverything || pattern.matches($0.key))
            }
        ) { key in
            writer.bulk(key)
            count += 1
        }
        reply.finish(mark, .array, count: count)
    }
}

/// SCAN cursor [MATCH pattern] [COUNT count] [TYPE type]: a page of keys and the next cursor.
///
/// A key that exists from the first step to the last is returned exactly once, whatever else
/// changes.
public enum SCAN: SessionCommand {
    public static let spec = CommandSpec(
        "scan", arity: -2, [.readOnly, .wholeDatabase],
        usage: "cursor:integer [MATCH pattern:pattern] [COUNT count:integer] [TYPE type]",
        since: "2.8.0", complexity: "O(1) for each step, O(N) for all keys.",
        summary: "Iterates over the keys of the database.",
        tips: [
            "nondeterministic_output", "request_policy:special", "response_policy:special",
        ])

    public static func run(
        _ arguments: Arguments, _ context: inout CommandContext, _ reply: inout ReplyWriter
    ) {
        guard let start = ScanOptions.cursor(arguments[1], &reply),
            let options = ScanOptions(arguments, from: 2, .keys, &reply)
        else { return }
        // Why a buffer: the reply starts with the next cursor, which is known only after the page.
        var found = ByteBuffer(capacity: 512)
        var ends: [Int] = []
        let next = context.worker.scan(
            context.session.pointee.tenant, context.session.pointee.database,
            inTenants: context.seesTenants, from: ScanCursor(start),
            count: options.count,
            isWanted: { entry in
                options.hasType(entry.type) && options.matches(entry.key)
            }
        ) { key in
            found.append(key)
            ends.append(found.count)
        }
        ScanOptions.writeHead(next?.number ?? 0, &reply)
        reply.array(ends.count)
        var begin = 0
        for end in ends {
            reply.bulk(found.bytes(begin..<end))
            begin = end
        }
    }
}

extension ScanOptions {
    /// Whether values of `type` pass TYPE. An unknown type matches nothing.
    fileprivate func hasType(_ type: ValueType) -> Bool {
        guard let wanted = self.type else { return true }
        let name = Bytes(type.name)
        guard wanted.count == name.count else { return false }
        for index in 0..<name.count where ASCII.lower(wanted[index]) != name[index] { return false }
        return true
    }
}

/// RANDOMKEY: a key of the database, or null.
public enum RANDOMKEY: SessionCommand {
    public static let spec = CommandSpec(
        "randomkey", arity: 1, [.readOnly, .wholeDatabase], since: "1.0.0",
        complexity: "O(1), or O(N) in the number of tenants.",
        summary: "Returns a random key of the database.",
        tips: [
            "request_policy:all_shards", "response_policy:special", "nondeterministic_output",
        ])

    public static func run(
        _ arguments: Arguments, _ context: inout CommandContext, _ reply: inout ReplyWriter
    ) {
        // Reservoir sampling: each keyspace replaces the chosen one with a probability that is its
        // share of the keys seen so far.
        var total: UInt64 = 0
        var chosen: [KeyspaceReference] = []
        let worker = context.worker
        context.forEachKeyspace(context.session.pointee.database) { keyspace in
            let count = UInt64(max(0, keyspace.visibleKeyCount))
            guard count > 0 else { return }
            total += count
            let isTaken = worker.pointee.random.next(below: total) < count
            // Earlier choices stay as substitutes: all keys of the chosen one may have expired.
            if isTaken { chosen.insert(keyspace, at: 0) }
            if chosen.count > 8 { chosen.removeLast() }
        }
        for keyspace in chosen {
            if let key = worker.randomKey(keyspace, for: context.session.pointee.tenant) {
                return reply.bulk(key)
            }
        }
        reply.null()
    }
}
