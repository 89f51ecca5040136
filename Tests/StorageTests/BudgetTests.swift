// SPDX-License-Identifier: Apache-2.0
import Base
import Tenancy
import Testing

@testable import Storage

/// Rates: what leases grant, what they leave, and when the budget refills.
@Suite struct BudgetTests {
    static let day: Milliseconds = 86_400_000
    static let start: Milliseconds = 20_000 * day

    /// A tenant with one plan, and the shards of its first database.
    struct Metered {
        let store: Store
        let keyspace: KeyspaceReference
        /// Both clocks go on together when it is set.
        var now = BudgetTests.start { didSet { monotonic += now - oldValue } }
        var monotonic: Milliseconds = 1_000_000
        var moment: Moment { Moment(wall: now, monotonic: monotonic) }

        /// Sets wall time without passage of time.
        mutating func step(_ milliseconds: Milliseconds) {
            now += milliseconds
            monotonic -= milliseconds
        }

        init(store: Store, keyspace: KeyspaceReference) {
            self.store = store
            self.keyspace = keyspace
        }

        init(_ change: (inout Limits) -> Void, shards: Int = 16) throws {
            var limits = Limits()
            change(&limits)
            store = try Store(
                plans: [Plan(name: "metered", limits: limits)], threads: shards > 1 ? 2 : 1)
            try store.registry.create(
                id: Array("acme".utf8), plan: "metered", secretDigest: nil)
            let tenant = try #require(store.tenant("acme"))
            keyspace = store.registry.keyspace(tenant, 0)
            #expect(keyspace.shardCount == shards)
        }

        /// Runs one operation on a shard. Returns nil if it ran.
        func run(_ shard: Int, bytes: Int = 0) -> LimitRefusal? {
            let shard = keyspace.shard(at: shard)
            shard.acquire()
            defer { shard.release() }
            if !shard.hasLease, let refusal = shard.renewLeases(now: moment) { return refusal }
            shard.charge(isRead: true, isWrite: false, bytesIn: bytes, bytesOut: 0)
            return nil
        }

        /// Runs operations on all shards until every shard has refused one; returns the number that
        /// ran.
        func exhaust(bytes: Int = 0) -> Int {
            var ran = 0
            var refused = Set<Int>()
            var shard = 0
            while refused.count < keyspace.shardCount && ran < 1_000_000 {
                if run(shard, bytes: bytes) == nil { ran += 1 } else { refused.insert(shard) }
                shard = (shard + 1) % keyspace.shardCount
            }
            return ran
        }
    }

