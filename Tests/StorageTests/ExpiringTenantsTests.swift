// SPDX-License-Identifier: Apache-2.0
import Base
import Testing

@testable import Storage

/// The list of tenants that a sweep visits: all with keys that expire, and no others for long.
@Suite struct ExpiringTenantsTests {
    static func store() throws -> Store { try Store(patterns: ["tenant:{tenant}:*"]) }

    static func expire(_ key: String, in milliseconds: Milliseconds, _ store: Store) {
        store.with(key) { _, keys in
            keys.find(0).map { keys.setExpiry($0, keys.now + milliseconds) }
        }
    }

    @discardableResult
    static func sweep(_ store: Store) -> Milliseconds? {
        store.worker.sweepExpired(budgetMicroseconds: 10_000_000)
    }

    @Test func tenantsWithoutExpiryAreNotVisited() throws {
        let store = try Self.store()
        for number in 0..<3000 { store.set("tenant:\(number):key") }
        #expect(store.registry.expiring.count == 0)
        for number in 0..<30 { Self.expire("tenant:\(number * 100):key", in: 1000, store) }
        #expect(store.registry.expiring.count == 30)
        let start = store.worker.now
        #expect(Self.sweep(store) == start + 1000)
        store.worker.pointee.now += 2000
        #expect(Self.sweep(store) == nil)
        #expect(store.registry.tenantCount == 2971, "the expired keys' tenants are gone")
        #expect(store.registry.expiring.count == 0)
    }

    /// The cost of a sweep where nothing expires does not grow with the number of tenants.
    @Test func aSweepCostsTheSameWithManyTenants() throws {
        func cost(_ tenantCount: Int) throws -> Int64 {
            let store = try Self.store()
            for number in 0..<tenantCount { store.set("tenant:\(number):key") }
            var best = Int64.max
            for _ in 0..<20 {
                let began = Clock.monotonicNanoseconds
                #expect(Self.sweep(store) == nil)
                best = min(best, Clock.monotonicNanoseconds - began)
            }
            return best
        }
        let few = try cost(10)
        let many = try cost(20_000)
        #expect(many < 5 * few + 100_000, "\(many) ns with 20,000 tenants, \(few) with 10")
    }

    @Test func aTenantLeavesTheListWhenNothingExpiresAnyMore() throws {
        let store = try Self.store()
        store.set("tenant:a:1")
        store.set("tenant:a:2")
        Self.expire("tenant:a:1", in: 1000, store)
        Self.sweep(store)
        #expect(store.registry.expiring.count == 1)
        store.with("tenant:a:1") { _, keys in keys.find(0).map { keys.setExpiry($0, nil) } }
        Self.sweep(store)
        #expect(store.registry.expiring.count == 0)
        Self.expire("tenant:a:2", in: 10, store)
        #expect(store.registry.expiring.count == 1)
        store.worker.pointee.now += 20
        Self.sweep(store)
        #expect(!store.exists("tenant:a:2") && store.exists("tenant:a:1"))
        #expect(store.registry.expiring.count == 0)
    }

    /// No list names a tenant that is gone.
    @Test func aTenantThatGoesLeavesTheList() throws {
        let store = try Self.store()
        try store.registry.create(id: Array("made".utf8), plan: nil, secretDigest: nil)
        for name in ["made", "named"] {
            store.set("tenant:\(name):key")
            Self.expire("tenant:\(name):key", in: 1000, store)
        }
        #expect(store.registry.expiring.count == 2)
        try store.delete("made")
        store.remove("tenant:named:key")
        #expect(store.registry.expiring.count == 0)
        store.tick()
        #expect(Self.sweep(store) == nil)
    }

    /// A swap brings keys that expire to databases that have had none.
    @Test func aSwapListsWhatItBrings() throws {
        let store = try Self.store()
        try store.registry.create(id: Array("made".utf8), plan: nil, secretDigest: nil)
        let tenant = try #require(store.tenant("made"))
        store.set("key", tenant)
        store.with("key", tenant) { _, keys in
            keys.find(0).map { keys.setExpiry($0, keys.now + 10) }
        }
        store.worker.swapDatabases(of: tenant, 0, 1)
        Self.sweep(store)
        store.worker.swapDatabases(of: tenant, 1, 2)
        #expect(store.registry.expiring.count == 1)
        store.worker.pointee.now += 20
        Self.sweep(store)
        #expect(tenant.keyCount == 0)
    }
}
