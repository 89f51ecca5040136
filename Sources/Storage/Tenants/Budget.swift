// SPDX-License-Identifier: Apache-2.0
import Base
import Synchronization

/// What is left of a tenant's rates: operations of this second, operations and bytes of this day
/// (UTC).
///
/// Why leases: a shard asks for a part of what is left and counts it down by itself, so that a
/// check is a subtraction on a line that it holds anyway. The overrun of a limit is at most one
/// lease for each shard.
struct Budget {
    /// Operations that may be given out now; refilled continuously, never more than one second's.
    var operations = 0
    var refilledAt: Milliseconds = 0
    /// Days since 1970 that the two counts below belong to.
    var day: Int64 = 0
    var operationsToday = 0
    var bytesToday = 0
}

/// What a shard is told when its lease has run out.
public enum BudgetAnswer: Equatable, Sendable {
    case granted
    /// Refuse: the day's operations are used up.
    case operationsPerDay(limit: Int, used: Int)
    case operationsPerSecond(limit: Int, retryAfter: Milliseconds)
    case bandwidthPerDay(limit: Int, used: Int)
}

extension UnsafeMutablePointer where Pointee == Shard {
    /// Called under the shard's lock when a lease is used up: returns what is unused, and takes the
    /// next leases from the tenant's budget.
    @inline(never)
    public func renewLeases(now: Milliseconds) -> BudgetAnswer {
        let tenant = self.tenant
        tenant.lockBudget()
        defer { tenant.unlockBudget() }
        let answer = tenant.pointee.budget.renew(
            tenant: tenant, shards: pointee.keyspace.shardCount, now: now,
            operations: &pointee.operationLease, bytes: &pointee.byteLease)
        return answer
    }
}

extension UnsafeMutablePointer where Pointee == Shard {
    /// Gives back what is left of the leases. Under the shard's lock.
    func returnLeases() {
        guard tenant.hasRates else { return }
        tenant.lockBudget()
        tenant.pointee.budget.takeBack(&pointee.operationLease, &pointee.byteLease)
        tenant.unlockBudget()
    }
}

extension UnsafeMutablePointer where Pointee == Worker {
    /// What a transaction used beyond the leases of its shards is owed by their tenants from now
    /// on, and not only when the same shard is asked again.
    public func returnOverdrafts() {
        for shard in heldShards where !shard.hasLease { shard.returnLeases() }
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

extension UnsafeMutablePointer where Pointee == Tenant {
    /// Whether there is a limit that leases are of.
    var hasRates: Bool {
        pointee.operationsPerSecond.value != .max || pointee.operationsPerDay.value != .max
            || pointee.bandwidthPerDay.value != .max
    }

    func lockBudget() { pointee.budgetLock.acquire() }

    func unlockBudget() { pointee.budgetLock.release() }

    /// Operations and bytes given out today, unused leases included.
    public var today: (operations: Int, bytes: Int) {
        lockBudget()
        defer { unlockBudget() }
        return (pointee.budget.operationsToday, pointee.budget.bytesToday)
    }
}

extension Budget {
    private static let unlimitedLease = 1 << 40
    private static let dayMilliseconds: Milliseconds = 86_400_000

    mutating func renew(
        tenant: TenantReference, shards: Int, now: Milliseconds, operations: inout Int,
        bytes: inout Int
    ) -> BudgetAnswer {
        let today = now / Budget.dayMilliseconds
        if today != day {
            day = today
            operationsToday = 0
            bytesToday = 0
        }
        let perDay = tenant.pointee.operationsPerDay.value
        let bandwidth = tenant.pointee.bandwidthPerDay.value
        let perSecond = tenant.pointee.operationsPerSecond.value
        if perDay == .max && bandwidth == .max && perSecond == .max {
            operations = Budget.unlimitedLease
            bytes = Budget.unlimitedLease
            return .granted
        }
        takeBack(&operations, &bytes)
        if bandwidth != .max && bytesToday >= bandwidth {
            return .bandwidthPerDay(limit: bandwidth, used: bytesToday)
        }
        if perDay != .max && operationsToday >= perDay {
            return .operationsPerDay(limit: perDay, used: operationsToday)
        }
        refill(perSecond: perSecond, now: now)
        if perSecond != .max && self.operations <= 0 {
            let wait = Milliseconds((1 - self.operations) * 1000 / max(1, perSecond)) + 1
            return .operationsPerSecond(limit: perSecond, retryAfter: wait)
        }
        let share = 2 * shards
        operations = min(
            perSecond == .max ? Budget.unlimitedLease : max(1, self.operations / share),
            perDay == .max ? Budget.unlimitedLease : max(1, (perDay - operationsToday) / share))
        bytes =
            bandwidth == .max
            ? Budget.unlimitedLease : max(1, (bandwidth - bytesToday) / share)
        if perSecond != .max { self.operations -= operations } else { self.operations = 0 }
        operationsToday += operations
        bytesToday += bytes
        return .granted
    }

    /// What a shard did not use of its last leases; an overdraft is paid.
    mutating func takeBack(_ operations: inout Int, _ bytes: inout Int) {
        operationsToday -= operations
        bytesToday -= bytes
        self.operations += operations
        operations = 0
        bytes = 0
    }

    private mutating func refill(perSecond: Int, now: Milliseconds) {
        guard perSecond != .max else { return }
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
