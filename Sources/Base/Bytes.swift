// SPDX-License-Identifier: Apache-2.0
import Glibc

/// A view of bytes that something else owns: an argument in a receive buffer, a key or a value in
/// an entry.
///
/// Why: a handler must read arguments and values without copying them, hold several at once, and
/// put them in arrays. A `Span` cannot be stored; a pair of pointer and count can.
///
/// Invariants:
/// 1. Every subscript is checked against `count`, in release builds too.
/// 2. A view of an argument is valid until the command returns. A view into an entry is valid until
///    the next call that changes that entry, under the lock of its shard. Nothing that outlives the
///    command may keep a view; it must copy the bytes (`array`).
@safe
public struct Bytes: @unchecked Sendable {
    // Safety: `base` points at `count` readable bytes for the lifetime described above; an empty
    // view may point anywhere and is never read.
    public let base: UnsafePointer<UInt8>
    public let count: Int

    @inlinable @inline(__always)
    public init(_ base: UnsafePointer<UInt8>, _ count: Int) {
        self.base = base
        self.count = count
    }

    @inlinable @inline(__always)
    public init(raw base: UnsafeRawPointer, _ count: Int) {
        self.base = base.assumingMemoryBound(to: UInt8.self)
        self.count = count
    }

    /// A literal: valid forever.
    @inlinable @inline(__always)
    public init(_ literal: StaticString) {
        self.base = literal.utf8Start
        self.count = literal.utf8CodeUnitCount
    }

    /// No bytes.
    @inlinable
    public static var empty: Bytes { Bytes("" as StaticString) }

    @inlinable @inline(__always)
    public var isEmpty: Bool { count == 0 }

    @inlinable @inline(__always)
    public subscript(index: Int) -> UInt8 {
        precondition(UInt(bitPattern: index) < UInt(bitPattern: count), "byte index out of range")
        return base[index]
    }

    /// The bytes in `range`, which must lie within `0...count`.
    @inlinable @inline(__always)
    public subscript(range: Range<Int>) -> Bytes {
        precondition(range.lowerBound >= 0 && range.upperBound <= count, "byte range out of range")
        return Bytes(base + range.lowerBound, range.upperBound - range.lowerBound)
    }

    /// Everything from `start` on; `start` must lie within `0...count`.
    @inlinable
    public func suffix(from start: Int) -> Bytes { self[start..<count] }

    @inlinable @inline(__always)
    public static func == (left: Bytes, right: Bytes) -> Bool {
        left.count == right.count && memcmp(left.base, right.base, left.count) == 0
    }

    @inlinable @inline(__always)
    public static func != (left: Bytes, right: Bytes) -> Bool { !(left == right) }

    /// Compares byte by byte: negative if `self` sorts before `other`, zero if they are equal,
    /// positive if it sorts after.
    @inlinable
    public func compare(_ other: Bytes) -> Int {
        let order = memcmp(base, other.base, min(count, other.count))
        return order != 0 ? Int(order) : count - other.count
    }

    /// Whether the bytes spell `upper`, in any mix of cases. `upper` must be upper-case ASCII.
    public func isKeyword(_ upper: StaticString) -> Bool {
        guard upper.utf8CodeUnitCount == count else { return false }
        let letters = upper.utf8Start
        for index in 0..<count where ASCII.upper(base[index]) != letters[index] { return false }
        return true
    }

    public func hasPrefix(_ prefix: Bytes) -> Bool {
        prefix.count <= count && memcmp(base, prefix.base, prefix.count) == 0
    }

    /// The position of `byte`, or nil.
    public func firstIndex(of byte: UInt8) -> Int? {
        guard count > 0, let found = memchr(base, Int32(byte), count) else { return nil }
        return UnsafeRawPointer(found) - UnsafeRawPointer(base)
    }

    /// An owned copy.
    public var array: [UInt8] { [UInt8](UnsafeBufferPointer(start: base, count: count)) }

    /// A copy as text, with invalid UTF-8 replaced. For logs and administration only.
    public var string: String { String(decoding: buffer, as: UTF8.self) }

    /// A copy as text in lower case, and in upper case. For words of commands, which are ASCII.
    public var lowercased: String { String(decoding: buffer.map(ASCII.lower), as: UTF8.self) }
    public var uppercased: String { String(decoding: buffer.map(ASCII.upper), as: UTF8.self) }

    /// The offset at which this view begins in `whole`. This view must lie within `whole`.
    public func offset(in whole: Bytes) -> Int {
        let offset = base - whole.base
        precondition(offset >= 0 && offset + count <= whole.count, "not a part of those bytes")
        return offset
    }

    /// The same bytes as a standard library buffer, for calls that want one.
    @inlinable
    public var buffer: UnsafeBufferPointer<UInt8> { UnsafeBufferPointer(start: base, count: count) }
}

extension [UInt8] {
    /// Calls `body` with a view of the array's bytes, valid during the call.
    @inlinable
    public func withBytes<Result, Failure: Error>(
        _ body: (Bytes) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try withUnsafeBufferPointer {
            (buffer: UnsafeBufferPointer<UInt8>) throws(Failure) -> Result in
            guard let base = buffer.baseAddress else { return try body(.empty) }
            return try body(Bytes(base, buffer.count))
        }
    }
}

extension String {
    /// Calls `body` with a view of the text's bytes, valid during the call.
    public func withBytes<Result>(_ body: (Bytes) -> Result) -> Result {
        var text = self
        return text.withUTF8 { buffer in
            guard let base = buffer.baseAddress else { return body(.empty) }
            return body(Bytes(base, buffer.count))
        }
    }
}

/// ASCII letters and digits, the only alphabet of the protocol.
public enum ASCII {
    @inlinable @inline(__always)
    public static func upper(_ byte: UInt8) -> UInt8 {
        byte &- 97 < 26 ? byte &- 32 : byte
    }

    @inlinable @inline(__always)
    public static func lower(_ byte: UInt8) -> UInt8 {
        byte &- 65 < 26 ? byte &+ 32 : byte
    }

    @inlinable @inline(__always)
    public static func isDigit(_ byte: UInt8) -> Bool { byte &- 48 < 10 }

    /// C's isspace: space, tab, newline, vertical tab, form feed, carriage return.
    @inlinable
    public static func isSpace(_ byte: UInt8) -> Bool { byte == 32 || byte &- 9 < 5 }

    @inlinable
    public static func isPrintable(_ byte: UInt8) -> Bool { byte >= 32 && byte < 127 }

    /// The value of a hexadecimal digit in either case, 0 to 15, or nil for any other byte.
    public static func hexadecimal(_ byte: UInt8) -> UInt8? {
        switch lower(byte) {
        case let digit where isDigit(digit): digit - 48
        case let letter where letter >= 97 && letter <= 102: letter - 87
        default: nil
        }
    }

    /// The byte that a backslash and `byte` mean in quoted text: n, r, t, b and a as in C, any
    /// other byte itself. The caller handles `\x` with two digits.
    public static func unescaped(_ byte: UInt8) -> UInt8 {
        switch byte {
        case UInt8(ascii: "n"): 10
        case UInt8(ascii: "r"): 13
        case UInt8(ascii: "t"): 9
        case UInt8(ascii: "b"): 8
        case UInt8(ascii: "a"): 7
        default: byte
        }
    }
}
