// SPDX-License-Identifier: Apache-2.0
import Base
import Glibc

/// When a hash outgrows its packed form.
struct HashLimits {
    let fieldCountMax: Int
    let elementSizeMax: Int
    /// However large the directives are, a packed hash takes no more than this, so that it fits a
    /// short header and a change does not move more.
    static let packedSizeMax = 1 << 23

    @inline(__always)
    init(_ settings: SettingsReference) {
        fieldCountMax = min(
            settings.hashMaxPackedEntries, PackedList.elementCountMax / 2)
        elementSizeMax = settings.hashMaxPackedValueSize
    }

    @inline(__always)
    func allows(_ field: Bytes, _ value: Bytes) -> Bool {
        field.count <= elementSizeMax && value.count <= elementSizeMax
    }
}

// Changes of hashes. The slot stays good through all of them; views do not.
extension Hold {
    /// Makes the key at `ordinal` a hash in place of what was found there, with room for
    /// `fieldCount` fields (one at least) that take `byteCount` bytes with their values. It has no
    /// fields yet: the caller sets one before the command ends.
    public func makeHash(
        _ ordinal: Int, replacing old: Found? = nil, expiry: Milliseconds? = nil, fieldCount: Int,
        byteCount: Int
    ) -> Found {
        precondition(fieldCount > 0)
        let limits = HashLimits(settings)
        // Beyond the last of these bounds some element is too long, whichever it is.
        let isPacked =
            fieldCount <= limits.fieldCountMax
            && byteCount <= HashLimits.packedSizeMax / 2
            && byteCount / (2 * fieldCount) <= limits.elementSizeMax
        let header = PackedList.headerSize
        // An element's size takes one byte in front of it, or five of a long one.
        let capacity = isPacked ? header + byteCount + 2 * fieldCount : header
        let found = place(
            ordinal,
            EntryShape(
                .hash, .embedded, key: key(ordinal), expiry: expiry, valueSize: header,
                valueCapacity: capacity),
            replacing: old)
        PackedList.setCount(0, at: found.entry.mutableValue)
        written(found, replacing: old)
        if !isPacked { promoteHash(found) }
        return found
    }

    /// Sets the key to a hash of these fields, whatever it held. No hash is empty: without fields
    /// readers see no key until `expiry`, and nothing is loaded.
    public func setHash(
        _ ordinal: Int, _ fields: [(name: [UInt8], value: [UInt8])], until expiry: Milliseconds
    ) {
        guard !fields.isEmpty else { return setAbsent(ordinal, until: expiry) }
        let hash = makeHash(
            ordinal, replacing: findAny(ordinal), expiry: expiry, fieldCount: fields.count,
            byteCount: fields.reduce(0) { $0 + $1.name.count + $1.value.count })
        for field in fields {
            field.name.withBytes { name in
                field.value.withBytes { _ = setField(hash, name, $0) }
            }
        }
    }

    /// Sets a field, and returns whether it is new. `field` and `value` may not lie in the hash
    /// itself.
    @inline(__always)
    @discardableResult
    public func setField(_ found: Found, _ field: Bytes, _ value: Bytes) -> Bool {
        if !found.entry.hasPayload, let isNew = setPackedField(found, field, value) { return isNew }
        return withTable(found) { $0.setMember(field, value: value) }
    }

    /// `setField` of a packed hash; nil, with nothing set, where the hash has had to become a
    /// table.
    private func setPackedField(_ found: Found, _ field: Bytes, _ value: Bytes) -> Bool? {
        let limits = HashLimits(settings)
        let list = PackedList(found.entry.value)
        let element = list.find(field, stride: 2)
        let count = list.count / 2 + (element == nil ? 1 : 0)
        let added = PackedList.encodedSize(field.count) + PackedList.encodedSize(value.count)
        guard limits.allows(field, value), count <= limits.fieldCountMax,
            list.bytes.count + added <= HashLimits.packedSizeMax
        else {
            promoteHash(found)
            return nil
        }
        guard let element, let old = list.element(at: element.range.upperBound) else {
            appendPacked(found, field, value, added: added)
            return true
        }
        let size = PackedList.encodedSize(value.count)
        splice(found, old.range, size: size) { bytes in
            guard let base = bytes.baseAddress else { return }
            PackedList.write(value, to: base + old.range.lowerBound)
        }
        return false
    }

    private func appendPacked(_ found: Found, _ field: Bytes, _ value: Bytes, added: Int) {
        willUpdate(found)
        let old = found.entry.valueSize
        // Why not through splice: it gives the room back that a new hash was made with.
        if !found.shard.pointee.table.lengthenInPlace(found.slot, size: old + added) {
            found.shard.pointee.table.resizeValue(
                found.slot, size: old + added, capacity: old + added)
        }
        let base = found.entry.mutableValue
        let written = PackedList.write(field, to: base + old)
        PackedList.write(value, to: base + old + written)
        PackedList.setCount(PackedList(found.entry.value).count + 2, at: base)
        changed(found)
    }

    /// Removes a field. Returns whether it was there. The caller removes a hash that has become
    /// empty.
    public func removeField(_ found: Found, _ field: Bytes) -> Bool {
        guard found.entry.hasPayload else { return removePackedField(found, field) }
        let nested = found.entry.nestedTable.table
        guard let slot = nested.pointee.find(Hash(field), field) else { return false }
        willUpdate(found)
        let before = nested.pointee.allocatedSize
        nested.pointee.remove(slot)
        found.shard.pointee.table.allocatedSize += nested.pointee.allocatedSize - before
        changed(found)
        return true
    }

    private func removePackedField(_ found: Found, _ field: Bytes) -> Bool {
        let list = PackedList(found.entry.value)
        guard let element = list.find(field, stride: 2),
            let value = list.element(at: element.range.upperBound)
        else { return false }
        let count = list.count - 2
        splice(found, element.range.lowerBound..<value.range.upperBound, size: 0) { bytes in
            guard let base = bytes.baseAddress else { return }
            PackedList.setCount(count, at: base)
        }
        return true
    }

    /// Gives a packed hash a table of its own.
    private func promoteHash(_ found: Found) {
        promote(found, .payload) { table, bytes in
            HashValue.forEachPacked(PackedList(bytes)) { pair in
                table.setMember(pair.field, value: pair.value)
            }
        }
    }
}
