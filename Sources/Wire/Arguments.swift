// SPDX-License-Identifier: Apache-2.0
import Base

/// One request: the command's name at 0 and its arguments behind it, as slices of the receive
/// buffer.
///
/// Valid until the command returns. Every subscript is checked.
@safe
public struct Arguments {
    // Safety: `count` elements of the thread's argument list, unchanged while the command runs.
    @usableFromInline let base: UnsafePointer<Bytes>
    public let count: Int

    /// Safety: `base` points at `count` slices, which stay as they are while the view is used.
    @unsafe @inlinable
    public init(_ base: UnsafePointer<Bytes>, count: Int) {
        unsafe self.base = base
        self.count = count
    }

    @inlinable @inline(__always)
    public subscript(index: Int) -> Bytes {
        precondition(UInt(bitPattern: index) < UInt(bitPattern: count), "no such argument")
        return unsafe base[index]  // Safety: checked.
    }

    /// The bytes of all arguments.
    public var size: Int {
        var size = 0
        for index in 0..<count { size += self[index].count }
        return size
    }

    /// The arguments in `range`, for a loop over many of them.
    /// Safety: the buffer is valid as long as the arguments are.
    @unsafe
    public func slices(_ range: Range<Int>) -> UnsafeBufferPointer<Bytes> {
        precondition(range.lowerBound >= 0 && range.upperBound <= count)
        return unsafe UnsafeBufferPointer(start: base + range.lowerBound, count: range.count)
    }

    /// The arguments from `first` on, for a subcommand that counts from its own name.
    public func dropFirst(_ first: Int) -> Arguments {
        precondition(first >= 0 && first <= count)
        return unsafe Arguments(base + first, count: count - first)  // Safety: checked.
    }
}

/// The argument slices of a batch of requests: a list that a thread fills, runs and clears.
@safe
public struct ArgumentList: ~Copyable {
    // Safety: room for `capacity` slices, allocated here; the first `count` are written.
    private var storage: UnsafeMutablePointer<Bytes>
    private var capacity: Int
    public private(set) var count = 0

    public init() {
        capacity = 256
        unsafe storage = .allocate(capacity: capacity)
    }

    deinit { unsafe storage.deallocate() }

    @inline(__always)
    public mutating func append(_ bytes: Bytes) {
        if count == capacity { grow() }
        // Safety: below the capacity that grow made. Bound: the same.
        unsafe storage[count] = bytes
        count &+= 1
    }

    @inline(never)
    private mutating func grow() {
        // Safety: `count` slices are written, and the new memory has room for twice as many.
        let larger = UnsafeMutablePointer<Bytes>.allocate(capacity: capacity * 2)
        unsafe larger.moveInitialize(from: storage, count: count)
        unsafe storage.deallocate()
        unsafe storage = larger
        capacity *= 2
    }

    /// The `count` arguments from `first` on; valid until the list grows or is cleared.
    @inline(__always)
    public func arguments(from first: Int, count: Int) -> Arguments {
        precondition(first >= 0 && count >= 0 && first + count <= self.count)
        // Safety: that many are written; the caller does not change the list meanwhile.
        return unsafe Arguments(UnsafePointer(storage + first), count: count)
    }

    public mutating func removeLast(_ removed: Int) {
        precondition(removed <= count)
        count -= removed
    }

    /// Empties the list, and gives back the room that a huge request needed.
    @inline(__always)
    public mutating func removeAll() {
        count = 0
        if capacity > 65_536 { shrink() }
    }

    @inline(never)
    private mutating func shrink() {
        // Safety: the list is empty, so no view of it exists.
        unsafe storage.deallocate()
        capacity = 256
        unsafe storage = .allocate(capacity: capacity)
    }
}
