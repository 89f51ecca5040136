// SPDX-License-Identifier: Apache-2.0
import Base
import Glibc
import Testing

@testable import Storage

/// Waiters, and the index that contains them.
private final class Waiters {
    var index = WaiterIndex()
    /// The sum of the bytes that all changes reported.
    var bytes = 0
    var movedMax = 0
    private let nodes: WaiterReference
    private var unused: [WaiterReference]

    init(capacity: Int) {
        nodes = .allocate(capacity: capacity)
        unused = (0..<capacity).reversed().map { [nodes] in nodes + $0 }
    }

    deinit { nodes.deallocate() }

    @discardableResult
    func add(_ hash: UInt64) -> WaiterReference {
        let waiter = unused.removeLast()
        waiter.initialize(
            Hash(bits: hash), .watch, owner: UnsafeMutableRawPointer(waiter), shard: nil)
        note(index.add(waiter))
        return waiter
    }

    func remove(_ waiter: WaiterReference) {
        note(index.remove(waiter))
        waiter.deinitialize(count: 1)
        unused.append(waiter)
    }

    private func note(_ work: WaiterIndex.Work) {
        bytes += work.bytes
        movedMax = max(movedMax, work.moved)
    }

    func queue(_ hash: UInt64) -> [WaiterReference] {
        var found: [WaiterReference] = []
        index.first(Hash(bits: hash))?.forEachInQueue { found.append($0) }
        return found
    }

    /// Broken invariants, and charged bytes that differ from the real ones.
    var complaints: [String] {
        let size = index.allocatedSize
        let charged = size == bytes ? [] : ["\(bytes) bytes were charged, there are \(size)"]
        return index.invariantViolations + charged
    }
}

@Suite struct WaiterTests {
    @Test func layout() {
        #expect(MemoryLayout<Waiter>.size == 48 && MemoryLayout<Waiter>.stride == 48)
        #expect(MemoryLayout<WaiterIndex>.size == 8)
        #expect(MemoryLayout<WaiterIndex.Part>.stride == 8)
        #expect(MemoryLayout<WaiterIndex.Slot>.stride == 16)
        let block = UnsafeMutableRawPointer.allocate(byteCount: 48, alignment: 16)
        block.initializeMemory(as: UInt8.self, repeating: 0, count: 48)
        let waiter = block.bindMemory(to: Waiter.self, capacity: 1)
        let shard = ShardReference(address: 0x1122_3344_5566)
        waiter.initialize(
            Hash(bits: 0x0102_0304_0506_0708), Waiter.Kind(rawValue: 7), .beganExpired,
            owner: block + 5, shard: shard, serial: 0x0A0B_0C0D)
        func word(_ offset: Int) -> UInt { block.load(fromByteOffset: offset, as: UInt.self) }
        #expect(word(0) == 0x0102_0304_0506_0708)
        #expect(word(8) == UInt(bitPattern: block) && word(16) == UInt(bitPattern: block))
        #expect(word(24) == UInt(bitPattern: block + 5))
        #expect(word(32) == 0x1122_3344_5566)
        #expect(block.load(fromByteOffset: 40, as: UInt8.self) == 7)
        #expect(block.load(fromByteOffset: 41, as: UInt8.self) == 2)
        #expect(block.load(fromByteOffset: 44, as: UInt32.self) == 0x0A0B_0C0D)
        #expect(waiter.pointee.shard == shard)
        waiter.letGo()
        #expect(waiter.pointee.shard == nil && word(32) == 0)
        waiter.deinitialize(count: 1)
        block.deallocate()
    }

    @Test func firstComeFirst() {
        let waiters = Waiters(capacity: 10)
        var expected = (0..<10).map { _ in waiters.add(7) }
        #expect(waiters.queue(7) == expected && waiters.queue(8) == [])
        for place in [0, 8, 3, 0, 5, 0] {
            waiters.remove(expected.remove(at: place))
            #expect(waiters.queue(7) == expected)
            #expect(waiters.complaints == [])
        }
        expected.append(waiters.add(7))
        #expect(waiters.queue(7) == expected)
        expected.forEach(waiters.remove)
        #expect(waiters.index.isEmpty && waiters.bytes == 0)
    }

