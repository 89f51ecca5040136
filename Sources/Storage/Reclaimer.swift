// SPDX-License-Identifier: Apache-2.0
import Base
import Synchronization

/// Frees what takes long to free, on a thread of its own: the tables of a flush or of a deleted
/// tenant, a collection of a million members.
///
/// Why it waits for a quiet moment first, once for each table: then nobody can be reading its
/// segments, and they are freed here and not at the end of somebody's tick.
public final class Reclaimer: Sendable {
    private let queue = Mutex<[Table]>([])
    private let isRunning = Atomic<Bool>(false)
    private let wasWoken = Atomic<Bool>(false)
    /// Entries that wait to be freed.
    public let pendingCount = Atomic<Int>(0)
    /// Bytes that wait to be freed: nobody is charged for them any more.
    public let pendingSize = Atomic<Int>(0)
    /// Entries freed here since the start, or since the statistics were reset.
    public let freedCount = Atomic<Int>(0)

    public init() {}

    /// The one of the process, as there is one allocator.
    public static let shared = Reclaimer()

    /// Takes over a table and frees it soon. The caller has uncharged it and replaced it.
    public func free(_ table: Table) {
        guard table.count > 64 else {
            var table = table
            table.freeAll()
            return
        }
        pendingCount.wrappingAdd(table.count, ordering: .relaxed)
        pendingSize.wrappingAdd(table.allocatedSize, ordering: .relaxed)
        queue.withLock { $0.append(table) }
        ensureRunning()
    }

    /// There are more retired blocks than a tick should free.
    func wake() {
        wasWoken.store(true, ordering: .sequentiallyConsistent)
        ensureRunning()
    }

    private func ensureRunning() {
        if !isRunning.exchange(true, ordering: .sequentiallyConsistent) { start() }
    }

    /// A thread for what is queued now; it ends when the queue is empty, so that an idle server has
    /// none.
    private func start() {
        if let thread = Thread("reclaimer", { self.drain() }) {
            thread.detach()
        } else {
            // Why here all the same, without waiting: the caller's own tick is running.
            drain(waiting: false)
        }
    }

    private func drain(waiting: Bool = true) {
        while true {  // Bound: one turn for each queued table.
            if wasWoken.exchange(false, ordering: .sequentiallyConsistent) {
                if waiting { Reclamation.waitForQuiet() }
                Reclamation.collectAll()
            }
            guard var table = queue.withLock({ $0.popLast() }) else { break }
            let count = table.count
            let size = table.allocatedSize
            if waiting { Reclamation.waitForQuiet() }
            table.freeAll(isUnreachable: waiting)
            pendingCount.wrappingSubtract(count, ordering: .relaxed)
            freedCount.wrappingAdd(count, ordering: .relaxed)
            pendingSize.wrappingSubtract(size, ordering: .relaxed)
        }
        // Order: sequentially consistent, as the store must be seen before the last look is taken:
        // whoever queues something either finds nobody running, or is found by that look.
        isRunning.store(false, ordering: .sequentiallyConsistent)
        let more =
            queue.withLock { !$0.isEmpty } || wasWoken.load(ordering: .sequentiallyConsistent)
        if more { ensureRunning() }
    }
}
