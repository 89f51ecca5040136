// SPDX-License-Identifier: Apache-2.0
import Base

extension Reference where Pointee == Worker {
    /// Swaps two databases of `tenant` under the locks of both. Inside EXEC both are held already,
    /// if the tenant had either of them when EXEC took its locks.
    public func swapDatabases(of tenant: TenantReference, _ first: Int, _ second: Int) {
        guard tenant.keyspace(first) != nil || tenant.keyspace(second) != nil else { return }
        if isHolding {
            guard let left = held(tenant, first), let right = held(tenant, second) else { return }
            return swapContents(left, right)
        }
        while true {  // Bound: a keyspace is dropped once, then made anew.
            let left = registry.keyspace(tenant, first)
            let right = registry.keyspace(tenant, second)
            guard let hold = KeyList(self).hold(and: [], andAllOf: [left, right]) else { continue }
            swapContents(left, right)
            return hold.end()
        }
    }

    /// Database `number` of `tenant`, if the transaction holds it.
    private func held(_ tenant: TenantReference, _ number: Int) -> KeyspaceReference? {
        tenant.keyspace(number).flatMap { holds($0.shard(at: 0)) ? $0 : nil }
    }

    /// Swaps the contents of two databases of one tenant, and tells the waiters of keys in either.
    /// The caller holds all shards of both.
    ///
    /// Why the tables and not the keyspaces: waiters, counters, and keys waiting for a lock belong
    /// to a database's number and stay with it.
    public func swapContents(_ left: KeyspaceReference, _ right: KeyspaceReference) {
        precondition(left.pointee.tenant == right.pointee.tenant && left != right)
        for (own, other) in [(left, right), (right, left)] {
            for index in 0..<own.shardCount {
                tellAll(of: own.shard(at: index), replacedBy: other)
                willReplaceTable(of: own.shard(at: index))
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
        for keyspace in [left, right] {
            keyspace.forEachShard(isLocked: true) { shard in
                if shard.hasKeys(expiring: true), !shard.pointee.isListedToExpire {
                    listToExpire(shard)
                }
            }
        }
        didSwap(left, right)
        for keyspace in [left, right] where keyspace.answersRecords { dropRecords(of: keyspace) }
        statistics.pointee.changes.bump()
    }
}

extension Reference where Pointee == Worker {
    /// Drops the records that a swap has brought to the database that answers records. The caller
    /// holds all its shards.
    ///
    /// Why: changes of rows are looked up only there, and these entries were elsewhere. Their rows
    /// may have changed; and an entry does not tell a row from a value that a client wrote.
    private func dropRecords(of keyspace: KeyspaceReference) {
        guard let isRecord = registry.isReserved else { return }
        for index in 0..<keyspace.shardCount {
            let shard = keyspace.shard(at: index)
            var keys: [[UInt8]] = []
            shard.pointee.table.forEach { if isRecord($0.key) { keys.append($0.key.array) } }
            for key in keys {
                key.withBytes { key in
                    guard let slot = shard.pointee.table.find(Hash(key), key) else { return }
                    remove(slot, from: &shard.pointee.table, .record, in: shard)
                }
            }
        }
    }
}

extension Reference where Pointee == Keyspace {
    /// Empties all tables and returns their entries; the caller then owns them. A tenant that was
    /// named by keys before it was created may have databases with different numbers of shards.
    /// Those share no order, so entries move one by one.
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
