// SPDX-License-Identifier: Apache-2.0

/// Latencies in nanoseconds, counted in log-linear buckets.
///
/// Why this shape: percentiles far in the tail need every sample, not a reservoir, and merging the
/// threads' histograms must lose nothing. Each power of two is cut into 128 equal steps, so a
/// reported value is at most 1/128 (0.8 %) above the true one, from 1 ns to an hour.
///
/// Layout: index = shift * 128 + (value >> shift), where shift brings the value under 256.
///
///     index      0 ... 255   values 0 ... 255 exactly           shift 0
///     index    256 ... 383   values 256 ... 511 in steps of 2   shift 1
///     index    384 ... 511   values 512 ... 1023 in steps of 4  shift 2
///
/// Invariants: 1. the counters sum to `count`; 2. `maximum` is exact, never rounded to a bucket.
/// Cost: 4,608 counters, 36 KB; recording allocates nothing.
/// Origin: Gil Tene's HdrHistogram.
public struct Histogram: Sendable {
    static let stepBits = 7
    static let steps = 1 << stepBits
    static let valueBits = 42
    static let bucketCount = (valueBits - 1 - stepBits) * steps + 2 * steps
    /// Larger values are counted as this one (73 minutes); `maximum` still keeps the true value.
    static let valueLimit = (UInt64(1) << UInt64(valueBits)) - 1

    private var counters = [UInt64](repeating: 0, count: Histogram.bucketCount)
    public private(set) var count: UInt64 = 0
    public private(set) var maximum: UInt64 = 0
    private var sum: Double = 0

    public init() {}

    /// Counts `count` samples of one value: replies that arrived together share their latency.
    public mutating func record(_ value: UInt64, count samples: UInt64 = 1) {
        guard samples > 0 else { return }
        counters[Histogram.index(of: value)] += samples
        count += samples
        sum += Double(value) * Double(samples)
        if value > maximum { maximum = value }
    }

    public mutating func merge(_ other: Histogram) {
        for index in 0..<Histogram.bucketCount { counters[index] += other.counters[index] }
        count += other.count
        sum += other.sum
        maximum = max(maximum, other.maximum)
    }

    public var mean: Double { count == 0 ? 0 : sum / Double(count) }

    /// The smallest bucket bound that at least this share of the samples does not exceed; 0 when
    /// empty. The share is a whole number, because 0.999 has no exact binary form.
    public func value(atPartsPerMillion share: UInt64) -> UInt64 {
        guard count > 0 else { return 0 }
        let product = count.multipliedFullWidth(by: share)
        let division = UInt64(1_000_000).dividingFullWidth(product)
        let rank = max(1, division.quotient + (division.remainder > 0 ? 1 : 0))
        var seen: UInt64 = 0
        for index in 0..<Histogram.bucketCount {
            seen += counters[index]
            if seen >= rank { return min(maximum, Histogram.upperBound(of: index)) }
        }
        return maximum
    }

    static func index(of value: UInt64) -> Int {
        let bounded = min(value, valueLimit)
        let width = UInt64.bitWidth - bounded.leadingZeroBitCount
        let shift = max(0, width - stepBits - 1)
        return shift * steps + Int(bounded >> UInt64(shift))
    }

    /// The largest value that falls into a bucket.
    static func upperBound(of index: Int) -> UInt64 {
        let shift = max(0, index / steps - 1)
        return (UInt64(index - shift * steps + 1) << UInt64(shift)) - 1
    }
}
