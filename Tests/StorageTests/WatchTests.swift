// SPDX-License-Identifier: Apache-2.0
import Base
import Glibc
import Synchronization
import Testing

@testable import Storage

/// The part of a session that watches keys.
private final class Watcher {
    private let store: Store
    private var list = WatchList()

    init(_ store: Store, _ keys: [String] = []) {
        self.store = store
        watch(keys)
    }

    deinit { end() }

    var count: Int { list.count }
    var isDirty: Bool { list.isDirty }
    var isBroken: Bool { store.worker.isBroken(list) }

    func watch(_ keys: [String]) {
        store.worker.pointee.participant.enter()
        defer { store.worker.pointee.participant.leave() }
        let keyspace = store.registry.keyspace(store.registry.server, 0)
        for key in keys {
            Array(key.utf8).withBytes { store.worker.watch($0, in: keyspace, &list) }
        }
    }

    func end() {
        store.worker.pointee.participant.enter()
        defer { store.worker.pointee.participant.leave() }
        store.worker.unwatchAll(&list)
    }
}

extension Store {
    /// The waiters of the server's own first database, and the bytes of their indexes.
    fileprivate var waiting: (count: Int, bytes: Int) {
        var count = 0
        var bytes = 0
        registry.keyspace(registry.server, 0).forEachShard(isLocked: false) { shard in
            bytes += shard.pointee.waiters.allocatedSize
            shard.pointee.waiters.forEachQueue { $0.forEachInQueue { _ in count += 1 } }
        }
        return (count, bytes)
    }

    /// Whether the server's own tenant is charged exactly the memory that its tables use.
    fileprivate var isCharged: Bool {
        registry.server.memoryInUse == registry.server.memory
    }
}

@Suite struct WatchTests {
    /// Which changes of a key break a watch that began with an expired entry, and which break any
    /// other watch.
    @Test func whatBreaksAWatch() {
        let owner = UnsafeMutableRawPointer.allocate(byteCount: 8, alignment: 8)
        let waiter = WaiterReference.allocate(capacity: 1)
        defer {
            waiter.deallocate()
            owner.deallocate()
        }
        // `becomes`: whether the watch then counts as one that began expired; nil if it breaks.
        let cases: [(began: Bool, old: Presence, new: Presence, becomes: Bool?)] = [
            (false, .none, .none, false), (false, .none, .expired, true),
            (false, .none, .live, nil), (false, .expired, .none, nil),
            (false, .expired, .expired, nil), (false, .expired, .live, nil),
            (false, .live, .none, nil), (false, .live, .expired, nil), (false, .live, .live, nil),
            (true, .expired, .none, false), (true, .expired, .expired, true),
            (true, .expired, .live, nil), (true, .live, .none, nil), (true, .live, .live, nil),
        ]
        for (began, old, new, becomes) in cases {
            waiter.initialize(
                Hash(bits: 1), .watch, began ? .beganExpired : [], owner: owner, shard: nil)
            let isBroken = waiter.isBroken(from: old, to: new)
            #expect(isBroken == (becomes == nil), "\(began) \(old) \(new)")
            if let becomes {
                #expect(waiter.pointee.flags.contains(.beganExpired) == becomes)
            }
            waiter.deinitialize(count: 1)
        }
    }

    @Test func aChangeEndsTheWatch() throws {
        let store = try Store()
        store.set("a")
        let watcher = Watcher(store, ["a", "b", "a", "a"])
        #expect(watcher.count == 2 && store.waiting.count == 2 && store.isCharged)
        store.set("other")
        #expect(!watcher.isDirty && !watcher.isBroken)
        store.set("a")
        #expect(watcher.isDirty && watcher.isBroken)
        #expect(store.waiting.count == 1 && store.isCharged)
        // Further watches make no difference: the session is already dirty.
        watcher.watch(["c"])
        #expect(store.waiting.count == 1)
        watcher.end()
        #expect(store.waiting == (0, 0) && store.isCharged)
        watcher.watch(["c"])
        #expect(!watcher.isDirty && store.waiting.count == 1)
    }

