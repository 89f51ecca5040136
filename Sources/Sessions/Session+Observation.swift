// SPDX-License-Identifier: Apache-2.0
import Base
import Commands
import Storage
import Synchronization
import Wire

// Requests whose time is kept: for the slow log, for LATENCY, and for the distributions of all
// times.
//
// Why in two steps: the path of a request only compares its time, and keeps neither its arguments
// nor its session at hand for the rare case.
extension Session {
    @inline(never)
    func observe(_ request: borrowing Request, on thread: inout ServingThread) {
        observe(
            thread.list.arguments(from: request.firstArgument, count: request.argumentCount),
            on: &thread)
    }

    /// Looks again at the time of a command that took at least `Settings.observedTicks`.
    @inline(never)
    func observe(_ arguments: Arguments, on thread: inout ServingThread) {
        guard let observed = thread.observed.take() else { return }
        let entry = observed.entry
        let ticks = observed.ticks
        let settings = thread.worker.settings.values
        // Why: the counters of two processors may differ a little, so a time may be negative.
        guard ticks < 1 << 62 else { return }
        if settings.pointee.latencyTracking.value != 0 {
            thread.latencies.count(entry.pointee.number, ticks)
        }
        let server = thread.server.control
        let microseconds = Int(Double(ticks) / server.ticksPerMicrosecond)
        let time = Int(thread.worker.now / 1000)
        let flags = entry.pointee.flags
        let threshold = settings.pointee.latencyThresholdMilliseconds.value
        if threshold > 0, microseconds / 1000 >= threshold {
            server.latencyEvents.add(
                flags.contains(.fast) ? .fastCommand : .command, time: time,
                milliseconds: microseconds / 1000)
        }
        let limit = settings.pointee.slowLogMicroseconds.value
        guard limit >= 0, microseconds >= limit, !flags.contains(.skipSlowLog) else { return }
        server.slowLog.add(
            time: time, microseconds: microseconds,
            arguments: SlowLog.kept(arguments, of: entry.pointee.spec),
            address: state.pointee.address, name: state.pointee.name,
            countMax: settings.pointee.slowLogCountMax.value)
    }
}

/// A command that has run, and its time.
struct Observed {
    let entry: CommandTable.EntryReference
    let ticks: UInt64
}

/// The distributions of one thread's times, by command, in ticks of `martlet_ticks`. Only
/// `latency-tracking yes` fills them.
///
/// Threads: the owning thread counts; any thread reads.
public final class LatencyDistributions: Sendable {
    /// By the number of the command; nil before its first request.
    private let byNumber: Mutex<[LatencyDistribution?]>

    init(count: Int) { byNumber = Mutex(Array(repeating: nil, count: count)) }

    func count(_ number: Int, _ ticks: UInt64) {
        byNumber.withLock { all in
            if all[number] == nil { all[number] = LatencyDistribution() }
            all[number]?.add(ticks)
        }
    }

    public subscript(number: Int) -> LatencyDistribution? { byNumber.withLock { $0[number] } }

    public func reset() {
        byNumber.withLock { all in
            for index in all.indices { all[index] = nil }
        }
    }
}
