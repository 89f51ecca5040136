// SPDX-License-Identifier: Apache-2.0
import Base
import Glibc
import Storage
import Tenancy
import Testing

/// Tenants that come and go, their plans and secrets, and whose keys are evicted when memory is
/// full.
@Suite struct TenantTests {
    private static let smallPlan: Plan = {
        var limits = Limits()
        limits.keys = 1
        return Plan(name: "small", limits: limits)
    }()

    private static func database(plans: [Plan] = []) throws -> Database {
        Database(plans: plans, patterns: [try KeyPattern("t:{tenant}:*")])
    }

    /// A database whose tenants have these limits.
    private static func database(_ limit: (inout Limits) -> Void) throws -> Database {
        var limits = Limits()
        limit(&limits)
        return try database(plans: [Plan(name: "default", limits: limits)])
    }

    private static func plan(_ database: Database, _ id: String) -> String? {
        let registry = database.registry
        return Array(id.utf8).withBytes { registry.find($0) }.map { registry.describe($0).plan }
    }

    @Test func aPlanThatARecordNamedOutlivesTheTenantsKeys() throws {
        let database = try Self.database(plans: [Self.smallPlan])
        database.registry.assignPlan(id: Array("7".utf8), plan: "small")
        for _ in 0..<3 {
            #expect(Self.plan(database, "7") == nil)
            #expect(database.run("SET", "t:7:a", "1") == "+OK\r\n")
            #expect(Self.plan(database, "7") == "small")
            #expect(database.run("SET", "t:7:b", "1").hasPrefix("-ERR max keys limit exceeded."))
            #expect(database.run("DEL", "t:7:a") == ":1\r\n")
        }
        database.registry.assignPlan(id: Array("7".utf8), plan: "default")
        #expect(database.run("SET", "t:7:a", "1") == "+OK\r\n")
        #expect(Self.plan(database, "7") == "default")
    }

    @Test func theDefaultPlanHoldsForTenantsThatKeysName() throws {
        var plan = Self.smallPlan
        plan.name = "default"
        let database = try Self.database(plans: [plan])
        #expect(database.run("SET", "t:7:a", "1") == "+OK\r\n")
        #expect(database.run("SET", "t:7:b", "1").hasPrefix("-ERR max keys limit exceeded."))
        #expect(database.run("SET", "own", "1") == "+OK\r\n")
        #expect(database.run("SET", "own2", "1") == "+OK\r\n")
    }

    @Test func whatHasExpiredIsNotHeldAgainstAWrite() throws {
        let database = try Self.database { $0.keys = 3 }
        for name in ["a", "b", "c"] { database.run("SET", "t:7:\(name)", "1", "PX", "30") }
        func write() -> String { database.run("MSET", "t:7:a", "2", "t:7:e", "2", "t:7:f", "2") }
        #expect(write().hasPrefix("-ERR max keys limit exceeded. Limit: 3, Usage: 3"))
        database.advance(milliseconds: 50)
        #expect(write() == "+OK\r\n")
        #expect(database.run("SET", "t:7:g", "1").hasPrefix("-ERR max keys limit exceeded."))
        #expect(database.run("MGET", "t:7:a", "t:7:b") == "*2\r\n$1\r\n2\r\n$-1\r\n")

        let other = try Self.database { $0.memory = 20_000 }
        let value = String(repeating: "x", count: 15_000)
        #expect(other.run("SET", "t:7:a", value, "PX", "30") == "+OK\r\n")
        #expect(other.run("SET", "t:7:b", value, "PX", "30") == "+OK\r\n")
        #expect(other.run("SET", "t:7:c", "1") == "-ERR DB capacity quota exceeded\r\n")
        other.advance(milliseconds: 50)
        #expect(other.run("SET", "t:7:c", "1") == "+OK\r\n")
    }

    @Test(arguments: [Limits.AtLimit.reject, .evict])
    func whatIsLargerThanTheLimitIsRefused(atLimit: Limits.AtLimit) throws {
        let database = try Self.database {
            $0.memory = 50_000
            $0.atLimit = atLimit
        }
        let large = String(repeating: "x", count: 60_000)
        let quota = "-ERR DB capacity quota exceeded\r\n"
        #expect(database.run("SET", "t:7:a", "1") == "+OK\r\n")
        #expect(database.run("SET", "t:7:b", large) == quota)
        #expect(database.run("SETRANGE", "t:7:a", "500000", "x") == quota)
        #expect(database.run("SETRANGE", "t:7:a", "40000", "x") == ":40001\r\n")
        #expect(database.run("SET", "t:7:a", String(large.prefix(40_000))) == "+OK\r\n")
        #expect(database.run("EXISTS", "t:7:a", "t:7:b") == ":1\r\n")
        // Half of it for each of two tenants is within both limits.
        let half = String(large.prefix(30_000))
        #expect(database.run("MSET", "t:8:a", half, "t:9:a", half) == "+OK\r\n")
    }

