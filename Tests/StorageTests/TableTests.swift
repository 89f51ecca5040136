// SPDX-License-Identifier: Apache-2.0
import Base
import Glibc
import Testing

@testable import Storage

/// Tables against Swift's dictionary, and against their own invariants.
@Suite struct TableTests {
    /// Random numbers, the same in every run.
    struct Numbers {
        var state: UInt64

        mutating func next(below limit: Int) -> Int {
            state &+= 0x9E37_79B9_7F4A_7C15
            var mixed = (state ^ state >> 30) &* 0xBF58_476D_1CE4_E5B9
            mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
            return Int((mixed ^ mixed >> 31) % UInt64(limit))
        }
    }

    struct Model {
        var value: [UInt8]
        var expiry: Milliseconds?
    }

    static func key(_ number: Int) -> [UInt8] { Array("key:\(number)".utf8) }

    static func set(
        _ table: inout Table, _ key: [UInt8], _ value: [UInt8], expiry: Milliseconds? = nil
    ) {
        key.withBytes { key in
            let hash = Hash(key)
            let slot: Table.Slot
            if let found = table.find(hash, key) {
                table.resizeValue(found, size: value.count, capacity: value.count)
                table.setExpiry(found, expiry)
                slot = found
            } else {
                let shape = EntryShape(
                    .string, .embedded, key: key, expiry: expiry, valueSize: value.count)
                slot = table.insert(hash, shape, access: 0)
            }
            value.withBytes { _ = memcpy(slot.entry.mutableValue, $0.base, $0.count) }
        }
    }

    static func remove(_ table: inout Table, _ key: [UInt8]) -> Bool {
        key.withBytes { table.removeMember($0) }
    }

    struct Course: Sendable {
        let prefixBits: Int
        let keys: Int
        let operations: Int
    }

    /// Checks that every key of the model is found with its value, that no other is, and that all
    /// invariants hold.
    static func compare(_ table: Table, _ model: [Int: Model], keys: Int) {
        #expect(table.invariantViolations == [])
        #expect(table.count == model.count)
        #expect(table.expiringCount == model.values.count { $0.expiry != nil })
        for number in 0..<keys {
            let entry = key(number).withBytes { table.member($0) }
            let expected = model[number]
            if entry?.value.array != expected?.value || entry?.expiry != expected?.expiry {
                Issue.record("key \(number) differs")
            }
        }
    }

