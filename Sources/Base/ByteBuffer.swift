// SPDX-License-Identifier: Apache-2.0
import Glibc

/// A growable byte buffer with one owner. It holds replies waiting to be sent, or a request that
/// has arrived in part.
///
/// Why: replies are appended piece by piece and sent in one write, so appending must cost only a
/// compare, a copy and an add. An array would check for uniqueness at each step.
///
///     start            readIndex        count           edge            capacity
///       | consumed        | readable      | room           | not to be used   |
///
/// A buffer may have a ceiling. An append that would pass it is dropped, and so is every later one
/// (`isOverfull`), until `truncate` goes back to where the buffer was not overfull. So a reply has
/// a bound while it is made.
///
/// Why `edge`: one compare with it tells that an append fits, is below the ceiling, and that the
/// buffer is not overfull (the edge is `count` then).
///
/// Invariants: 0 <= readIndex <= count < capacity, and edge <= capacity; storage is nil only while
/// capacity is 0, and then count is 0.
@safe
public struct ByteBuffer: ~Copyable {
    // Safety: malloc gave `capacity` bytes; the first `count` of them are initialized.
    @usableFromInline var storage: UnsafeMutablePointer<UInt8>?
    public private(set) var capacity: Int
    /// Appends that end before it need no further check.
    @usableFromInline var edge: Int
    /// Bytes appended so far, consumed ones included.
    public var count: Int
    /// Where the next reader begins.
    public private(set) var readIndex: Int
    /// The maximum of `count`.
    private var ceiling = Int.max
    /// `count` when an append was dropped; -1 if none was.
    @usableFromInline var overfullAt = -1

    public init() {
        storage = nil
        capacity = 0
        edge = 0
        count = 0
        readIndex = 0
    }

    public init(capacity: Int) {
        self.init()
        grow(to: capacity)
    }

    deinit { free(storage) }

    @inlinable
    public var isEmpty: Bool { count == readIndex }

    @inlinable
    public var readableCount: Int { count - readIndex }

    /// The bytes appended and not yet consumed; valid until the next append.
    @inlinable
    public var readable: Bytes {
        guard let storage else { return .empty }
        return Bytes(UnsafePointer(storage) + readIndex, count - readIndex)
    }

    /// The bytes in `range` of everything appended; valid until the next append.
    public func bytes(_ range: Range<Int>) -> Bytes {
        guard let storage else { return .empty }
        precondition(range.lowerBound >= 0 && range.upperBound <= count)
        return Bytes(UnsafePointer(storage) + range.lowerBound, range.count)
    }

    /// Makes room for at least `more` bytes behind the last one and returns a pointer to it; nil if
    /// that would pass the ceiling. The caller then drops what it wanted to append.
    @inlinable @inline(__always)
    public mutating func reserve(_ more: Int) -> UnsafeMutablePointer<UInt8>? {
        // Bound: more <= 512 MB, count bounded by limits. (A buffer without storage grows even if
        // `more` is 0.)
        if count &+ more >= edge, !makeRoom(more) { return nil }
        // Safety: storage is not nil and has `more` bytes behind `count`.
        return storage.unsafelyUnwrapped + count
    }

    /// Sets the maximum of `count`, and ends being overfull.
    public mutating func setCeiling(_ ceiling: Int) {
        self.ceiling = ceiling
        overfullAt = -1
        edge = min(capacity, ceiling)
    }

    /// Whether an append was dropped because of the ceiling.
    @inlinable @inline(__always)
    public var isOverfull: Bool { overfullAt >= 0 }

    /// How many more bytes the ceiling allows.
    public var roomBelowCeiling: Int { isOverfull ? 0 : max(0, ceiling - count) }

    /// Adds to the buffer `written` bytes that the caller stored through `reserve`.
    @inlinable @inline(__always)
    public mutating func commit(_ written: Int) {
        precondition(written >= 0 && written <= capacity - count, "more bytes than were reserved")
        count += written
    }

