// SPDX-License-Identifier: Apache-2.0
import Base

// Operations on a whole database: walking it, flushing it, a random key. They lock one shard at a
// time, unless the caller holds all of them (inside EXEC). A shard made since EXEC took its locks
// is then skipped, because waiting for it would break the order of locks.
extension Reference where Pointee == Worker {
    /// Calls `body` with every shard of `keyspace` under its lock, and settles memory after each.
    /// Inside EXEC, skips shards that are not held: they were made since, and the transaction does
    /// not see them.
    public func forEachShard(of keyspace: KeyspaceReference, _ body: (ShardReference) -> Void) {
        for index in 0..<keyspace.shardCount { withShard(keyspace.shard(at: index), body) }
    }

    /// Removes every key of `keyspace` and returns how many there were. `reclaimer` frees the
    /// entries outside the locks, so no client waits while millions are freed.
    public func flush(_ keyspace: KeyspaceReference, _ reclaimer: Reclaimer) -> Int {
        var removed = 0
        forEachShard(of: keyspace) { shard in
            let count = shard.pointee.table.count
            guard count > 0 else { return }
            removed += count
            tellAll(of: shard, replacedBy: nil)
            willReplaceTable(of: shard)
            reclaimer.free(shard.takeTable())
            didEmpty(shard, .flushed)
        }
        pointee.statistics.pointee.changes.bump(removed)
        return removed
    }

    /// Returns a copy of a random live key of `keyspace` that a session of `viewer` sees; nil if
    /// there is none. It starts at a random shard; hashes are even, so all shards have about the
    /// same number of keys.
    public func randomKey(
        _ keyspace: KeyspaceReference, for viewer: TenantReference
    ) -> [UInt8]? {
        guard keyspace.keyCount > 0 else { return nil }
        let start = Int(pointee.random.next(below: UInt64(keyspace.shardCount)))
        for step in 0..<keyspace.shardCount {
            let shard = keyspace.shard(at: (start + step) % keyspace.shardCount)
            let key: [UInt8]?? = withShard(shard) { randomKey(of: $0, keyspace, for: viewer) }
            if let key, let key { return key }
        }
        return nil
    }

    private func randomKey(
        of shard: ShardReference, _ keyspace: KeyspaceReference, for viewer: TenantReference
    ) -> [UInt8]? {
        // Why a hundred tries: as in Redis, a table of mostly expired entries is not searched
        // forever.
        for _ in 0..<100 {
            guard let slot = shard.pointee.table.randomSlot(&pointee.random) else { break }
            let entry = slot.entry
            if entry.type != .absent, !entry.isExpired(at: now),
                isVisible(entry.key, in: keyspace, to: viewer)
            {
                return entry.key.array
            }
        }
        return nil
    }

    /// Calls `body` with every entry of `keyspace`, a few under each lock, so commands can run in
    /// between. Visits every entry that is there throughout, once; makes no promise about others.
    /// For threads that hold nothing.
    public func forEachEntryInSteps(of keyspace: KeyspaceReference, _ body: (Entry) -> Void) {
        for index in 0..<keyspace.shardCount {
            let shard = keyspace.shard(at: index)
            var position: UInt64? = 0
            while let start = position {  // Bound: each step moves on.
                shard.acquire()
                position = shard.pointee.table.scan(
                    from: start, limit: 128, bucketLimit: 128, body)
                shard.release()
            }
        }
    }
}
