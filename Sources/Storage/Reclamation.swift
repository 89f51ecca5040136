// SPDX-License-Identifier: Apache-2.0
import Base
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
/// Invariants: a participant's word is 0 while it is quiet, else the epoch that it began its tick
/// in. A block retired in epoch e is freed when every word is 0 or above e.
public enum Reclamation {
    public static let participantCountMax = 256

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
            // Order: the store must be seen before any later load of a directory, so it is
            // sequentially consistent.
            shared.words[number].store(
                shared.epoch.load(ordering: .relaxed), ordering: .sequentiallyConsistent)
        }

        /// Ends a tick, and frees what has become free.
        public func leave() {
            let shared = Reclamation.shared
            shared.words[number].store(0, ordering: .releasing)
            if shared.waiting.load(ordering: .relaxed) > 0 { shared.collect() }
        }
    }

    static func retire(_ block: UnsafeMutableRawPointer) { shared.retire(block) }

    /// Blocks that wait to be freed.
    public static var waitingCount: Int { shared.waiting.load(ordering: .relaxed) }

    private static let shared = State()

    private struct Retired {
        let block: UInt
        let epoch: UInt64
    }

    private final class State: Sendable {
        let epoch = Atomic<UInt64>(1)
        let registered = Atomic<Int>(0)
        /// Numbers that were given back.
        let unused = Mutex<[Int]>([])
        let waiting = Atomic<Int>(0)
        let list = Mutex<[Retired]>([])
        // Safety: allocated once, for ever; each word is atomic.
        nonisolated(unsafe) let words: UnsafeMutablePointer<Atomic<UInt64>>

        init() {
            words = .allocate(capacity: participantCountMax)
            for index in 0..<participantCountMax { (words + index).initialize(to: Atomic(0)) }
        }

        func retire(_ block: UnsafeMutableRawPointer) {
            let epoch = self.epoch.wrappingAdd(1, ordering: .sequentiallyConsistent).oldValue
            let count = list.withLock {
                $0.append(Retired(block: UInt(bitPattern: block), epoch: epoch))
                return $0.count
            }
            waiting.store(count, ordering: .relaxed)
        }

        func collect() {
            var oldest = UInt64.max
            for index in 0..<min(registered.load(ordering: .relaxed), participantCountMax) {
                let word = words[index].load(ordering: .sequentiallyConsistent)
                if word != 0 { oldest = min(oldest, word) }
            }
            let free = list.withLock { list in
                let kept = list.filter { $0.epoch >= oldest }
                let free = list.filter { $0.epoch < oldest }
                list = kept
                waiting.store(kept.count, ordering: .relaxed)
                return free
            }
            for retired in free {
                if let block = UnsafeMutableRawPointer(bitPattern: retired.block) { Block.free(block) }
            }
        }
    }
}
