// SPDX-License-Identifier: Apache-2.0
import Base

/// The position of a thread's sweep for expired entries. It goes round all tenants, databases and
/// shards.
struct SweepPosition {
    /// 0 is the server's own tenant; n + 1 are the tenants of group n (`TenantIndex.group`).
    var group: UInt64 = 0
    var database = 0
    var shard = 0
    /// The earliest expiry in what this round has passed.
    var nextDue: Milliseconds = .max
    /// Entries that this call removed.
    var removedCount = 0
    /// Shards passed since the clock was last read. Most have nothing to do and take less time than
    /// reading it.
    var passedSinceClock = 0
}

// Removing expired entries that no command asks for.
//
// Why: each shard and each segment stores a moment before which none of its entries expires. So a
// sweep reads one word of a shard with nothing due, and visits only the segments that have
// something due. It visits only tenants with keys that expire, which the registry lists. It also
// knows when the next sweep is due, so an idle server sleeps.
extension Reference where Pointee == Worker {
    /// Whether CLIENT PAUSE forbids all changes, including the removal of expired entries.
    var isExpiryPaused: Bool {
        Milliseconds(pointee.settings.expiryPausedUntil) > pointee.now
    }

    /// Continues this thread's round for `budgetMicroseconds` at most. Each lock is held for one
    /// segment that has something to remove: up to 352 entries.
    ///
    /// Returns when to call again: in 1 ms if the budget was used up, in 4 ms if it was used up
    /// without removing anything, and else at the earliest expiry that the round met. Nil if
    /// nothing expires, or the sweep is switched off. A command may add an entry that expires
    /// sooner, so a thread that has run commands calls again soon in any case.
    public func sweepExpired(budgetMicroseconds: Int) -> Milliseconds? {
        guard pointee.settings.activeExpiryEnabled != 0 else { return nil }
        if isExpiryPaused {
            return Milliseconds(pointee.settings.expiryPausedUntil)
        }
        let deadline = Clock.monotonicNanoseconds + Int64(budgetMicroseconds) * 1000
        pointee.sweep.removedCount = 0
        while true {  // Bound: the budget, and the number of groups.
            var tenants = [registry.server]
            if pointee.sweep.group > 0 {
                guard let group = registry.expiring.group(from: pointee.sweep.group - 1) else {
                    break
                }
                if group.number + 1 > pointee.sweep.group {
                    pointee.sweep.group = group.number + 1
                    pointee.sweep.database = 0
                    pointee.sweep.shard = 0
                }
                tenants = group.tenants
            }
            for tenant in tenants {
                guard sweep(tenant, deadline) else {
                    pointee.statistics.pointee.sweepsCutShort.bump()
                    // Why a pause: other work gets the core between two slices, clients' requests
                    // among it.
                    return pointee.now + (pointee.sweep.removedCount > 0 ? 1 : 4)
                }
                pointee.sweep.database = 0
                pointee.sweep.shard = 0
            }
            pointee.sweep.group += 1
        }
        let due = pointee.sweep.nextDue
        pointee.sweep = SweepPosition()
        return due == .max ? nil : max(due, pointee.now + 1)
    }

    /// Sweeps the shards of one tenant. False if the budget ended first.
    private func sweep(_ tenant: TenantReference, _ deadline: Int64) -> Bool {
        while pointee.sweep.database < Tenant.databaseCount {
            if let keyspace = tenant.keyspace(pointee.sweep.database) {
                while pointee.sweep.shard < keyspace.shardCount {
                    let shard = keyspace.shard(at: pointee.sweep.shard)
                    guard sweep(shard, deadline) else { return false }
                    pointee.sweep.shard += 1
                }
            }
            pointee.sweep.shard = 0
            pointee.sweep.database += 1
        }
        if tenant != registry.server, !tenant.hasKeys(expiring: true) { unlist(tenant) }
        return true
    }

    /// Enters a shard's tenant in the list of those that a sweep visits. Under the shard's lock.
    @inline(never)
    func listToExpire(_ shard: ShardReference) {
        shard.pointee.isListedToExpire = true
        let tenant = shard.tenant
        guard tenant != registry.server else { return }
        _ = registry.expiring.findOrInsert(tenant.id) { tenant }
    }

