// SPDX-License-Identifier: Apache-2.0
import Base

/// What remains of a tenant's rates: a token bucket for operations per second, and the operations
/// and bytes of the current UTC day.
///
/// Why leases: a shard takes a part of what remains and counts it down alone, so a check is a
/// subtraction on a cache line that it holds anyway. A tenant exceeds a limit by at most one lease
/// per shard.
///
/// Invariant: the counts of the day are what was used of it plus the leases that are out, including
/// leases for no limit. So after a shard returns a lease, under whatever plan, what was used
/// remains.
struct Budget {
    /// The tokens: operations that may be leased now. They refill continuously, up to one second's
    /// worth.
    var operations = 0
    var refilledAt: Milliseconds = 0
    /// The day of the two counts below, in days since 1970.
    var day: Int64 = 0
    var operationsToday = 0
    var bytesToday = 0
}

extension Reference where Pointee == Shard {
    /// Returns the unused part of the shard's leases and takes new ones from the tenant's budget.
    /// Called under the shard's lock when a lease is used up.
    @inline(never)
    func renewLeases(now: Milliseconds) -> LimitRefusal? {
        let tenant = self.tenant
        tenant.pointee.budgetLock.lock()
        defer { tenant.pointee.budgetLock.unlock() }
        return tenant.pointee.budget.renew(self, now: now)
    }

    /// Returns the unused part of the leases. Called under the shard's lock.
    func returnLeases() {
        let tenant = self.tenant
        tenant.pointee.budgetLock.lock()
        tenant.pointee.budget.takeBack(self)
        tenant.pointee.budgetLock.unlock()
    }
}

extension Reference where Pointee == Worker {
    /// What the tenant has used today, without the unused part of leases.
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

/// The budgets of implicit tenants that are gone, so that a client cannot restart its day by
/// deleting its last key. At most `countMax` of them, because clients can invent names, and only of
/// the newest day.
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
    /// Whether the tenant has a limit that needs leases.
    var hasRates: Bool {
        pointee.operationsPerSecond.value != .max || pointee.operationsPerDay.value != .max
            || pointee.bandwidthPerDay.value != .max
    }
}

extension Budget {
    private static let unlimitedLease = 1 << 40
    private static let dayMilliseconds: Milliseconds = 86_400_000

    static func day(of now: Milliseconds) -> Int64 { now / Budget.dayMilliseconds }

    /// Whether the counts of the day include the shard's leases.
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

    /// Takes back what a shard did not use of its last leases; an overdraft is paid. The rest of
    /// another day's lease was counted on that day, and is no credit for this one.
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
        // Why: returned leases may come from a plan with a higher limit, or with none.
        operations = min(perSecond, operations)
        let elapsed = now - refilledAt
        // A debt, for example after a long transaction, takes more than one second to pay off.
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
