// SPDX-License-Identifier: Apache-2.0
import Base
import Glibc

// Changing a packed collection's bytes in its slot. These tell no waiters: `Hold` does that, and a
// set under construction has none.
extension Table {
    /// Replaces the bytes in `range` of the entry's value by a gap of `size` bytes. Calls `body`
    /// with the start of the whole value, to fill the gap and change other bytes. The slot stays
    /// valid; earlier views do not.
    @inline(__always)
    mutating func spliceValue(
        _ slot: Slot, _ range: Range<Int>, size: Int, _ body: (UnsafeMutableRawPointer) -> Void
    ) {
        let old = slot.entry.valueSize
        precondition(range.lowerBound >= 0 && range.upperBound <= old && size >= 0)
        let new = old - range.count + size
        let tail = old - range.upperBound
        if new < old {
            let value = slot.entry.mutableValue
            memmove(value + range.lowerBound + size, value + range.upperBound, tail)
        }
        resizeValue(slot, size: new, capacity: new)
        let value = slot.entry.mutableValue
        if new > old {
            memmove(value + range.lowerBound + size, value + range.upperBound, tail)
        }
        body(UnsafeMutableRawPointer(value))
    }

    /// Gives the packed entry in `slot` another encoding and a value of `size` bytes. `fill` writes
    /// the new value from the old one.
    mutating func rewriteValue(
        _ slot: Slot, _ encoding: Encoding, size: Int,
        _ fill: (UnsafeMutablePointer<UInt8>, Bytes) -> Void
    ) {
        let oldSize = slot.entry.valueSize
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: max(oldSize, 1)) { copy in
            guard let base = copy.baseAddress else { return }
            memcpy(base, slot.entry.value.base, oldSize)
            resizeValue(slot, size: size, capacity: size)
            slot.entry.setEncoding(encoding)
            fill(slot.entry.mutableValue, Bytes(UnsafePointer(base), oldSize))
        }
    }

    /// Makes the packed entry in `slot` own a nested table. `fill` fills the table from the old
    /// value, which is freed afterwards.
    mutating func promoteValue(
        _ slot: Slot, _ encoding: Encoding, fill: (inout Table, Bytes) -> Void
    ) {
        let entry = slot.entry
        precondition(!entry.hasPayload)
        let nested = NestedTable.make()
        fill(&nested.table.pointee, entry.value)
        let shape = EntryShape(
            entry.type, encoding, key: entry.key, expiry: entry.expiry,
            payload: Int64(Int(bitPattern: nested.table)))
        replace(slot, shape, keepingValue: false)
        allocatedSize += nested.size
    }
}
