// SPDX-License-Identifier: Apache-2.0
import Base
import CAllocator
import CLinux
import Synchronization

/// Frees memory that nothing refers to any more: the tables of a flush or of a deleted tenant, and
/// what values own. The caller frees small garbage itself; a thread frees large garbage part by
/// part (`Garbage`).
///
/// Why it need not wait: entries can be freed while ticks run, because no thread reads one without
/// its shard's lock. Segments and directories of shards, which a tick may still read, are retired
/// instead and freed at the end of ticks (`Reclamation`). So a long tick delays neither the queue
/// nor the memory of the values in it.
///
/// Queued garbage belongs to no tenant but still takes memory. It counts against `maxmemory`. It
/// cannot grow without bound, even if the thread gets little time. Above `pressureSize`,
///
/// - a thread that frees a value also frees some parts, as many as it brings, up to a maximum: that
///   bounds many small values made and deleted within one tick;
/// - every thread spends a quarter of its time between two ticks on it (`Participant.pressBack`):
///   that bounds large values;
/// - with `maxmemory`, a write that finds no room first frees some parts, and is refused while much
///   more waits (`makeRoom`).
///
/// Invariants:
/// 1. `pendingSize` is what the parts in the queue will give back, with all that their entries own,
///    to the byte: every part subtracts what it frees.
/// 2. If the queue is not empty, the thread is about to check it.
public final class Reclaimer: Sendable {
    private let queue = Mutex<[Garbage]>([])
    private let isStarted = Atomic<Bool>(false)
    let isRunning = Atomic<Bool>(false)
    /// Raised when `isRunning` is set; the thread sleeps on it.
    private let semaphore = Semaphore()
    private let wasWoken = Atomic<Bool>(false)
    private let mustReturnPages = Atomic<Bool>(false)
    /// Entries that wait to be freed.
    public let pendingCount = Atomic<Int>(0)
    /// Bytes that wait to be freed.
    public let pendingSize = Atomic<Int>(0)
    /// Entries freed in the background since the start, or since statistics were reset.
    public let freedCount = Atomic<Int>(0)
    /// Starts a thread that runs `body`; false if the system refuses.
    typealias ThreadStart = @Sendable (_ body: @escaping @Sendable () -> Void) -> Bool
    private let startThread: ThreadStart

    /// More queued bytes than this are too many. Why 16 MB: the thread frees that in some 30 ms. So
    /// only one large collection exceeds it, or a thread that cannot run. And a server to which 16
    /// MB matter has a `maxmemory`, which counts them.
    static let pressureSize = 16 << 20

    /// The most parts that a command frees while it holds its shards: 2,816 entries and 256 KB of
    /// what they own, some 300 µs.
    static let partsInCommandMax = 8

    init(startThread: @escaping ThreadStart = Reclaimer.startThread) {
        self.startThread = startThread
    }

    static let startThread: ThreadStart = { body in
        guard let thread = Thread("reclaimer", body) else { return false }
        thread.detach()
        return true
    }

    /// One per process, because there is one allocator.
    public static let shared = Reclaimer()

    /// Frees a whole table, which the caller has uncharged and replaced.
    public func free(_ table: Table) { accept(Garbage(table)) }

    /// Frees what a value owns, which the caller has uncharged.
    func free(_ owned: Owned) {
        let garbage = owned.discard()
        accept(garbage)
        guard isPressed else { return }
        // Why half a segment per part: grown segments are at least 64 % full, and shrunk ones less.
        freeParts(min(garbage.count / 128 + 1, Reclaimer.partsInCommandMax))
    }

    /// Whether too many bytes wait.
    var isPressed: Bool { pendingSize.load(ordering: .relaxed) > Reclaimer.pressureSize }

    private func accept(_ garbage: Garbage) {
        pendingSize.wrappingAdd(garbage.size, ordering: .relaxed)
        if garbage.isSmall { freeAll(garbage) } else { enqueue(garbage) }
    }

    /// Frees small garbage that `pendingSize` already counts.
    private func freeAll(_ garbage: consuming Garbage) {
        while let part = garbage.takePart() { free(part) }  // Bound: it is small.
    }

    /// Queues garbage that `pendingSize` already counts.
    private func enqueue(_ garbage: Garbage) {
        pendingCount.wrappingAdd(garbage.count, ordering: .relaxed)
        queue.withLock { $0.append(garbage) }
        ensureRunning()
    }

