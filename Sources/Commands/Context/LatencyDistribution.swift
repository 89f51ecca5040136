// SPDX-License-Identifier: Apache-2.0

/// How often a command took how long, in buckets that widen with the time: 16 to each power of two,
/// so a bucket is at most a sixteenth wider than the times in it.
///
/// The unit is the caller's. Threads count in ticks, and a reader converts the sum of all threads.
public struct LatencyDistribution: Sendable {
    private static let exactCount = 32
    private static let perPower = 16
    /// The largest index is that of 2^64 - 1.
    public static let bucketCount = exactCount + (64 - 5) * perPower

    public private(set) var counts: [Int]

    public init() { counts = Array(repeating: 0, count: LatencyDistribution.bucketCount) }

    public mutating func add(_ value: UInt64) { counts[LatencyDistribution.bucket(value)] += 1 }

    public mutating func add(_ other: LatencyDistribution) {
        for index in counts.indices { counts[index] += other.counts[index] }
    }

    public var total: Int { counts.reduce(0, +) }

    static func bucket(_ value: UInt64) -> Int {
        guard value >= UInt64(exactCount) else { return Int(value) }
        let power = 63 - value.leadingZeroBitCount
        let part = Int(truncatingIfNeeded: value >> UInt64(power - 4)) & (perPower - 1)
        return exactCount + (power - 5) * perPower + part
    }

    /// The largest value that a bucket counts.
    static func largest(inBucket index: Int) -> UInt64 {
        guard index >= exactCount else { return UInt64(index) }
        let (power, part) = (index - exactCount).quotientAndRemainder(dividingBy: perPower)
        let width = UInt64(1) << UInt64(power + 1)
        return (UInt64(perPower + part) << UInt64(power + 1)) + (width - 1)
    }

    /// The value that `percentile` per cent do not exceed; 0 if nothing was counted.
    public func value(atPercentile percentile: Double) -> UInt64 {
        let total = self.total
        guard total > 0 else { return 0 }
        let wanted = max(1, Int((percentile / 100 * Double(total)).rounded()))
        var seen = 0
        for index in counts.indices {
            seen += counts[index]
            if seen >= wanted { return LatencyDistribution.largest(inBucket: index) }
        }
        return LatencyDistribution.largest(inBucket: counts.count - 1)
    }

    /// How many values do not exceed each of Redis's bounds, which double from 1,024 nanoseconds;
    /// only bounds that add values. `perMicrosecond`: the values' units in a microsecond.
    public func cumulative(perMicrosecond: Double) -> [(microseconds: Int, count: Int)] {
        var found: [(microseconds: Int, count: Int)] = []
        var bound = 1024.0
        var seen = 0
        var shown = 0
        for index in counts.indices where counts[index] > 0 {
            let largest = Double(LatencyDistribution.largest(inBucket: index))
            let nanoseconds = largest * 1000 / perMicrosecond
            while nanoseconds > bound {
                if seen > shown { found.append((LatencyDistribution.shown(bound), seen)) }
                shown = seen
                bound *= 2
            }
            seen += counts[index]
        }
        if seen > shown { found.append((LatencyDistribution.shown(bound), seen)) }
        return found
    }

    /// A bound in microseconds. Redis's histogram has two digits, so its bounds are a little higher
    /// than powers of two.
    private static func shown(_ nanoseconds: Double) -> Int {
        Int((nanoseconds + nanoseconds / 128 - 1) / 1000)
    }
}
