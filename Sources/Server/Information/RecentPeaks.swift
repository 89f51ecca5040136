// SPDX-License-Identifier: Apache-2.0
import Base
import Synchronization

/// The largest buffers that clients of one thread needed in the last eight seconds, the same window
/// as in Redis: one place for each second, reused eight seconds later.
///
/// A client has its own buffer only while a request is incomplete or replies wait. `note` is called
/// each time such a buffer changes, so the usual request costs nothing, and most servers show 0.
///
/// Threads: only the thread of the clients calls `note`; any thread calls `largest`.
final class RecentPeaks: Sendable {
    struct Sizes: Equatable {
        var input = 0
        var output = 0

        mutating func widen(to other: Sizes) {
            input = max(input, other.input)
            output = max(output, other.output)
        }
    }

    private struct Place {
        var second: Int64 = -1
        var sizes = Sizes()
    }

    private static let seconds = 8
    private let places = Mutex([Place](repeating: Place(), count: RecentPeaks.seconds))

    func note(_ sizes: Sizes, now: Milliseconds) {
        let second = max(0, now) / 1000
        let index = Int(second) % RecentPeaks.seconds
        places.withLock { places in
            if places[index].second != second { places[index] = Place(second: second) }
            places[index].sizes.widen(to: sizes)
        }
    }

    func largest(now: Milliseconds) -> Sizes {
        let oldest = max(0, now) / 1000 - Int64(RecentPeaks.seconds) + 1
        var all = Sizes()
        places.withLock { places in
            for place in places where place.second >= oldest { all.widen(to: place.sizes) }
        }
        return all
    }
}
