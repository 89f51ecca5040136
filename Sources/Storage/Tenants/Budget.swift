// SPDX-License-Identifier: Apache-2.0
import Base
import Synchronization

/// What is left of a tenant's rates: operations of this second, operations and bytes of this day
/// (UTC).
///
/// Why leases: a shard asks for a part of what is left and counts it down by itself, so that a
/// check is a subtraction on a line that it holds anyway. The overrun of a limit is at most one
/// lease for each shard.
///
/// Invariant: the counts of the day are what was used of it and the leases that are out, also those
/// that stand for no limit; so what a shard gives back, under whatever plan, leaves what was used.
struct Budget {
    /// Operations that may be given out now; refilled continuously, never more than one second's.
    var operations = 0
    var refilledAt: Milliseconds = 0
    /// Days since 1970 that the two counts below belong to.
    var day: Int64 = 0
    var operationsToday = 0
    var bytesToday = 0
}

extension Reference where Pointee == Shard {
    /// Called under the shard's lock when a lease is used up: returns what is unused, and takes the
    /// next leases from the tenant's budget. Returns why there are none.
    @inline(never)
    func renewLeases(now: Milliseconds) -> LimitRefusal? {
        let tenant = self.tenant
        tenant.pointee.budgetLock.lock()
        defer { tenant.pointee.budgetLock.unlock() }
        return tenant.pointee.budget.renew(self, now: now)
    }

    /// Gives back what is left of the leases. Under the shard's lock.
    func returnLeases() {
        let tenant = self.tenant
        tenant.pointee.budgetLock.lock()
        tenant.pointee.budget.takeBack(self)
        tenant.pointee.budgetLock.unlock()
    }
}

extension Reference where Pointee == Worker {
    /// What the tenant has used of its day, without leases that are not used yet.
    public func usedToday(of tenant: TenantReference) -> (operations: Int, bytes: Int) {
        tenant.pointee.budgetLock.lock()
        let budget = tenant.pointee.budget
        tenant.pointee.budgetLock.unlock()
        guard budget.day == Budget.day(of: pointee.now) else { return (0, 0) }
        var used = (operations: budget.operationsToday, bytes: budget.bytesToday)
        tenant.forEachKeyspace { keyspace in
            forEachShard(of: keyspace) { shard in
                guard budget.isOfToday(shard) else { return }
                used.operations -= shard.pointee.operationLease
                used.bytes -= shard.pointee.byteLease
            }
        }
        return (max(0, used.operations), max(0, used.bytes))
    }
}

/// What tenants that keys name had used when their last key went, so that nobody begins the day
/// anew by deleting it. At most so many, as clients invent names; of the last day that any is of.
struct DepartedBudgets: Sendable {
    static let countMax = 1 << 16
    private var budgets: [[UInt8]: Budget] = [:]
    private var day: Int64 = 0

    func find(_ id: Bytes) -> Budget? { budgets.isEmpty ? nil : budgets[id.array] }

    mutating func keep(_ budget: Budget, of id: Bytes) {
        if budget.day > day {
            budgets = [:]
            day = budget.day
        }
        let id = id.array
        guard budgets.count < DepartedBudgets.countMax || budgets[id] != nil else { return }
        budgets[id] = budget
    }
}

extension Reference where Pointee == Tenant {
    /// Whether there is a limit that leases are of.
    var hasRates: Bool {
        pointee.operationsPerSecond.value != .max || pointee.operationsPerDay.value != .max
            || pointee.bandwidthPerDay.value != .max
    }
}

extension Budget {
    private static let unlimitedLease = 1 << 40
    private static let dayMilliseconds: Milliseconds = 86_400_000

    static func day(of now: Milliseconds) -> Int64 { now / Budget.dayMilliseconds }

    /// Whether the counts of the day have the shard's leases among them.
    func isOfToday(_ shard: ShardReference) -> Bool {
        shard.pointee.leaseDay == UInt16(truncatingIfNeeded: day)
    }

    mutating func renew(_ shard: ShardReference, now: Milliseconds) -> LimitRefusal? {
        let tenant = shard.tenant
        let today = Budget.day(of: now)
        if today != day {
            day = today
            operationsToday = 0
            bytesToday = 0
        }
        takeBack(shard)
        let perDay = tenant.pointee.operationsPerDay.value
        let bandwidth = tenant.pointee.bandwidthPerDay.value
        let perSecond = tenant.pointee.operationsPerSecond.value
        if bandwidth != .max && bytesToday >= bandwidth {
            return .bandwidthPerDay(limit: bandwidth, used: bytesToday)
        }
        if perDay != .max && operationsToday >= perDay {
            return .operationsPerDay(limit: perDay, used: operationsToday)
        }
        refill(perSecond: perSecond, now: now)
        if perSecond != .max && operations <= 0 {
            let wait = Milliseconds((1 - operations) * 1000 / max(1, perSecond)) + 1
            return .operationsPerSecond(limit: perSecond, retryAfter: wait)
        }
        let share = 2 * shard.pointee.keyspace.shardCount
        func lease(of rest: Int, _ limit: Int) -> Int {
            limit == .max ? Budget.unlimitedLease : max(1, rest / share)
        }
        shard.pointee.operationLease = min(
            lease(of: operations, perSecond), lease(of: perDay - operationsToday, perDay))
        shard.pointee.byteLease = lease(of: bandwidth - bytesToday, bandwidth)
        shard.pointee.leaseDay = UInt16(truncatingIfNeeded: day)
        if perSecond != .max { operations -= shard.pointee.operationLease }
        operationsToday += shard.pointee.operationLease
        bytesToday += shard.pointee.byteLease
        return nil
    }

    /// What a shard did not use of its last leases; an overdraft is paid. What is left of another
    /// day's has been counted there, and is no credit for this one.
    mutating func takeBack(_ shard: ShardReference) {
        let operations = shard.pointee.operationLease
        let bytes = shard.pointee.byteLease
        let isOfToday = isOfToday(shard)
        if isOfToday || operations < 0 { operationsToday -= operations }
        if isOfToday || bytes < 0 { bytesToday -= bytes }
        self.operations += operations
        shard.pointee.operationLease = 0
        shard.pointee.byteLease = 0
    }

    private mutating func refill(perSecond: Int, now: Milliseconds) {
        guard perSecond != .max else {
            operations = 0
            return
        }
        // Why: leases that came back may be of a plan with a higher limit, or with none.
        operations = min(perSecond, operations)
        let elapsed = now - refilledAt
        // What is owed, as after a long transaction, takes more than one second to earn.
        if elapsed < 0 || elapsed >= 1000 && operations >= 0 {
            operations = perSecond
            refilledAt = now
            return
        }
        let (product, overflow) = Int(elapsed).multipliedReportingOverflow(by: perSecond)
        let earned = overflow ? perSecond - operations : product / 1000
        guard earned > 0 else { return }
        operations = min(perSecond, operations + earned)
        refilledAt = now
    }
}
