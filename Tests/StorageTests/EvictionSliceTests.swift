// SPDX-License-Identifier: Apache-2.0
import Base
import Tenancy
import Testing

@testable import Storage

/// Eviction in slices: no command evicts for long, and what it leaves is done between commands.
@Suite struct EvictionSliceTests {
    static let keyCount = 60_000

    static func store(plans: [Plan] = []) throws -> Store {
        let store = try Store(plans: plans, patterns: ["tenant:{tenant}:*"])
        store.settings.values.pointee.evictionPolicy.set(EvictionPolicy.allKeysLRU.rawValue)
        return store
    }

    /// Keys evicted by `body`.
    static func evicted(_ store: Store, _ body: () -> Void) -> Int {
        let counter = { store.worker.pointee.statistics.pointee.evictedKeys.value }
        let before = counter()
        body()
        return counter() - before
    }

    @Test func aCommandEvictsForASliceAndRuns() throws {
        let store = try Self.store()
        for number in 0..<Self.keyCount { store.set("key:\(number)") }
        let memoryMax = store.registry.lastingMemory / 2
        let first = Self.evicted(store) {
            #expect(store.worker.makeRoom(memoryMax, for: .request(0)), "it was refused")
        }
        #expect(first > 0 && first < Self.keyCount / 3, "\(first) keys in one slice")
        // The other commands of the millisecond: as much as they bring, and a key at least.
        var others = 0
        for _ in 0..<200 {
            others += Self.evicted(store) {
                #expect(store.worker.makeRoom(memoryMax, for: .request(0)))
            }
        }
        #expect(others >= 200 && others < 200 + Self.keyCount / 3, "\(others)")
        let before = store.registry.lastingMemory
        #expect(store.worker.makeRoom(memoryMax, for: .request(20_000)))
        #expect(store.registry.lastingMemory <= before - 20_000, "it brings more than goes")
    }

    @Test func aValueThatIsToBeMadeGetsAllItsRoom() throws {
        let store = try Self.store()
        for number in 0..<20_000 { store.set("key:\(number)") }
        let before = store.registry.lastingMemory
        let growth = before / 2
        _ = store.worker.makeRoom(before - 1, for: .request(0))
        #expect(store.worker.makeRoom(before - growth, for: .growth(growth)))
        #expect(store.registry.lastingMemory <= before - growth)
    }

    /// With room made before every write, memory exceeds the limit by no more than one key and the
    /// growth of its table.
    @Test func keysStayWithinTheLimit() throws {
        let store = try Self.store()
        store.worker.pointee.random = Random(seed: 29)
        var sizes = Random(seed: 31)
        for number in 0..<3000 { store.set("key:\(number)", size: 100) }
        let memoryMax = store.registry.lastingMemory
        var excess = 0
        for number in 3000..<13_000 {
            let size = Int(sizes.next(below: 1000))
            if store.worker.memoryInUse > memoryMax {
                #expect(store.worker.makeRoom(memoryMax, for: .request(size + 40)))
            }
            store.set("key:\(number)", size: size)
            excess = max(excess, store.registry.lastingMemory - memoryMax)
            if number % 32 == 0 {
                store.tick()
                store.worker.pointee.monotonicNow += 1
            }
        }
        #expect(excess < 16_384, "\(excess) bytes")
    }

    @Test func slicesReachTheLimit() throws {
        let store = try Self.store()
        for number in 0..<Self.keyCount { store.set("key:\(number)") }
        let memoryMax = store.registry.lastingMemory / 2
        store.settings.values.pointee.memoryMax.set(memoryMax)
        var slices = 0
        while store.worker.isEvictionDue, slices < 100_000 {
            let progress = store.worker.evictSlice()
            slices += 1
            #expect(progress == (store.worker.isEvictionDue ? .cutShort : .done))
        }
        #expect(slices > 1)
        #expect(store.registry.lastingMemory <= memoryMax)
        #expect(store.registry.lastingMemory > memoryMax - 10_000, "too much was evicted")
    }

    @Test func aSliceWithoutVictimsIsStuck() throws {
        let store = try Self.store()
        for number in 0..<100 { store.set("key:\(number)") }
        store.settings.values.pointee.memoryMax.set(1)
        store.settings.values.pointee.evictionPolicy.set(EvictionPolicy.noEviction.rawValue)
        #expect(store.worker.evictSlice() == .stuck)
        store.settings.values.pointee.evictionPolicy.set(EvictionPolicy.volatileLRU.rawValue)
        #expect(store.worker.evictSlice() == .stuck)
        #expect(store.registry.server.keyCount == 100)
    }

    /// A tenant whose plan is lowered: its command evicts for a slice, and the rest follows.
    @Test func aTenantShrinksBetweenCommands() throws {
        var limits = Limits()
        limits.atLimit = .evict
        limits.memory = 1 << 20
        let small = Plan(name: "small", limits: limits)
        limits.memory = nil
        limits.keys = 1000
        let few = Plan(name: "few", limits: limits)
        let store = try Self.store(plans: [small, few])
        for name in ["a", "b"] {
            for number in 0..<Self.keyCount / 2 { store.set("tenant:\(name):\(number)") }
        }
        try store.registry.setPlan(id: Array("a".utf8), plan: "small")
        try store.registry.setPlan(id: Array("b".utf8), plan: "few")
        let a = try #require(store.tenant("a"))
        let b = try #require(store.tenant("b"))
        #expect(!store.worker.isEvictionDue)
        let inCommands = Self.evicted(store) {
            #expect(store.worker.makeRoom(in: a, memoryMax: 1 << 20, for: .request(100)))
            #expect(store.worker.makeRoom(in: b, keysMax: 999, arriving: 1))
        }
        #expect(inCommands > 1 && inCommands < Self.keyCount / 3, "\(inCommands)")
        var slices = 0
        while store.worker.isEvictionDue, slices < 100_000 {
            #expect(store.worker.evictSlice() != .stuck)
            slices += 1
        }
        #expect(a.memoryInUse < 1 << 20 && a.memoryInUse > 1_000_000, "\(a.memoryInUse)")
        #expect(b.keyCount == 1000)
    }

    /// A tenant that goes while it waits for slices.
    @Test func aTenantThatIsGoneIsNotShrunk() throws {
        let store = try Self.store()
        for number in 0..<10 { store.set("tenant:a:\(number)") }
        _ = store.registry.evictLater(from: try #require(store.tenant("a")))
        for number in 0..<10 { store.remove("tenant:a:\(number)") }
        #expect(store.worker.isEvictionDue)
        #expect(store.worker.evictSlice() == .done)
        #expect(!store.worker.isEvictionDue)
    }

    /// A refusal's removal of expired entries: bounded, and it goes on where the last one ended.
    @Test func expiredEntriesAreRemovedForASlice() throws {
        let store = try Self.store()
        for number in 0..<Self.keyCount {
            store.set("key:\(number)")
            store.with("key:\(number)") { _, keys in
                keys.find(0).map { keys.setExpiry($0, keys.now + 1) }
            }
        }
        store.worker.pointee.now += 10
        let server = store.registry.server
        #expect(store.worker.removeExpired(of: server))
        let left = server.keyCount
        #expect(left < Self.keyCount && left > Self.keyCount / 2, "\(left) are left")
        while server.keyCount > 0 {
            guard store.worker.removeExpired(of: server) else { break }
            store.worker.pointee.monotonicNow += 1
        }
        #expect(server.keyCount == 0)
    }
}
