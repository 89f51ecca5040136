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

    /// Returns a copy of a random live key of `keyspace` that a session of `viewer` sees, each with
    /// the same chance; nil if there is none.
    ///
    /// Every draw begins anew with the shard, each with a chance that is its share of the keys. So
    /// a key's chance depends neither on its shard's other keys nor on expired ones.
    public func randomKey(
        _ keyspace: KeyspaceReference, for viewer: TenantReference
    ) -> [UInt8]? {
        // Why a hundred draws: as in Redis, a database of mostly expired keys is not searched
        // forever.
        for _ in 0..<100 {
            guard let shard = randomShard(of: keyspace) else { return nil }
            let key: [UInt8]?? = withShard(shard) { randomKey(of: $0, keyspace, for: viewer) }
            if let key, let key { return key }
        }
        // The shards that have not expired may be few, or a transaction may hold few of them.
        let start = Int(pointee.random.next(below: UInt64(keyspace.shardCount)))
        for step in 0..<keyspace.shardCount {
            let shard = keyspace.shard(at: (start + step) % keyspace.shardCount)
            for _ in 0..<100 where shard.keyCountHint > 0 {
                let key: [UInt8]?? = withShard(shard) { randomKey(of: $0, keyspace, for: viewer) }
                if let key, let key { return key }
            }
        }
        return nil
    }

    /// A shard, each with a chance that is its share of the keys; nil if there are no keys. Counts
    /// are read without locks: a key that comes or goes meanwhile changes the chances by as much.
    private func randomShard(of keyspace: KeyspaceReference) -> ShardReference? {
        let count = keyspace.keyCount
        guard count > 0 else { return nil }
        var rest = Int(pointee.random.next(below: UInt64(count)))
        for index in 0..<keyspace.shardCount {
            let shard = keyspace.shard(at: index)
            rest -= shard.keyCountHint
            if rest < 0 { return shard }
        }
        return keyspace.shard(at: keyspace.shardCount - 1)
    }

    /// One draw from a shard; nil if it drew a key that is not to be seen.
    private func randomKey(
        of shard: ShardReference, _ keyspace: KeyspaceReference, for viewer: TenantReference
    ) -> [UInt8]? {
        guard let entry = shard.pointee.table.randomSlot(&pointee.random)?.entry,
            entry.type != .absent, !entry.isExpired(at: now),
            isVisible(entry.key, in: keyspace, to: viewer)
        else { return nil }
        return entry.key.array
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