    @Test func oneKeyOfManySessions() throws {
        let store = try Store()
        let count = 1000
        let watchers = (0..<count).map { Watcher(store, ["hot", "own \($0)"]) }
        #expect(store.waiting.count == 2 * count && store.isCharged)
        // Every second session leaves by itself.
        for index in stride(from: 0, to: count, by: 2) { watchers[index].end() }
        #expect(store.waiting.count == count)
        store.set("hot")
        #expect(store.waiting.count == count / 2)
        for (index, watcher) in watchers.enumerated() {
            #expect(watcher.isDirty == (index % 2 == 1))
            watcher.end()
            #expect(!watcher.isDirty)
        }
        #expect(store.waiting == (0, 0) && store.isCharged)
    }

    @Test func aTenantThatKeysNameStaysWhileItIsWatched() throws {
        let store = try Store(patterns: ["t:{tenant}:*"])
        let before = store.registry.settledMemory.value
        let watcher = Watcher(store, ["t:acme:1"])
        let tenant = store.tenant("acme")
        #expect(tenant?.memoryInUse == tenant?.memory)
        store.set("t:acme:2")
        store.remove("t:acme:2")
        #expect(store.tenant("acme") != nil && !watcher.isDirty)
        store.set("t:acme:1")
        #expect(watcher.isDirty)
        store.remove("t:acme:1")
        // The watch is over, so nothing keeps it.
        #expect(store.tenant("acme") == nil)
        watcher.end()
        watcher.watch(["t:acme:1"])
        #expect(store.tenant("acme") != nil)
        watcher.end()
        #expect(store.tenant("acme") == nil)
        #expect(store.registry.settledMemory.value == before)
    }

    @Test func aTenantIsDeletedWhileItIsWatched() throws {
        let store = try Store(patterns: ["t:{tenant}:*"])
        let before = store.registry.settledMemory.value
        let watcher = Watcher(store, (0..<100).map { "t:acme:\($0)" } + ["own"])
        #expect(!watcher.isBroken)
        try store.delete("acme")
        // Its memory is gone before the session ends its watches.
        Reclamation.collectAll()
        store.tick()
        #expect(watcher.isDirty && watcher.isBroken)
        watcher.end()
        #expect(store.waiting == (0, 0))
        #expect(store.registry.settledMemory.value == before)
    }

    @Test func whatExpiresWhileItIsWatched() throws {
        let store = try Store()
        store.set("stale")
        store.with("stale") { key, keys in
            if let found = keys.find(0) { keys.setExpiry(found, keys.now + 10) }
        }
        let watcher = Watcher(store, ["stale"])
        #expect(!watcher.isBroken)
        store.worker.pointee.now += 20
        // The expired entry is still there; then it is removed.
        #expect(watcher.isBroken && !watcher.isDirty)
        _ = store.exists("stale")
        #expect(watcher.isDirty)
    }

    /// A record is there for clients before it is loaded. So its first load breaks no watch, but
    /// what follows does. `~` stands for a negative entry: the record is known not to exist.
    @Test(arguments: [
        // before the watch, after it, whether it breaks
        ("", "r", false), ("", "~", false), ("", "rr", true), ("", "~r", true), ("", "r~", true),
        ("", "~~", false), ("", "~xr", true), ("", "rx", true), ("", "w", true), ("", "~w", true),
        ("r", "r", true), ("r", "~", true), ("~", "r", true), ("~", "~", false), ("~", "x", false),
        ("~", "xr", true), ("rx", "r", false), ("~x", "~", false),
    ])
    func recordsAreLoaded(before: String, after: String, breaks: Bool) throws {
        let store = try Store()
        func apply(_ steps: String) {
            for step in steps {
                store.with("k", nil, step == "w" ? [] : .record) { key, keys in
                    switch step {
                    case "~": keys.setAbsent(0, until: keys.now + 1000)
                    case "x": if let found = keys.findAny(0) { keys.remove(found) }
                    default: keys.setString(0, key, replacing: keys.findAny(0), .remove)
                    }
                }
            }
        }
        apply(before)
        let watcher = Watcher(store, ["k"])
        apply(after)
        #expect(watcher.isBroken == breaks)
        watcher.end()
        #expect(store.waiting == (0, 0))
    }

