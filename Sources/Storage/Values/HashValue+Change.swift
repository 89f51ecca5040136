// SPDX-License-Identifier: Apache-2.0
import Base
import Glibc

/// The thresholds between a hash's forms.
struct HashLimits {
    let fieldCountMax: Int
    let elementSizeMax: Int
    /// The maximum size of a packed hash, whatever the directives say. So it fits a short header,
    /// and a change moves no more than this.
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

// Changing hashes. The slot stays valid throughout; views do not.
extension Hold {
    /// Makes the key at `ordinal` a hash, in place of what was found, with room for `fieldCount`
    /// fields (at least one) that take `byteCount` bytes with their values. The hash has no fields
    /// yet: the caller sets one before the command ends.
    public func makeHash(
        _ ordinal: Int, replacing old: Found? = nil, expiry: Milliseconds? = nil, fieldCount: Int,
        byteCount: Int
    ) -> Found {
        precondition(fieldCount > 0)
        let limits = HashLimits(settings)
        // Above the last of these bounds, at least one element is too long.
        let isPacked =
            fieldCount <= limits.fieldCountMax
            && byteCount <= HashLimits.packedSizeMax / 2
            && byteCount / (2 * fieldCount) <= limits.elementSizeMax
        let header = PackedList.headerSize
        // An element has a size prefix of one byte, or of five if it is long.
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

    /// Makes the key a hash of these fields, whatever it held. No hash is empty: without fields
    /// this makes a negative entry until `expiry`.
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

    /// Sets a field. Returns whether it is new. `field` and `value` must not lie in the hash
    /// itself.
    @inline(__always)
    @discardableResult
    public func setField(_ found: Found, _ field: Bytes, _ value: Bytes) -> Bool {
        if !found.entry.hasPayload, let isNew = setPackedField(found, field, value) { return isNew }
        return withTable(found) { $0.setMember(field, value: value) }
    }

    /// `setField` for a packed hash. Nil, with nothing set, if the hash had to become a table.
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
        // Why not by `splice`: it would free the spare room that `makeHash` left.
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

    /// Removes a field. Returns whether it existed. The caller removes a hash that becomes empty.
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

    /// Turns a packed hash into a table.
    private func promoteHash(_ found: Found) {
        promote(found, .payload) { table, bytes in
            HashValue.forEachPacked(PackedList(bytes)) { pair in
                table.setMember(pair.field, value: pair.value)
            }
        }
    }
}
