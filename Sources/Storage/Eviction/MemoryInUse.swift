// SPDX-License-Identifier: Apache-2.0
import Base
import CAllocator
import Synchronization

// What `maxmemory` bounds: the whole process, as in Redis. The sizes of tables, of waiting garbage
// and of what clients hold are always known exactly. For all other memory (connections, threads'
// buffers, the program's own objects) the allocator is asked now and then, because that takes some
// microseconds.
extension TenantRegistry {
    /// How long a measurement is used.
    private static let measureInterval: Milliseconds = 100

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

    /// Measures again if the last measurement is older than a tenth of a second.
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
        let known =
            settledMemory.load(ordering: .relaxed) + clientMemory.load(ordering: .relaxed)
            + TenantRegistry.unfreedMemory
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
