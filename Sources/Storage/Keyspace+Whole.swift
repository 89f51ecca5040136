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
        let registry = pointee.registry._withUnsafeGuaranteedRef { $0 }
        for index in 0..<keyspace.shardCount {
            let shard = keyspace.shard(at: index)
            guard let hold = hold(shard) else { continue }
            if !shard.pointee.isDead {
                body(shard)
                registry.settle(shard)
                if hold.isTaken && shard.pointee.table.count == 0 { registry.dropIfEmpty(shard) }
            }
            hold.end()
        }
    }

    /// Removes every key of `keyspace` and returns how many there were. The entries themselves are
    /// freed by `reclaimer`, outside the locks, so that nobody waits while millions are freed.
    public func flush(_ keyspace: KeyspaceReference, _ reclaimer: Reclaimer) -> Int {
        var removed = 0
        forEachShard(of: keyspace) { shard in
            let count = shard.pointee.table.count
            guard count > 0 else { return }
            removed += count
            shard.notifyAllWatchers { hash, wasExpired in
                // What is gone has expired no more.
                if wasExpired {
                    wasExpired = false
                    return false
                }
                return shard.pointee.table.contains(hash)
            }
            reclaimer.free(shard.takeTable())
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
            guard let hold = hold(shard) else { continue }
            defer { hold.end() }
            // Why a hundred tries: as Redis; a table in which nearly everything has expired is not
            // searched for ever.
            for _ in 0..<100 {
                guard let slot = shard.pointee.table.randomSlot(&pointee.random) else { break }
                let entry = slot.entry
                if entry.type != .absent, !entry.isExpired(at: pointee.now),
                    isVisible(entry.key, in: keyspace, to: viewer)
                {
                    return entry.key.array
                }
            }
        }
        return nil
    }
}

extension Reference where Pointee == Worker {
    /// Exchanges two databases of `tenant`, under the locks of both. Inside EXEC they are held
    /// already, both of them, where the tenant had either when EXEC took its locks.
    public func swapDatabases(of tenant: TenantReference, _ first: Int, _ second: Int) {
        guard tenant.keyspace(first) != nil || tenant.keyspace(second) != nil else { return }
        let registry = pointee.registry._withUnsafeGuaranteedRef { $0 }
        if pointee.lockedCount > 0 {
            guard let left = held(tenant, first), let right = held(tenant, second) else { return }
            return swapContents(left, right)
        }
        var left: KeyspaceReference
        var right: KeyspaceReference
        repeat {
            clearKeys()
            left = registry.keyspace(tenant, first)
            right = registry.keyspace(tenant, second)
            // Bound: a keyspace is dropped once, then made anew.
        } while !lockKeys(andAllOf: [left, right])
        swapContents(left, right)
        unlockKeys()
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

    /// Database `number` of `tenant`, if the transaction holds it.
    private func held(_ tenant: TenantReference, _ number: Int) -> KeyspaceReference? {
        tenant.keyspace(number).flatMap { holds($0.shard(at: 0)) ? $0 : nil }
    }

    /// Exchanges what two databases of one tenant hold. Sessions that watch a key which either has
    /// are told. The caller holds all shards of both.
    ///
    /// Why the tables and not the keyspaces: watchers, counters and keys that wait for a lock
    /// belong to a database by its number, and stay where they are.
    public func swapContents(_ left: KeyspaceReference, _ right: KeyspaceReference) {
        precondition(left.pointee.tenant == right.pointee.tenant && left != right)
        for (own, other) in [(left, right), (right, left)] {
            for index in 0..<own.shardCount {
                own.shard(at: index).notifyAllWatchers { hash, wasExpired in
                    let isReplaced = other.has(hash)
                    let isReplacedByExpired =
                        isReplaced && !other.hasVisible(hash, now: pointee.now)
                    if wasExpired {
                        wasExpired = isReplacedByExpired
                        return isReplaced && !isReplacedByExpired
                    }
                    // Nothing gives way to what nobody sees.
                    wasExpired = isReplacedByExpired && !own.has(hash)
                    return !wasExpired && (isReplaced || own.has(hash))
                }
            }
        }
        if left.pointee.shardBits == right.pointee.shardBits {
            for index in 0..<left.shardCount {
                let own = left.shard(at: index)
                let other = right.shard(at: index)
                swap(&own.pointee.table, &other.pointee.table)
                swap(&own.pointee.settledSize, &other.pointee.settledSize)
                swap(&own.pointee.sweep, &other.pointee.sweep)
            }
        } else {
            let fromLeft = left.takeAll()
            let fromRight = right.takeAll()
            left.putAll(fromRight)
            right.putAll(fromLeft)
        }
        pointee.statistics.pointee.changes.bump()
    }
}

extension Reference where Pointee == Keyspace {
    /// Whether a key of this hash is there, be it expired.
    fileprivate func has(_ hash: Hash) -> Bool {
        shard(hash).pointee.table.contains(hash) { !$0.isAbsent }
    }

    /// Whether a key of this hash is there that commands see.
    fileprivate func hasVisible(_ hash: Hash, now: Milliseconds) -> Bool {
        shard(hash).pointee.table.contains(hash) { !$0.isAbsent && !$0.isExpired(at: now) }
    }

    /// Empties all tables and returns their entries, which the caller owns. Shards of different
    /// number, which a tenant has who was named by keys before it was created, share no order, so
    /// entries are moved one by one.
    fileprivate func takeAll() -> [Entry] {
        var entries: [Entry] = []
        forEachShard(isLocked: true) { shard in
            shard.pointee.table.forEach { entries.append($0) }
            shard.pointee.table.removeStructure()
            shard.pointee.table = Table(prefixBits: pointee.shardBits)
        }
        return entries
    }

    fileprivate func putAll(_ entries: [Entry]) {
        for entry in entries {
            let hash = Hash(entry.key)
            let table = shard(hash)
            table.pointee.table.allocatedSize += entry.totalSize
            _ = table.pointee.table.insert(hash, entry)
        }
    }
}

extension Table {
    /// Whether some key of the table has this hash.
    func contains(_ hash: Hash, where condition: (Entry) -> Bool = { _ in true }) -> Bool {
        guard root != 0 else { return false }
        let position = self.position(hash)
        let segment = self.segment(at: position)
        var found = false
        segment.forEach { if Hash($0.key) == hash && condition($0) { found = true } }
        return found
    }
}
