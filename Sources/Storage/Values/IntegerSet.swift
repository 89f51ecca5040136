// SPDX-License-Identifier: Apache-2.0
import Base

/// The members of a set of integers, in the entry's own block.
///
/// Why: as strings, each number would take a size byte and up to twenty digits. Here each takes as
/// many bytes as the widest of them needs, and finding one among 512 takes nine comparisons.
///
/// Layout:
///
///     0   width of every integer in bytes: 2, 4 or 8
///     1   integers, little-endian, ascending, each once; not aligned
///
/// Invariants:
/// 1. The integers end exactly at the end of the value.
/// 2. The width fits the widest integer that was ever added. It grows and never shrinks.
struct IntegerSet {
    static let headerSize = 1
    let bytes: Bytes
    let width: Int

    @inline(__always)
    init(_ bytes: Bytes) {
        self.bytes = bytes
        width = Int(bytes[0])
    }

    @inline(__always)
    var count: Int { (bytes.count - IntegerSet.headerSize) >> width.trailingZeroBitCount }

    @inline(__always)
    subscript(index: Int) -> Int64 {
        precondition(index >= 0 && index < count)
        let place = UnsafeRawPointer(bytes.base) + IntegerSet.offset(index, width)
        return IntegerSet.load(place, width)
    }

    /// Where the integer number `index` begins in the value.
    @inline(__always)
    static func offset(_ index: Int, _ width: Int) -> Int { headerSize + index * width }

    /// Offset in the value of the integer at `index`.
    static func width(of value: Int64) -> Int {
        if Int64(Int16(truncatingIfNeeded: value)) == value { return 2 }
        return Int64(Int32(truncatingIfNeeded: value)) == value ? 4 : 8
    }

    // Safety: the callers of `load` and `store` pass places within a value, at least `width` bytes
    // before its end.
    @inline(__always)
    static func load(_ place: UnsafeRawPointer, _ width: Int) -> Int64 {
        switch width {
        case 2: Int64(place.loadUnaligned(as: Int16.self))
        case 4: Int64(place.loadUnaligned(as: Int32.self))
        default: place.loadUnaligned(as: Int64.self)
        }
    }

    @inline(__always)
    static func store(_ value: Int64, _ width: Int, at place: UnsafeMutableRawPointer) {
        switch width {
        case 2: place.storeBytes(of: Int16(truncatingIfNeeded: value), as: Int16.self)
        case 4: place.storeBytes(of: Int32(truncatingIfNeeded: value), as: Int32.self)
        default: place.storeBytes(of: value, as: Int64.self)
        }
    }

    /// The number of integers below `value`: its index, or the index where it would be inserted.
    @inline(__always)
    func position(of value: Int64) -> Int {
        var low = 0
        var high = count
        while low < high {  // Bound: halves each turn.
            let middle = (low + high) / 2
            if self[middle] < value { low = middle + 1 } else { high = middle }
        }
        return low
    }

    @inline(__always)
    func contains(_ value: Int64) -> Bool {
        let position = self.position(of: value)
        return position < count && self[position] == value
    }
}

extension Table {
    /// Adds `value`, known to be absent, to the set of integers in `slot`.
    mutating func insertInteger(_ slot: Slot, _ value: Int64) {
        let set = IntegerSet(slot.entry.value)
        let count = set.count
        let oldWidth = set.width
        let width = max(oldWidth, IntegerSet.width(of: value))
        let position = set.position(of: value)
        if width == oldWidth {
            let offset = IntegerSet.offset(position, width)
            spliceValue(slot, offset..<offset, size: width) { bytes in
                IntegerSet.store(value, width, at: bytes + offset)
            }
            return
        }
        let end = IntegerSet.offset(count, oldWidth)
        let growth = IntegerSet.offset(count + 1, width) - end
        spliceValue(slot, end..<end, size: growth) { bytes in
            // Why from the back: every integer moves up, to a place that was vacated already.
            for index in (0..<count).reversed() {
                let old = IntegerSet.load(bytes + IntegerSet.offset(index, oldWidth), oldWidth)
                let place = IntegerSet.offset(index < position ? index : index + 1, width)
                IntegerSet.store(old, width, at: bytes + place)
            }
            IntegerSet.store(value, width, at: bytes + IntegerSet.offset(position, width))
            bytes.storeBytes(of: UInt8(width), as: UInt8.self)
        }
    }

    /// Removes the integer at `index` from the set of integers in `slot`.
    mutating func removeInteger(_ slot: Slot, at index: Int) {
        let set = IntegerSet(slot.entry.value)
        let offset = IntegerSet.offset(index, set.width)
        spliceValue(slot, offset..<offset + set.width, size: 0) { _ in }
    }
}
