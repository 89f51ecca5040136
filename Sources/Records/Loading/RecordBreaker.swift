// SPDX-License-Identifier: Apache-2.0

/// Stops sending loads to a source that keeps failing.
///
/// While closed, it admits every load and counts failures in a row. At the threshold it opens, and
/// requests fail at once. After the timeout it admits one load as a trial: success closes the
/// breaker, failure opens it again. If a trial's end is not reported within the timeout, the next
/// load is another trial. A new connection closes the breaker at once, because the reason to spare
/// the database is gone.
///
/// Pure: each call passes the time, in milliseconds of the monotonic clock.
struct RecordBreaker: Sendable {
    enum State: Equatable, Sendable {
        case closed(failures: Int)
        case open(untilMilliseconds: Int64)
        /// A trial is under way. Why it ends with time: no path by which a load can end may leave
        /// the source closed off for ever.
        case halfOpen(untilMilliseconds: Int64)
    }

    let threshold: Int
    let timeoutMilliseconds: Int64
    private(set) var state = State.closed(failures: 0)

    init(threshold: Int, timeoutMilliseconds: Int64) {
        self.threshold = max(1, threshold)
        self.timeoutMilliseconds = timeoutMilliseconds
    }

    /// Whether a new load may be sent now. Unless closed, answering yes begins a trial.
    mutating func admits(nowMilliseconds: Int64) -> Bool {
        switch state {
        case .closed: return true
        case .open(let until), .halfOpen(let until):
            guard nowMilliseconds >= until else { return false }
            state = .halfOpen(untilMilliseconds: nowMilliseconds + timeoutMilliseconds)
            return true
        }
    }

    mutating func succeed() { state = .closed(failures: 0) }

    /// Counts a failure. Returns whether it opened the breaker.
    mutating func fail(nowMilliseconds: Int64) -> Bool {
        switch state {
        case .open: return false
        case .closed(let failures) where failures + 1 < threshold:
            state = .closed(failures: failures + 1)
            return false
        case .closed, .halfOpen:
            state = .open(untilMilliseconds: nowMilliseconds + timeoutMilliseconds)
            return true
        }
    }

    /// The state's name, for reports.
    var name: String {
        switch state {
        case .closed: "closed"
        case .open: "open"
        case .halfOpen: "half-open"
        }
    }
}

/// How long to wait before the next attempt to connect: doubles from 20 ms to 500 ms. Each pause is
/// random within the upper half, so many servers do not reconnect in step.
struct RecordBackoff: Sendable {
    static let firstMilliseconds: Int64 = 20
    static let lastMilliseconds: Int64 = 500
    private var ceilingMilliseconds = RecordBackoff.firstMilliseconds

    /// The next pause; `random` is any 64 random bits.
    mutating func next(random: UInt64) -> Int64 {
        let half = ceilingMilliseconds / 2
        let pause = half + Int64(random % UInt64(ceilingMilliseconds - half + 1))
        ceilingMilliseconds = min(ceilingMilliseconds * 2, RecordBackoff.lastMilliseconds)
        return pause
    }

    mutating func reset() { ceilingMilliseconds = RecordBackoff.firstMilliseconds }
}

/// What a PostgreSQL error means for the cache, the load and the link.
enum RecordFailure: Equatable, Sendable {
    /// The load failed; nothing else is affected.
    case load
    /// The load may be tried again at once.
    case retry
    /// The column's type cannot hold this value, so no row has it.
    case badValue
    /// The statement is gone or out of date: drop the source's entries, prepare again, retry.
    case prepareAgain
    /// The table has changed: drop the source's entries and fail.
    case schema
    /// The session is ending: drop all entries and reconnect.
    case lost

    static func of(_ code: String) -> RecordFailure {
        switch code {
        case "55P03", "57014": .load
        case "40001", "40P01", "": .retry
        case "22P02", "22003", "22007", "22008", "22021", "22P05": .badValue
        case "0A000", "26000": .prepareAgain
        case "42703", "42P01", "42501", "3F000", "42883": .schema
        case "25P03", "25006": .lost
        default: code.hasPrefix("57P") || code.hasPrefix("08") ? .lost : .load
        }
    }
}
