// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import Commands

/// Distributions of times: bucket borders, percentiles, and Redis's cumulative form.
@Suite struct LatencyDistributionTests {
    @Test func everyValueIsInTheBucketWhoseBordersEncloseIt() {
        var values: [UInt64] = (0...4096).map { $0 }
        for power in 12..<64 {
            let value = UInt64(1) << UInt64(power)
            values += [value - 1, value, value + 1, value + value / 3]
        }
        values.append(.max)
        for value in values {
            let bucket = LatencyDistribution.bucket(value)
            let largest = LatencyDistribution.largest(inBucket: bucket)
            #expect(bucket < LatencyDistribution.bucketCount)
            #expect(value <= largest && largest - value <= value / 16, "\(value) in \(bucket)")
            if bucket > 0 {
                #expect(LatencyDistribution.largest(inBucket: bucket - 1) < value, "\(value)")
            }
        }
        #expect(LatencyDistribution.bucket(.max) == LatencyDistribution.bucketCount - 1)
    }

    @Test func percentiles() {
        var distribution = LatencyDistribution()
        #expect(distribution.value(atPercentile: 50) == 0)
        for value in 1...1000 { distribution.add(UInt64(value)) }
        #expect(distribution.total == 1000)
        for (percentile, expected) in [(50.0, 500.0), (99, 990), (99.9, 999), (0.1, 1)] {
            let value = Double(distribution.value(atPercentile: percentile))
            #expect(value >= expected && value <= expected * 17 / 16, "\(percentile): \(value)")
        }
        var other = LatencyDistribution()
        other.add(1_000_000)
        distribution.add(other)
        #expect(distribution.total == 1001)
        #expect(distribution.value(atPercentile: 100) >= 1_000_000)
    }

    /// The bounds are those that redis-server shows: 1, 2, 4, 8, 16, 33, 66, 132, 264, 528.
    @Test func cumulativeCounts() {
        var distribution = LatencyDistribution()
        // In units of a nanosecond.
        for value in [100, 1000, 1500, 30_000, 30_000, 520_000] as [UInt64] {
            distribution.add(value)
        }
        let found = distribution.cumulative(perMicrosecond: 1000)
        #expect(found.map(\.microseconds) == [1, 2, 33, 528])
        #expect(found.map(\.count) == [2, 3, 5, 6])
        #expect(LatencyDistribution().cumulative(perMicrosecond: 1000).isEmpty)
    }
}
