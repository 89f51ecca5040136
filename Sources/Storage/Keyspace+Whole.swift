// SPDX-License-Identifier: Apache-2.0
import Base
import Glibc
import Synchronization
import Tenancy

// What commands do to a whole database: flush, swap, scan, pick a key. Shards are locked one at a time, unless
// the caller holds them all (inside EXEC).
extension UnsafeMutablePointer where Pointee == Worker {
    /// Calls `body` with every shard of `keyspace` under its lock; settles memory after each.
    public func forEachShard(of keyspace: KeyspaceReference, _ body: (ShardReference) -> Void) {
        let registry = pointee.registry._withUnsafeGuaranteedRef { $0 }
        for index in 0..<keyspace.shardCount {
            let shard = keyspace.shard(at: index)
            let isHeld = pointee.lockedCount > 0 && holds(shard)
            if !isHeld { shard.acquire() }
            if !shard.pointee.isDead {
                body(shard)
                registry.settle(shard)
                if !isHeld && shard.pointee.table.count == 0 { registry.dropIfEmpty(shard) }
            }
            if !isHeld { shard.release() }
        }
    }

    /// Removes every key of `keyspace` and returns how many there were. The entries themselves are freed by
    /// `reclaimer`, outside the locks, so that nobody waits while millions are freed.
    public func flush(_ keyspace: KeyspaceReference, _ reclaimer: Reclaimer) -> Int {
        var removed = 0
        forEachShard(of: keyspace) { shard in
            let count = shard.pointee.table.count
            guard count > 0 else { return }
            removed += count
            shard.notifyAllWatchers { hash in shard.pointee.table.contains(hash) }
            reclaimer.free(shard.pointee.table)
            shard.pointee.table = Table(prefixBits: keyspace.pointee.shardBits)
            shard.pointee.sweepCursor = 0
        }
        pointee.statistics.pointee.changes.bump(removed)
        return removed
    }

    /// A random live key of `keyspace`, copied; nil where there is none. Shards are chosen evenly, which is by
    /// their number of keys as hashes are even.
    public func randomKey(_ keyspace: KeyspaceReference) -> [UInt8]? {
        guard keyspace.keyCount > 0 else { return nil }
        let start = Int(pointee.random.next(below: UInt64(keyspace.shardCount)))
        for step in 0..<keyspace.shardCount {
            let shard = keyspace.shard(at: (start + step) % keyspace.shardCount)
            let isHeld = pointee.lockedCount > 0 && holds(shard)
            if !isHeld { shard.acquire() }
            defer { if !isHeld { shard.release() } }
            // Why a hundred tries: as Redis; a table in which nearly everything has expired is not searched for ever.
            for _ in 0..<100 {
                guard let slot = shard.pointee.table.randomSlot(&pointee.random) else { break }
                if slot.entry.type != .absent && !slot.entry.isExpired(at: pointee.now) {
                    return slot.entry.key.array
                }
            }
        }
        return nil
    }
}

extension Table {
    /// Whether some key of the table has this hash.
    func contains(_ hash: Hash) -> Bool {
        guard root != 0 else { return false }
        let position = self.position(hash)
        let segment = self.segment(at: Table.directoryIndex(position, depth: depth))
        var found = false
        segment.forEach { if Hash($0.key) == hash { found = true } }
        return found
    }
}

/// Frees what takes long to free, on a thread of its own: the tables of a flush, a collection of a million members.
public final class Reclaimer: Sendable {
    private let queue = Mutex<[Table]>([])
    private let isRunning = Atomic<Bool>(false)
    /// Entries that wait to be freed.
    public let pendingCount = Atomic<Int>(0)

    public init() {}

    /// Takes over a table and frees it soon. The caller has uncharged it and replaced it.
    public func free(_ table: Table) {
        guard table.count > 64 else {
            var table = table
            table.freeAll()
            return
        }
        pendingCount.wrappingAdd(table.count, ordering: .relaxed)
        queue.withLock { $0.append(table) }
        if !isRunning.exchange(true, ordering: .acquiringAndReleasing) { start() }
    }

    /// A thread for what is queued now; it ends when the queue is empty, so that an idle server has none.
    private func start() {
        var thread = pthread_t()
        let context = Unmanaged.passRetained(self).toOpaque()
        let status = pthread_create(&thread, nil, { context in
            guard let context else { return nil }
            Unmanaged<Reclaimer>.fromOpaque(context).takeRetainedValue().drain()
            return nil
        }, context)
        if status == 0 {
            pthread_detach(thread)
        } else {
            Unmanaged<Reclaimer>.fromOpaque(context).release()
            drain()
        }
    }

    private func drain() {
        while true {  // Bound: one turn for each queued table.
            guard var table = queue.withLock({ $0.popLast() }) else { break }
            let count = table.count
            table.freeAll()
            pendingCount.wrappingSubtract(count, ordering: .relaxed)
        }
        isRunning.store(false, ordering: .releasing)
        // Order: a table queued between the last look and the store is not left behind.
        let more = queue.withLock { !$0.isEmpty }
        if more && !isRunning.exchange(true, ordering: .acquiringAndReleasing) { start() }
    }
}
