// SPDX-License-Identifier: Apache-2.0
import Base
import CLinux
import Glibc
import Synchronization

/// Memory that other threads may still read without a lock. It is freed when none can:
/// quiescent-state reclamation.
///
/// Why: a batch's buckets are prefetched before their shards are locked. That reads the directory
/// and its segment words, which a growing table may replace at that moment. So replaced blocks are
/// retired here. They are freed after every serving thread has passed a quiet point: the end of its
/// tick.
///
/// There is one per process, because there is one allocator.
///
/// Invariants:
/// 1. A participant's word is 0 while it is quiet, else the epoch that its tick began in. A block
///    retired in epoch e is freed when every word is 0 or above e.
/// 2. The queue is ordered by epoch, so blocks that can be freed are at its front. Looking for them
///    costs as much as freeing them.
/// 3. A block is made unreachable before it is retired. So a thread whose tick began in a later
///    epoch does not find it: there is a full fence between the reader's store of its word and its
///    first read, and one between the writer's last write and its check of the words. One of the
///    two sees the other's.
/// 4. No block waits once no tick runs. A thread that retires a block either checks the words
///    afterwards, or is in a tick; a tick that ends stores its word before it checks for waiting
///    blocks. One of the two sees the other's.
public enum Reclamation {
    public static let participantCountMax = 256
    /// How many blocks one tick frees at its end. The reclaimer's thread frees the rest.
    static let freedInTickMax = 1024
    /// More retired bytes than this occur only if a tick takes long while other threads replace a
    /// lot: inserting a million keys retires 75 MB of segments. Threads then wait between their
    /// ticks.
    static let pressureSize = 16 << 20
    /// The longest such wait. Why a limit: a tick that never ends must hold up memory, not the
    /// server.
    static let waitMilliseconds: Milliseconds = 100

    /// A thread that reads retired memory. Each such thread has one, and gives it back when it
    /// ends.
    public struct Participant: Sendable {
        let number: Int

        public init() {
            let shared = Reclamation.shared
            number =
                shared.unused.withLock { $0.popLast() }
                ?? shared.registered.wrappingAdd(1, ordering: .relaxed).oldValue
            precondition(number < participantCountMax, "too many threads")
        }

        /// Ends the thread's participation, outside a tick. Another thread may then take its place.
        public func giveBack() {
            leave()
            Reclamation.shared.unused.withLock { $0.append(number) }
        }

        /// Begins a tick: retired blocks stay until `leave`.
        public func enter() {
            let shared = Reclamation.shared
            shared.beginnings[number] = martlet_ticks()
            // Order: releasing, so that a thread that sees the store also sees the reads of earlier
            // ticks as done.
            shared.words[number].store(shared.epoch.load(ordering: .relaxed), ordering: .releasing)
            // Order: invariant 3. A sequentially consistent store is not enough: plain loads after
            // it may run before it.
            atomicMemoryFence(ordering: .sequentiallyConsistent)
        }

        /// Ends a tick, and frees blocks that can now be freed.
        public func leave() {
            let shared = Reclamation.shared
            // Order: sequentially consistent, here and in the next two loads: invariant 4, and the
            // same for a thread that sleeps until a tick ends.
            shared.words[number].store(0, ordering: .sequentiallyConsistent)
            let hasSleepers = shared.sleeperCount.load(ordering: .sequentiallyConsistent) > 0
            if hasSleepers { shared.tickEnded() }
            guard shared.waiting.load(ordering: .sequentiallyConsistent) > 0 else { return }
            if shared.collect(limit: freedInTickMax) { Reclaimer.shared.wake() }
        }

        /// Called between two ticks, with no lock held. While too many bytes wait to be freed, the
        /// thread frees values for a quarter of the time that its tick took, or sleeps until other
        /// threads' ticks have ended. Returns whether it did.
        ///
        /// Why a quarter: making a value takes at least four times as long as freeing it. So no
        /// number of threads makes garbage faster than it is freed.
        public func pressBack() -> Bool {
            let shared = Reclamation.shared
            let hasRetired = shared.waitingSize.load(ordering: .relaxed) > pressureSize
            guard hasRetired || Reclaimer.shared.isPressed else { return false }
            let now = martlet_ticks()
            Reclaimer.shared.freeParts(until: now &+ (now &- shared.beginnings[number]) / 4)
            if hasRetired {
                shared.waitForQuiet(milliseconds: waitMilliseconds)
                _ = shared.collect(limit: .max)
            }
            return true
        }
    }

    static func retire(_ block: UnsafeMutableRawPointer) {
        shared.retire(block, size: Block.size(block))
    }

    /// The same if the caller knows the block's size.
    static func retire(_ block: UnsafeMutableRawPointer, size: Int) {
        shared.retire(block, size: size)
    }

    /// Number of blocks that wait to be freed.
    public static var waitingCount: Int { shared.waiting.load(ordering: .relaxed) }

    /// Their bytes.
    public static var waitingSize: Int { shared.waitingSize.load(ordering: .relaxed) }

    /// Frees all blocks that can be freed now. Blocks held by a running tick are freed at its end.
    /// For threads that serve no clients.
    static func collectAll() {
        guard shared.waiting.load(ordering: .sequentiallyConsistent) > 0 else { return }
        _ = shared.collect(limit: .max)
    }

    private static let shared = State()

    struct Retired {
        let block: UInt
        let size: Int
        let epoch: UInt64
    }

    /// Blocks in the order of retirement; those before `first` are freed.
    struct Queue: Sendable {
        var blocks: [Retired] = []
        var first = 0

