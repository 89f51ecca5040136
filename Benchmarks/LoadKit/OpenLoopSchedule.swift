// SPDX-License-Identifier: Apache-2.0

/// When the requests of one thread are due in the open loop.
///
/// Requests are due at equal intervals, in turn on each of the thread's connections. Request k of
/// connection c is request `c + k * connections` of the thread, so its number alone gives its due
/// time. Nothing is queued when the server falls behind: only the number of answered requests is
/// kept, and latency counts from the due time of exactly that request. So every request that was
/// due in a stall shows it (no coordinated omission).
public struct OpenLoopSchedule: Sendable {
    private let startNanoseconds: UInt64
    private let intervalNanoseconds: Double
    private let connections: Int
    /// Requests of the thread that have come due.
    public private(set) var due = 0

    /// The rate is this thread's share of the whole; `phase` in 0..<1 offsets the threads.
    public init(
        startNanoseconds: UInt64, ratePerSecond: Double, connections: Int, phase: Double
    ) {
        precondition(ratePerSecond > 0 && connections > 0)
        intervalNanoseconds = 1e9 / ratePerSecond
        self.startNanoseconds = startNanoseconds + UInt64(phase * intervalNanoseconds)
        self.connections = connections
    }

    public func dueTime(of request: Int) -> UInt64 {
        startNanoseconds + UInt64(Double(request) * intervalNanoseconds)
    }

    public func dueTime(connection: Int, request: Int) -> UInt64 {
        dueTime(of: connection + request * connections)
    }

    /// The number of requests of a connection that are due so far.
    public func dueCount(connection: Int) -> Int {
        (due - connection + connections - 1) / connections
    }

    /// Advances to `now`. Returns the numbers of the requests that became due, all below `limit`.
    public mutating func advance(to now: UInt64, limit: Int) -> Range<Int> {
        let first = due
        while due < limit, dueTime(of: due) <= now { due += 1 }
        return first..<due
    }

    public var nextDueTime: UInt64 { dueTime(of: due) }
}
