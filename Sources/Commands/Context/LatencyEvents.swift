// SPDX-License-Identifier: Apache-2.0
import Synchronization

/// Events that took at least `latency-monitor-threshold` milliseconds, by their kind: commands,
/// fast commands, and slices of the sweep of expired keys.
///
/// As in Redis each kind keeps the last 160 seconds in which it happened, each with its worst
/// event.
///
/// Threads: any thread adds and reads.
public final class LatencyEvents: Sendable {
    public enum Kind: String, Sendable, CaseIterable {
        case command
        case fastCommand = "fast-command"
        case expireCycle = "expire-cycle"
    }

    public struct Sample: Equatable, Sendable {
        /// Seconds since 1970.
        public let time: Int
        public fileprivate(set) var milliseconds: Int
    }

    public struct Series: Sendable {
        /// Oldest first; never empty.
        public fileprivate(set) var samples: [Sample]
        public fileprivate(set) var millisecondsMax: Int
    }

    private static let sampleCountMax = 160
    private let series = Mutex<[Kind: Series]>([:])

    public init() {}

    public func add(_ kind: Kind, time: Int, milliseconds: Int) {
        series.withLock { all in
            let new = Sample(time: time, milliseconds: milliseconds)
            guard var one = all[kind], let last = one.samples.last else {
                all[kind] = Series(samples: [new], millisecondsMax: milliseconds)
                return
            }
            all[kind] = nil  // So that the samples are not copied.
            one.millisecondsMax = max(one.millisecondsMax, milliseconds)
            if last.time == time {
                one.samples[one.samples.count - 1].milliseconds = max(
                    last.milliseconds, milliseconds)
            } else {
                if one.samples.count == LatencyEvents.sampleCountMax { one.samples.removeFirst() }
                one.samples.append(new)
            }
            all[kind] = one
        }
    }

    public func series(of kind: Kind) -> Series? { series.withLock { $0[kind] } }

    /// Forgets a kind. False if there is nothing to forget.
    public func reset(_ kind: Kind) -> Bool {
        series.withLock { $0.removeValue(forKey: kind) != nil }
    }
}
