// SPDX-License-Identifier: Apache-2.0

/// Deadlines of one reactor: a binary heap of moments and tokens.
///
/// A timer is not cancelled: whoever gets it looks whether it still means something. Moments are
/// wall time, in milliseconds since 1970.
public struct Timers {
    public struct Timer {
        public let deadline: Int64
        public let token: UInt64
    }

    private var heap: [Timer] = []

    public init() {}

    /// The next deadline, or nil.
    public var next: Int64? { heap.first?.deadline }

    public mutating func add(deadline: Int64, token: UInt64) {
        heap.append(Timer(deadline: deadline, token: token))
        var index = heap.count - 1
        while index > 0 {  // Bound: climbs the heap.
            let parent = (index - 1) / 2
            guard heap[index].deadline < heap[parent].deadline else { break }
            heap.swapAt(index, parent)
            index = parent
        }
    }

    /// Takes the first timer if its deadline has come.
    public mutating func takeDue(now: Int64) -> Timer? {
        guard let first = heap.first, first.deadline <= now else { return nil }
        let last = heap.removeLast()
        guard !heap.isEmpty else { return first }
        heap[0] = last
        var index = 0
        while true {  // Bound: descends the heap.
            var least = index
            for child in [2 * index + 1, 2 * index + 2]
            where child < heap.count && heap[child].deadline < heap[least].deadline {
                least = child
            }
            guard least != index else { break }
            heap.swapAt(index, least)
            index = least
        }
        return first
    }
}
