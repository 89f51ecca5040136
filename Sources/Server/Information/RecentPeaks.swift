// SPDX-License-Identifier: Apache-2.0
import Base
import Synchronization

/// The largest buffers that clients of one thread needed in the last eight seconds, which is as far
/// back as Redis looks: one place for each second, used again eight seconds later.
///
/// Only clients whose request is not there whole, or that do not take their replies, have buffers
/// of their own, and only theirs are noted, each time they change. So the usual request costs
/// nothing, and most servers show 0.
///
/// Threads: `note` is called by the thread whose clients they are, `largest` by any.
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
