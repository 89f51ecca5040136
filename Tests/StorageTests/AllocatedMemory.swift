// SPDX-License-Identifier: Apache-2.0
import CAllocator
import Testing

/// What the calling thread has taken from the allocator and not given back. Other tests run beside,
/// so the process's sum would say little.
enum AllocatedMemory {
    /// Only jemalloc counts by thread; a build for a sanitizer goes without.
    static let isCounted = (try? number("thread.allocated")) != nil
    /// Such a build gives exactly what it is asked for.
    static let hasSizeClasses = isCounted

    static func bytes() throws -> Int {
        try Int(truncatingIfNeeded: number("thread.allocated"))
            - Int(truncatingIfNeeded: number("thread.deallocated"))
    }

    struct NotCounted: Error {}

    private static func number(_ name: String) throws -> UInt64 {
        var value: UInt64 = 0
        var size = MemoryLayout<UInt64>.size
        guard mallctl(name, &value, &size, nil, 0) == 0 else { throw NotCounted() }
        return value
    }
}
