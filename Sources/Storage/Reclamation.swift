// SPDX-License-Identifier: Apache-2.0
import Base
import CLinux
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
/// 4. Nothing waits once no tick runs: whoever retires looks at the words behind it, or is in a
///    tick; a tick that ends stores its word before it looks at what waits. Of the two, one sees
///    the other's.
public enum Reclamation {
    public static let participantCountMax = 256
    /// How many blocks one tick frees at its end; what is beyond is left to the reclaimer's thread.
    static let freedInTickMax = 1024
    /// More bytes than this are retired only where a tick takes long while others replace a lot:
    /// inserting a million keys retires 75 MB of segments. Threads then wait between their ticks.
    static let pressureSize = 16 << 20
    /// The longest such wait. Why there is one: a tick that never ends holds memory, not the
    /// server.
    static let waitMilliseconds: Milliseconds = 100

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
            shared.beginnings[number] = martlet_ticks()
            // Order: releasing, so that who sees it has the reads of the ticks before behind him.
            shared.words[number].store(shared.epoch.load(ordering: .relaxed), ordering: .releasing)
            // Order: invariant 3. A sequentially consistent store is not enough: plain loads behind
            // it may be done before it.
            atomicMemoryFence(ordering: .sequentiallyConsistent)
        }

        /// Ends a tick, and frees what has become free.
        public func leave() {
            let shared = Reclamation.shared
            // Order: sequentially consistent, here and in the next two loads: invariant 4, and the
            // same for whoever sleeps until a tick ends.
            shared.words[number].store(0, ordering: .sequentiallyConsistent)
            let hasSleepers = shared.sleeperCount.load(ordering: .sequentiallyConsistent) > 0
            if hasSleepers { shared.tickEnded() }
            guard shared.waiting.load(ordering: .sequentiallyConsistent) > 0 else { return }
            if shared.collect(limit: freedInTickMax) { Reclaimer.shared.wake() }
        }

        /// Called between two ticks, under no lock. While more waits to be freed than should, the
        /// thread frees values for a quarter of the time that its tick took, or sleeps until the
        /// ticks of others have ended. Returns whether it did.
        ///
        /// Why a quarter: making a value takes at least four times as long as freeing it, so that
        /// no number of threads makes garbage faster than it goes.
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

    /// The same where the caller knows what the block takes.
    static func retire(_ block: UnsafeMutableRawPointer, size: Int) {
        shared.retire(block, size: size)
    }

    /// Blocks that wait to be freed.
    public static var waitingCount: Int { shared.waiting.load(ordering: .relaxed) }

    /// Their bytes.
    public static var waitingSize: Int { shared.waitingSize.load(ordering: .relaxed) }

    /// Frees all that can be freed now; what a running tick holds goes at the end of that tick. For
    /// threads that serve nobody.
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

    /// Blocks in the order in which they were retired; those before `first` are freed.
    struct Queue: Sendable {
        var blocks: [Retired] = []
        var first = 0

        /// Takes up to `target.count` blocks of epochs before `epoch` off the front. Returns how
        /// many, and their bytes.
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
                // Why half: each block is then moved once for each that was freed.
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
        // Safety: all of these are allocated once, for ever. Each word is atomic; a beginning is
        // its participant's own.
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

        /// Sleeps until every tick that is running now has ended, or the time is over. Returns
        /// whether they have. The caller is in no tick.
        @discardableResult
        func waitForQuiet(milliseconds: Milliseconds) -> Bool {
            let epoch = epoch.wrappingAdd(1, ordering: .sequentiallyConsistent).oldValue
            var deadline = timespec()
            clock_gettime(CLOCK_MONOTONIC, &deadline)
            deadline.tv_sec += Int(milliseconds / 1000)
            deadline.tv_nsec += Int(milliseconds % 1000) * 1_000_000
            if deadline.tv_nsec >= 1_000_000_000 {
                deadline.tv_sec += 1
                deadline.tv_nsec -= 1_000_000_000
            }
            pthread_mutex_lock(sleepLock)
            // Order: before the look at the words; see `leave`. A tick that ends after that look
            // finds the sleeper, and cannot wake it before it sleeps, as it needs the lock.
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

        /// Frees up to `limit` blocks. Whether there may be more that could be freed.
        func collect(limit: Int) -> Bool {
            let oldest = oldestEpoch
            var freed = 0
            return withUnsafeTemporaryAllocation(of: UInt.self, capacity: 256) { batch in
                while freed < limit {  // Bound: each turn frees a batch, or is the last.
                    // Safety: used during the call alone, on this thread.
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
