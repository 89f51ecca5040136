// SPDX-License-Identifier: Apache-2.0
import Base

/// What a command makes room for.
public enum Arrival {
    /// The bytes of a request. They are there already, so the command runs even if less goes.
    case request(Int)
    /// Bytes that the command is about to allocate. It runs only if there is room for all of them.
    case growth(Int)
    /// Keys that the command is about to make.
    case keys(Int)

    /// How much the command evicts, whatever time that takes. Why a maximum for requests: small
    /// keys that take as much as one large argument are many, and slices evict the rest.
    fileprivate var needed: Int {
        switch self {
        case .request(let size): min(size, 256 << 10)
        case .growth(let size): size
        case .keys(let count): count
        }
    }

    var isGrowth: Bool {
        switch self {
        case .growth: true
        case .request, .keys: false
        }
    }
}

/// How much one command, or one slice between commands, may evict.
///
/// A command evicts as much as it brings, and at least one key, so that memory falls however far it
/// is above the limit. All commands of a millisecond together may spend half of it on more than
/// that. So a long pipeline waits no longer than a single command does.
struct EvictionAllowance {
    private let needed: Int
    private var evicted = 0
    /// A moment of monotonic time, in nanoseconds.
    private let end: Int64

    /// The time that commands may spend within one millisecond, and one slice.
    static let sliceNanoseconds: Int64 = 500_000

    fileprivate init(_ needed: Int, until end: Int64) {
        self.needed = needed
        self.end = end
    }

    /// The allowance of a slice.
    static var slice: EvictionAllowance {
        EvictionAllowance(0, until: Clock.monotonicNanoseconds + sliceNanoseconds)
    }

    /// Notes bytes or keys that were evicted.
    mutating func note(_ evicted: Int) { self.evicted += evicted }

    var isUsedUp: Bool {
        evicted > 0 && evicted >= needed && Clock.monotonicNanoseconds >= end
    }
}

/// Until when the commands of one millisecond may make room and remove expired entries beyond what
/// they need themselves.
struct CommandSlice {
    private var millisecond = Milliseconds.min
    private var end: Int64 = 0

    /// The end, in nanoseconds of monotonic time, for a command of the tick that began at `now`.
    mutating func end(_ now: Milliseconds) -> Int64 {
        if millisecond != now {
            millisecond = now
            end = Clock.monotonicNanoseconds + EvictionAllowance.sliceNanoseconds
        }
        return end
    }
}

extension Reference where Pointee == Worker {
    /// What the current command may evict.
    func allowance(_ arrival: Arrival) -> EvictionAllowance {
        EvictionAllowance(arrival.needed, until: pointee.victims.slice.end(pointee.monotonicNow))
    }
}
