// SPDX-License-Identifier: Apache-2.0
import Base
import TestSupport
import Testing

@testable import Storage

/// Choosing by chance: every key has the same chance, wherever it lies.
@Suite struct RandomChoiceTests {
    static let counts = [2, 3, 300, 5000]

    /// Draws of RANDOMKEY from `count` keys of a tenant; nil is the server's own.
    static func drawKeys(_ store: Store, _ count: Int, of tenant: TenantReference?) -> Evenness<
        [UInt8]?
    > {
        store.worker.pointee.random = Random(seed: UInt64(count))
        let owner = tenant ?? store.registry.server
        let keyspace = store.registry.keyspace(owner, 0)
        var evenness = Evenness<[UInt8]?>(among: count)
        for _ in 0..<Evenness<[UInt8]?>.drawCount(among: count) {
            evenness.note(store.worker.randomKey(keyspace, for: owner))
        }
        return evenness
    }

    @Test(arguments: counts) func keysOfManyShards(_ count: Int) throws {
        let store = try Store()
        for number in 0..<count { store.set("key:\(number)") }
        let evenness = Self.drawKeys(store, count, of: nil)
        #expect(evenness.isEven, "\(evenness.summary)")
    }

    @Test(arguments: counts) func keysOfOneShard(_ count: Int) throws {
        let store = try Store(threads: 1)
        try store.registry.create(id: Array("acme".utf8), plan: nil, secretDigest: nil)
        let tenant = try #require(store.tenant("acme"))
        for number in 0..<count { store.set("key:\(number)", tenant) }
        #expect(store.registry.keyspace(tenant, 0).shardCount == 1)
        let evenness = Self.drawKeys(store, count, of: tenant)
        #expect(evenness.isEven, "\(evenness.summary)")
    }

    /// Expired keys that are still there give their chance to all others, not to their shard's.
    @Test func keysAmongExpiredOnes() throws {
        let store = try Store()
        for number in 0..<300 {
            store.set("key:\(number)")
            guard number >= 150 else { continue }
            store.with("key:\(number)") { _, keys in
                keys.find(0).map { keys.setExpiry($0, keys.now + 1) }
            }
        }
        store.worker.pointee.now += 10
        store.worker.pointee.random = Random(seed: 7)
        var evenness = Evenness<[UInt8]?>(among: 150)
        let keyspace = store.registry.keyspace(store.registry.server, 0)
        for _ in 0..<40_000 {
            evenness.note(store.worker.randomKey(keyspace, for: store.registry.server))
        }
        #expect(evenness.isEven, "\(evenness.summary)")
    }

    /// A table whose members were removed in the order of their hashes has a deep directory and few
    /// segments.
    @Test func membersOfATableThatHasShrunk() {
        var table = Table()
        for number in 0..<200_000 { TableTests.set(&table, TableTests.key(number), []) }
        var inOrder: [[UInt8]] = []
        table.forEach { inOrder.append($0.key.array) }
        // Two hundred that lie together, and one of each hundredth of the rest.
        let kept = Set(
            inOrder[0..<200]
                + stride(from: 200, to: inOrder.count, by: 2000).map {
                    inOrder[$0]
                })
        for key in inOrder where !kept.contains(key) { _ = TableTests.remove(&table, key) }
        var random = Random(seed: 11)
        var evenness = Evenness<[UInt8]?>(among: kept.count)
        for _ in 0..<40_000 { evenness.note(table.randomSlot(&random)?.entry.key.array) }
        #expect(evenness.isEven, "\(evenness.summary)")
        table.freeAll()
    }

    /// Samples for eviction reach all entries of full buckets, and about as often.
    @Test(arguments: [1, 5, 10]) func samplesReachEveryEntry(_ wanted: Int) {
        var table = Table()
        for number in 0..<300 { TableTests.set(&table, TableTests.key(number), []) }
        var random = Random(seed: 3)
        var counts: [[UInt8]: Int] = [:]
        for _ in 0..<60_000 / wanted {
            table.sample(&random, wanted: wanted, onlyExpiring: false) {
                counts[$0.entry.key.array, default: 0] += 1
            }
        }
        #expect(counts.count == 300, "\(300 - counts.count) are never sampled")
        // The mean is 200 or more.
        #expect((counts.values.min() ?? 0) > 40)
        table.freeAll()
    }
}
