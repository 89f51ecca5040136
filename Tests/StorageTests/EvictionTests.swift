// SPDX-License-Identifier: Apache-2.0
import Base
import Tenancy
import Testing

@testable import Storage

/// Which tenant's keys are evicted when memory is full, and that no others are.
@Suite struct EvictionTests {
    static func store(_ plans: [Plan] = []) throws -> Store {
        let store = try Store(plans: plans, patterns: ["tenant:{tenant}:*"])
        store.settings.values.pointee.evictionPolicy.set(EvictionPolicy.allKeysLRU.rawValue)
        return store
    }

    @Test func theTenantBeyondItsShareIsEvicted() throws {
        let store = try Self.store()
        for number in 0..<100 { store.set("tenant:modest:\(number)", size: 100) }
        for number in 0..<5000 { store.set("tenant:greedy:\(number)", size: 1000) }
        let memoryMax = store.registry.lastingMemory / 2
        #expect(store.makeRoom(memoryMax))
        #expect(store.registry.lastingMemory <= memoryMax)
        #expect(store.tenant("modest")?.keyCount == 100, "a tenant within its share lost keys")
        let left = try #require(store.tenant("greedy")).keyCount
        #expect(left > 1000 && left < 3000, "\(left) keys are left")
        #expect(store.tenant("greedy")?.usage.evicted == 5000 - left)
        #expect(store.worker.pointee.statistics.pointee.evictedKeys.value == 5000 - left)
    }

    @Test func aPlansMemoryIsAShare() throws {
        var limits = Limits()
        limits.memory = 64 << 20
        let store = try Self.store([Plan(name: "large", limits: limits)])
        try store.registry.create(id: Array("paying".utf8), plan: "large", secretDigest: nil)
        for number in 0..<5000 { store.set("tenant:paying:\(number)", size: 1000) }
        for number in 0..<3000 { store.set("tenant:free:\(number)", size: 1000) }
        let memoryMax = store.registry.lastingMemory - (1 << 20)
        #expect(store.makeRoom(memoryMax))
        #expect(store.tenant("paying")?.keyCount == 5000, "what was paid for was evicted")
        #expect(try #require(store.tenant("free")).keyCount < 3000)
    }

    @Test func equalTenantsLoseAlike() throws {
        let store = try Self.store()
        for number in 0..<2000 {
            for name in ["a", "b", "c"] { store.set("tenant:\(name):\(number)", size: 500) }
        }
        #expect(store.makeRoom(store.registry.lastingMemory / 2))
        let counts = ["a", "b", "c"].compactMap { store.tenant($0)?.keyCount }
        #expect(counts.count == 3)
        #expect((counts.max() ?? 0) - (counts.min() ?? 0) < 200, "\(counts)")
    }

    @Test func aTenantWithOnlyTheCommandsKeyIsPassedOver() throws {
        let store = try Self.store()
        store.set("tenant:writer:only", size: 40_000)
        for number in 0..<20 { store.set("tenant:other:\(number)", size: 1000) }
        for name in 0..<30 { store.set("tenant:\(name):key", size: 100) }
        let memoryMax = store.registry.lastingMemory - 1000
        let madeRoom = store.with("tenant:writer:only") { _, _ in store.makeRoom(memoryMax) }
        #expect(madeRoom, "others beyond their share have keys")
        #expect(store.exists("tenant:writer:only"))
        #expect(try #require(store.tenant("other")).keyCount < 20)
        for name in 0..<30 { #expect(store.exists("tenant:\(name):key"), "within its share") }
    }

    @Test func theCommandsKeyIsEvictedIfNoOtherTenantIsBeyondItsShare() throws {
        let store = try Self.store()
        store.set("tenant:writer:only", size: 400_000)
        for name in 0..<30 { store.set("tenant:\(name):key", size: 100) }
        let memoryMax = store.registry.lastingMemory - 1000
        let madeRoom = store.with("tenant:writer:only") { _, _ in store.makeRoom(memoryMax) }
        #expect(madeRoom)
        #expect(!store.exists("tenant:writer:only"))
        for name in 0..<30 { #expect(store.exists("tenant:\(name):key"), "within its share") }
    }

    @Test func aTenantWithoutVictimsIsPassedOver() throws {
        let store = try Self.store()
        store.settings.values.pointee.evictionPolicy.set(EvictionPolicy.volatileLRU.rawValue)
        for number in 0..<1000 { store.set("tenant:lasting:\(number)", size: 1000) }
        for number in 0..<500 {
            store.set("tenant:expiring:\(number)", size: 1000)
            store.with("tenant:expiring:\(number)") { key, keys in
                keys.find(0).map { keys.setExpiry($0, keys.now + 1_000_000) }
            }
        }
        for name in 0..<10 { store.set("tenant:\(name):key", size: 100) }
        let memoryMax = store.registry.lastingMemory - 50_000
        #expect(store.makeRoom(memoryMax))
        #expect(store.tenant("lasting")?.keyCount == 1000)
        #expect(try #require(store.tenant("expiring")).keyCount < 500)
    }

    @Test func nothingIsEvictedAgainstThePolicy() throws {
        let store = try Self.store()
        for number in 0..<100 { store.set("key:\(number)", size: 1000) }
        store.settings.values.pointee.evictionPolicy.set(EvictionPolicy.noEviction.rawValue)
        #expect(!store.makeRoom(store.registry.lastingMemory / 2))
        #expect(store.registry.server.keyCount == 100)
        store.settings.values.pointee.evictionPolicy.set(EvictionPolicy.volatileLRU.rawValue)
        #expect(!store.makeRoom(store.registry.lastingMemory / 2), "no key has an expiry")
        #expect(store.registry.server.keyCount == 100)
    }

    /// Garbage that waits to be freed counts as memory in use, but no data is evicted for it, which
    /// would not free it.
    @Test func nobodyGivesWayForWhatWaits() throws {
        let store = try Self.store()
        for number in 0..<100 { store.set("key:\(number)", size: 1000) }
        let memoryMax = store.registry.lastingMemory
        let reader = Reclamation.Participant()
        reader.enter()
        Reclamation.retire(Block.allocate(8 << 20))
        #expect(store.worker.memoryInUse >= memoryMax + (8 << 20))
        #expect(store.makeRoom(memoryMax))
        #expect(store.registry.server.keyCount == 100)
        reader.leave()
        reader.giveBack()
    }

    @Test func aTenantsOwnLimitTakesItsOwnKeys() throws {
        let store = try Self.store()
        for number in 0..<1000 {
            store.set("tenant:a:\(number)", size: 100)
            store.set("tenant:b:\(number)", size: 100)
        }
        let tenant = try #require(store.tenant("a"))
        #expect(store.worker.makeRoom(in: tenant, keysMax: 10, arriving: 990))
        #expect(tenant.keyCount == 10 && store.tenant("b")?.keyCount == 1000)
        #expect(store.makeRoom(in: try #require(store.tenant("b")), memoryMax: 100_000))
        #expect(try #require(store.tenant("b")).memoryInUse < 100_000)
        #expect(tenant.keyCount == 10)
    }
}
