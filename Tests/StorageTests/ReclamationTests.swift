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
            let taken = queue.take(before: epoch, into: target)
            return (0..<taken.count).map { target[$0] }
        }
    }

    @Test func onlyOlderBlocksAreTakenInOrder() {
        var queue = Reclamation.Queue()
        for number in 1...10 {
            queue.blocks.append(
                Reclamation.Retired(block: UInt(number), size: 64, epoch: UInt64(number)))
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
            queue.blocks.append(
                Reclamation.Retired(block: UInt(number), size: 64, epoch: UInt64(number)))
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
        state.retire(Block.allocate(64), size: 64)
        let freed = state.queue.withLock { queue in
            withUnsafeTemporaryAllocation(of: UInt.self, capacity: 8) {
                queue.take(before: allowed, into: $0).count
            }
        }
        #expect(freed == 0)
        #expect(state.oldestEpoch > allowed)
        #expect(state.collect(limit: 8) == false)
        #expect(state.queue.withLock { $0.blocks.isEmpty })
    }

    @Test func bytesThatWaitAreCounted() {
        let state = Reclamation.State()
        let blocks = [64, 1000, 5000].map { Block.allocate($0) }
        let size = blocks.reduce(0) { $0 + Block.size($1) }
        for block in blocks { state.retire(block, size: Block.size(block)) }
        #expect(state.waiting.value == 3)
        #expect(state.waitingSize.value == size)
        #expect(state.collect(limit: 8) == false)
        #expect(state.waiting.value == 0)
        #expect(state.waitingSize.value == 0)
    }

    @Test func retiredBlocksAreMemoryInUse() throws {
        let store = try Store()
        let reader = Reclamation.Participant()
        reader.enter()
        Reclamation.retire(Block.allocate(4 << 20))
        #expect(store.registry.memoryInUse - store.registry.lastingMemory >= 4 << 20)
        reader.leave()
        reader.giveBack()
    }

    // MARK: - Waiting for quiet

    /// A state with one tick under way, as number 0.
    private static func stateInTick() -> Reclamation.State {
        let state = Reclamation.State()
        state.registered.store(1, ordering: .relaxed)
        state.words[0].store(
            state.epoch.load(ordering: .relaxed), ordering: .sequentiallyConsistent)
        return state
    }

    @Test func nobodySleepsWhileNoTickRuns() {
        #expect(Reclamation.State().waitForQuiet(milliseconds: 60_000))
    }

    @Test func theEndOfTheTickWakesWhoWaitsForIt() throws {
        let state = Self.stateInTick()
        let began = Clock.monotonicNanoseconds
        let thread = try #require(
            Thread("tick") {
                // Why wait for the sleeper: the end of the tick is to come while it sleeps.
                while state.sleeperCount.load(ordering: .sequentiallyConsistent) == 0 {
                    sched_yield()
                }
                state.words[0].store(0, ordering: .sequentiallyConsistent)
                state.tickEnded()
            })
        #expect(state.waitForQuiet(milliseconds: 60_000))
        #expect(Clock.monotonicNanoseconds - began < 30_000_000_000)
        #expect(state.sleeperCount.value == 0)
        thread.join()
    }

    @Test func aTickWithoutEndIsNotWaitedForForEver() {
        let state = Self.stateInTick()
        #expect(!state.waitForQuiet(milliseconds: 20))
        #expect(state.sleeperCount.value == 0)
    }

    @Test func aTickThatBeginsBehindTheWaitDoesNotProlongIt() {
        let state = Self.stateInTick()
        state.epoch.wrappingAdd(1, ordering: .relaxed)
        state.words[0].store(
            state.epoch.load(ordering: .relaxed) + 1, ordering: .sequentiallyConsistent)
        #expect(state.waitForQuiet(milliseconds: 60_000))
    }

    @Test func aThreadWithLittleToFreeIsNotPressed() {
        let participant = Reclamation.Participant()
        participant.enter()
        participant.leave()
        #expect(!participant.pressBack())
        participant.giveBack()
    }
}