    /// Takes a tenant out of the list, unless it has keys that expire after all.
    ///
    /// Order: out first, then each shard is asked under its lock. If a key came meanwhile, either
    /// its shard still said that it is listed, and is found here, or it listed the tenant itself.
    /// Why entered again under that lock: a tenant with a live shard is not retired.
    private func unlist(_ tenant: TenantReference) {
        _ = registry.expiring.remove(tenant.id, tenant: tenant)
        tenant.forEachKeyspace { keyspace in
            keyspace.forEachShard(isLocked: false) { shard in
                if shard.hasKeys(expiring: true), !shard.pointee.isDead {
                    listToExpire(shard)
                } else {
                    shard.pointee.isListedToExpire = false
                }
            }
        }
    }

    /// Sweeps one shard, a segment at a time. False if the budget ended first.
    private func sweep(_ shard: ShardReference, _ deadline: Int64) -> Bool {
        // Bound: each turn sweeps a segment, or ends. Why the count without the lock: most shards
        // have nothing that expires, and an entry that comes meanwhile brings about another sweep.
        while shard.hasKeys(expiring: true) {
            shard.acquire()
            guard !shard.pointee.isDead, shard.pointee.table.isSweepDue(pointee.now) else {
                if !shard.pointee.isDead {
                    pointee.sweep.nextDue = min(
                        pointee.sweep.nextDue, shard.pointee.table.expiryBound)
                }
                shard.release()
                break
            }
            shard.pointee.table.sweepExpired(
                &shard.pointee.sweep, now: pointee.now, segmentLimit: 1
            ) { table, slot in expire(shard, &table, slot) }
            settleAndUnlock(shard)
            if Clock.monotonicNanoseconds >= deadline { return false }
        }
        pointee.sweep.passedSinceClock += 1
        guard pointee.sweep.passedSinceClock >= 32 else { return true }
        pointee.sweep.passedSinceClock = 0
        return Clock.monotonicNanoseconds < deadline
    }

    /// Removes expired entries of a tenant before a limit refuses a write that fits without them.
    /// Visits shards that are held or free, from a random one on, for as long as a command may; the
    /// next call does more. Returns whether any entry was removed.
    public func removeExpired(of tenant: TenantReference) -> Bool {
        guard !isExpiryPaused else { return false }
        let before = pointee.sweep.removedCount
        let deadline = pointee.victims.slice.end(pointee.monotonicNow)
        for number in 0..<Tenant.databaseCount {
            guard let keyspace = tenant.keyspace(number) else { continue }
            let start = Int(pointee.random.next(below: UInt64(keyspace.shardCount)))
            for step in 0..<keyspace.shardCount {
                let shard = keyspace.shard(at: (start + step) % keyspace.shardCount)
                guard removeExpired(of: shard, until: deadline) else {
                    return pointee.sweep.removedCount != before
                }
            }
        }
        return pointee.sweep.removedCount != before
    }

    /// The same for one shard. False if the deadline has passed.
    private func removeExpired(of shard: ShardReference, until deadline: Int64) -> Bool {
        guard shard.hasKeys(expiring: true) else { return true }
        let isHeld = holds(shard)
        // Why no waiting: held shards were locked in order, and waiting here would break it.
        guard isHeld || shard.pointee.lock.tryLock() else { return true }
        defer { if isHeld { settle(shard) } else { settleAndUnlock(shard) } }
        // Bound: the deadline, and the table's segments.
        while !shard.pointee.isDead, shard.pointee.table.isSweepDue(pointee.now) {
            shard.pointee.table.sweepExpired(
                &shard.pointee.sweep, now: pointee.now, segmentLimit: 1
            ) { table, slot in expire(shard, &table, slot) }
            if Clock.monotonicNanoseconds >= deadline { return false }
        }
        return true
    }

    /// Removes an expired entry from `table`, the shard's table during a walk over it.
    private func expire(_ shard: ShardReference, _ table: inout Table, _ slot: Table.Slot) {
        pointee.sweep.removedCount += 1
        expire(slot, from: &table, shrinking: false, in: shard)
    }

    /// Removes an expired entry under its shard's lock.
    func expire(_ shard: ShardReference, _ slot: Table.Slot) {
        expire(slot, from: &shard.pointee.table, shrinking: true, in: shard)
    }

    /// Counts an entry that has expired, and removes it. A negative entry is not a key to clients,
    /// so it counts for nothing.
    private func expire(
        _ slot: Table.Slot, from table: inout Table, shrinking: Bool, in shard: ShardReference
    ) {
        if !slot.entry.isAbsent {
            statistics.pointee.expiredKeys.bump()
            shard.pointee.usage.expired += 1
        }
        remove(slot, from: &table, .expired, shrinking: shrinking, in: shard)
    }
}
