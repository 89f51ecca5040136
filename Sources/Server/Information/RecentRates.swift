// SPDX-License-Identifier: Apache-2.0
import Base
import Storage
import Synchronization

/// The work of one thread in the last 1.6 seconds: INFO's instantaneous figures. Redis averages
/// sixteen samples of a tenth of a second, which is the same window.
///
/// No timer wakes a thread for this. A tick begins by taking a reading if the last one is a tenth
/// of a second old. The reading also says since when the counters have had these values: since the
/// last tick. A reader interpolates between readings, so an idle server, which takes no readings,
/// shows 0.
///
///     count        until __ since   until
///       |      since _ /      |_____|  now, while nothing ran
///       |      |____|/
///       +---------------|<--- 1.6 s --->|
///
/// Threads: only the thread that owns the counters calls `note`; any thread calls `perSecond`.
final class RecentRates: Sendable {
    struct Counts: Equatable {
        var commands = 0
        var bytesIn = 0
        var bytesOut = 0
    }

    private struct Reading {
        let since: Milliseconds
        let until: Milliseconds
        let counts: Counts
    }

    static let interval: Milliseconds = 100
    static let window: Milliseconds = 16 * interval
    /// This many readings cover a window, with one on its far side.
    private static let readingsMax = 18

    // Safety: allocated with the thread's worker, which is never freed; every field is atomic.
    private let statistics: StatisticsReference
    /// Oldest first; never empty.
    private let readings: Mutex<[Reading]>
    private let lastTickAt: Atomic<Int>
    private let nextReadingAt: Atomic<Int>

    init(_ statistics: StatisticsReference, now: Milliseconds) {
        self.statistics = statistics
        var first: [Reading] = []
        first.reserveCapacity(RecentRates.readingsMax + 1)
        first.append(Reading(since: 0, until: now, counts: Counts()))
        readings = Mutex(first)
        lastTickAt = Atomic(Int(now))
        nextReadingAt = Atomic(Int(now + RecentRates.interval))
    }

    /// Called when a tick begins.
    @inline(__always)
    func note(now: Milliseconds) {
        let last = lastTickAt.value
        lastTickAt.set(Int(now))
        // Why also when time runs backwards: the next reading might be years away.
        if Int(now) >= nextReadingAt.value || Int(now) < last {
            read(since: Milliseconds(last), now: now)
        }
    }

    @inline(never)
    private func read(since: Milliseconds, now: Milliseconds) {
        nextReadingAt.set(Int(now + RecentRates.interval))
        let counts = current
        readings.withLock { readings in
            if now < since {
                readings.removeAll(keepingCapacity: true)
            } else if readings.count == RecentRates.readingsMax {
                readings.removeFirst()
            }
            readings.append(
                Reading(since: readings.isEmpty ? 0 : since, until: now, counts: counts))
        }
    }

    /// Starts over after the counters were set to 0. The thread must stand still.
    func reset(now: Milliseconds) {
        readings.withLock { readings in
            readings.removeAll(keepingCapacity: true)
            readings.append(Reading(since: 0, until: now, counts: Counts()))
        }
    }

    private var current: Counts {
        Counts(
            commands: statistics.pointee.commands.value,
            bytesIn: statistics.pointee.bytesIn.value,
            bytesOut: statistics.pointee.bytesOut.value)
    }

    /// The counts in the window that ends now, per second.
    func perSecond(now: Milliseconds) -> Counts {
        let counts = current
        let lastTick = Milliseconds(lastTickAt.value)
        let start = now - RecentRates.window
        guard lastTick > start else { return Counts() }
        let latest = Reading(since: lastTick, until: now, counts: counts)
        let before = readings.withLock { RecentRates.counts(at: start, in: $0, latest) }
        func rate(_ field: KeyPath<Counts, Int>) -> Int {
            let count = max(0, counts[keyPath: field] - before[keyPath: field])
            return count * 1000 / Int(RecentRates.window)
        }
        return Counts(
            commands: rate(\.commands), bytesIn: rate(\.bytesIn), bytesOut: rate(\.bytesOut))
    }

    /// The counts at `moment`, which is before `latest`.
    private static func counts(
        at moment: Milliseconds, in readings: [Reading], _ latest: Reading
    ) -> Counts {
        var later = latest
        for reading in readings.reversed() {
            if moment >= reading.until {
                let part = Double(moment - reading.until)
                let share = part / Double(max(1, later.since - reading.until))
                func between(_ field: KeyPath<Counts, Int>) -> Int {
                    let first = reading.counts[keyPath: field]
                    return first + Int(share * Double(later.counts[keyPath: field] - first))
                }
                return Counts(
                    commands: between(\.commands), bytesIn: between(\.bytesIn),
                    bytesOut: between(\.bytesOut))
            }
            if moment >= reading.since { return reading.counts }
            later = reading
        }
        return later.counts
    }
}