    @Test func withoutLimitsOneQuestionIsEnough() throws {
        let metered = try Metered { _ in }
        for _ in 0..<1000 { #expect(metered.run(0) == nil) }
        #expect(metered.keyspace.shard(at: 0).pointee.operationLease > 1 << 39)
    }

    @Test func aSecondHasItsOperations() throws {
        var metered = try Metered { $0.operationsPerSecond = 1000 }
        for second in 0..<5 {
            metered.now = Self.start + Milliseconds(second) * 1000
            let ran = metered.exhaust()
            #expect(ran >= 900 && ran <= 1000 + metered.keyspace.shardCount, "ran \(ran)")
        }
    }

    @Test func aTenthOfASecondRefillsATenth() throws {
        var metered = try Metered { $0.operationsPerSecond = 1000 }
        _ = metered.exhaust()
        metered.now += 100
        let ran = metered.exhaust()
        #expect(ran >= 80 && ran <= 100 + metered.keyspace.shardCount, "ran \(ran)")
    }

    @Test func anIdleHourGivesOneSecond() throws {
        var metered = try Metered { $0.operationsPerSecond = 1000 }
        _ = metered.exhaust()
        metered.now += 3_600_000
        let ran = metered.exhaust()
        #expect(ran <= 1000 + metered.keyspace.shardCount, "ran \(ran)")
    }

    @Test func aRefusalSaysWhenToComeBack() throws {
        var metered = try Metered({ $0.operationsPerSecond = 10 }, shards: 1)
        _ = metered.exhaust()
        guard case .operationsPerSecond(let limit, let wait)? = metered.run(0) else {
            Issue.record("not refused")
            return
        }
        #expect(limit == 10 && wait > 0 && wait <= 102)
        metered.now += wait
        #expect(metered.run(0) == nil, "the wait was too short")
    }

    @Test func aDayHasItsOperations() throws {
        var metered = try Metered { $0.operationsPerDay = 5000 }
        let ran = metered.exhaust()
        // A lease is at most 1/32 of what remains when it is taken.
        #expect(ran >= 5000 - 16 * 157 && ran <= 5000 + 16, "ran \(ran)")
        guard case .operationsPerDay(let limit, let used)? = metered.run(0) else {
            Issue.record("not refused")
            return
        }
        #expect(limit == 5000 && used >= 5000)
        metered.now = Self.start + Self.day - 1
        #expect(metered.run(0) != nil, "the day is not over")
        metered.now = Self.start + Self.day
        #expect(metered.run(0) == nil, "the next day has begun")
        let next = metered.exhaust()
        #expect(next >= 5000 - 16 * 157 && next <= 5000 + 16, "ran \(next)")
    }

    @Test func aDayHasItsBytes() throws {
        var metered = try Metered { $0.bandwidthPerDay = 1_000_000 }
        let ran = metered.exhaust(bytes: 100)
        // A shard may exceed its lease by the operation that used it up.
        #expect(ran * 100 <= 1_000_000 + 16 * 100, "moved \(ran * 100)")
        #expect(ran * 100 >= 1_000_000 - 16 * 31_250, "moved \(ran * 100)")
        guard case .bandwidthPerDay(let limit, _)? = metered.run(0, bytes: 1) else {
            Issue.record("not refused")
            return
        }
        #expect(limit == 1_000_000)
        metered.now += Self.day
        #expect(metered.run(0, bytes: 1) == nil)
    }

    @Test func oneHugeReplyIsPaidBack() throws {
        let metered = try Metered({ $0.bandwidthPerDay = 1000 }, shards: 1)
        #expect(metered.run(0, bytes: 5000) == nil)
        guard case .bandwidthPerDay(_, let used)? = metered.run(0, bytes: 1) else {
            Issue.record("not refused")
            return
        }
        #expect(used == 5000)
    }

    @Test func anotherPlanKnowsWhatWasUsed() throws {
        let store = try Store(
            plans: [
                Self.plan("operations") { $0.operationsPerDay = 1000 },
                Self.plan("bytes") { $0.bandwidthPerDay = 1_000_000 },
                Self.plan("second") { $0.operationsPerSecond = 1000 },
            ], threads: 2)
        for plan in ["operations", "bytes", "second", nil] {
            let id = Array("of-\(plan ?? "none")".utf8)
            try store.registry.create(id: id, plan: plan, secretDigest: nil)
            let tenant = try #require(id.withBytes { store.registry.find($0) })
            let metered = Metered(store: store, keyspace: store.registry.keyspace(tenant, 0))
            var ran = 0
            for next in ["bytes", "operations", "operations", "second", "bytes", "operations"] {
                for shard in 0..<16 where metered.run(shard, bytes: 10) == nil { ran += 1 }
                try store.registry.setPlan(id: id, plan: next)
                let used = store.usedToday(of: tenant, now: metered.moment)
                #expect(used.operations == ran && used.bytes == 10 * ran, "after \(next)")
            }
            #expect(ran == 6 * 16, "a plan after \(plan ?? "none") refused")
        }
    }

    @Test func anotherPlanHasItsOwnSecond() throws {
        let metered = try Metered({ $0.operationsPerSecond = 100 }, shards: 1)
        #expect(metered.run(0) == nil)
        let id = Array("acme".utf8)
        try metered.store.registry.setPlan(id: id, plan: "default")
        #expect(metered.run(0) == nil)
        try metered.store.registry.setPlan(id: id, plan: "metered")
        let ran = metered.exhaust()
        #expect(ran <= 100, "ran \(ran) within the same moment")
    }

    @Test func yesterdaysLeaseIsNoCredit() throws {
        var metered = try Metered({ $0.operationsPerDay = 1000 }, shards: 1)
        let tenant = metered.keyspace.pointee.tenant
        #expect(metered.run(0) == nil)
        metered.now += Self.day
        #expect(metered.store.usedToday(of: tenant, now: metered.moment).operations == 0)
        let lease = metered.keyspace.shard(at: 0).pointee.operationLease
        let ran = metered.exhaust()
        #expect(ran <= 1000 + lease, "ran \(ran)")
        #expect(metered.store.usedToday(of: tenant, now: metered.moment).operations == 1000)
    }

    // MARK: - Clocks that are set

    /// The operations of a day, used up, less what leases may leave.
    private func useUp(_ metered: Metered) {
        let ran = metered.exhaust()
        #expect(ran >= 900 && ran <= 1001, "ran \(ran)")
    }

    @Test func aStepOverMidnightGivesNoSecondQuota() throws {
        var metered = try Metered({ $0.operationsPerDay = 1000 }, shards: 1)
        let tenant = metered.keyspace.pointee.tenant
        metered.now = Self.start + Self.day - 60_000
        useUp(metered)
        metered.step(120_000)
        useUp(metered)
        for step in [-120_000, 120_000, -120_000] as [Milliseconds] {
            metered.step(step)
            #expect(metered.exhaust() == 0, "a step of \(step) ms gave a quota")
            let used = metered.store.usedToday(of: tenant, now: metered.moment).operations
            #expect(used >= 1000, "\(used)")
        }
        metered.now += 120_000
        #expect(metered.exhaust() == 0, "midnight came a second time")
        metered.now += Self.day
        useUp(metered)
    }

    @Test func aClockThatWasYearsAheadStopsNothingForYears() throws {
        var metered = try Metered({ $0.operationsPerDay = 1000 }, shards: 1)
        let tenant = metered.keyspace.pointee.tenant
        metered.now += 3_600_000
        useUp(metered)
        metered.step(3650 * Self.day)
        useUp(metered)
        metered.step(-3650 * Self.day)
        #expect(metered.exhaust() == 0)
        metered.now += Self.day - 1
        #expect(metered.exhaust() == 0, "less than a day has passed")
        metered.now += 1
        #expect(metered.store.usedToday(of: tenant, now: metered.moment).operations == 0)
        useUp(metered)
        metered.now = Self.start + 2 * Self.day - 1
        #expect(metered.exhaust() == 0)
        metered.now += 1
        useUp(metered)
    }

    @Test func aStepRefillsNoTokens() throws {
        var metered = try Metered({ $0.operationsPerSecond = 1000 }, shards: 1)
        _ = metered.exhaust()
        for step in [3_600_000, -7_200_000] as [Milliseconds] {
            metered.step(step)
            #expect(metered.exhaust() == 0, "a step of \(step) ms")
        }
        metered.now += 100
        let ran = metered.exhaust()
        #expect(ran >= 99 && ran <= 101, "ran \(ran)")
    }

    @Test func departedBudgetsAreThoseOfOneDay() {
        func budget(_ day: Int64, _ beganAt: Milliseconds) -> Budget {
            var budget = Budget()
            budget.today.number = day
            budget.today.beganAt = beganAt
            budget.operationsToday = 7
            return budget
        }
        var departed = DepartedBudgets()
        func isKept(_ id: StaticString) -> Bool { departed.find(Bytes(id))?.operationsToday == 7 }
        departed.keep(budget(9000, 0), of: Bytes("ahead" as StaticString))
        departed.keep(budget(5000, Self.day - 1), of: Bytes("back" as StaticString))
        #expect(isKept("ahead") && isKept("back"))
        departed.keep(budget(5001, Self.day), of: Bytes("next" as StaticString))
        #expect(!isKept("ahead") && !isKept("back") && isKept("next"))
        departed.keep(budget(5002, Self.day + 1), of: Bytes("later" as StaticString))
        #expect(!isKept("next") && isKept("later"))
    }

    private static func plan(_ name: String, _ change: (inout Limits) -> Void) -> Plan {
        var limits = Limits()
        change(&limits)
        return Plan(name: name, limits: limits)
    }
}
