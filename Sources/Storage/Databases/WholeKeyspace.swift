// SPDX-License-Identifier: Apache-2.0
import Base
import Glibc
import Synchronization
import Tenancy

// What commands do to a whole database: flush, swap, scan, pick a key. Shards are locked one at a
// time, unless the caller holds them all (inside EXEC). What has come into being since it took them
// is not there for it: to wait for one more shard would break the order of locks.
extension Reference where Pointee == Worker {
    /// Calls `body` with every shard of `keyspace` under its lock; settles memory after each.
    /// Inside EXEC what is not held came into being since, and is not there to the transaction.
    public func forEachShard(of keyspace: KeyspaceReference, _ body: (ShardReference) -> Void) {
        for index in 0..<keyspace.shardCount { withShard(keyspace.shard(at: index), body) }
    }

    /// Removes every key of `keyspace` and returns how many there were. The entries themselves are
    /// freed by `reclaimer`, outside the locks, so that nobody waits while millions are freed.
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

    /// A random live key of `keyspace` that a session of `viewer` sees, copied; nil where there is
    /// none. Shards are chosen evenly, which is by their number of keys as hashes are even.
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
        // Why a hundred tries: as Redis; a table in which nearly everything has expired is not
        // searched for ever.
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

    /// Calls `body` with every entry of `keyspace`, a few under each lock, so that commands get
    /// between. What is there all the while is met once; of what comes or goes meanwhile nothing is
    /// promised. For threads that hold nothing.
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
