// SPDX-License-Identifier: Apache-2.0
import CLinux
import Glibc

/// xorshift64* (Vigna 2016): random enough to pick keys by, a few instructions, one word of state.
public struct Random: Sendable {
    private var state: UInt64

    /// Seeded by the kernel.
    public init() {
        var seed: UInt64 = 0
        let drawn = getrandom(&seed, MemoryLayout<UInt64>.size, 0)
        self.init(seed: drawn == MemoryLayout<UInt64>.size ? seed : 0)
    }

    public init(seed: UInt64) { state = seed == 0 ? 0x9E37_79B9_7F4A_7C15 : seed }

    @inline(__always)
    public mutating func next() -> UInt64 {
        state ^= state >> 12
        state ^= state << 25
        state ^= state >> 27
        return state &* 0x2545_F491_4F6C_DD1D
    }

    /// A number in 0 ..< `bound`; `bound` must be at least 1.
    @inline(__always)
    public mutating func next(below bound: UInt64) -> UInt64 {
        next().multipliedFullWidth(by: bound).high
    }
}
