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
///
/// Clocks: the tokens refill by monotonic time. The day is that of wall time, and days only go
/// forward: after the clock is set back over midnight the later day's counts stay in force, else
/// its quota could be used twice. But a clock that was years ahead and is set right must not stop
/// the quota for years. So a day that lies ahead of the clock ends, like any other, after 24 hours
/// of monotonic time at the latest, and the clock's day begins.
struct Budget {
    /// The tokens: operations that may be leased now. They refill continuously, up to one second's
    /// worth.
    var operations = 0
    /// Monotonic; nil before the first time.
    var refilledAt: Milliseconds?
    var today = Day()
    /// How many days there have been, modulo 2^16: shards note which of them a lease is of.
    var dayCount: UInt16 = 0
    var operationsToday = 0
    var bytesToday = 0

    /// A day of quotas.
    struct Day: Sendable {
        static let milliseconds: Milliseconds = 86_400_000

        /// In days since 1970.
        var number: Int64 = 0
        /// When it was first seen, in monotonic time.
        var beganAt: Milliseconds = 0

        init() {}

        init(of moment: Moment) {
            number = moment.wall / Day.milliseconds
            beganAt = moment.monotonic
        }

        /// Whether `other`, which was seen later, is another day of quotas.
        func isOver(on other: Day) -> Bool {
            if other.number >= number { return other.number > number }
            return other.beganAt - beganAt >= Day.milliseconds
        }
    }
}

extension Reference where Pointee == Shard {
    /// Returns the unused part of the shard's leases and takes new ones from the tenant's budget.
    /// Called under the shard's lock when a lease is used up.
    @inline(never)
    func renewLeases(now: Moment) -> LimitRefusal? {
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
        let moment = Moment(wall: pointee.now, monotonic: pointee.monotonicNow)
        guard !budget.today.isOver(on: Budget.Day(of: moment)) else { return (0, 0) }
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
    private var day = Budget.Day()

    func find(_ id: Bytes) -> Budget? { budgets.isEmpty ? nil : budgets[id.array] }

    mutating func keep(_ budget: Budget, of id: Bytes) {
        if day.isOver(on: budget.today) {
            budgets = [:]
            day = budget.today
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

    /// Whether the counts of the day include the shard's leases.
    func isOfToday(_ shard: ShardReference) -> Bool {
        shard.pointee.leaseDay == dayCount
    }

    mutating func renew(_ shard: ShardReference, now: Moment) -> LimitRefusal? {
        let tenant = shard.tenant
        let found = Day(of: now)
        if today.isOver(on: found) {
            today = found
            dayCount &+= 1
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
        refill(perSecond: perSecond, now: now.monotonic)
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
        shard.pointee.leaseDay = dayCount
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
        // Order: another thread's moment may be a few milliseconds later than this one's.
        let elapsed = refilledAt.map { max(0, now - $0) } ?? 1000
        // A debt, for example after a long transaction, takes more than one second to pay off.
        if elapsed >= 1000 && operations >= 0 {
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
