// SPDX-License-Identifier: Apache-2.0
import Base
import Glibc

/// The elements of a small collection, one after another in the entry's own block.
///
/// Why: as a table, a hash of five fields would take five more allocations and twice the memory.
/// Walking at most 128 short elements takes a few cache lines.
///
/// Layout:
///
///     0   UInt16 number of elements (a hash has two for each field)
///     2   element, element, …: size in one byte if below 254, else 254 and UInt32; then the bytes
///
/// Invariant: the elements end exactly at the end of the value.
struct PackedList {
    let bytes: Bytes
    static let headerSize = 2
    static let elementCountMax = 65_535

    init(_ bytes: Bytes) {
        precondition(bytes.count >= PackedList.headerSize)
        self.bytes = bytes
    }

    var count: Int { Int(bytes[0]) | Int(bytes[1]) << 8 }

    /// An element and its place, its size bytes included.
    struct Element {
        let value: Bytes
        /// Offsets in the value: from the size byte to the end of the element.
        let range: Range<Int>
    }

    /// The element at `offset`, or nil at the end. The first is at `headerSize`.
    @inline(__always)
    func element(at offset: Int) -> Element? {
        guard offset < bytes.count else { return nil }
        var size = Int(bytes[offset])
        var start = offset + 1
        if size == 254 {
            size =
                Int(bytes[offset + 1]) | Int(bytes[offset + 2]) << 8
                | Int(bytes[offset + 3]) << 16 | Int(bytes[offset + 4]) << 24
            start = offset + 5
        }
        return Element(value: bytes[start..<start + size], range: offset..<start + size)
    }

    /// The element equal to `value` among every `stride`-th, from the first; nil if there is none.
    @inline(__always)
    func find(_ value: Bytes, stride: Int) -> Element? {
        var offset = PackedList.headerSize
        var index = 0
        while let element = self.element(at: offset) {  // Bound: each turn moves on by an element.
            if index == 0, element.value == value { return element }
            index = index + 1 == stride ? 0 : index + 1
            offset = element.range.upperBound
        }
        return nil
    }

    /// Calls `body` with every element in order, until it returns false.
    @inline(__always)
    func forEach(_ body: (Element) -> Bool) {
        var offset = PackedList.headerSize
        while let element = self.element(at: offset) {
            guard body(element) else { return }
            offset = element.range.upperBound
        }
    }

    /// Bytes of an element of `size`, its size prefix included.
    static func encodedSize(_ size: Int) -> Int { size < 254 ? size + 1 : size + 5 }

    /// Writes an element at `target`, which has room for `encodedSize` bytes. Returns the number of
    /// bytes written.
    @discardableResult
    static func write(_ value: Bytes, to target: UnsafeMutablePointer<UInt8>) -> Int {
        var start = 1
        if value.count < 254 {
            target[0] = UInt8(value.count)
        } else {
            target[0] = 254
            for index in 0..<4 {
                target[1 + index] = UInt8(truncatingIfNeeded: value.count >> (8 * index))
            }
            start = 5
        }
        memcpy(target + start, value.base, value.count)
        return start + value.count
    }

    static func setCount(_ count: Int, at target: UnsafeMutablePointer<UInt8>) {
        precondition(count >= 0 && count <= elementCountMax)
        target[0] = UInt8(truncatingIfNeeded: count)
        target[1] = UInt8(truncatingIfNeeded: count >> 8)
    }
}
