// SPDX-License-Identifier: Apache-2.0
import Base
import Testing

@testable import Server
@testable import Storage

/// What INFO reports about the last moments.
@Suite struct RecentActivityTests {
    /// A thread that ticks on command.
    private final class Ticking {
        let statistics = StatisticsReference.make(Statistics())
        let rates: RecentRates
        var now: Milliseconds

        init(startingAt moment: Milliseconds = 1_000_000) {
            now = moment
            rates = RecentRates(statistics, now: moment)
        }

        deinit {
            statistics.destroy()
        }

        /// Ticks every `interval` for `span`, with `commands` in each tick.
        func work(_ commands: Int, every interval: Milliseconds, for span: Milliseconds) {
            let end = now + span
            while now < end {
                now += interval
                rates.note(now: now)
                statistics.pointee.commands.bump(commands)
                statistics.pointee.bytesIn.bump(commands * 10)
                statistics.pointee.bytesOut.bump(commands * 5)
            }
        }

        var commandsPerSecond: Int { rates.perSecond(now: now).commands }
    }

    @Test func steadyWorkIsSeenAtItsRate() {
        for interval: Milliseconds in [1, 7, 40, 100] {
            let thread = Ticking()
            thread.work(Int(interval) * 3, every: interval, for: 20_000)
            let rate = thread.rates.perSecond(now: thread.now)
            #expect(abs(rate.commands - 3000) < 240, "every \(interval) ms: \(rate)")
            #expect(abs(rate.bytesIn - 30_000) < 2400)
            #expect(abs(rate.bytesOut - 15_000) < 1200)
        }
    }

    @Test func aServerThatFallsSilentComesToNothing() {
        let thread = Ticking()
        thread.work(10, every: 1, for: 5000)
        let busy = thread.commandsPerSecond
        thread.now += 800
        #expect(abs(thread.commandsPerSecond - busy / 2) < 200)
        thread.now += 800
        // Nothing ticks, so no reading was taken since.
        #expect(thread.commandsPerSecond == 0)
        #expect(thread.rates.perSecond(now: thread.now) == RecentRates.Counts())
    }

    /// The work of a tick belongs to its moment, not to the silence before it.
    @Test func aBurstAfterSilenceCountsWhole() {
        let thread = Ticking()
        thread.work(1, every: 10, for: 500)
        thread.now += 60_000
        thread.work(1600, every: 1, for: 1)
        #expect(thread.commandsPerSecond == 1000)
        thread.now += 1000
        thread.work(0, every: 1, for: 1)
        #expect(thread.commandsPerSecond == 1000)
        thread.now += 1000
        thread.work(0, every: 1, for: 1)
        #expect(thread.commandsPerSecond == 0)
    }

    @Test func aYoungServerHasDoneNothingBefore() {
        let thread = Ticking()
        thread.work(16, every: 10, for: 10)
        #expect(thread.commandsPerSecond == 10)
    }

    @Test func resetForgets() {
        let thread = Ticking()
        thread.work(10, every: 1, for: 5000)
        thread.statistics.pointee.commands.set(0)
        thread.rates.reset(now: thread.now)
        #expect(thread.commandsPerSecond == 0)
        thread.work(16, every: 10, for: 10)
        #expect(thread.commandsPerSecond == 10)
    }

    @Test func aClockSetBackIsForgivenSoon() {
        let thread = Ticking()
        thread.work(10, every: 1, for: 5000)
        thread.now -= 500_000
        thread.work(3, every: 1, for: 4000)
        #expect(abs(thread.commandsPerSecond - 3000) < 240)
    }

    @Test func largestBuffersAreRememberedForEightSeconds() {
        let peaks = RecentPeaks()
        #expect(peaks.largest(now: 50_000) == RecentPeaks.Sizes())
        peaks.note(RecentPeaks.Sizes(input: 500, output: 0), now: 50_100)
        peaks.note(RecentPeaks.Sizes(input: 70, output: 9), now: 50_200)
        peaks.note(RecentPeaks.Sizes(input: 80, output: 0), now: 52_000)
        #expect(peaks.largest(now: 52_000) == RecentPeaks.Sizes(input: 500, output: 9))
        #expect(peaks.largest(now: 57_999) == RecentPeaks.Sizes(input: 500, output: 9))
        #expect(peaks.largest(now: 58_000) == RecentPeaks.Sizes(input: 80, output: 0))
        // The place of a second is used again, and must forget the old second.
        peaks.note(RecentPeaks.Sizes(input: 1, output: 1), now: 58_500)
        #expect(peaks.largest(now: 59_000) == RecentPeaks.Sizes(input: 80, output: 1))
        #expect(peaks.largest(now: 70_000) == RecentPeaks.Sizes())
    }

    @Test func sizesAreWrittenAsRedisWritesThem() {
        #expect(Information.human(1023) == "1023B")
        #expect(Information.human(1536) == "1.50K")
        #expect(Information.human(3 << 30) == "3.00G")
        #expect(Information.hundredths(0) == "0.00")
        #expect(Information.ratio(1, 0) == 1)
        // A sanitizer build has the system's allocator.
        let version = Allocator.version
        #expect(version == "system" || version.split(separator: ".").count == 3)
    }
}
