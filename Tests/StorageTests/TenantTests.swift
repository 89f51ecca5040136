// SPDX-License-Identifier: Apache-2.0
import Base
import Tenancy
import Testing

@testable import Storage

/// Implicit tenants: they come with their first key, cost little, and go with their last.
@Suite(.serialized) struct TenantTests {
    static let pattern = "tenant:{tenant}:*"

    @Test func aTenantComesWithItsFirstKeyAndGoesWithItsLast() throws {
        let store = try Store(patterns: [Self.pattern])
        #expect(store.tenant("acme") == nil)
        store.set("tenant:acme:a")
        store.set("tenant:acme:b")
        let tenant = try #require(store.tenant("acme"))
        #expect(tenant.pointee.origin == .implicit && tenant.keyCount == 2)
        #expect(store.registry.server.keyCount == 0)
        #expect(store.remove("tenant:acme:a"))
        #expect(store.tenant("acme") != nil)
        #expect(store.remove("tenant:acme:b"))
        #expect(store.tenant("acme") == nil)
        #expect(store.registry.tenantCount == 1)
        #expect(store.registry.departed.count == 1)
    }

    @Test func aReadNamesNobody() throws {
        let store = try Store(patterns: [Self.pattern])
        #expect(!store.exists("tenant:acme:a"))
        #expect(!store.remove("tenant:acme:a"))
        #expect(store.tenant("acme") == nil && store.registry.tenantCount == 1)
    }

    @Test func controlCharactersNameNobody() throws {
        let store = try Store(patterns: [Self.pattern])
        for key in ["tenant:a\r\nb:x", "tenant:\0:x", "tenant:\u{7f}:x"] { store.set(key) }
        #expect(store.registry.tenantCount == 1 && store.registry.server.keyCount == 3)
        #expect(store.exists("tenant:a\r\nb:x") && store.remove("tenant:a\r\nb:x"))
        store.set("tenant:münchen:x")
        #expect(store.tenant("münchen")?.keyCount == 1)
    }

    @Test func aTenantThatWasCreatedStays() throws {
        let store = try Store(patterns: [Self.pattern])
        try store.registry.create(id: Array("acme".utf8), plan: nil, secretDigest: nil)
        store.set("tenant:acme:a")
        store.remove("tenant:acme:a")
        #expect(store.tenant("acme")?.pointee.origin == .created)
    }

    /// The layout at the top of Shard.swift: whole cache lines, so that no two shards share one,
    /// and nothing in line 2 for a GET.
    @Test func aShardIsThreeCacheLines() {
        #expect(MemoryLayout<Shard>.stride == 3 * 64)
        #expect(8 + MemoryLayout<Table>.stride + 2 * MemoryLayout<Int>.size == 64 + 8)
        #expect(MemoryLayout<Usage>.size == 10 * 8)
    }

    @Test func aTenantOfOneSmallKeyTakesLessThanAKilobyte() throws {
        let store = try Store(patterns: [Self.pattern])
        let before = store.registry.settledMemory.value
        store.set("tenant:acme:a")
        let tenant = try #require(store.tenant("acme"))
        #expect(tenant.memory < 1024, "\(tenant.memory) bytes")
        #expect(tenant.memoryInUse == tenant.memory)
        #expect(store.registry.settledMemory.value - before == tenant.memory)
    }

    @Test func whatGoesIsTakenOffTheBooks() throws {
        let store = try Store(patterns: [Self.pattern])
        store.set("other")
        let before = store.registry.settledMemory.value
        for number in 0..<100 { store.set("tenant:acme:\(number)", size: 100 * number) }
        let tenant = try #require(store.tenant("acme"))
        #expect(store.registry.settledMemory.value - before == tenant.memory)
        for number in 0..<100 { store.remove("tenant:acme:\(number)") }
        #expect(store.registry.settledMemory.value == before)
    }

    @Test func deletingATenantGivesEverythingBack() throws {
        let store = try Store(patterns: [Self.pattern])
        let before = store.registry.settledMemory.value
        try store.registry.create(id: Array("acme".utf8), plan: nil, secretDigest: nil)
        for number in 0..<500 { store.set("tenant:acme:\(number)", size: 100) }
        // A tick, so that the tenant can be read after it has gone.
        store.worker.pointee.participant.enter()
        defer { store.worker.pointee.participant.leave() }
        let tenant = try #require(store.tenant("acme"))
        try store.registry.delete(tenant)
        #expect(store.tenant("acme") == nil)
        #expect(store.registry.settledMemory.value == before)
        try store.registry.create(id: Array("acme".utf8), plan: nil, secretDigest: nil)
        #expect(throws: TenantRegistry.Refusal.missing) { try store.registry.delete(tenant) }
        #expect(store.tenant("acme") != nil, "another tenant of that id")
    }

    /// Names that clients invent must leave nothing behind, neither in the counters nor in the
    /// allocator.
    /// What is charged goes back. That the memory does, the driver `together` checks in a process
    /// of its own; here other tests' threads may free what this one retires.
    @Test func inventedNamesLeaveNothingBehind() throws {
        let store = try Store(patterns: [Self.pattern])
        func invent(_ numbers: Range<Int>) {
            for number in numbers {
                store.set("tenant:t\(number):a")
                store.remove("tenant:t\(number):a")
                if number % 64 == 0 { store.tick() }
            }
            store.tick()
        }
        invent(0..<1000)
        let settled = store.registry.settledMemory.value
        invent(1000..<51_000)
        #expect(store.registry.tenantCount == 1)
        #expect(store.registry.settledMemory.value == settled)
        #expect(store.registry.departed.count == 51_000)
    }

    @Test func manyAtOnceGoTogether() throws {
        let store = try Store(patterns: [Self.pattern])
        let before = store.registry.settledMemory.value
        for number in 0..<5000 { store.set("tenant:t\(number):a") }
        #expect(store.registry.tenantCount == 5001)
        for number in 0..<5000 { store.remove("tenant:t\(number):a") }
        #expect(store.registry.tenantCount == 1)
        #expect(store.registry.settledMemory.value == before)
    }
}
