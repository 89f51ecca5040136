// SPDX-License-Identifier: Apache-2.0

/// Names a timer, to cancel it. An id whose timer has fired or was cancelled names nothing, even
/// when its slot is in use again.
public struct TimerID: Equatable, Sendable {
    @usableFromInline let slot: UInt32
    @usableFromInline let serial: UInt32

    @usableFromInline
    init(slot: UInt32, serial: UInt32) {
        self.slot = slot
        self.serial = serial
    }
}

/// The deadlines of one thread, each with what is to be done then: a binary heap of which every
/// timer knows its place.
///
///     heap     | deadline, sequence, slot, what | ...   the parent of i is (i - 1) / 2
///                                   |      ^
///     places   | place in heap | <--'      '--- TimerID: slot, low half of the sequence
///
/// Why a heap and no wheel: a server has few timers that wait for long; a wheel would have to turn,
/// or be searched, to tell when the next one is due.
///
/// Deadlines are milliseconds of monotonic time. Timers with the same deadline fire in the order in
/// which they were added.
///
/// Invariants: 1. no timer is due before its parent; 2. `places[entry.slot]` is the entry's place,
/// and that of a free slot is -1; 3. a timer that fired or was cancelled is in neither array, and
/// an empty heap keeps little memory.
///
/// Cost: adding, cancelling and taking one moves O(log n) entries; the next deadline is one load.
/// A timer takes 28 bytes and its `What`.
public struct Timers<What> {
    @usableFromInline
    struct Entry {
        @usableFromInline let deadline: Int64
        /// The number of the timer: among equal deadlines the lower one comes first.
        @usableFromInline let sequence: UInt64
        @usableFromInline let slot: UInt32
        @usableFromInline let what: What

        @usableFromInline
        init(deadline: Int64, sequence: UInt64, slot: UInt32, what: What) {
            self.deadline = deadline
            self.sequence = sequence
            self.slot = slot
            self.what = what
        }

        @inlinable
        func isBefore(_ other: Entry) -> Bool {
            deadline != other.deadline
                ? deadline < other.deadline : sequence < other.sequence
        }
    }

    @usableFromInline var heap: [Entry] = []
    @usableFromInline var places: [Int32] = []
    @usableFromInline var freeSlots: [UInt32] = []
    @usableFromInline var addedCount: UInt64 = 0

    /// The number of slots kept when the heap is empty.
    @usableFromInline static var keptSlots: Int { 1024 }

    public init() {}

    @inlinable
    public var count: Int { heap.count }

    /// How many timers there is memory for.
    @inlinable
    public var capacity: Int { max(heap.capacity, places.capacity, freeSlots.capacity) }

    /// The next deadline, or nil.
    @inlinable
    public var next: Int64? { heap.first?.deadline }

    @inlinable
    public mutating func add(deadline: Int64, _ what: What) -> TimerID {
        addedCount += 1
        let slot: UInt32
        if let reused = freeSlots.popLast() {
            slot = reused
        } else {
            slot = UInt32(places.count)
            places.append(-1)
        }
        let entry = Entry(deadline: deadline, sequence: addedCount, slot: slot, what: what)
        heap.append(entry)
        rise(entry, from: heap.count - 1)
        return TimerID(slot: slot, serial: UInt32(truncatingIfNeeded: addedCount))
    }

    /// Cancels a timer; false if it has already fired or was cancelled.
    @inlinable @discardableResult
    public mutating func cancel(_ id: TimerID) -> Bool {
        guard id.slot < places.count, places[Int(id.slot)] >= 0 else { return false }
        let place = Int(places[Int(id.slot)])
        guard UInt32(truncatingIfNeeded: heap[place].sequence) == id.serial else { return false }
        remove(at: place)
        return true
    }

    /// Takes the first timer if its deadline has come.
    @inlinable
    public mutating func takeDue(now: Int64) -> What? {
        guard let first = heap.first, first.deadline <= now else { return nil }
        remove(at: 0)
        return first.what
    }

    @inlinable
    mutating func remove(at place: Int) {
        let slot = heap[place].slot
        places[Int(slot)] = -1
        freeSlots.append(slot)
        let last = heap.removeLast()
        if place < heap.count {
            // The entry that fills the gap may have to move up or down.
            if place > 0 && last.isBefore(heap[(place - 1) / 2]) {
                rise(last, from: place)
            } else {
                sink(last, from: place)
            }
        }
        if heap.isEmpty { empty() }
    }

    /// Frees the memory that a burst of timers needed. Slot numbers start over; sequence numbers
    /// distinguish old ids from new ones.
    @inlinable
    mutating func empty() {
        let keeps = places.count <= Self.keptSlots
        heap.removeAll(keepingCapacity: keeps)
        places.removeAll(keepingCapacity: keeps)
        freeSlots.removeAll(keepingCapacity: keeps)
    }

    /// Moves the entry up from `place` to where it belongs.
    @inlinable
    mutating func rise(_ entry: Entry, from place: Int) {
        var place = place
        while place > 0 {  // Bound: climbs the heap.
            let parent = (place - 1) / 2
            guard entry.isBefore(heap[parent]) else { break }
            put(heap[parent], at: place)
            place = parent
        }
        put(entry, at: place)
    }

    /// Moves the entry down from `place` to where it belongs.
    @inlinable
    mutating func sink(_ entry: Entry, from place: Int) {
        var place = place
        while 2 * place + 1 < heap.count {  // Bound: descends the heap.
            var child = 2 * place + 1
            if child + 1 < heap.count && heap[child + 1].isBefore(heap[child]) { child += 1 }
            guard heap[child].isBefore(entry) else { break }
            put(heap[child], at: place)
            place = child
        }
        put(entry, at: place)
    }

    @inlinable
    mutating func put(_ entry: Entry, at place: Int) {
        heap[place] = entry
        places[Int(entry.slot)] = Int32(place)
    }
}
