// SPDX-License-Identifier: Apache-2.0
import Base
import CLinux
import Synchronization

/// Frees what nobody can find any more: the tables of a flush or of a deleted tenant, and what
/// values own. Small garbage is freed by whoever brings it; large garbage by a thread of its own,
/// part by part (`Garbage`).
///
/// Why it waits for nothing: entries are freed while ticks run, as nobody reads one without its
/// shard's lock. What a tick may still read, the segments and directories of shards, is retired
/// instead, and the ends of the ticks free it (`Reclamation`). So a long tick holds up neither the
/// queue nor the memory of the values in it.
///
/// What waits is nobody's but still takes memory. It counts against `maxmemory`, and it cannot grow
/// without bound, even where the thread gets little time. Above `pressureSize`,
///
/// - whoever frees a value frees some parts too, as many as it brings if those are few: that bounds
///   many small values, made and deleted within one tick;
/// - every thread gives a quarter of its time between two ticks (`Participant.pressBack`): that
///   bounds large values;
/// - with `maxmemory`, a write that finds no room frees some parts first, and is refused while much
///   more waits (`makeRoom`).
///
/// Invariants:
/// 1. `pendingSize` is what the parts in the queue will give back, with all that their entries own:
///    to the byte, as every part subtracts what it frees.
/// 2. Where the queue is not empty, a thread is about to look at it.
public final class Reclaimer: Sendable {
    private let queue = Mutex<[Garbage]>([])
    private let isRunning = Atomic<Bool>(false)
    private let wasWoken = Atomic<Bool>(false)
    /// Entries that wait to be freed.
    public let pendingCount = Atomic<Int>(0)
    /// Bytes that wait to be freed.
    public let pendingSize = Atomic<Int>(0)
    /// Entries freed in the background since the start, or since the statistics were reset.
    public let freedCount = Atomic<Int>(0)
    /// Starts a thread that runs `body`; false if the system refuses.
    typealias ThreadStart = @Sendable (_ body: @escaping @Sendable () -> Void) -> Bool
    private let startThread: ThreadStart

    /// More bytes than this should not wait. Why 16 MB: the thread frees that in some 30 ms, so
    /// that it is exceeded only by one large collection or where the thread is kept from running;
    /// and a server that minds 16 MB has a `maxmemory`, which counts them.
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

    /// The one of the process, as there is one allocator.
    public static let shared = Reclaimer()

    /// Takes over a whole table, which the caller has uncharged and replaced.
    public func free(_ table: Table) { accept(Garbage(table)) }

    /// Takes over what a value owns, which the caller has uncharged.
    func free(_ owned: Owned) {
        let garbage = owned.discard()
        accept(garbage)
        guard isPressed else { return }
        // Why about half a segment for each part: segments are 64 % full or more when they have
        // grown, and less when they have shrunk.
        freeParts(min(garbage.count / 128 + 1, Reclaimer.partsInCommandMax))
    }

    /// Whether more waits than should.
    var isPressed: Bool { pendingSize.load(ordering: .relaxed) > Reclaimer.pressureSize }

    private func accept(_ garbage: Garbage) {
        pendingSize.wrappingAdd(garbage.size, ordering: .relaxed)
        if garbage.isSmall { freeAll(garbage) } else { enqueue(garbage) }
    }

    /// Frees what is counted in `pendingSize` already, and small.
    private func freeAll(_ garbage: consuming Garbage) {
        while let part = garbage.takePart() { free(part) }  // Bound: it is small.
    }

    /// Queues what is counted in `pendingSize` already.
    private func enqueue(_ garbage: Garbage) {
        pendingCount.wrappingAdd(garbage.count, ordering: .relaxed)
        queue.withLock { $0.append(garbage) }
        ensureRunning()
    }

    private func free(_ part: Garbage.Part) {
        var room = Reclaimer.nestedSizeMax
        let size = part.free { owned in
            // Why not all at once: there may be 352 large sets behind one part.
            let garbage = owned.discard()
            room -= garbage.size
            if room >= 0 { freeAll(garbage) } else { enqueue(garbage) }
        }
        pendingSize.wrappingSubtract(size, ordering: .relaxed)
    }

    /// The most bytes that the values in one part give back at once; what is beyond is queued.
    private static let nestedSizeMax = 32 << 10

    // MARK: - The queue

    /// Frees the next part in the queue; false where there is none. Threads may do so together:
    /// each part is taken by one.
    private func freePart() -> Bool {
        let part = queue.withLock { queue -> Garbage.Part? in
            while !queue.isEmpty {  // Bound: each turn takes a part or shortens the queue.
                // Why the last: what was queued just now may still be in the cache.
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

    /// Frees parts on the calling thread until a moment of `martlet_ticks`, or until no more wait
    /// than should.
    func freeParts(until deadline: UInt64) {
        while isPressed, martlet_ticks() < deadline, freePart() {}  // Bound: the deadline.
    }

    // MARK: - The thread

    /// There are more retired blocks than a tick should free.
    func wake() {
        wasWoken.store(true, ordering: .sequentiallyConsistent)
        ensureRunning()
    }

    /// Starts a thread for what is queued now, unless one runs. It ends when the queue is empty, so
    /// that an idle server has none. Where none can be started, the caller frees all.
    private func ensureRunning() {
        // Order: sequentially consistent, as in `drain`.
        guard !isRunning.exchange(true, ordering: .sequentiallyConsistent) else { return }
        if !startThread({ self.drain() }) { drain() }
    }

    private func drain() {
        while true {  // Bound: each turn frees what was brought during the last one.
            _ = wasWoken.exchange(false, ordering: .sequentiallyConsistent)
            var count = 0
            while freePart() {  // Bound: the queue.
                count += 1
                if count % 64 == 0 { Reclamation.collectAll() }
            }
            Reclamation.collectAll()
            // Order: sequentially consistent, as the store must be seen before the last look is
            // taken: whoever queues something either finds nobody running, or is found by that
            // look.
            isRunning.store(false, ordering: .sequentiallyConsistent)
            let isDone =
                queue.withLock { $0.isEmpty } && !wasWoken.load(ordering: .sequentiallyConsistent)
            if isDone || isRunning.exchange(true, ordering: .sequentiallyConsistent) { return }
        }
    }
}