    @Test func lettingGoOfAll() {
        let waiters = Waiters(capacity: 5000)
        let added = (0..<5000).map { waiters.add(UInt64($0 / 2) &* 0x9E37_79B9_7F4A_7C15) }
        var met: Set<WaiterReference> = []
        let given = waiters.index.removeAll { waiter in
            #expect(met.insert(waiter).inserted)
            waiter.deinitialize(count: 1)
        }
        #expect(met == Set(added) && given == waiters.bytes)
        #expect(waiters.index.isEmpty && waiters.index.allocatedSize == 0)
    }
}

@Suite(.serialized) struct WaiterIndexTests {
    private static let isOptimized = !_isDebugAssertConfiguration()
    private static let stepCount = isOptimized ? 1_000_000 : 60_000
    /// No step may hold the lock for longer than a hundred microseconds: at some 20 ns for a slot,
    /// it may move this many.
    private static let movedMax = 4096

    private static func newSeed() -> UInt64 {
        var random = Random()
        let seed = random.next()
        print("waiters: seed \(seed)")
        return seed
    }

    /// Against a dictionary of arrays: the number of hashes and of waiters of each rises and falls,
    /// so that everything grows, becomes a fork and comes back.
    @Test func agreesWithADictionary() {
        var random = Random(seed: Self.newSeed())
        let waiters = Waiters(capacity: Self.stepCount)
        var model: [UInt64: [WaiterReference]] = [:]
        var hashes: [UInt64] = []
        var isGrowing = true
        var target = 1
        for step in 0..<Self.stepCount {
            if isGrowing ? hashes.count >= target : hashes.isEmpty {
                isGrowing.toggle()
                target = 1 << Int(random.next(below: Self.isOptimized ? 18 : 14))
                #expect(waiters.complaints == [], "step \(step)")
            }
            // Three of four steps follow the phase's direction; one goes against it.
            if hashes.isEmpty || (random.next(below: 4) == 0) != isGrowing {
                let isNew = hashes.isEmpty || random.next(below: 3) > 0
                let hash = isNew ? random.next() : hashes[Self.draw(&random, hashes.count)]
                let waiter = waiters.add(hash)
                if model[hash, default: []].isEmpty { hashes.append(hash) }
                model[hash, default: []].append(waiter)
            } else {
                let place = Self.draw(&random, hashes.count)
                let hash = hashes[place]
                var queue = model[hash] ?? []
                waiters.remove(queue.remove(at: Self.draw(&random, queue.count)))
                model[hash] = queue.isEmpty ? nil : queue
                if queue.isEmpty {
                    hashes.swapAt(place, hashes.count - 1)
                    hashes.removeLast()
                }
            }
            guard step % 16 == 0, !hashes.isEmpty else { continue }
            let hash = hashes[Self.draw(&random, hashes.count)]
            #expect(waiters.queue(hash) == model[hash])
            #expect(waiters.queue(random.next()) == [])
        }
        #expect(waiters.complaints == [])
        for queue in model.values { queue.forEach(waiters.remove) }
        #expect(waiters.index.isEmpty && waiters.bytes == 0)
        #expect(waiters.movedMax <= Self.movedMax)
    }

    private static func draw(_ random: inout Random, _ count: Int) -> Int {
        Int(random.next(below: UInt64(count)))
    }

    @Test func aHundredThousandOfOneKey() {
        let waiters = Waiters(capacity: 100_000)
        let added = (0..<100_000).map { _ in waiters.add(42) }
        #expect(waiters.queue(42) == added)
        #expect(waiters.bytes == Block.sizeClass(64), "one slot")
        // From both ends, then the rest.
        for number in 0..<1000 {
            waiters.remove(added[number])
            waiters.remove(added[99_999 - number])
        }
        #expect(waiters.queue(42) == Array(added[1000..<99_000]))
        #expect(waiters.complaints == [])
        added[1000..<99_000].forEach(waiters.remove)
        #expect(waiters.index.isEmpty && waiters.bytes == 0 && waiters.movedMax == 0)
    }