    @Test(arguments: [
        Course(prefixBits: 0, keys: 3, operations: 20_000),
        Course(prefixBits: 6, keys: 40, operations: 50_000),
        Course(prefixBits: 0, keys: 700, operations: 100_000),
        Course(prefixBits: 4, keys: 40_000, operations: 200_000),
    ]) func agreesWithADictionary(_ course: Course) {
        var table = Table(prefixBits: course.prefixBits)
        var model: [Int: Model] = [:]
        var numbers = Numbers(state: UInt64(course.keys))
        // The balance swings between filling and emptying, so segments split and merge, and the
        // table becomes empty.
        for step in 0..<course.operations {
            let number = numbers.next(below: course.keys)
            let isFilling = step * 8 / course.operations % 2 == 0
            if numbers.next(below: 10) < (isFilling ? 8 : 1) {
                let size = numbers.next(below: 20) == 0 ? 400 : numbers.next(below: 40)
                let value = [UInt8](repeating: UInt8(truncatingIfNeeded: step), count: size)
                let expiry = numbers.next(below: 3) == 0 ? Milliseconds(1000 + step) : nil
                Self.set(&table, Self.key(number), value, expiry: expiry)
                model[number] = Model(value: value, expiry: expiry)
            } else {
                let isThere = model.removeValue(forKey: number) != nil
                #expect(Self.remove(&table, Self.key(number)) == isThere)
            }
            if step % (course.operations / 16) == 0 {
                Self.compare(table, model, keys: course.keys)
            }
        }
        Self.compare(table, model, keys: course.keys)
        for number in model.keys.sorted() { #expect(Self.remove(&table, Self.key(number))) }
        #expect(table.count == 0 && table.root == 0 && table.allocatedSize == 0)
        #expect(table.invariantViolations == [])
    }

    /// A table that has shrunk is as small as one that was never large.
    @Test func shrinkingGivesMemoryBack() {
        var table = Table()
        for number in 0..<100_000 { Self.set(&table, Self.key(number), [1]) }
        let depthMax = table.directory.depth
        #expect(depthMax >= 8)
        for number in 100..<100_000 { _ = Self.remove(&table, Self.key(number)) }
        #expect(table.invariantViolations == [])
        #expect(table.count == 100)
        let depth = table.directory.depth
        #expect(depth <= depthMax - 5, "depth \(depth) after \(depthMax)")
        #expect(table.structureSize < 20_000, "\(table.structureSize) bytes for 100 keys")
        table.freeAll()
        #expect(table.invariantViolations == [])
    }

    /// Beyond one page of the directory: pages split, their array doubles, and all of it goes
    /// again, with every invariant checked on the way.
    @Test func pagesComeAndGo() {
        // Why private: what it replaces would count as memory in use to tests of eviction.
        var table = Table(prefixBits: 2, isPrivate: true)
        var depths: Set<Int> = []
        let steps = [50_000, 150_000, 300_000, 600_000]
        var count = 0
        for step in steps {
            while count < step {
                Self.set(&table, Self.key(count), [1])
                count += 1
            }
            #expect(table.invariantViolations == [])
            depths.insert(table.directory.depth)
        }
        #expect(depths.max() ?? 0 >= Directory.pageBits + 2, "\(depths)")
        for step in steps.reversed().dropFirst() + [20_000, 1000, 0] {
            while count > step {
                count -= 1
                #expect(Self.remove(&table, Self.key(count)))
            }
            #expect(table.invariantViolations == [])
            depths.insert(table.directory.depth)
        }
        #expect(depths.contains { $0 < Directory.pageBits })
        #expect(table.root == 0 && table.allocatedSize == 0)
    }

    /// The fill of buckets at many sizes, from which Table.swift computes the bytes per key.
    @Test func bucketsAreWellFilled() {
        var table = Table(prefixBits: 6, isPrivate: true)
        var sum = 0.0
        var samples = 0
        for number in 0..<120_000 {
            Self.set(&table, Self.key(number), [1])
            if number > 2000 && number % 1500 == 0 {
                sum += Double(table.structureSize) / Double(table.count)
                samples += 1
            }
        }
        let mean = sum / Double(samples)
        #expect(mean < 14.5, "\(mean) bytes of structure for each key")
        table.freeAll()
    }

    /// Keys that are there throughout come exactly once, however the table changes between steps.
    @Test(arguments: [(0, 1), (0, 10), (5, 100), (0, 1000)])
    func scanUnderChange(_ prefixBits: Int, _ limit: Int) {
        var table = Table(prefixBits: prefixBits)
        var numbers = Numbers(state: UInt64(limit))
        let lasting = 3000
        for number in 0..<lasting { Self.set(&table, Self.key(number), [1]) }
        var seen: [[UInt8]: Int] = [:]
        var position: UInt64? = 0
        var step = 0
        var next = lasting
        var passing: [Int] = []
        var depths: Set<Int> = []
        while let current = position {
            position = table.scan(from: current, limit: limit, bucketLimit: 50) {
                seen[$0.key.array, default: 0] += 1
            }
            step += 1
            depths.insert(table.directory.depth)
            // Grows for a while, then shrinks again.
            let changes = 1 + numbers.next(below: 16 * limit)
            for _ in 0..<min(changes, 3000) {
                if step * limit / 600 % 2 == 0 {
                    Self.set(&table, Self.key(next), [2])
                    passing.append(next)
                    next += 1
                } else if let gone = passing.popLast() {
                    _ = Self.remove(&table, Self.key(gone))
                }
            }
        }
        for number in 0..<lasting where seen[Self.key(number)] != 1 {
            Issue.record("key \(number) came \(seen[Self.key(number)] ?? 0) times")
        }
        #expect(seen.values.allSatisfy { $0 == 1 }, "no key comes twice")
        #expect(table.invariantViolations == [])
        if limit <= 100 { #expect(depths.count > 1, "the table changed its size") }
        table.freeAll()
    }

    @Test func scanOfAStillTable() {
        for count in [0, 1, 5, 6, 100, 2000] {
            var table = Table()
            for number in 0..<count { Self.set(&table, Self.key(number), []) }
            var seen: Set<[UInt8]> = []
            var position: UInt64? = 0
            while let current = position {
                position = table.scan(from: current, limit: 7, bucketLimit: 100) {
                    #expect(seen.insert($0.key.array).inserted)
                }
            }
            #expect(seen.count == count)
            table.freeAll()
        }
    }

    @Test func sweepRemovesWhatHasExpired() {
        var table = Table(prefixBits: 3)
        for number in 0..<20_000 {
            let expiry: Milliseconds? = number % 4 == 0 ? nil : Milliseconds(number)
            Self.set(&table, Self.key(number), [1], expiry: expiry)
        }
        #expect(table.expiryBound == 1)
        for now in stride(from: Milliseconds(5000), through: 25_000, by: 5000) {
            var sweep = Table.Sweep()
            while table.isSweepDue(now) {
                table.sweepExpired(&sweep, now: now, segmentLimit: 4) {
                    $0.remove($1, shrinking: false)
                }
            }
            #expect(table.expiryBound > now)
            let live = (0..<20_000).count { $0 % 4 == 0 || Milliseconds($0) > now }
            #expect(table.count == live)
            #expect(table.invariantViolations == [])
        }
        #expect(table.expiringCount == 0 && table.expiryBound == .max)
        table.freeAll()
    }

    @Test func sweepEmptiesATable() {
        var table = Table()
        for number in 0..<3000 { Self.set(&table, Self.key(number), [1], expiry: 5) }
        var sweep = Table.Sweep()
        while table.isSweepDue(5) {
            table.sweepExpired(&sweep, now: 5, segmentLimit: 3) { $0.remove($1, shrinking: false) }
        }
        #expect(table.root == 0 && table.allocatedSize == 0)
        #expect(table.invariantViolations == [])
    }

    @Test func randomPicksReachEveryKey() {
        var table = Table()
        for number in 0..<50 { Self.set(&table, Self.key(number), []) }
        var random = Random()
        var seen: Set<[UInt8]> = []
        for _ in 0..<20_000 {
            if let slot = table.randomSlot(&random) { seen.insert(slot.entry.key.array) }
        }
        #expect(seen.count == 50)
        var sampled = 0
        table.sample(&random, wanted: 5, onlyExpiring: false) { _ in sampled += 1 }
        #expect(sampled >= 5 && sampled < 5 + Bucket.slotCount)
        table.sample(&random, wanted: 5, onlyExpiring: true) { _ in Issue.record("none expires") }
        table.freeAll()
    }

    /// The checker itself must be able to fail.
    @Test func brokenTablesAreNoticed() {
        var table = Table()
        for number in 0..<1000 { Self.set(&table, Self.key(number), [1], expiry: 10) }
        #expect(table.invariantViolations == [])
        table.allocatedSize += 1
        #expect(table.invariantViolations.count == 1)
        table.allocatedSize -= 1
        let directory = table.directory
        table.allocatedSize += table.directory.deepen(0)
        #expect(table.invariantViolations == ["the page is twice as large as needed"])
        table.allocatedSize -= table.directory.narrow(0)
        #expect(table.directory.depth == directory.depth)
        table.count += 1
        #expect(table.invariantViolations.count == 1)
        table.count -= 1
        let segment = table.segment(at: 0)
        segment.expiryBound = 11
        #expect(!table.invariantViolations.isEmpty)
        segment.expiryBound = 10
        segment.removedCount += 1
        #expect(table.invariantViolations.count == 1)
        segment.removedCount -= 1
        #expect(table.invariantViolations == [])
        table.freeAll()
    }

    /// `body` may free each block, so the block that names the others must come last.
    @Test func theBlockThatNamesTheOthersComesLast() {
        var table = Table(isPrivate: true)
        for number in 0..<200_000 { TableTests.set(&table, TableTests.key(number), [1]) }
        var blocks: [UnsafeMutableRawPointer] = []
        table.directory.forEachBlock { block, _ in blocks.append(block) }
        #expect(blocks.count > 2, "an array and its pages")
        #expect(Set(blocks).count == blocks.count)
        #expect(blocks.last.map { UInt(bitPattern: $0) } == table.root & 0xFFFF_FFFF_FFFF)
        table.freeAll()
    }
}
