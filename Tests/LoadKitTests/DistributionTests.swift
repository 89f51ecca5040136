// SPDX-License-Identifier: Apache-2.0
import Glibc
import Testing

@testable import LoadKit

/// Which keys are drawn, and how often.
struct DistributionTests {
    /// Each of the first ranks must occur as often as the formula says, within five deviations.
    @Test(arguments: [0.5, 0.99, 1.0, 1.5])
    func zipfFollowsItsFormula(exponent: Double) {
        let count = 1000
        let draws = 200_000
        let zipf = Zipf(count: count, exponent: exponent)
        var randomness = Randomness(seed: 3)
        var seen = [Int](repeating: 0, count: count + 1)
        for _ in 0..<draws { seen[zipf.rank(&randomness)] += 1 }
        let weights = (1...count).map { pow(Double($0), -exponent) }
        let total = weights.reduce(0, +)
        for rank in [1, 2, 3, 10, 100] {
            let expected = Double(draws) * weights[rank - 1] / total
            #expect(abs(Double(seen[rank]) - expected) < 5 * expected.squareRoot() + 1)
        }
        #expect(seen[0] == 0)
    }

    @Test func zipfOfOneKeyAlwaysDrawsIt() {
        var randomness = Randomness(seed: 1)
        let zipf = Zipf(count: 1, exponent: 0.99)
        for _ in 0..<100 { #expect(zipf.rank(&randomness) == 1) }
    }

    @Test func threadsInOrderDrawEveryKeyOnce() {
        var randomness = Randomness(seed: 1)
        var seen = [Int](repeating: 0, count: 100)
        for thread in 0..<3 {
            var chooser = KeyChooser(
                keys: 100, tenants: 1, distribution: .sequential, thread: thread, threads: 3)
            for _ in 0..<(100 - thread + 2) / 3 { seen[chooser.next(&randomness)] += 1 }
        }
        #expect(seen == [Int](repeating: 1, count: 100))
    }

    @Test func aKeyMovedToATenantIsThatTenants() {
        let chooser = KeyChooser(keys: 103, tenants: 10, distribution: .uniform)
        for index in 0..<103 {
            for tenant in 0..<10 {
                let moved = chooser.index(index, of: tenant)
                #expect((0..<103).contains(moved))
                #expect(chooser.tenant(of: moved) == tenant)
            }
        }
    }

    @Test func streamsOfOneSeedDiffer() {
        var first = Randomness(seed: 1, stream: 0)
        var second = Randomness(seed: 1, stream: 1)
        var again = Randomness(seed: 1, stream: 0)
        let numbers = (0..<8).map { _ in first.next() }
        #expect(numbers == (0..<8).map { _ in again.next() })
        #expect(numbers != (0..<8).map { _ in second.next() })
    }

    @Test func mixDrawsInProportion() throws {
        let mix = try #require(Mix("get=80,set=15,mget=5"))
        var randomness = Randomness(seed: 5)
        var seen: [LoadCommand: Int] = [:]
        for _ in 0..<100_000 { seen[mix.next(&randomness), default: 0] += 1 }
        #expect(abs(seen[.get, default: 0] - 80_000) < 700)
        #expect(abs(seen[.set, default: 0] - 15_000) < 600)
        #expect(abs(seen[.mget, default: 0] - 5_000) < 400)
    }

    @Test func openLoopIsDueByTheClockAlone() {
        var schedule = OpenLoopSchedule(
            startNanoseconds: 1000, ratePerSecond: 1e6, connections: 3, phase: 0)
        #expect(schedule.advance(to: 999, limit: 100).isEmpty)
        #expect(schedule.advance(to: 1000, limit: 100) == 0..<1)
        #expect(schedule.advance(to: 7500, limit: 100) == 1..<7)
        #expect((0..<3).map { schedule.dueCount(connection: $0) } == [3, 2, 2])
        #expect(schedule.dueTime(connection: 2, request: 1) == 6000)
        #expect(schedule.advance(to: 1_000_000, limit: 10) == 7..<10)
        #expect(schedule.nextDueTime == 11_000)
    }
}
