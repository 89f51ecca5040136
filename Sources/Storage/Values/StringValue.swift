// SPDX-License-Identifier: Apache-2.0
import Base
import Glibc

// Strings. An integer in its shortest decimal form is kept as one; all else as its bytes, in the entry.
extension Keys {
    /// What SET does to the expiry.
    public enum ExpiryChange: Equatable, Sendable {
        case remove, keep
        case at(Milliseconds)
    }

    /// A string's bytes where it is found, however it is kept.
    public enum StringContent {
        case bytes(Bytes)
        case integer(Int64)

        /// How many bytes GET would answer.
        public var count: Int {
            switch self {
            case .bytes(let bytes): bytes.count
            case .integer(let value): ASCIIInteger.byteCount(value)
            }
        }
    }

    /// Sets `key` to a string, whatever it held, and returns where it is now. `found` is what `find`
    /// gave for the key just before.
    @inline(__always)
    public mutating func setString(
        _ key: Bytes, _ value: Bytes, replacing found: Found?, _ expiry: ExpiryChange
    ) {
        if let found, found.entry.type == .string, !found.entry.hasPayload,
            Keys.integer(value) == nil, overwrite(found, value, expiry)
        {
            return
        }
        setStringSlowly(key, value, replacing: found, expiry)
    }

    /// The path of SET onto a string of about the same size: no allocation.
    @inline(__always)
    private func overwrite(_ found: Found, _ value: Bytes, _ change: ExpiryChange) -> Bool {
        let entry = found.entry
        switch change {
        case .keep: break
        case .remove: if entry.hasExpiry { return false }
        case .at(let moment):
            guard entry.hasExpiry else { return false }
            found.shard.pointee.table.setExpiry(found.slot, moment)
        }
        found.shard.pointee.table.resizeValue(
            found.slot, size: value.count, capacity: value.count)
        let current = found.entry
        if current.encoding != .embedded { current.setEncoding(.embedded) }
        memcpy(current.mutableValue, value.base, value.count)
        touch(current)
        changed(found)
        return true
    }

    @inline(never)
    private mutating func setStringSlowly(
        _ key: Bytes, _ value: Bytes, replacing found: Found?, _ change: ExpiryChange
    ) {
        var expiry: Milliseconds?
        switch change {
        case .remove: expiry = nil
        case .keep: expiry = found?.entry.expiry
        case .at(let moment): expiry = moment
        }
        let integer = Keys.integer(value)
        let shape = EntryShape(
            .string, integer == nil ? .embedded : .payload, key: key, expiry: expiry,
            payload: integer, valueSize: integer == nil ? value.count : 0)
        let now = place(shape, replacing: found)
        if integer == nil { memcpy(now.entry.mutableValue, value.base, value.count) }
        changed(now)
    }

    /// Puts an entry of `shape` in place of what was found, or inserts it. The value's bytes are the caller's to write.
    mutating func place(_ shape: EntryShape, replacing found: Found?) -> Found {
        guard let found else {
            let resolved = resolve(shape.key)
            let slot = resolved.shard.pointee.table.insert(
                resolved.hash, shape, access: Access.initial(now: now, settings: settings))
            return Found(slot: slot, shard: resolved.shard, hash: resolved.hash)
        }
        let nested = Values.nestedSize(found.entry)
        if nested > 0 {
            Values.nestedTable(found.entry).free()
            found.shard.pointee.table.allocatedSize -= nested
        }
        found.shard.pointee.table.replace(found.slot, shape, keepingValue: false)
        found.entry.access = Access.initial(now: now, settings: settings)
        return found
    }

    /// The value as an integer, where it is one in its shortest form, of at most 20 bytes.
    @inline(__always)
    static func integer(_ value: Bytes) -> Int64? {
        guard value.count <= ASCIIInteger.countMax, value.count > 0 else { return nil }
        return ASCIIInteger.parse(value)
    }

    /// The content of a string entry; valid until the entry changes.
    @inline(__always)
    public func content(_ found: Found) -> StringContent {
        let entry = found.entry
        return entry.hasPayload ? .integer(entry.payload) : .bytes(entry.value)
    }

    /// Sets a string that is kept as an integer, or inserts it; the expiry stays.
    public mutating func setInteger(_ key: Bytes, _ value: Int64, replacing found: Found?) {
        if let found, found.entry.type == .string, found.entry.hasPayload {
            found.entry.payload = value
            changed(found)
            return
        }
        let shape = EntryShape(
            .string, .payload, key: key, expiry: found?.entry.expiry, payload: value)
        changed(place(shape, replacing: found))
    }

    /// Makes room for a string of `count` bytes in which the first `kept` bytes of the old one stand, the rest zero,
    /// and calls `body` with all of it to be changed. Growth leaves room to grow again, as an
    /// appended string will. OBJECT ENCODING then says raw, as of any string that was changed in place.
    public mutating func editString(
        _ key: Bytes, _ found: Found?, count: Int,
        _ body: (UnsafeMutableBufferPointer<UInt8>) -> Void
    ) {
        precondition(count <= Entry.valueSizeMax)
        var target = found
        if let found, found.entry.hasPayload {
            // An integer becomes bytes first.
            withUnsafeTemporaryAllocation(of: UInt8.self, capacity: ASCIIInteger.countMax) { digits in
                guard let base = digits.baseAddress else { return }
                let size = ASCIIInteger.write(found.entry.payload, to: base)
                let shape = EntryShape(
                    .string, .embeddedOther, key: key, expiry: found.entry.expiry, valueSize: size,
                    valueCapacity: count)
                let now = place(shape, replacing: found)
                memcpy(now.entry.mutableValue, base, size)
                target = now
            }
        } else if found == nil {
            let shape = EntryShape(.string, .embeddedOther, key: key, valueCapacity: count)
            target = place(shape, replacing: nil)
        }
        guard let target else { return }
        let old = target.entry.valueSize
        if count > old {
            let fits = target.entry.byteCount - old + count <= target.entry.allocatedSize
            let roomy = min(count + min(count, 1 << 20), Entry.valueSizeMax)
            target.shard.pointee.table.resizeValue(
                target.slot, size: count, capacity: fits || found == nil ? count : roomy)
            memset(target.entry.mutableValue + old, 0, count - old)
        } else if count < old {
            target.shard.pointee.table.resizeValue(target.slot, size: count, capacity: count)
        }
        target.entry.setEncoding(.embeddedOther)
        body(UnsafeMutableBufferPointer(start: target.entry.mutableValue, count: count))
        changed(target)
    }
}
