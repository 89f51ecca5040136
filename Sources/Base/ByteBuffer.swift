// SPDX-License-Identifier: Apache-2.0
import Glibc

/// A growable byte buffer with one owner. It holds replies waiting to be sent, or a request that
/// has arrived in part.
///
/// Why: replies are appended piece by piece and sent in one write, so appending must cost only a
/// compare, a copy and an add. An array would check for uniqueness at each step.
///
///     start            readIndex        count           capacity
///       | consumed        | readable      | room           |
///
/// Invariants: 0 <= readIndex <= count <= capacity; storage is nil only while capacity is 0.
@safe
public struct ByteBuffer: ~Copyable {
    // Safety: malloc gave `capacity` bytes; the first `count` of them are initialized.
    @usableFromInline var storage: UnsafeMutablePointer<UInt8>?
    public private(set) var capacity: Int
    /// Bytes appended so far, consumed ones included.
    public var count: Int
    /// Where the next reader begins.
    public private(set) var readIndex: Int

    public init() {
        storage = nil
        capacity = 0
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

    /// Makes room for at least `more` bytes behind the last one and returns a pointer to it.
    @inlinable @inline(__always)
    public mutating func reserve(_ more: Int) -> UnsafeMutablePointer<UInt8> {
        // Bound: more <= 512 MB, count bounded by limits. (A buffer without storage grows even if
        // `more` is 0.)
        if count &+ more >= capacity { grow(to: count + more + 1) }
        // Safety: after grow, storage is not nil and has `more` bytes behind `count`.
        return storage.unsafelyUnwrapped + count
    }

    /// Adds to the buffer `written` bytes that the caller stored through `reserve`.
    @inlinable @inline(__always)
    public mutating func commit(_ written: Int) {
        precondition(written >= 0 && written <= capacity - count, "more bytes than were reserved")
        count += written
    }

    @inlinable @inline(__always)
    public mutating func append(_ bytes: Bytes) {
        let target = reserve(bytes.count)
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
        reserve(1)[0] = byte
        count &+= 1  // Bound: reserve made the room.
    }

    public mutating func append(_ text: String) {
        text.withBytes { append($0) }
    }

    @inlinable
    public mutating func append(integer: Int64) {
        let target = reserve(ASCIIInteger.countMax)
        count &+= ASCIIInteger.write(integer, to: target)  // Bound: reserve made the room.
    }

    /// Drops everything behind `newCount`.
    @inlinable
    public mutating func truncate(to newCount: Int) {
        precondition(newCount >= readIndex && newCount <= count)
        count = newCount
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
        _ = reserve(bytes.count)
        // Safety: reserve made room for the bytes behind `count`.
        let place = storage.unsafelyUnwrapped + index
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
    }

    /// Grows by at least half, which keeps appending linear. Never inlined: it is the rare path of
    /// `reserve`.
    @inline(never)
    @usableFromInline mutating func grow(to needed: Int) {
        let target = max(needed, capacity + capacity / 2, 256)
        guard let grown = realloc(storage, target) else {
            fatal("out of memory: a buffer of \(target) bytes")
        }
        storage = grown.assumingMemoryBound(to: UInt8.self)
        capacity = target
    }
}

/// Logs a message and aborts: for states in which no answer would be right.
public func fatal(_ message: String) -> Never {
    Log.standard.writeLast(message)
    abort()
}
