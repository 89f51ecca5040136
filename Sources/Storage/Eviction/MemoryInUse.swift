// SPDX-License-Identifier: Apache-2.0
import Base
import Synchronization

// What `maxmemory` bounds: the whole process, as in Redis. The sizes of tables, of waiting garbage
// and of what clients hold are always known exactly. For all other memory (connections, threads'
// buffers, the program's own objects) the allocator is asked now and then, because that takes some
// microseconds.
//
// A container is ended for what is resident, which is more. So freed pages that the allocator keeps
// are returned to the system if they would exceed `maxmemory`, and gaps between allocations count
// as far as they exceed a sixteenth of it.
extension TenantRegistry {
    /// How long a measurement is used: less if freed pages must be watched.
    private static let measureInterval: Milliseconds = 100
    private static let measureIntervalNearLimit: Milliseconds = 10
    /// How far resident memory may exceed `maxmemory` before freed pages are returned. Why not at
    /// once: the next values need pages again, and each costs a fault.
    private static let residentExcessMax = 8 << 20

    /// Bytes that count against `maxmemory`, including those that wait to be freed.
    @inline(__always)
    public var memoryInUse: Int { lastingMemory + TenantRegistry.unfreedMemory }

    /// `memoryInUse` without bytes that wait to be freed. Eviction uses this: evicting more because
    /// evicted entries are not freed yet would empty the server.
    @inline(__always)
    public var lastingMemory: Int {
        settledMemory.load(ordering: .relaxed) + clientMemory.load(ordering: .relaxed)
            + otherMemory.load(ordering: .relaxed)
    }

    /// Bytes that belong to no tenant any more and wait to be freed.
    private static var unfreedMemory: Int {
        Reclaimer.shared.pendingSize.load(ordering: .relaxed) + Reclamation.waitingSize
    }

    /// Measures again if the last measurement is old. `now` is monotonic.
    @inline(__always)
    public func measureOtherMemory(now: Milliseconds) {
        let last = otherMemoryMeasuredAt.load(ordering: .relaxed)
        if now >= last + TenantRegistry.measureIntervalNearLimit {
            measureOtherMemory(now: now, last: last)
        }
    }

    @inline(never)
    private func measureOtherMemory(now: Milliseconds, last: Milliseconds) {
        let isNear = isNearLimit.load(ordering: .relaxed)
        guard isNear || now >= last + TenantRegistry.measureInterval,
            otherMemoryMeasuredAt.compareExchange(
                expected: last, desired: now, ordering: .relaxed
            ).exchanged
        else { return }
        guard let pages = AllocatedPages.measure() else { return }
        let known =
            settledMemory.load(ordering: .relaxed) + clientMemory.load(ordering: .relaxed)
            + TenantRegistry.unfreedMemory
        let memoryMax = settings.memoryMax
        let gapsMax = memoryMax > 0 ? memoryMax / 16 : Int.max / 2
        let counted = max(pages.allocated, pages.active - gapsMax)
        otherMemory.store(max(0, counted - known), ordering: .relaxed)
        guard memoryMax > 0 else { return }
        isNearLimit.store(pages.resident > memoryMax / 8 * 7, ordering: .relaxed)
        let excess = pages.resident - memoryMax
        if excess > TenantRegistry.residentExcessMax, pages.kept > excess / 2 {
            Reclaimer.shared.returnPages()
        }
    }
}

extension Reference where Pointee == Worker {
    /// Bytes that count against `maxmemory`.
    @inline(__always)
    public var memoryInUse: Int {
        pointee.unmanagedRegistry._withUnsafeGuaranteedRef { $0.memoryInUse }
    }
}