        /// Takes blocks of epochs before `epoch` from the front, up to `target.count`. Returns
        /// their number and bytes.
        mutating func take(before epoch: UInt64, into target: UnsafeMutableBufferPointer<UInt>)
            -> (count: Int, size: Int)
        {
            var count = 0
            var size = 0
            while count < target.count, first < blocks.count, blocks[first].epoch < epoch {
                target[count] = blocks[first].block
                size += blocks[first].size
                first += 1
                count += 1
            }
            if first == blocks.count {
                blocks.removeAll(keepingCapacity: blocks.capacity <= 8192)
                first = 0
            } else if first >= 1024 && first * 2 >= blocks.count {
                // Why half: each block then moves at most once per freed block.
                blocks.removeFirst(first)
                first = 0
            }
            return (count, size)
        }
    }

    final class State: Sendable {
        let epoch = Atomic<UInt64>(1)
        let registered = Atomic<Int>(0)
        /// Numbers that were given back.
        let unused = Mutex<[Int]>([])
        let waiting = Atomic<Int>(0)
        let waitingSize = Atomic<Int>(0)
        let queue = Mutex(Queue())
        let sleeperCount = Atomic<Int>(0)
        // Safety: all of these are allocated once and never freed. Each word is atomic; only its
        // participant accesses a beginning.
        nonisolated(unsafe) let words: UnsafeMutablePointer<Atomic<UInt64>>
        /// When each participant's last tick began, by `martlet_ticks`.
        nonisolated(unsafe) let beginnings: UnsafeMutablePointer<UInt64>
        private nonisolated(unsafe) let sleepLock: UnsafeMutablePointer<pthread_mutex_t>
        private nonisolated(unsafe) let tickEnd: UnsafeMutablePointer<pthread_cond_t>

        init() {
            words = .allocate(capacity: participantCountMax)
            for index in 0..<participantCountMax { (words + index).initialize(to: Atomic(0)) }
            beginnings = .allocate(capacity: participantCountMax)
            beginnings.initialize(repeating: 0, count: participantCountMax)
            sleepLock = .allocate(capacity: 1)
            sleepLock.initialize(to: pthread_mutex_t())
            pthread_mutex_init(sleepLock, nil)
            tickEnd = .allocate(capacity: 1)
            tickEnd.initialize(to: pthread_cond_t())
            var attributes = pthread_condattr_t()
            pthread_condattr_init(&attributes)
            pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
            pthread_cond_init(tickEnd, &attributes)
            pthread_condattr_destroy(&attributes)
        }

        /// Sleeps until every running tick has ended, or time is up. Returns whether they have
        /// ended. The caller is in no tick.
        @discardableResult
        func waitForQuiet(milliseconds: Milliseconds) -> Bool {
            let epoch = epoch.wrappingAdd(1, ordering: .sequentiallyConsistent).oldValue
            var deadline = Clock.deadline(after: milliseconds)
            pthread_mutex_lock(sleepLock)
            // Order: before the words are checked; see `leave`. A tick that ends after that check
            // finds the sleeper. It cannot signal before the sleep begins, because it needs the
            // lock.
            sleeperCount.wrappingAdd(1, ordering: .sequentiallyConsistent)
            var isOver = false
            while oldestEpoch <= epoch && !isOver {  // Bound: the deadline.
                isOver = pthread_cond_timedwait(tickEnd, sleepLock, &deadline) != 0
            }
            sleeperCount.wrappingSubtract(1, ordering: .sequentiallyConsistent)
            pthread_mutex_unlock(sleepLock)
            return oldestEpoch > epoch
        }

        @inline(never)
        func tickEnded() {
            pthread_mutex_lock(sleepLock)
            pthread_cond_broadcast(tickEnd)
            pthread_mutex_unlock(sleepLock)
        }

        /// Blocks retired before this epoch may be freed: the epoch of the oldest running tick, or
        /// the current one. Why no later if no tick runs: one may begin after this check and find
        /// blocks retired after that.
        var oldestEpoch: UInt64 {
            var oldest = epoch.load(ordering: .sequentiallyConsistent)
            // Order: invariant 3.
            atomicMemoryFence(ordering: .sequentiallyConsistent)
            for index in 0..<min(registered.load(ordering: .relaxed), participantCountMax) {
                // Order: acquiring, so that reads of the blocks happen before they are freed.
                let word = words[index].load(ordering: .acquiring)
                if word != 0 { oldest = min(oldest, word) }
            }
            return oldest
        }

        func retire(_ block: UnsafeMutableRawPointer, size: Int) {
            queue.withLock { queue in
                // Why under the lock: invariant 2.
                let epoch = self.epoch.wrappingAdd(1, ordering: .sequentiallyConsistent).oldValue
                queue.blocks.append(
                    Retired(block: UInt(bitPattern: block), size: size, epoch: epoch))
            }
            waitingSize.wrappingAdd(size, ordering: .relaxed)
            // Order: invariant 4.
            waiting.wrappingAdd(1, ordering: .sequentiallyConsistent)
        }

        /// Frees up to `limit` blocks. Returns whether more may be freed.
        func collect(limit: Int) -> Bool {
            let oldest = oldestEpoch
            var freed = 0
            return withUnsafeTemporaryAllocation(of: UInt.self, capacity: 256) { batch in
                while freed < limit {  // Bound: each turn frees a batch, or is the last.
                    // Safety: used only during the call, on this thread.
                    nonisolated(unsafe) let target = batch
                    let (count, size) = queue.withLock { $0.take(before: oldest, into: target) }
                    for index in 0..<count {
                        if let block = UnsafeMutableRawPointer(bitPattern: batch[index]) {
                            Block.free(block)
                        }
                    }
                    waitingSize.wrappingSubtract(size, ordering: .relaxed)
                    waiting.wrappingSubtract(count, ordering: .relaxed)
                    freed += count
                    if count < batch.count { return false }
                }
                return true
            }
        }
    }
}
