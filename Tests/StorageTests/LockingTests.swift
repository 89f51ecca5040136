// SPDX-License-Identifier: Apache-2.0
import Base
import Testing

@testable import Storage

/// Commands with several keys: each shard is locked once, in ascending order, however it was found.
@Suite(.serialized) struct LockingTests {
    /// Calls `body` with views of the names, which lie in one buffer.
    private func withKeys(_ names: [String], _ body: ([Bytes]) -> Void) {
        let bytes = names.map { Array($0.utf8) }
        (bytes.flatMap { $0 } + [0]).withBytes { all in
            var offset = 0
            body(
                bytes.map {
                    offset += $0.count
                    return all[offset - $0.count..<offset]
                })
        }
    }

    /// The shards that `hold` has locked.
    private static func held(_ hold: borrowing Hold) -> [ShardReference] {
        var shards: [ShardReference] = []
        hold.frame.forEachHeldShard { shards.append($0) }
        return shards
    }

    private static func noHold() { Issue.record("no keyspace was dropped") }

    /// Adds `names` and compares the shards then held with those expected.
    private func check(
        _ store: Store, _ names: [String], databases: [Int], atOnce: Bool,
        source: SourceLocation = #_sourceLocation
    ) {
        let worker = store.worker
        withKeys(names) { keys in
            var expected: Set<ShardReference> = []
            let list = KeyList(worker)
            for (position, database) in databases.enumerated() {
                let keyspace = store.registry.keyspace(store.registry.server, database)
                let own = keys.enumerated().filter { $0.offset % databases.count == position }
                    .map(\.element)
                for key in own { expected.insert(keyspace.shard(Hash(key))) }
                if atOnce {
                    own.withUnsafeBufferPointer {
                        list.add($0, step: 1, in: keyspace, creating: true)
                    }
                } else {
                    for key in own { list.add(key, in: keyspace, creating: true) }
                }
            }
            guard let hold = list.hold() else {
                Issue.record("no keyspace was dropped", sourceLocation: source)
                return
            }
            let sorted = expected.sorted { $0.address < $1.address }
            #expect(Self.held(hold) == sorted, sourceLocation: source)
            let isLocked = expected.allSatisfy { $0.pointee.lock.isLocked }
            #expect(isLocked, sourceLocation: source)
            for shard in sorted { #expect(worker.holds(shard), sourceLocation: source) }
            hold.end()
            let isFree = expected.allSatisfy { !$0.pointee.lock.isLocked }
            #expect(isFree && !worker.isHolding, sourceLocation: source)
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
        let keyspace = store.registry.keyspace(store.registry.server, 0)
        withKeys(["a", "1", "b", "2", "c"]) { words in
            let list = KeyList(store.worker)
            words.withUnsafeBufferPointer {
                list.add($0, step: 2, in: keyspace, creating: true)
            }
            guard let hold = list.hold() else { return Self.noHold() }
            #expect(hold.count == 3)
            let named = [hold.key(0).string, hold.key(1).string, hold.key(2).string]
            #expect(named == ["a", "b", "c"])
        }
    }

    /// A hold ends with its scope, and however it ends, nothing stays locked.
    @Test func aHoldEndsWithItsScope() throws {
        let store = try Store()
        let worker = store.worker
        let keyspace = store.registry.keyspace(store.registry.server, 0)
        withKeys(["a", "b"]) { keys in
            let shard = keyspace.shard(Hash(keys[0]))
            do {
                let hold = Hold(worker, keys[0], in: keyspace, creating: true)
                #expect(worker.holds(shard) && hold.count == 1)
            }
            #expect(!worker.isHolding && !shard.pointee.lock.isLocked)
            do {
                let list = KeyList(worker)
                list.add(keys[0], in: keyspace, creating: true)
                #expect(list.count == 1)
            }
            #expect(!worker.isHolding && !shard.pointee.lock.isLocked)
            let before = shard.pointee.usage.commands
            Hold(worker, keys[0], in: keyspace, creating: true)
                .end(isRead: true, isWrite: false, bytesIn: 1, bytesOut: 1)
            #expect(shard.pointee.usage.commands == before + 1)
            Hold(worker, keys[0], in: keyspace, creating: true)
                .end(commands: 0, bytesIn: 1, bytesOut: 1)
            #expect(shard.pointee.usage.commands == before + 1)
            #expect(!worker.isHolding && !shard.pointee.lock.isLocked)
        }
    }

    /// A hold inside another one sees a part of its keys, settles memory and unlocks nothing.
    @Test func holdsNest() throws {
        let store = try Store()
        let worker = store.worker
        let keyspace = store.registry.keyspace(store.registry.server, 0)
        withKeys(["a", "b", "c"]) { keys in
            let list = KeyList(worker)
            for key in keys { list.add(key, in: keyspace, creating: true) }
            guard let outer = list.hold() else { return Self.noHold() }
            let settled = store.registry.settledMemory.load(ordering: .relaxed)
            do {
                let inner = Hold(inside: outer, first: 1, count: 2, [])
                #expect(inner.count == 2 && inner.key(0).string == "b")
                inner.setString(0, keys[2], replacing: nil, .remove)
                let innermost = Hold(inside: inner, first: 1, count: 1, [])
                #expect(innermost.key(0).string == "c" && innermost.find(0) == nil)
            }
            #expect(store.registry.settledMemory.load(ordering: .relaxed) > settled)
            #expect(outer.find(1) != nil && outer.find(2) == nil)
            let isHeld = (0..<3).allSatisfy { worker.holds(keyspace.shard(Hash(keys[$0]))) }
            #expect(isHeld)
            outer.end()
            #expect(!worker.isHolding)
        }
    }

    /// A tenant that is made after EXEC has taken its locks does not exist for that transaction.
    @Test func aTenantThatComesMeanwhileIsNotThere() throws {
        let store = try Store(patterns: [TenantTests.pattern])
        let worker = store.worker
        let keyspace = store.registry.keyspace(store.registry.server, 0)
        withKeys(["tenant:new:1"]) { keys in
            let hold = Hold(worker, keys[0], in: keyspace, creating: false)
            _ = store.registry.implicitKeyspace(Bytes("new" as StaticString), 0)
            let home = worker.home(of: keys[0], in: keyspace, creating: false)
            #expect(home != keyspace && !worker.holds(home.shard(at: 0)))
            #expect(hold.read(0) == nil)
        }
    }

    @Test func keysOfOtherTenantsLockTheirShards() throws {
        let store = try Store(patterns: [TenantTests.pattern])
        let keyspace = store.registry.keyspace(store.registry.server, 0)
        let names = ["tenant:a:1", "plain", "tenant:b:1", "tenant:a:2", "tenant:b:2"]
        withKeys(names) { keys in
            let list = KeyList(store.worker)
            keys.withUnsafeBufferPointer {
                list.add($0, step: 1, in: keyspace, creating: true)
            }
            guard let hold = list.hold() else { return Self.noHold() }
            #expect(Self.held(hold).count == 3)
            var seen: [String] = []
            hold.frame.forEachTenant { seen.append($0.tenant.id.string) }
            #expect(seen == ["a", "default", "b"])
        }
    }

    /// A transaction over whole databases holds what existed when it began. It does not see what
    /// came later, because waiting for that would break the order of locks.
    @Test func whatCameLaterIsLeftAlone() throws {
        let store = try Store()
        let registry = store.registry
        let first = registry.keyspace(registry.server, 0)
        store.set("early")
        guard let hold = KeyList(store.worker).hold(and: [], andAllOf: [first]) else {
            Issue.record("no keyspace was dropped")
            return
        }
        let later = registry.keyspace(registry.server, 5)
        let other = Worker.make(registry: registry, settings: store.settings)
        defer {
            other.destroy()
        }
        [UInt8]("late".utf8).withBytes { key in
            Hold(other, key, in: later, creating: true).setText(0, key, replacing: nil)
        }
        #expect(store.worker.randomKey(later, for: registry.server) == nil)
        store.worker.swapDatabases(of: registry.server, 0, 5)
        store.worker.swapDatabases(of: registry.server, 5, 6)
        #expect(store.worker.flush(later, Reclaimer.shared) == 0)
        #expect(later.keyCount == 1)
        #expect(store.worker.flush(first, Reclaimer.shared) == 1)
        hold.end()
        #expect(store.worker.flush(later, Reclaimer.shared) == 1)
    }

    /// Commands run between the steps: keys that they do not touch are visited once, whatever else
    /// changes.
    @Test func aWalkInStepsMeetsWhatStaysOnce() throws {
        let store = try Store()
        let keyspace = store.registry.keyspace(store.registry.server, 0)
        for number in 0..<40_000 { store.set("stays:\(number)") }
        var met: [String: Int] = [:]
        var others = 0
        store.worker.forEachEntryInSteps(of: keyspace) { entry in
            met[String(decoding: entry.key.array, as: UTF8.self), default: 0] += 1
        }
        let walker = Worker.make(registry: store.registry, settings: store.settings)
        defer {
            walker.destroy()
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
