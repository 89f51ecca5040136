// SPDX-License-Identifier: Apache-2.0
import CLinux
import Glibc

/// Milliseconds: a moment since 1970 (expiry, TIME) or a duration. The name of the value says
/// which.
public typealias Milliseconds = Int64

/// The server's two clocks. Wall time decides what has expired, as in Redis, and also when a
/// reactor's timers are due, because a tick reads the clock once for everything. Monotonic time
/// measures how long something took.
public enum Clock {
    /// Wall time, milliseconds since 1970.
    public static var nowMilliseconds: Milliseconds { nowMicroseconds / 1000 }

    /// Wall time, microseconds since 1970.
    public static var nowMicroseconds: Int64 {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1000
    }

    /// Monotonic time in nanoseconds.
    public static var monotonicNanoseconds: Int64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }
}