    @Test func tenWaitersAKey() {
        let count = Self.isOptimized ? 10_000 : 2000
        let waiters = Waiters(capacity: count * 10)
        var random = Random(seed: Self.newSeed())
        let hashes = (0..<count).map { _ in random.next() }
        var added: [[WaiterReference]] = hashes.map { _ in [] }
        for _ in 0..<10 {
            for (place, hash) in hashes.enumerated() { added[place].append(waiters.add(hash)) }
        }
        for (place, hash) in hashes.enumerated() { #expect(waiters.queue(hash) == added[place]) }
        #expect(waiters.bytes < count * 70, "\(waiters.bytes) bytes for \(count) keys")
        #expect(waiters.complaints == [])
        for queue in added { queue.forEach(waiters.remove) }
        #expect(waiters.index.isEmpty && waiters.bytes == 0)
    }

    /// Hashes that differ only in the bits that choose a slot, or only in those above: forks lead
    /// to forks, and leaves become as full as possible. What a step moves is not bounded here: no
    /// hash function gives 768 keys such hashes.
    @Test func hashesThatShareBits() {
        for bits in [0..<10, 10..<20, 16..<28, 52..<64] {
            let count = min(700, 1 << bits.count)
            let waiters = Waiters(capacity: count + 1000)
            let added = (0..<count).map { waiters.add(UInt64($0) << UInt64(bits.lowerBound)) }
            let others = (0..<100).map { waiters.add(1 << 40 | UInt64($0)) }
            #expect(waiters.complaints == [], "bits \(bits)")
            for (number, waiter) in added.enumerated() {
                #expect(waiters.queue(UInt64(number) << UInt64(bits.lowerBound)) == [waiter])
            }
            others.forEach(waiters.remove)
            added.forEach(waiters.remove)
            #expect(waiters.index.isEmpty && waiters.bytes == 0, "bits \(bits)")
        }
    }

    /// 200,000 keys with a waiter each, one by one, and back. What a step moves is counted: that
    /// bounds its time, whatever else the machine does. Times are only printed. The same is done
    /// several times, because page faults come at random where growth comes at the same step each
    /// time: a step's cost is that of its best round.
    @Test func noStepIsLong() throws {
        let count = Self.isOptimized ? 200_000 : 20_000
        let waiters = Waiters(capacity: count)
        var random = Random(seed: Self.newSeed())
        let hashes = (0..<count).map { _ in random.next() }
        var order = Array(0..<count)
        for place in stride(from: count - 1, to: 0, by: -1) {
            order.swapAt(place, Self.draw(&random, place + 1))
        }
        var added = [WaiterReference?](repeating: nil, count: count)
        var addCosts = StepCosts(count)
        var removeCosts = StepCosts(count)
        for _ in 0..<4 {
            let before = AllocatedMemory.isCounted ? try AllocatedMemory.bytes() : 0
            addCosts.time { added[$0] = waiters.add(hashes[$0]) }
            #expect(waiters.bytes <= count * 64, "\(waiters.bytes / count) bytes a key")
            removeCosts.time { step in
                if let waiter = added[order[step]] { waiters.remove(waiter) }
            }
            #expect(waiters.index.isEmpty && waiters.bytes == 0)
            guard AllocatedMemory.isCounted else { continue }
            #expect(try AllocatedMemory.bytes() - before == 0, "bytes that were not given back")
        }
        print("waiters: \(count) keys: add \(addCosts.text), remove \(removeCosts.text)")
        #expect(waiters.movedMax > 0 && waiters.movedMax <= Self.movedMax)
        print("waiters: \(waiters.movedMax) slots moved at most")
    }
}

/// The cost of each step in the best of several rounds, in CPU time of the thread.
private struct StepCosts {
    private var nanoseconds: [Int64]
    private var mean = Int64.max

    init(_ count: Int) { nanoseconds = Array(repeating: .max, count: count) }

    var text: String {
        let dearest = nanoseconds.max() ?? 0
        return "\(mean) ns with the clock, the dearest step \(dearest) ns"
    }

    private static var now: Int64 {
        var time = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }

    mutating func time(_ body: (Int) -> Void) {
        let began = StepCosts.now
        var last = began
        for step in nanoseconds.indices {
            body(step)
            let now = StepCosts.now
            nanoseconds[step] = min(nanoseconds[step], now - last)
            last = now
        }
        mean = min(mean, (last - began) / Int64(max(1, nanoseconds.count)))
    }
}
