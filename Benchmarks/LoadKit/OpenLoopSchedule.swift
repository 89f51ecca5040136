// SPDX-License-Identifier: Apache-2.0

/// When the requests of one thread are due in the open loop.
///
/// Requests are due at equal distances, in turn on each of the thread's connections, so request k
/// of connection c is request `c + k * connections` of the thread, and its due time follows from
/// its number alone. Nothing is queued when the server falls behind: only the number of requests
/// answered so far is kept, and latency is counted from the due time of exactly that request, so
/// a stall is seen by every request that was due in it (no coordinated omission).
public struct OpenLoopSchedule: Sendable {
    private let startNanoseconds: UInt64
    private let intervalNanoseconds: Double
    private let connections: Int
    /// Requests of the thread that have come due.
    public private(set) var due = 0

    /// The rate is this thread's part of the whole; `phase` in 0..<1 sets the threads apart.
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

    /// How many requests of a connection have come due so far.
    public func dueCount(connection: Int) -> Int {
        (due - connection + connections - 1) / connections
    }

    /// Moves on to `now`; the result are the numbers of the requests that came due, none beyond
    /// `limit`.
    public mutating func advance(to now: UInt64, limit: Int) -> Range<Int> {
        let first = due
        while due < limit, dueTime(of: due) <= now { due += 1 }
        return first..<due
    }

    public var nextDueTime: UInt64 { dueTime(of: due) }
}
