// SPDX-License-Identifier: Apache-2.0
import Base
import Glibc
import Synchronization

/// Memory that another thread may still be reading without a lock, freed when none can be:
/// quiescent-state reclamation.
///
/// Why: a batch's buckets are prefetched before their shards are locked. That reads the directory
/// and its segment words, which a growing table may replace at that moment. So what is replaced is
/// retired here, and freed after every thread that serves requests has passed a quiet point: the
/// end of its tick.
///
/// There is one for the process, as there is one allocator.
///
/// Invariants:
/// 1. A participant's word is 0 while it is quiet, else the epoch that it began its tick in. A
///    block retired in epoch e is freed when every word is 0 or above e.
/// 2. The queue is in the order of epochs, so that what can be freed stands at its front: a look
///    costs as much as it frees.
/// 3. What is retired was put out of reach before. So who began a tick in a later epoch does not
///    find it: between the reader's store of its word and its first read, and between the writer's
///    last write and the look at the words, there is a full fence, and one of the two sees the
///    other's.
public enum Reclamation {
    public static let participantCountMax = 256
    /// How many blocks one tick frees at its end; what is beyond is left to the reclaimer's thread.
    static let freedInTickMax = 1024

    /// A thread that reads retired memory: each has one of these, and gives it back when it ends.
    public struct Participant: Sendable {
        let number: Int

        public init() {
            let shared = Reclamation.shared
            number =
                shared.unused.withLock { $0.popLast() }
                ?? shared.registered.wrappingAdd(1, ordering: .relaxed).oldValue
            precondition(number < participantCountMax, "too many threads")
        }

        /// Ends the thread's part in this, outside a tick. Its place is another's then.
        func giveBack() {
            leave()
            Reclamation.shared.unused.withLock { $0.append(number) }
        }

        /// Begins a tick: from here until `leave`, retired blocks stay.
        public func enter() {
            let shared = Reclamation.shared
            // Order: releasing, so that who sees it has the reads of the ticks before behind him.
            shared.words[number].store(shared.epoch.load(ordering: .relaxed), ordering: .releasing)
            // Order: invariant 3. A sequentially consistent store is not enough: plain loads behind
            // it may be done before it.
            atomicMemoryFence(ordering: .sequentiallyConsistent)
        }

        /// Ends a tick, and frees what has become free.
        public func leave() {
            let shared = Reclamation.shared
            shared.words[number].store(0, ordering: .releasing)
            guard shared.waiting.load(ordering: .relaxed) > 0 else { return }
            if shared.collect(limit: freedInTickMax) { Reclaimer.shared.wake() }
        }
    }

    static func retire(_ block: UnsafeMutableRawPointer) { shared.retire(block) }

    /// Blocks that wait to be freed.
    public static var waitingCount: Int { shared.waiting.load(ordering: .relaxed) }

    /// Frees all that can be freed now. For threads that serve nobody.
    static func collectAll() { _ = shared.collect(limit: .max) }

    /// Returns when every tick that is running now has ended: what was put out of reach before may
    /// then be freed. For threads that serve nobody.
    static func waitForQuiet() {
        let epoch = shared.epoch.wrappingAdd(1, ordering: .sequentiallyConsistent).oldValue
        while shared.oldestEpoch <= epoch { usleep(500) }  // Bound: ticks end.
    }

    private static let shared = State()

    struct Retired {
        let block: UInt
        let epoch: UInt64
    }

    /// Blocks in the order in which they were retired; those before `first` are freed.
    struct Queue: Sendable {
        var blocks: [Retired] = []
        var first = 0

        /// Takes up to `target.count` blocks of epochs before `epoch` off the front.
        mutating func take(before epoch: UInt64, into target: UnsafeMutableBufferPointer<UInt>)
            -> Int
        {
            var count = 0
            while count < target.count, first < blocks.count, blocks[first].epoch < epoch {
                target[count] = blocks[first].block
                first += 1
                count += 1
            }
            if first == blocks.count {
                blocks.removeAll(keepingCapacity: blocks.capacity <= 8192)
                first = 0
            } else if first >= 1024 && first * 2 >= blocks.count {
                // Why half: each block is then moved once for each that was freed.
                blocks.removeFirst(first)
                first = 0
            }
            return count
        }
    }

    final class State: Sendable {
        let epoch = Atomic<UInt64>(1)
        let registered = Atomic<Int>(0)
        /// Numbers that were given back.
        let unused = Mutex<[Int]>([])
        let waiting = Atomic<Int>(0)
        let queue = Mutex(Queue())
        // Safety: allocated once, for ever; each word is atomic.
        nonisolated(unsafe) let words: UnsafeMutablePointer<Atomic<UInt64>>

        init() {
            words = .allocate(capacity: participantCountMax)
            for index in 0..<participantCountMax { (words + index).initialize(to: Atomic(0)) }
        }

        /// What was retired before this epoch may be freed: that of the oldest tick that is
        /// running, or now. Why no later where none is running: one may begin behind this look, and
        /// find what is retired after that.
        var oldestEpoch: UInt64 {
            var oldest = epoch.load(ordering: .sequentiallyConsistent)
            // Order: invariant 3.
            atomicMemoryFence(ordering: .sequentiallyConsistent)
            for index in 0..<min(registered.load(ordering: .relaxed), participantCountMax) {
                // Order: acquiring, so that what is freed was read before.
                let word = words[index].load(ordering: .acquiring)
                if word != 0 { oldest = min(oldest, word) }
            }
            return oldest
        }

        func retire(_ block: UnsafeMutableRawPointer) {
            queue.withLock { queue in
                // Why under the lock: invariant 2.
                let epoch = self.epoch.wrappingAdd(1, ordering: .sequentiallyConsistent).oldValue
                queue.blocks.append(Retired(block: UInt(bitPattern: block), epoch: epoch))
            }
            waiting.wrappingAdd(1, ordering: .relaxed)
        }

        /// Frees up to `limit` blocks. Whether there may be more that could be freed.
        func collect(limit: Int) -> Bool {
            let oldest = oldestEpoch
            var freed = 0
            return withUnsafeTemporaryAllocation(of: UInt.self, capacity: 256) { batch in
                while freed < limit {  // Bound: each turn frees a batch, or is the last.
                    // Safety: used during the call alone, on this thread.
                    nonisolated(unsafe) let target = batch
                    let count = queue.withLock { $0.take(before: oldest, into: target) }
                    for index in 0..<count {
                        if let block = UnsafeMutableRawPointer(bitPattern: batch[index]) {
                            Block.free(block)
                        }
                    }
                    waiting.wrappingSubtract(count, ordering: .relaxed)
                    freed += count
                    if count < batch.count { return false }
                }
                return true
            }
        }
    }
}