    @Test func aWholeDatabaseGoes() throws {
        let store = try Store()
        let keyspace = store.registry.keyspace(store.registry.server, 0)
        for number in 0..<100 { store.set("k\(number)") }
        let watcher = Watcher(store, (0..<100).map { "other\($0)" })
        #expect(store.worker.flush(keyspace, Reclaimer.shared) == 100)
        #expect(!watcher.isBroken && store.waiting.count == 100)
        store.set("k1")
        watcher.watch(["k1"])
        #expect(store.worker.flush(keyspace, Reclaimer.shared) == 1)
        #expect(watcher.isDirty && store.isCharged)
        watcher.end()
        #expect(store.waiting == (0, 0))
    }
}

/// Sessions of several threads watch keys that others change, and tenants are deleted meanwhile.
/// This test checks the results; the sanitizers check the memory accesses.
@Suite struct WatchRaceTests {
    private static let threadCount = 4
    private static let roundCount = 300

    @Test func manyThreads() throws {
        let store = try Store(patterns: ["t:{tenant}:*"], threads: Self.threadCount)
        let registry = store.registry
        let failures = Mutex<[String]>([])
        let threads = (0..<Self.threadCount).compactMap { number in
            Thread("watch \(number)") { Self.run(registry, number, failures) }
        }
        #expect(threads.count == Self.threadCount)
        for thread in threads { thread.join() }
        #expect(failures.withLock { $0 } == [])
        #expect(store.waiting == (0, 0))
        for number in 0..<4 { #expect(store.tenant("\(number)") == nil) }
    }

    private static func run(
        _ registry: TenantRegistry, _ number: Int, _ failures: borrowing Mutex<[String]>
    ) {
        let worker = Worker.make(registry: registry, settings: registry.settings)
        var random = Random(seed: UInt64(number + 1))
        var list = WatchList()
        for round in 0..<roundCount {
            worker.pointee.participant.enter()
            let keyspace = registry.keyspace(registry.server, 0)
            for _ in 0..<20 {
                let key = name(&random)
                key.withBytes { worker.watch($0, in: keyspace, &list) }
            }
            for _ in 0..<5 { change(name(&random), worker, keyspace) }
            if random.next(below: 8) == 0 {
                let found = Array("\(random.next(below: 4))".utf8).withBytes { registry.find($0) }
                if let found { try? registry.delete(found) }
            }
            // A session's own change always breaks its own watch.
            if !list.isDirty {
                let key = name(&random)
                key.withBytes { worker.watch($0, in: keyspace, &list) }
                change(key, worker, keyspace)
                if !worker.isBroken(list) {
                    failures.withLock { $0.append("thread \(number), round \(round)") }
                }
            }
            if random.next(below: 2) == 0 { worker.unwatchAll(&list) }
            worker.pointee.participant.leave()
        }
        worker.pointee.participant.enter()
        worker.unwatchAll(&list)
        worker.pointee.participant.leave()
        worker.destroy()
    }

    private static func name(_ random: inout Random) -> [UInt8] {
        let number = random.next(below: 60)
        return Array((number < 20 ? "t:\(number % 4):\(number)" : "k\(number)").utf8)
    }

    /// Sets the key and removes it again.
    private static func change(
        _ key: [UInt8], _ worker: WorkerReference, _ keyspace: KeyspaceReference
    ) {
        key.withBytes { key in
            let keys = Hold(worker, key, in: keyspace, creating: true)
            keys.setText(0, Bytes("v" as StaticString), replacing: keys.find(0))
            if let found = keys.find(0) { keys.remove(found) }
        }
    }
}
