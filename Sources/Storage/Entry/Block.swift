// SPDX-License-Identifier: Apache-2.0
import Base
import CAllocator

/// Blocks of memory from jemalloc, charged at their true size: the size class, not the requested
/// size.
public enum Block {
    /// A block of at least `size` bytes, aligned to 16.
    @inline(__always)
    public static func allocate(_ size: Int) -> UnsafeMutableRawPointer {
        guard let block = mallocx(size, 0) else { fatal("out of memory: \(size) bytes") }
        return block
    }

    /// A block of at least `size` bytes that begins on a cache line.
    public static func allocateLines(_ size: Int) -> UnsafeMutableRawPointer {
        // 6 is jemalloc's MALLOCX_LG_ALIGN(6): two to the sixth is 64.
        guard let block = mallocx(size, 6) else { fatal("out of memory: \(size) bytes") }
        precondition(UInt(bitPattern: block) >> 48 == 0, "an address needs more than 48 bits")
        return block
    }

    /// The true size of the block at `address`.
    @inline(__always)
    public static func size(_ address: UnsafeMutableRawPointer) -> Int { sallocx(address, 0) }

    /// The true size of a block of `size` bytes.
    static func sizeClass(_ size: Int) -> Int { nallocx(size, 0) }

    @inline(__always)
    public static func free(_ address: UnsafeMutableRawPointer) { dallocx(address, 0) }

    /// Resizes or moves the block to hold at least `size` bytes, and keeps its first bytes.
    public static func reallocate(
        _ address: UnsafeMutableRawPointer, _ size: Int
    ) -> UnsafeMutableRawPointer {
        guard let block = rallocx(address, size, 0) else { fatal("out of memory: \(size) bytes") }
        return block
    }
}
