// SPDX-License-Identifier: Apache-2.0
import Base
import Glibc
import Synchronization
import Tenancy
import Testing

@testable import Storage

/// What TENANT commands of two sessions do to one tenant at the same time.
@Suite struct ControlTests {
    private static let id = Array("acme".utf8)
    private static let roundCount = 10_000

    /// Two threads that begin each round together. Without the lock that a test is about, one round
    /// in some thousands fails.
    private static func race(
        in store: Store, _ turn: @escaping @Sendable (_ thread: Int, _ round: Int) -> Void,
        after: (_ round: Int) throws -> Void
    ) throws {
        let begun = Shared(Atomic(0))
        let ended = Shared(Atomic(0))
        let participants = [Reclamation.Participant(), Reclamation.Participant()]
        let threads = try (0..<2).map { thread in
            try #require(
                Thread("turn \(thread)") {
                    for round in 0..<roundCount {
                        waitFor(begun, round + 1)
                        participants[thread].enter()
                        turn(thread, round)
                        participants[thread].leave()
                        ended.value.wrappingAdd(1, ordering: .sequentiallyConsistent)
                    }
                })
        }
        var failure: (any Error)?
        for round in 0..<roundCount {
            begun.value.store(round + 1, ordering: .sequentiallyConsistent)
            waitFor(ended, 2 * (round + 1))
            do { if failure == nil { try after(round) } } catch { failure = error }
        }
        for thread in threads { thread.join() }
        for participant in participants { participant.giveBack() }
        if let failure { throw failure }
    }

    private static func waitFor(_ count: Shared<Atomic<Int>>, _ wanted: Int) {
        while count.value.load(ordering: .sequentiallyConsistent) < wanted { sched_yield() }
    }

    private final class Shared<Value: ~Copyable & Sendable>: Sendable {
        let value: Value
        init(_ value: consuming Value) { self.value = value }
    }

    @Test func ofTwoCreatorsOneSucceeds() throws {
        let store = try Store(threads: 1)
        let registry = store.registry
        let created = Shared(Mutex<[[UInt8]]>([]))
        try Self.race(in: store) { thread, round in
            let digest = [UInt8(thread), UInt8(round & 255)]
            guard (try? registry.create(id: Self.id, plan: nil, secretDigest: digest)) != nil
            else { return }
            created.value.withLock { $0.append(digest) }
        } after: { round in
            let digests = created.value.withLock { digests in
                defer { digests = [] }
                return digests
            }
            try #require(digests.count == 1, "round \(round)")
            try #require(registry.secretDigest(of: Self.id) == digests[0])
            try store.delete("acme")
        }
    }

    @Test func aTenantHasTheLimitsOfItsPlan() throws {
        let plans = (1...2).map { number in
            var limits = Limits()
            limits.memory = number << 20
            limits.keys = number
            limits.operationsPerSecond = number
            limits.operationsPerDay = number
            limits.bandwidthPerDay = number
            limits.connections = number
            limits.atLimit = number == 1 ? .evict : .throttle
            return Plan(name: "\(number)", limits: limits)
        }
        let store = try Store(plans: plans, threads: 1)
        let registry = store.registry
        try registry.create(id: Self.id, plan: nil, secretDigest: nil)
        let tenant = try #require(store.tenant("acme"))
        try Self.race(in: store) { thread, _ in
            // Why several times: it makes it likely that the last two are simultaneous.
            for _ in 0..<4 {
                if thread == 0 {
                    try? registry.setPlan(id: Self.id, plan: "1")
                } else {
                    registry.assignPlan(id: Self.id, plan: "2")
                }
            }
        } after: { round in
            let found = registry.describe(tenant)
            try #require(
                found.limits == plans.first { $0.name == found.plan }?.limits, "round \(round)")
        }
    }

    /// Only a created tenant closes its sessions when it goes, so no other may have any.
    @Test func onlyACreatedTenantHasASecret() throws {
        let store = try Store(patterns: ["t:{tenant}:*"])
        let registry = store.registry
        store.set("t:acme:a")
        #expect(throws: TenantRegistry.Refusal.notCreated) {
            try registry.setSecret(id: Self.id, digest: [1])
        }
        #expect(!registry.hasSecrets)
        // However it may have come to one.
        registry.control.withLock { $0.secrets[[1]] = Self.id }
        #expect(registry.tenant(secretDigest: [1]) == nil)
        try registry.create(id: Self.id, plan: nil, secretDigest: [2])
        #expect(registry.tenant(secretDigest: [2]) == store.tenant("acme"))
    }

    @Test func aRefusedCreationLeavesNothing() throws {
        let store = try Store(patterns: ["t:{tenant}:*"])
        let registry = store.registry
        try registry.create(id: Self.id, plan: nil, secretDigest: [1])
        let before = registry.settledMemory.value
        #expect(throws: TenantRegistry.Refusal.exists) {
            try registry.create(id: Self.id, plan: nil, secretDigest: [2])
        }
        #expect(registry.secretDigest(of: Self.id) == [1])
        #expect(throws: TenantRegistry.Refusal.secretInUse) {
            try registry.create(id: Array("other".utf8), plan: nil, secretDigest: [1])
        }
        #expect(store.tenant("other") == nil && registry.settledMemory.value == before)
        store.set("t:third:a")
        #expect(throws: TenantRegistry.Refusal.secretInUse) {
            try registry.create(id: Array("third".utf8), plan: nil, secretDigest: [1])
        }
        store.remove("t:third:a")
        #expect(store.tenant("third") == nil)
    }
}
