// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import LoadKit

/// Latency histogram: bucket borders, error bound, percentiles against a sorted list.
struct HistogramTests {
    @Test func bucketsTileTheValuesWithoutGapOrOverlap() {
        var expectedFirst: UInt64 = 0
        for index in 0..<Histogram.bucketCount {
            let last = Histogram.upperBound(of: index)
            #expect(Histogram.index(of: expectedFirst) == index)
            #expect(Histogram.index(of: last) == index)
            expectedFirst = last + 1
        }
        #expect(expectedFirst == Histogram.valueLimit + 1)
    }

    @Test func percentilesAreAtMostOnePartIn128AboveTheTrueOnes() {
        var randomness = Randomness(seed: 7)
        var histogram = Histogram()
        var samples: [UInt64] = []
        for _ in 0..<20_000 {
            let value = randomness.next() >> UInt64(24 + randomness.below(30))
            samples.append(value)
            histogram.record(value)
        }
        samples.sort()
        for (share, index) in [(500_000, 9_999), (990_000, 19_799), (999_900, 19_997)] {
            let exact = samples[index]
            let reported = histogram.value(atPartsPerMillion: UInt64(share))
            #expect(reported >= exact)
            #expect(reported <= exact + exact / 128)
        }
        #expect(histogram.value(atPartsPerMillion: 1_000_000) == samples.last)
        #expect(histogram.maximum == samples.last)
    }

    @Test func mergedCountsEqualOneHistogram() {
        var left = Histogram()
        var right = Histogram()
        var whole = Histogram()
        for value in UInt64(1)...1000 {
            if value % 3 == 0 { left.record(value, count: 2) } else { right.record(value * 1000) }
            whole.record(value % 3 == 0 ? value : value * 1000, count: value % 3 == 0 ? 2 : 1)
        }
        left.merge(right)
        #expect(left.count == whole.count)
        #expect(left.mean == whole.mean)
        for share in stride(from: UInt64(0), through: 1_000_000, by: 50_000) {
            #expect(
                left.value(atPartsPerMillion: share) == whole.value(atPartsPerMillion: share))
        }
    }

    @Test func extremesDoNotTrap() {
        var histogram = Histogram()
        #expect(histogram.value(atPartsPerMillion: 500_000) == 0)
        histogram.record(0)
        histogram.record(UInt64.max)
        #expect(histogram.maximum == UInt64.max)
        #expect(histogram.value(atPartsPerMillion: 500_000) == 0)
    }
}
