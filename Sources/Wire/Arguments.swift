// SPDX-License-Identifier: Apache-2.0
import Base

/// One request: the command's name at 0 and its arguments behind it, as slices of the receive
/// buffer.
///
/// Valid until the command returns. Every subscript is checked.
public struct Arguments {
    // Safety: `count` elements of the thread's argument list, unchanged while the command runs.
    @usableFromInline let base: UnsafePointer<Bytes>
    public let count: Int

    @inlinable
    public init(_ base: UnsafePointer<Bytes>, count: Int) {
        self.base = base
        self.count = count
    }

    @inlinable @inline(__always)
    public subscript(index: Int) -> Bytes {
        precondition(UInt(bitPattern: index) < UInt(bitPattern: count), "no such argument")
        return base[index]
    }

    /// The bytes of all arguments.
    public var size: Int {
        var size = 0
        for index in 0..<count { size += self[index].count }
        return size
    }

    /// The arguments in `range`, for a loop over many of them.
    public func slices(_ range: Range<Int>) -> UnsafeBufferPointer<Bytes> {
        precondition(range.lowerBound >= 0 && range.upperBound <= count)
        return UnsafeBufferPointer(start: base + range.lowerBound, count: range.count)
    }

    /// The arguments from `first` on, for a subcommand that counts from its own name.
    public func dropFirst(_ first: Int) -> Arguments {
        precondition(first >= 0 && first <= count)
        return Arguments(base + first, count: count - first)
    }
}

/// The argument slices of a batch of requests: a list that a thread fills, runs and clears.
public struct ArgumentList: ~Copyable {
    private var storage: UnsafeMutablePointer<Bytes>
    private var capacity: Int
    public private(set) var count = 0

    public init() {
        capacity = 256
        storage = .allocate(capacity: capacity)
    }

    deinit { storage.deallocate() }

    @inline(__always)
    public mutating func append(_ bytes: Bytes) {
        if count == capacity { grow() }
        storage[count] = bytes
        count &+= 1  // Bound: below the capacity that grow made.
    }

    @inline(never)
    private mutating func grow() {
        let larger = UnsafeMutablePointer<Bytes>.allocate(capacity: capacity * 2)
        larger.moveInitialize(from: storage, count: count)
        storage.deallocate()
        storage = larger
        capacity *= 2
    }

    /// The `count` arguments from `first` on; valid until the list grows or is cleared.
    @inline(__always)
    public func arguments(from first: Int, count: Int) -> Arguments {
        precondition(first >= 0 && count >= 0 && first + count <= self.count)
        return Arguments(UnsafePointer(storage + first), count: count)
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
        storage.deallocate()
        capacity = 256
        storage = .allocate(capacity: capacity)
    }
}