    /// A tenant is forgotten with its last key, but its use of the day is not.
    @Test func deletingTheLastKeyDoesNotRestartTheDay() throws {
        let database = try Self.database { $0.operationsPerDay = 20 }
        func turns() -> Int {
            for turn in 0..<1000 {
                if database.run("SET", "t:7:a", "1") != "+OK\r\n" { return turn }
                if database.run("DEL", "t:7:a") != ":1\r\n" { return turn }
            }
            return 1000
        }
        #expect(turns() == 10)
        #expect(database.run("SET", "t:8:a", "1") == "+OK\r\n")
        database.worker.pointee.now += 86_400_000
        #expect(turns() == 10)
    }

    /// An administrator can lift the quota of such a tenant although no key names it.
    @Test func aTenantThatHasGoneCanHaveAnotherPlan() throws {
        var limits = Limits()
        limits.operationsPerDay = 20
        let database = try Self.database(plans: [
            Plan(name: "default", limits: limits), Plan(name: "pro", limits: Limits()),
        ])
        let registry = database.registry
        let id = Array("7".utf8)
        #expect(registry.planName(of: id) == nil)
        while database.run("SET", "t:7:a", "1") == "+OK\r\n" { database.run("DEL", "t:7:a") }
        #expect(id.withBytes { registry.find($0) } == nil)
        #expect(registry.planName(of: id) == "default")
        #expect(throws: TenantRegistry.Refusal.unknownPlan) {
            try registry.setPlan(id: id, plan: "nosuch")
        }
        try registry.setPlan(id: id, plan: "pro")
        #expect(registry.planName(of: id) == "pro")
        #expect(database.run("SET", "t:7:a", "1") == "+OK\r\n")
        #expect(Self.plan(database, "7") == "pro")
        #expect(throws: TenantRegistry.Refusal.missing) {
            try registry.setPlan(id: Array("8".utf8), plan: "pro")
        }
    }

    /// Only the new keys of a command count, and each counts once.
    @Test(arguments: [Limits.AtLimit.reject, .evict])
    func keysThatAreOnlyReadTakeNoRoom(atLimit: Limits.AtLimit) throws {
        let database = try Self.database {
            $0.keys = 3
            $0.atLimit = atLimit
        }
        #expect(database.run("SADD", "t:7:a", "1") == ":1\r\n")
        #expect(database.run("MSET", "t:7:b", "1", "t:7:b", "2", "t:7:b", "3") == "+OK\r\n")
        #expect(database.run("SUNIONSTORE", "t:7:c", "t:7:x", "t:7:y", "t:7:a") == ":1\r\n")
        #expect(database.run("SUNIONSTORE", "t:7:c", "t:7:x", "t:7:y", "t:7:a") == ":1\r\n")
        #expect(database.run("COPY", "t:7:x", "t:7:c") == ":0\r\n")
        #expect(database.run("EXISTS", "t:7:a", "t:7:b", "t:7:c") == ":3\r\n")
        let refused = database.run("MSET", "t:7:d", "1", "t:7:d", "2").hasPrefix("-ERR max keys")
        #expect(refused == (atLimit == .reject))
    }

    @Test func aSecretThatIsTakenCostsNobodyTheirs() throws {
        let registry = try Self.database().registry
        let (first, second) = (Array("first".utf8), Array("second".utf8))
        try registry.create(id: first, plan: nil, secretDigest: [1])
        try registry.create(id: second, plan: nil, secretDigest: [2])
        #expect(throws: TenantRegistry.Refusal.secretInUse) {
            try registry.setSecret(id: second, digest: [1])
        }
        #expect(registry.secretDigest(of: second) == [2])
        try registry.setSecret(id: second, digest: [3])
        #expect(registry.tenant(secretDigest: [2]) == nil)
        #expect(registry.tenant(secretDigest: [3])?.id.array == second)
        try registry.delete(try #require(first.withBytes { registry.find($0) }))
        #expect(registry.tenant(secretDigest: [1]) == nil)
        try registry.setSecret(id: second, digest: [1])
        try registry.setSecret(id: second, digest: nil)
        #expect(!registry.hasSecrets)
    }

    @Test func nothingIsLeftOfInventedTenants() throws {
        let database = try Self.database()
        // The first command makes the server's own keyspace.
        database.run("GET", "nothing")
        let before = database.registry.settledMemory.load(ordering: .relaxed)
        for number in 0..<1000 { #expect(database.run("GET", "t:\(number):k") == "$-1\r\n") }
        #expect(database.registry.tenantCount == 1)
        #expect(database.registry.settledMemory.load(ordering: .relaxed) == before)
        for number in 0..<1000 { database.run("SET", "t:\(number):k", "v") }
        let each = (database.registry.settledMemory.load(ordering: .relaxed) - before) / 1000
        #expect(database.registry.tenantCount == 1001)
        #expect(each > 500 && each < 1024, "\(each) bytes a tenant")
        for number in 0..<1000 { database.run("DEL", "t:\(number):k") }
        #expect(database.registry.tenantCount == 1)
        #expect(database.registry.settledMemory.load(ordering: .relaxed) == before)
    }

    @Test func aDeletedTenantTakesItsKeysAlong() throws {
        let database = try Self.database()
        database.run("GET", "nothing")
        let before = database.registry.settledMemory.load(ordering: .relaxed)
        for number in 0..<5000 { database.run("SET", "t:7:\(number)", "v") }
        let charged = database.registry.settledMemory.load(ordering: .relaxed) - before
        #expect(charged > 5000 * 24)
        let tenant = try #require(
            Bytes("7" as StaticString).array.withBytes {
                database.registry.find($0)
            })
        try database.registry.delete(tenant)
        #expect(database.registry.settledMemory.load(ordering: .relaxed) == before)
        #expect(database.run("GET", "t:7:1") == "$-1\r\n")
        #expect(database.registry.departed.usage.writes == 5000)
        var turns = 0
        while Reclaimer.shared.pendingCount.load(ordering: .relaxed) > 0 && turns < 5000 {
            usleep(1000)
            turns += 1
        }
        #expect(Reclaimer.shared.pendingCount.load(ordering: .relaxed) == 0)
    }

    // MARK: - Memory

    @Test func aLimitBelowTheProcessItselfRefusesEveryWrite() throws {
        let database = try Self.database()
        database.settings.values.pointee.memoryMax.set(1)
        #expect(database.run("SET", "k", "v").hasPrefix("-OOM command not allowed"))
        database.settings.values.pointee.evictionPolicy.set(EvictionPolicy.allKeysLRU.rawValue)
        #expect(database.run("SET", "k", "v").hasPrefix("-OOM command not allowed"))
        database.settings.values.pointee.memoryMax.set(0)
        #expect(database.run("SET", "k", "v") == "+OK\r\n")
    }

    /// 300 tenants are more than are compared at once, so the search goes on from key to key.
    @Test(arguments: [4, 300]) func onlyTenantsBeyondTheirShareAreEvicted(tenants: Int) throws {
        let database = try Self.database()
        let value = String(repeating: "v", count: 100)
        for number in 0..<tenants {
            for key in 0..<3 { database.run("SET", "t:\(number):\(key)", value) }
        }
        for key in 0..<20_000 { database.run("SET", "t:hog:\(key)", value) }
        let registry = database.registry
        registry.measureOtherMemory(now: database.worker.monotonicNow)
        let limit = registry.lastingMemory - 500_000
        let settings = database.settings.values
        settings.pointee.evictionPolicy.set(EvictionPolicy.allKeysRandom.rawValue)
        settings.pointee.memoryMax.set(limit)
        for key in 0..<20 {
            for number in 0..<tenants where number % 7 == 0 {
                #expect(database.run("SET", "t:\(number):more\(key)", value) == "+OK\r\n")
            }
        }
        // Between two commands a server evicts the rest.
        while database.worker.isEvictionDue { #expect(database.worker.evictSlice() != .stuck) }
        #expect(registry.settledMemory.load(ordering: .relaxed) < limit)
        for number in 0..<tenants {
            for key in 0..<3 { #expect(database.run("EXISTS", "t:\(number):\(key)") == ":1\r\n") }
        }
        let hog = try #require(Array("hog".utf8).withBytes { registry.find($0) })
        #expect(hog.keyCount < 18_000 && hog.usage.evicted == 20_000 - hog.keyCount)
    }
}
