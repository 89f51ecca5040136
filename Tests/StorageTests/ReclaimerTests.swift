// SPDX-License-Identifier: Apache-2.0
import Base
import Glibc
import Synchronization
import Testing

@testable import Storage

/// Garbage: who frees it, when, and what is counted until then.
@Suite struct ReclaimerTests {
    /// A reclaimer whose thread never runs.
    private static func starved() -> Reclaimer { Reclaimer(startThread: { _ in true }) }

    /// The table of a set of `count` members of `size` bytes.
    private static func set(_ count: Int, size: Int = 30) -> NestedTable {
        let nested = NestedTable.make()
        fill(&nested.table.pointee, count, size: size)
        return nested
    }

    private static func fill(_ table: inout Table, _ count: Int, size: Int) {
        var member = [UInt8](repeating: 109, count: size)
        for number in 0..<count {
            withUnsafeBytes(of: UInt32(number)) { member.replaceSubrange(0..<4, with: $0) }
            _ = member.withBytes { table.insertMember($0) }
        }
    }

    /// A reclaimer whose thread does not run, with more garbage than `pressureSize`. A caller that
    /// brings a whole table frees nothing itself.
    private static func pressed() -> Reclaimer {
        let reclaimer = starved()
        var table = Table(isPrivate: true)
        fill(&table, 300, size: 64 << 10)
        reclaimer.free(table)
        return reclaimer
    }

    /// A table with a key for each of these sets, and `others` strings.
    private static func table(_ sets: [NestedTable], others: Int, isPrivate: Bool) -> Table {
        var table = Table(isPrivate: isPrivate)
        for (number, nested) in sets.enumerated() {
            Array("set:\(number)".utf8).withBytes { key in
                let shape = EntryShape(.set, .payload, key: key, payload: nested.payload)
                _ = table.insert(Hash(key), shape, access: 0)
                table.allocatedSize += nested.size
            }
        }
        for number in 0..<others { TableTests.set(&table, TableTests.key(number), [1]) }
        return table
    }

    private static func expectSoon(_ condition: () -> Bool) {
        var turns = 0
        while !condition() && turns < 10_000 {
            usleep(1000)
            turns += 1
        }
        #expect(condition())
    }

    @Test func entriesAreFreedWhileATickRuns() {
        let reclaimer = Reclaimer()
        let table = Self.table([], others: 50_000, isPrivate: false)
        let structureSize = table.structureSize
        let reader = Reclamation.Participant()
        reader.enter()
        reclaimer.free(table)
        Self.expectSoon { reclaimer.pendingSize.value == 0 }
        #expect(reclaimer.pendingCount.value == 0)
        #expect(reclaimer.freedCount.value == 50_000)
        // The tick may be reading the table's segments, so these are retired.
        #expect(Reclamation.waitingSize >= structureSize)
        reader.leave()
        reader.giveBack()
        Self.expectSoon { Reclamation.waitingSize < structureSize }
    }

    /// Every byte that was counted is subtracted: those of small sets that are freed with their
    /// keys, and of large ones that are queued behind them.
    @Test func whatIsPendingIsExact() {
        let reclaimer = Self.starved()
        let sets = (0..<100).map { _ in Self.set(100) } + (0..<3).map { _ in Self.set(3000) }
        let table = Self.table(sets, others: 400, isPrivate: true)
        let size = table.allocatedSize
        #expect(size == table.measuredSize)
        reclaimer.free(table)
        #expect(reclaimer.pendingSize.value == size)
        #expect(reclaimer.pendingCount.value == 503)
        reclaimer.freeParts(1)
        #expect(reclaimer.pendingSize.value < size)
        reclaimer.freeParts(.max)
        #expect(reclaimer.pendingSize.value == 0)
        #expect(reclaimer.pendingCount.value == 0)
        #expect(reclaimer.freedCount.value > 503 + 9000)
    }

