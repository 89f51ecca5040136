// SPDX-License-Identifier: Apache-2.0
import CAllocator
import Testing

/// The memory that the calling thread has allocated and not freed. Other tests run at the same
/// time, so the sum of the process would say little.
enum AllocatedMemory {
    /// Only jemalloc counts per thread; a sanitizer build has no such count.
    static let isCounted = (try? number("thread.allocated")) != nil
    /// A sanitizer build allocates exactly the requested size.
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