    @inlinable @inline(__always)
    public mutating func append(_ bytes: Bytes) {
        guard let target = reserve(bytes.count) else { return }
        memcpy(target, bytes.base, bytes.count)
        count &+= bytes.count  // Bound: reserve made the room.
    }

    @inlinable
    public mutating func append(_ bytes: [UInt8]) {
        bytes.withBytes { append($0) }
    }

    @inlinable @inline(__always)
    public mutating func append(_ literal: StaticString) {
        append(Bytes(literal))
    }

    @inlinable
    public mutating func append(byte: UInt8) {
        guard let target = reserve(1) else { return }
        target[0] = byte
        count &+= 1  // Bound: reserve made the room.
    }

    public mutating func append(_ text: String) {
        text.withBytes { append($0) }
    }

    @inlinable
    public mutating func append(integer: Int64) {
        guard let target = reserve(ASCIIInteger.countMax) else { return }
        count &+= ASCIIInteger.write(integer, to: target)  // Bound: reserve made the room.
    }

    /// Drops everything behind `newCount`. The buffer is no longer overfull if it was not when it
    /// had `newCount` bytes.
    public mutating func truncate(to newCount: Int) {
        precondition(newCount >= readIndex && newCount <= count)
        count = newCount
        if newCount < overfullAt { setCeiling(ceiling) }
    }

    /// Consumes `bytes` bytes. A buffer with nothing left to read starts again at its front.
    public mutating func consume(_ bytes: Int) {
        precondition(bytes >= 0 && bytes <= count - readIndex)
        readIndex += bytes
        if readIndex == count {
            readIndex = 0
            count = 0
        }
    }

    /// Moves the unread bytes to the front, which makes the room there usable again.
    public mutating func compact() {
        guard readIndex > 0, let storage else { return }
        memmove(storage, storage + readIndex, count - readIndex)
        count -= readIndex
        readIndex = 0
    }

    /// Inserts bytes at `index`: a length that is known only when everything behind it is written.
    public mutating func insert(_ bytes: [UInt8], at index: Int) {
        precondition(index >= readIndex && index <= count)
        guard reserve(bytes.count) != nil, let storage else { return }
        // Safety: reserve made room for the bytes behind `count`.
        let place = storage + index
        memmove(place + bytes.count, place, count - index)
        bytes.withBytes { _ = memcpy(place, $0.base, $0.count) }
        count += bytes.count
    }

    public mutating func removeAll(keepingCapacity: Bool = true) {
        count = 0
        readIndex = 0
        if !keepingCapacity {
            free(storage)
            storage = nil
            capacity = 0
        }
        setCeiling(ceiling)
    }

    /// Prepares an append that does not end before `edge`. False if it would pass the ceiling.
    @inline(never)
    @usableFromInline mutating func makeRoom(_ more: Int) -> Bool {
        if isOverfull { return false }
        guard more <= ceiling - count else {
            // Why a byte more: marks that were set before the overflow are below this count, and
            // marks that are set afterwards are not.
            if capacity == 0 { grow(to: 1) }
            storage.unsafelyUnwrapped[count] = 0  // Safety: count < capacity.
            count += 1
            overfullAt = count
            edge = count
            return false
        }
        if count + more >= capacity { grow(to: count + more + 1) }
        edge = min(capacity, ceiling)
        return true
    }

    /// Grows by a part of its capacity at least, which keeps appending linear, but not above the
    /// ceiling. A large buffer without a ceiling grows by a quarter: it may stay for long.
    private mutating func grow(to needed: Int) {
        let isLarge = capacity >= 1 << 20 && ceiling == .max
        let target = max(needed, min(capacity + (isLarge ? capacity / 4 : capacity), ceiling), 256)
        guard let grown = realloc(storage, target) else {
            fatal("out of memory: a buffer of \(target) bytes")
        }
        storage = grown.assumingMemoryBound(to: UInt8.self)
        capacity = target
        edge = min(capacity, ceiling)
    }
}

/// Logs a message and aborts: for states in which no answer would be right.
public func fatal(_ message: String) -> Never {
    Log.standard.writeLast(message)
    abort()
}
