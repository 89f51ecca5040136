// SPDX-License-Identifier: Apache-2.0
import Base
import Glibc

// Helpers for handlers of collections: splicing value bytes in place, and nested tables.
extension Hold {
    /// Replaces the bytes in `range` of the entry's value by a gap of `size` bytes. Calls `body`
    /// with the whole value, to fill the gap and change other bytes. The slot stays valid; earlier
    /// views do not.
    func splice(
        _ found: Found, _ range: Range<Int>, size: Int,
        _ body: (UnsafeMutableBufferPointer<UInt8>) -> Void
    ) {
        willUpdate(found)
        found.shard.pointee.table.spliceValue(found.slot, range, size: size) { value in
            let start = value.assumingMemoryBound(to: UInt8.self)
            body(UnsafeMutableBufferPointer(start: start, count: found.entry.valueSize))
        }
        changed(found)
    }

    /// Makes the entry own an empty nested table. `fill` fills the table from the old value's
    /// bytes, which are freed afterwards.
    func promote(
        _ found: Found, _ encoding: Encoding, fill: (inout Table, Bytes) -> Void
    ) {
        willUpdate(found)
        found.shard.pointee.table.promoteValue(found.slot, encoding, fill: fill)
        changed(found)
    }

    /// Changes the nested table of a large collection, and charges the change of its memory.
    @inline(__always)
    func withTable<Result>(_ found: Found, _ body: (inout Table) -> Result) -> Result {
        willUpdate(found)
        let nested = found.entry.nestedTable
        let before = nested.table.pointee.allocatedSize
        let result = body(&nested.table.pointee)
        found.shard.pointee.table.allocatedSize += nested.table.pointee.allocatedSize - before
        changed(found)
        return result
    }
}

extension Table {
    /// Inserts or overwrites a member of a nested table. Returns whether it is new.
    @discardableResult
    mutating func setMember(_ member: Bytes, value: Bytes) -> Bool {
        let hash = Hash(member)
        if let slot = find(hash, member) {
            resizeValue(slot, size: value.count, capacity: value.count)
            memcpy(slot.entry.mutableValue, value.base, value.count)
            return false
        }
        let shape = EntryShape(.string, .embedded, key: member, valueSize: value.count)
        let slot = insert(hash, shape, access: 0)
        memcpy(slot.entry.mutableValue, value.base, value.count)
        return true
    }

    /// The member's entry, or nil.
    @inline(__always)
    func member(_ member: Bytes) -> Entry? { find(Hash(member), member)?.entry }

    /// Removes a member. Returns whether it was there.
    @discardableResult
    mutating func removeMember(_ member: Bytes) -> Bool {
        guard let slot = find(Hash(member), member) else { return false }
        remove(slot)
        return true
    }
}
