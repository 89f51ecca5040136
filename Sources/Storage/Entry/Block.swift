// SPDX-License-Identifier: Apache-2.0
import Base
import CAllocator

/// Blocks of memory from jemalloc, charged at their true size: the size class, not the size asked
/// for.
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

    /// What the block at `address` really takes.
    @inline(__always)
    public static func size(_ address: UnsafeMutableRawPointer) -> Int { sallocx(address, 0) }

    /// What a block of `size` bytes really takes.
    static func sizeClass(_ size: Int) -> Int { nallocx(size, 0) }

    @inline(__always)
    public static func free(_ address: UnsafeMutableRawPointer) { dallocx(address, 0) }

    /// The block moved or resized so that it holds at least `size` bytes; its first bytes are kept.
    public static func reallocate(
        _ address: UnsafeMutableRawPointer, _ size: Int
    ) -> UnsafeMutableRawPointer {
        guard let block = rallocx(address, size, 0) else { fatal("out of memory: \(size) bytes") }
        return block
    }
}
