// SPDX-License-Identifier: Apache-2.0
import Base
import Glibc

// What handlers of collections build on: value bytes that are spliced in place, and nested tables.
extension Keys {
    /// Inserts a collection whose value is `bytes`, under a key that is known to be absent.
    public mutating func insertCollection(
        _ key: Bytes, _ type: ValueType, _ encoding: Encoding, _ bytes: [UInt8]
    ) -> Found {
        let found = insert(EntryShape(type, encoding, key: key, valueSize: bytes.count))
        bytes.withBytes { _ = memcpy(found.entry.mutableValue, $0.base, $0.count) }
        return found
    }

    /// Replaces the bytes in `range` of the entry's value by a gap of `size` bytes, and calls
    /// `body` with the whole value, to write the gap and whatever else must change. The slot stays
    /// good; earlier views do not.
    public func splice(
        _ found: Found, _ range: Range<Int>, size: Int,
        _ body: (UnsafeMutableBufferPointer<UInt8>) -> Void
    ) {
        found.shard.pointee.table.spliceValue(found.slot, range, size: size) { value in
            let start = value.assumingMemoryBound(to: UInt8.self)
            body(UnsafeMutableBufferPointer(start: start, count: found.entry.valueSize))
        }
        changed(found)
    }

    /// Turns the entry into one that owns an empty nested table, and fills it by `fill`, which is
    /// given the old value's bytes. The old bytes are freed afterwards.
    public func promote(
        _ found: Found, _ encoding: Encoding, fill: (inout Table, Bytes) -> Void
    ) {
        found.shard.pointee.table.promoteValue(found.slot, encoding, fill: fill)
        changed(found)
    }

    /// The nested table of a large collection, to be read.
    @inline(__always)
    public func table(_ found: Found) -> UnsafePointer<Table> {
        UnsafePointer(Values.nestedTable(found.entry).table)
    }

    /// Changes the nested table of a large collection; its memory is charged afterwards.
    @inline(__always)
    public func withTable<Result>(_ found: Found, _ body: (inout Table) -> Result) -> Result {
        let nested = Values.nestedTable(found.entry)
        let before = nested.table.pointee.allocatedSize
        let result = body(&nested.table.pointee)
        found.shard.pointee.table.allocatedSize += nested.table.pointee.allocatedSize - before
        changed(found)
        return result
    }

    /// Replaces whatever was found by a new collection with the same key and no expiry, or inserts
    /// it: what SINTERSTORE and COPY do. `bytes` are the value of a packed one.
    public mutating func replaceCollection(
        _ key: Bytes, _ found: Found?, _ type: ValueType, _ encoding: Encoding, _ bytes: [UInt8],
        expiry: Milliseconds? = nil
    ) -> Found {
        let shape = EntryShape(type, encoding, key: key, expiry: expiry, valueSize: bytes.count)
        let placed = place(shape, replacing: found)
        bytes.withBytes { _ = memcpy(placed.entry.mutableValue, $0.base, $0.count) }
        return placed
    }
}

extension Keys {
    /// Sets `key` to a hash of these fields, whatever it held.
    public mutating func setHash(
        _ key: Bytes, _ fields: [(name: [UInt8], value: [UInt8])], expiry: Milliseconds?
    ) {
        let values = settings.values
        let sizeMax = values.pointee.hashMaxPackedValueSize.value
        let isSmall =
            fields.count <= values.pointee.hashMaxPackedEntries.value
            && fields.allSatisfy { $0.name.count <= sizeMax && $0.value.count <= sizeMax }
        var packed = [UInt8](repeating: 0, count: PackedList.headerSize)
        if isSmall {
            for field in fields {
                for part in [field.name, field.value] {
                    let start = packed.count
                    packed += [UInt8](repeating: 0, count: PackedList.encodedSize(part.count))
                    packed.withUnsafeMutableBufferPointer { buffer in
                        guard let base = buffer.baseAddress else { return }
                        part.withBytes { _ = PackedList.write($0, to: base + start) }
                    }
                }
            }
            packed[0] = UInt8(truncatingIfNeeded: fields.count * 2)
            packed[1] = UInt8(truncatingIfNeeded: (fields.count * 2) >> 8)
        }
        let found = replaceCollection(
            key, findAny(key), .hash, .embedded, packed, expiry: expiry)
        guard !isSmall else { return }
        promote(found, .payload) { table, _ in
            for field in fields {
                field.name.withBytes { name in
                    field.value.withBytes { _ = table.setMember(name, value: $0) }
                }
            }
        }
    }
}

extension Table {
    /// Inserts or overwrites a member of a nested table. Returns whether it is new.
    @discardableResult
    public mutating func setMember(_ member: Bytes, value: Bytes) -> Bool {
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
    public func member(_ member: Bytes) -> Entry? { find(Hash(member), member)?.entry }

    /// Removes a member. Returns whether it was there.
    @discardableResult
    public mutating func removeMember(_ member: Bytes) -> Bool {
        guard let slot = find(Hash(member), member) else { return false }
        remove(slot)
        return true
    }
}
