// SPDX-License-Identifier: Apache-2.0
import CAllocator
import Testing

/// What the calling thread has taken from the allocator and not given back. Other tests run beside,
/// so the process's sum would say little.
enum AllocatedMemory {
    static func bytes() throws -> Int {
        try Int(truncatingIfNeeded: number("thread.allocated"))
            - Int(truncatingIfNeeded: number("thread.deallocated"))
    }

    private static func number(_ name: String) throws -> UInt64 {
        var value: UInt64 = 0
        var size = MemoryLayout<UInt64>.size
        try #require(mallctl(name, &value, &size, nil, 0) == 0, "jemalloc counts nothing")
        return value
    }
}