    private func free(_ part: Garbage.Part) {
        var room = Reclaimer.nestedSizeMax
        let size = part.free { owned in
            // Why not all at once: one part may own 352 large sets.
            let garbage = owned.discard()
            room -= garbage.size
            if room >= 0 { freeAll(garbage) } else { enqueue(garbage) }
        }
        pendingSize.wrappingSubtract(size, ordering: .relaxed)
    }

    /// The most bytes that the values of one part free at once; the rest is queued.
    private static let nestedSizeMax = 32 << 10

    // MARK: - The queue

    /// Frees the next part in the queue. False if there is none. Several threads may do so
    /// together; each part goes to one of them.
    private func freePart() -> Bool {
        let part = queue.withLock { queue -> Garbage.Part? in
            while !queue.isEmpty {  // Bound: each turn takes a part or shortens the queue.
                // Why the last: what was just queued may still be in the cache.
                if let part = queue[queue.count - 1].takePart() { return part }
                queue.removeLast()
            }
            return nil
        }
        guard let part else { return false }
        let count = part.entryCount
        free(part)
        pendingCount.wrappingSubtract(count, ordering: .relaxed)
        freedCount.wrappingAdd(count, ordering: .relaxed)
        return true
    }

    /// Frees up to `limit` parts on the calling thread.
    func freeParts(_ limit: Int) {
        for _ in 0..<limit {
            guard freePart() else { return }
        }
    }

    /// Frees parts on the calling thread until a moment of `martlet_ticks`, or until no more than
    /// `pressureSize` waits.
    func freeParts(until deadline: UInt64) {
        while isPressed, martlet_ticks() < deadline, freePart() {}  // Bound: the deadline.
    }

    // MARK: - The thread

    /// Makes the thread return freed pages to the system.
    func returnPages() {
        mustReturnPages.store(true, ordering: .relaxed)
        wake()
    }

    /// Called when there are more retired blocks than a tick should free.
    func wake() {
        wasWoken.store(true, ordering: .sequentiallyConsistent)
        ensureRunning()
    }

    /// Starts the thread, which never ends, unless it was started. Returns false if the system
    /// refuses.
    ///
    /// The server calls this before it serves: most garbage is queued under a shard's lock, whose
    /// holder must not block, and starting a thread may. Waking one does not. Tests need not call
    /// it.
    public func start() -> Bool {
        if isStarted.exchange(true, ordering: .acquiringAndReleasing) { return true }
        let hasStarted = startThread {
            while true {  // Bound: none; the thread lives as long as the process.
                self.semaphore.wait()
                let size = self.pendingSize.load(ordering: .relaxed)
                self.drain()
                // Why: its cache of freed memory would stay as large as the work made it.
                mallctl("thread.tcache.flush", nil, nil, nil, 0)
                // Why after much garbage: the allocator returns pages only as it is called, and
                // after FLUSHALL little calls it.
                if self.mustReturnPages.exchange(false, ordering: .relaxed)
                    || size > Reclaimer.pressureSize
                {
                    returnFreedPages()
                }
            }
        }
        if !hasStarted { isStarted.store(false, ordering: .releasing) }
        return hasStarted
    }

    /// Wakes the thread unless it runs.
    private func ensureRunning() {
        // Order: sequentially consistent, as in `drain`.
        guard !isRunning.exchange(true, ordering: .sequentiallyConsistent) else { return }
        if start() {
            semaphore.post()
        } else {
            // The queue waits for the next call, and for threads that press back.
            isRunning.store(false, ordering: .sequentiallyConsistent)
        }
    }

    private func drain() {
        while true {  // Bound: each turn frees what was queued during the turn before.
            _ = wasWoken.exchange(false, ordering: .sequentiallyConsistent)
            var count = 0
            while freePart() {  // Bound: the queue.
                count += 1
                if count % 64 == 0 { Reclamation.collectAll() }
            }
            Reclamation.collectAll()
            // Order: sequentially consistent, because the store must be visible before the last
            // check. A thread that queues garbage then either finds no thread running, or this
            // check finds the garbage.
            isRunning.store(false, ordering: .sequentiallyConsistent)
            let isDone =
                queue.withLock { $0.isEmpty } && !wasWoken.load(ordering: .sequentiallyConsistent)
            if isDone || isRunning.exchange(true, ordering: .sequentiallyConsistent) { return }
        }
    }
}