    @Test func withoutAThreadTheQueueWaits() {
        let mayStart = Shared(Atomic(false))
        let reclaimer = Reclaimer(startThread: {
            mayStart.value.load(ordering: .relaxed) && Reclaimer.startThread($0)
        })
        #expect(!reclaimer.start())
        for turn in 1...2 {
            reclaimer.free(.table(Self.set(5000)))
            #expect(reclaimer.pendingCount.value == turn * 5000)
        }
        reclaimer.freeParts(.max)
        #expect(reclaimer.freedCount.value == 10_000 && reclaimer.pendingSize.value == 0)
        mayStart.value.store(true, ordering: .relaxed)
        reclaimer.free(.table(Self.set(5000)))
        Self.expectSoon { reclaimer.freedCount.value == 15_000 }
    }

    /// Garbage is queued under shards' locks, where no thread may be started.
    @Test func oneThreadFreesEveryBatch() {
        let starts = Shared(Atomic(0))
        let reclaimer = Reclaimer(startThread: {
            starts.value.wrappingAdd(1, ordering: .relaxed)
            return Reclaimer.startThread($0)
        })
        #expect(reclaimer.start() && reclaimer.start())
        for turn in 1...3 {
            reclaimer.free(.table(Self.set(1000)))
            Self.expectSoon { reclaimer.freedCount.value == turn * 1000 }
            Self.expectSoon { !reclaimer.isRunning.load(ordering: .relaxed) }
        }
        reclaimer.free(.table(Self.set(64)))
        #expect(reclaimer.freedCount.value == 3000, "little is freed by the caller")
        #expect(reclaimer.pendingSize.value == 0 && starts.value.value == 1)
    }

    private final class Shared<Value: ~Copyable & Sendable>: Sendable {
        let value: Value
        init(_ value: consuming Value) { self.value = value }
    }

    /// Many threads bring garbage while the reclaimer's thread ends and starts again: none is left
    /// over.
    @Test func nothingIsForgotten() throws {
        let reclaimer = Reclaimer()
        let threads = try (0..<4).map { _ in
            try #require(
                Thread("bring") {
                    for _ in 0..<100 { reclaimer.free(.table(Self.set(600, size: 60))) }
                })
        }
        for thread in threads { thread.join() }
        Self.expectSoon { reclaimer.pendingSize.value == 0 }
        #expect(reclaimer.pendingCount.value == 0)
        #expect(reclaimer.freedCount.value == 4 * 100 * 600)
    }

    // MARK: - Pressing back

    @Test func manySmallValuesStayBounded() {
        let reclaimer = Self.starved()
        let each = Self.set(100, size: 700)
        let size = each.size
        #expect(!Garbage(each).isSmall)
        reclaimer.free(.table(each))
        var peak = 0
        for _ in 0..<600 {
            reclaimer.free(.table(Self.set(100, size: 700)))
            peak = max(peak, reclaimer.pendingSize.value)
        }
        #expect(600 * size > 2 * Reclaimer.pressureSize)
        #expect(peak > Reclaimer.pressureSize / 2)
        #expect(peak <= Reclaimer.pressureSize + 2 * size)
        reclaimer.freeParts(.max)
        #expect(reclaimer.pendingSize.value == 0)
    }

    @Test func noCommandFreesALargeValue() {
        let reclaimer = Self.pressed()
        #expect(reclaimer.isPressed && reclaimer.freedCount.value == 0)
        reclaimer.free(.table(Self.set(50_000)))
        let freed = reclaimer.freedCount.value
        #expect(freed > 0)
        #expect(freed <= Reclaimer.partsInCommandMax * Segment.capacity(Segment.bucketCountMax))
        reclaimer.freeParts(.max)
        #expect(reclaimer.pendingSize.value == 0)
    }

    @Test func betweenTicksAThreadFreesForItsTime() {
        let reclaimer = Self.pressed()
        reclaimer.freeParts(until: 0)
        #expect(reclaimer.freedCount.value == 0, "its time is over")
        reclaimer.freeParts(until: .max)
        #expect(reclaimer.freedCount.value > 0)
        #expect(!reclaimer.isPressed)
        reclaimer.freeParts(.max)
        #expect(reclaimer.pendingSize.value == 0)
    }
}
