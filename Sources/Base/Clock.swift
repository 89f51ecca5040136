// SPDX-License-Identifier: Apache-2.0
import CLinux
import Glibc

/// Milliseconds: a moment of wall time since 1970 (expiry, TIME), a moment of monotonic time, or a
/// duration. The name of the value says which.
public typealias Milliseconds = Int64

/// The two clocks of the server.
///
/// Wall time says what has expired, as in Redis, and what day it is. It jumps when it is set, and
/// when a suspended machine wakes. Monotonic time never jumps, so it measures every span: timers,
/// timeouts, how long something took. Its origin means nothing.
///
/// Why CLOCK_MONOTONIC and not CLOCK_BOOTTIME, which goes on while a machine is suspended: most
/// spans limit how long the server waits for a client or for PostgreSQL. A suspended server
/// receives nothing, so that time must not count; by the other clock it would close every idle
/// client and every slow reader as soon as it woke. The waits of epoll and poll use CLOCK_MONOTONIC
/// too.
public enum Clock {
    /// Wall time, milliseconds since 1970.
    public static var nowMilliseconds: Milliseconds { nowMicroseconds / 1000 }

    /// Wall time, microseconds since 1970.
    public static var nowMicroseconds: Int64 {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1000
    }

    /// The moment of monotonic time after so many milliseconds, for calls that wait until then.
    public static func deadline(after milliseconds: Milliseconds) -> timespec {
        let end = monotonicNanoseconds + milliseconds * 1_000_000
        return timespec(tv_sec: Int(end / 1_000_000_000), tv_nsec: Int(end % 1_000_000_000))
    }

    /// Monotonic time in milliseconds.
    public static var monotonicMilliseconds: Milliseconds { monotonicNanoseconds / 1_000_000 }

    /// Monotonic time in nanoseconds.
    public static var monotonicNanoseconds: Int64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }
}

/// One moment on both clocks.
public struct Moment: Equatable, Sendable {
    /// Milliseconds since 1970.
    public var wall: Milliseconds
    public var monotonic: Milliseconds

    public init(wall: Milliseconds, monotonic: Milliseconds) {
        self.wall = wall
        self.monotonic = monotonic
    }

    public static var now: Moment {
        Moment(wall: Clock.nowMilliseconds, monotonic: Clock.monotonicMilliseconds)
    }
}
