// SPDX-License-Identifier: Apache-2.0
import Base
import Glibc
import Testing

@testable import Storage

/// Retired memory: what is freed, when, and at what cost.
@Suite struct ReclamationTests {
    private static func take(
        _ queue: inout Reclamation.Queue, before epoch: UInt64, room: Int
    ) -> [UInt] {
        withUnsafeTemporaryAllocation(of: UInt.self, capacity: room) { target in
            let count = queue.take(before: epoch, into: target)
            return (0..<count).map { target[$0] }
        }
    }

    @Test func onlyOlderBlocksAreTakenInOrder() {
        var queue = Reclamation.Queue()
        for number in 1...10 {
            queue.blocks.append(Reclamation.Retired(block: UInt(number), epoch: UInt64(number)))
        }
        #expect(Self.take(&queue, before: 1, room: 8) == [])
        #expect(Self.take(&queue, before: 4, room: 8) == [1, 2, 3])
        #expect(Self.take(&queue, before: 100, room: 4) == [4, 5, 6, 7])
        #expect(Self.take(&queue, before: 9, room: 4) == [8])
        #expect(Self.take(&queue, before: .max, room: 4) == [9, 10])
        #expect(queue.blocks.isEmpty && queue.first == 0)
    }

    @Test func theQueueDoesNotKeepWhatItGave() {
        var queue = Reclamation.Queue()
        for number in 1...10_000 {
            queue.blocks.append(Reclamation.Retired(block: UInt(number), epoch: UInt64(number)))
        }
        var expected: UInt = 1
        while !queue.blocks.isEmpty {
            for block in Self.take(&queue, before: .max, room: 100) {
                #expect(block == expected)
                expected += 1
            }
            #expect(queue.first < 1024 || queue.first * 2 < queue.blocks.count)
        }
        #expect(expected == 10_001)
        #expect(queue.blocks.capacity < 10_000)
    }

    @Test func blocksWaitForTheTickThatMayReadThem() {
        let reader = Reclamation.Participant()
        let other = Reclamation.Participant()
        reader.enter()
        for _ in 0..<2000 { Reclamation.retire(Block.allocate(64)) }
        other.enter()
        other.leave()
        #expect(Reclamation.waitingCount >= 2000)
        reader.leave()
        // The reclaimer's thread frees what the end of the tick leaves; other tests retire blocks
        // meanwhile.
        var turns = 0
        while Reclamation.waitingCount >= 2000 && turns < 5000 {
            usleep(1000)
            turns += 1
        }
        #expect(Reclamation.waitingCount < 2000)
    }

    /// The oldest epoch, read while no tick runs, and a block retired after that. A tick may have
    /// begun in between and found the block, so that epoch does not allow freeing it.
    @Test func anEpochAllowsNothingThatIsRetiredAfterIt() throws {
        let state = Reclamation.State()
        let allowed = state.oldestEpoch
        state.retire(Block.allocate(64))
        let freed = state.queue.withLock { queue in
            withUnsafeTemporaryAllocation(of: UInt.self, capacity: 8) {
                queue.take(before: allowed, into: $0)
            }
        }
        #expect(freed == 0)
        #expect(state.oldestEpoch > allowed)
        #expect(state.collect(limit: 8) == false)
        #expect(state.queue.withLock { $0.blocks.isEmpty })
    }

    @Test func theReclaimerFreesTablesAndCountsThem() {
        let reclaimer = Reclaimer()
        var table = Table()
        for number in 0..<10_000 { TableTests.set(&table, TableTests.key(number), [1]) }
        let size = table.allocatedSize
        #expect(size > 0)
        let reader = Reclamation.Participant()
        reader.enter()
        reclaimer.free(table)
        usleep(20_000)
        // A tick that may be reading the table's segments is still running, so nothing is freed.
        #expect(reclaimer.pendingCount.load(ordering: .relaxed) == 10_000)
        #expect(reclaimer.pendingSize.load(ordering: .relaxed) == size)
        reader.leave()
        var turns = 0
        while reclaimer.pendingCount.load(ordering: .relaxed) > 0 && turns < 5000 {
            usleep(1000)
            turns += 1
        }
        #expect(reclaimer.pendingCount.load(ordering: .relaxed) == 0)
        #expect(reclaimer.pendingSize.load(ordering: .relaxed) == 0)
    }
}
