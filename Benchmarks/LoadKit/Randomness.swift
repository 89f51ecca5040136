// SPDX-License-Identifier: Apache-2.0

/// A seeded generator of 64-bit numbers, so that a run can be repeated exactly.
///
/// Why not the system's generator: it has no seed and is too slow for several numbers per request.
/// Every thread derives its own stream from the seed and its index.
public struct Randomness: RandomNumberGenerator, Sendable {
    private var state: UInt64

    public init(seed: UInt64, stream: Int = 0) {
        // The streams start at unrelated points of the same cycle.
        state =
            Randomness.mix(seed)
            ^ Randomness.mix(UInt64(bitPattern: Int64(stream)) &+ 0x9E37_79B9_7F4A_7C15)
    }

    public mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        return Randomness.mix(state)
    }

    /// A number in `0..<bound`. The multiplication is biased by at most bound / 2^64.
    public mutating func below(_ bound: Int) -> Int {
        Int(next().multipliedFullWidth(by: UInt64(bound)).high)
    }

    /// A number in `0..<1` with 53 random bits.
    public mutating func fraction() -> Double {
        Double(next() >> 11) * 0x1p-53
    }

    private static func mix(_ value: UInt64) -> UInt64 {
        var mixed = value
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
