// SPDX-License-Identifier: Apache-2.0
import Base
import CAllocator
import Synchronization

// What `maxmemory` bounds: the whole process, as in Redis. Tables and what waits to be freed are
// known exactly at any moment; what else is allocated (connections, buffers, code's own objects) is
// asked of the allocator every so often, as the question takes some microseconds.
extension TenantRegistry {
    /// How long a measure is good for.
    private static let measureInterval: Milliseconds = 100

    /// Bytes that count against `maxmemory`. What waits to be freed is among them.
    @inline(__always)
    public var memoryInUse: Int { lastingMemory + TenantRegistry.unfreedMemory }

    /// `memoryInUse` without what waits to be freed. Eviction goes by it: to evict more because
    /// what was evicted is not yet freed would empty the server.
    @inline(__always)
    public var lastingMemory: Int {
        settledMemory.load(ordering: .relaxed) + otherMemory.load(ordering: .relaxed)
    }

    /// Bytes that are nobody's any more and wait to be freed.
    private static var unfreedMemory: Int {
        Reclaimer.shared.pendingSize.load(ordering: .relaxed) + Reclamation.waitingSize
    }

    /// Asks the allocator anew if the last answer is older than a tenth of a second.
    public func measureOtherMemory(now: Milliseconds) {
        let last = otherMemoryMeasuredAt.load(ordering: .relaxed)
        guard now < last || now - last >= TenantRegistry.measureInterval,
            otherMemoryMeasuredAt.compareExchange(
                expected: last, desired: now, ordering: .relaxed
            ).exchanged
        else { return }
        var epoch: UInt64 = 1
        mallctl("epoch", nil, nil, &epoch, MemoryLayout<UInt64>.size)
        var allocated = 0
        var size = MemoryLayout<Int>.size
        guard mallctl("stats.allocated", &allocated, &size, nil, 0) == 0 else { return }
        let known = settledMemory.load(ordering: .relaxed) + TenantRegistry.unfreedMemory
        otherMemory.store(max(0, allocated - known), ordering: .relaxed)
    }
}

extension Reference where Pointee == Worker {
    /// Bytes that count against `maxmemory`.
    @inline(__always)
    public var memoryInUse: Int {
        pointee.unmanagedRegistry._withUnsafeGuaranteedRef { $0.memoryInUse }
    }
}
