// SPDX-License-Identifier: Apache-2.0
import Base
import Testing

@testable import Storage

/// Commands with several keys: each shard is locked once, in ascending order, however it was found.
@Suite(.serialized) struct LockingTests {
    /// Adds `names` and compares the shards then held with those expected.
    private func check(
        _ store: Store, _ names: [String], databases: [Int], atOnce: Bool,
        source: SourceLocation = #_sourceLocation
    ) {
        let worker = store.worker
        let bytes = names.map { Array($0.utf8) }
        var storage: [UInt8] = bytes.flatMap { $0 }
        storage.append(0)
        storage.withUnsafeBufferPointer { buffer in
            guard let base = buffer.baseAddress else { return }
            var keys: [Bytes] = []
            var offset = 0
            for name in bytes {
                keys.append(Bytes(base + offset, name.count))
                offset += name.count
            }
            var expected: Set<ShardReference> = []
            worker.clearKeys()
            for (position, database) in databases.enumerated() {
                let keyspace = store.registry.keyspace(store.registry.server, database)
                let own = keys.enumerated().filter { $0.offset % databases.count == position }
                    .map(\.element)
                for key in own { expected.insert(keyspace.shard(Hash(key))) }
                if atOnce {
                    own.withUnsafeBufferPointer {
                        worker.addKeys($0, step: 1, keyspace: keyspace, creating: true)
                    }
                } else {
                    for key in own { worker.addKey(key, keyspace: keyspace, creating: true) }
                }
            }
            #expect(worker.lockKeys(), sourceLocation: source)
            let sorted = expected.sorted { UInt(bitPattern: $0) < UInt(bitPattern: $1) }
            #expect(Array(worker.heldShards) == sorted, sourceLocation: source)
            #expect(
                expected.allSatisfy { $0.pointee.lock.isLocked },
                sourceLocation: source)
            for shard in sorted { #expect(worker.holds(shard), sourceLocation: source) }
            worker.unlockKeys()
            #expect(
                expected.allSatisfy { !$0.pointee.lock.isLocked },
                sourceLocation: source)
        }
    }

    @Test(arguments: [2, 10, 32, 33, 200], [1, 2, 16])
    func eachShardIsTakenOnceInOrder(count: Int, threads: Int) throws {
        let store = try Store(threads: threads)
        let names = (0..<count).map { "key:\($0)" }
        for atOnce in [true, false] {
            check(store, names, databases: [0], atOnce: atOnce)
            check(store, names + names, databases: [0], atOnce: atOnce)
            check(store, names + ["a"], databases: [1, 0], atOnce: atOnce)
        }
        check(store, Array(repeating: "same", count: count), databases: [0], atOnce: true)
    }

    @Test func everySecondArgumentIsAKey() throws {
        let store = try Store()
        let words = ["a", "1", "b", "2", "c", "3"].map { Array($0.utf8) }
        let keyspace = store.registry.keyspace(store.registry.server, 0)
        let flat = words.flatMap { $0 }
        flat.withUnsafeBufferPointer { buffer in
            guard let base = buffer.baseAddress else { return }
            let slices = (0..<5).map { Bytes(base + $0, 1) }
            store.worker.clearKeys()
            slices.withUnsafeBufferPointer {
                store.worker.addKeys($0, step: 2, keyspace: keyspace, creating: true)
            }
            let worker = store.worker
            #expect(worker.pointee.resolvedCount == 3)
            let named = (0..<3).map { worker.pointee.resolved[$0].key.string }
            #expect(named == ["a", "b", "c"])
        }
    }

    /// EXEC takes its shards first and adds the keys of each command again when its turn comes.
    @Test func aTenantThatComesMeanwhileIsNotThere() throws {
        let store = try Store(patterns: [TenantTests.pattern])
        let worker = store.worker
        let keyspace = store.registry.keyspace(store.registry.server, 0)
        Array("tenant:new:1".utf8).withBytes { key in
            worker.clearKeys()
            worker.addKey(key, keyspace: keyspace, creating: false)
            #expect(worker.lockKeys())
            _ = store.registry.implicitKeyspace(Bytes("new" as StaticString), 0)
            let found = KeyRouter.resolve(
                key, keyspace: keyspace, registry: store.registry, creating: false)
            #expect(!worker.holds(found.shard))
            var keys = Keys(worker: worker, keyspace: keyspace)
            #expect(keys.read(key) == nil)
            // Again: not as the next of the command's keys, but as an earlier one.
            #expect(keys.read(key) == nil)
            worker.unlockKeys()
        }
    }

    @Test func keysOfOtherTenantsLockTheirShards() throws {
        let store = try Store(patterns: [TenantTests.pattern])
        let keyspace = store.registry.keyspace(store.registry.server, 0)
        let names = ["tenant:a:1", "plain", "tenant:b:1", "tenant:a:2", "tenant:b:2"]
        let bytes = names.map { Array($0.utf8) }
        let flat = bytes.flatMap { $0 }
        flat.withUnsafeBufferPointer { buffer in
            guard let base = buffer.baseAddress else { return }
            var offset = 0
            var keys: [Bytes] = []
            for name in bytes {
                keys.append(Bytes(base + offset, name.count))
                offset += name.count
            }
            store.worker.clearKeys()
            keys.withUnsafeBufferPointer {
                store.worker.addKeys($0, step: 1, keyspace: keyspace, creating: true)
            }
            #expect(store.worker.lockKeys())
            #expect(store.worker.heldShards.count == 3)
            var seen: [String] = []
            store.worker.forEachTenantOfKeys { seen.append($0.tenant.id.string) }
            #expect(seen == ["a", "default", "b"])
            store.worker.unlockKeys()
        }
    }

    /// A transaction over whole databases holds what existed when it began. It does not see what
    /// came later, because waiting for that would break the order of locks.
    @Test func whatCameLaterIsLeftAlone() throws {
        let store = try Store()
        let registry = store.registry
        let first = registry.keyspace(registry.server, 0)
        store.set("early")
        store.worker.clearKeys()
        #expect(store.worker.lockKeys(andAllOf: [first]))
        let later = registry.keyspace(registry.server, 5)
        let other = WorkerReference.allocate(capacity: 1)
        other.initialize(to: Worker(registry: registry, settings: store.settings))
        defer {
            other.deinitialize(count: 1)
            other.deallocate()
        }
        [UInt8]("late".utf8).withBytes { key in
            _ = other.acquire(key, nil, keyspace: later, creating: true)
            var keys = Keys(worker: other, keyspace: later)
            keys.setText(key, key, replacing: nil)
            other.unlockKeys()
        }
        #expect(store.worker.randomKey(later, for: registry.server) == nil)
        store.worker.swapDatabases(of: registry.server, 0, 5)
        store.worker.swapDatabases(of: registry.server, 5, 6)
        #expect(store.worker.flush(later, Reclaimer.shared) == 0)
        #expect(later.keyCount == 1)
        #expect(store.worker.flush(first, Reclaimer.shared) == 1)
        store.worker.unlockKeys()
        #expect(store.worker.flush(later, Reclaimer.shared) == 1)
    }

    /// Commands run between the steps: keys that they leave alone are met once, whatever else they
    /// do.
    @Test func aWalkInStepsMeetsWhatStaysOnce() throws {
        let store = try Store()
        let keyspace = store.registry.keyspace(store.registry.server, 0)
        for number in 0..<40_000 { store.set("stays:\(number)") }
        var met: [String: Int] = [:]
        var others = 0
        store.worker.forEachEntryInSteps(of: keyspace) { entry in
            met[String(decoding: entry.key.array, as: UTF8.self), default: 0] += 1
        }
        let walker = WorkerReference.allocate(capacity: 1)
        walker.initialize(to: Worker(registry: store.registry, settings: store.settings))
        defer {
            walker.deinitialize(count: 1)
            walker.deallocate()
        }
        #expect(met.count == 40_000 && met.values.allSatisfy { $0 == 1 })
        met = [:]
        var lastShard: ShardReference?
        walker.forEachEntryInSteps(of: keyspace) { entry in
            let name = String(decoding: entry.key.array, as: UTF8.self)
            if name.hasPrefix("stays") { met[name, default: 0] += 1 }
            // Keys of shards that the walk has not reached, and of shards behind it.
            let own = keyspace.shard(Hash(entry.key))
            guard own != lastShard else { return }
            lastShard = own
            for _ in 0..<200 {
                others += 1
                let key = Array("comes:\(others)".utf8)
                let isElsewhere = key.withBytes { keyspace.shard(Hash($0)) != own }
                if isElsewhere { store.set("comes:\(others)") }
            }
        }
        #expect(met.count == 40_000 && met.values.allSatisfy { $0 == 1 })
        #expect(store.registry.server.keyCount > 40_000 + others / 2)
    }
}
