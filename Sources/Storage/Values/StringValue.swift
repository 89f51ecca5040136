// SPDX-License-Identifier: Apache-2.0
import Base
import Glibc

/// What SET does to the expiry.
public enum ExpiryChange: Equatable, Sendable {
    case remove, keep
    case at(Milliseconds)
}

/// A string's content in place, in whichever form it is stored.
public enum StringContent {
    case bytes(Bytes)
    case integer(Int64)

    /// The length of GET's reply in bytes.
    public var count: Int {
        switch self {
        case .bytes(let bytes): bytes.count
        case .integer(let value): ASCIIInteger.byteCount(value)
        }
    }

    /// Calls `body` with the bytes of GET's reply, which are valid during the call.
    public func withBytes<Result>(_ body: (Bytes) -> Result) -> Result {
        switch self {
        case .bytes(let bytes): body(bytes)
        case .integer(let value): ASCIIInteger.withDigits(of: value, body)
        }
    }

    /// The value as an integer, by INCR's strict rules.
    public var integer: Int64? {
        switch self {
        case .bytes(let bytes): ASCIIInteger.parse(bytes)
        case .integer(let value): value
        }
    }
}

// Strings. An integer in its shortest decimal form is stored as an integer; all else as bytes in
// the entry.
extension Hold {
    /// Sets the key at `ordinal` to a string, whatever it held. `found` is the result of `find` for
    /// it just before.
    @inline(__always)
    public func setString(
        _ ordinal: Int, _ value: Bytes, replacing found: Found?, _ expiry: ExpiryChange
    ) {
        if let found, overwrite(found, value, expiry) { return }
        writeString(ordinal, value, Hold.integer(value), replacing: found, expiry)
    }

    /// Sets the key to `value` as bytes even if they spell an integer, as INCRBYFLOAT does. The
    /// expiry stays.
    public func setText(_ ordinal: Int, _ value: Bytes, replacing found: Found?) {
        writeString(ordinal, value, nil, replacing: found, .keep)
    }

    /// SET's path over a string of the same size, if there is an expiry both before and after, or
    /// neither: one copy, no allocation.
    @inline(__always)
    private func overwrite(_ found: Found, _ value: Bytes, _ change: ExpiryChange) -> Bool {
        let entry = found.entry
        guard entry.type == .string, !entry.hasPayload, entry.valueSize == value.count,
            Hold.integer(value) == nil, Hold.keepsExpiryField(entry, change)
        else { return false }
        willUpdate(found)
        if case .at(let moment) = change {
            found.shard.pointee.table.setExpiry(found.slot, moment)
        }
        if entry.encoding != .embedded { entry.setEncoding(.embedded) }
        memcpy(entry.mutableValue, value.base, value.count)
        changed(found)
        return true
    }

    /// Whether the entry has a field for the new expiry, and none for an expiry that is removed.
    @inline(__always)
    private static func keepsExpiryField(_ entry: Entry, _ change: ExpiryChange) -> Bool {
        switch change {
        case .keep: true
        case .remove: !entry.hasExpiry
        case .at: entry.hasExpiry
        }
    }

    @inline(never)
    private func writeString(
        _ ordinal: Int, _ value: Bytes, _ integer: Int64?, replacing found: Found?,
        _ change: ExpiryChange
    ) {
        if let found, found.entry.type == .string, found.entry.hasPayload == (integer != nil),
            Hold.keepsExpiryField(found.entry, change)
        {
            willUpdate(found)
            if case .at(let moment) = change {
                found.shard.pointee.table.setExpiry(found.slot, moment)
            }
            if let integer {
                found.entry.payload = integer
            } else {
                found.shard.pointee.table.resizeValue(
                    found.slot, size: value.count, capacity: value.count)
                found.entry.setEncoding(.embedded)
                memcpy(found.entry.mutableValue, value.base, value.count)
            }
            return changed(found)
        }
        let expiry: Milliseconds? =
            switch change {
            case .remove: nil
            case .keep: found?.entry.expiry
            case .at(let moment): moment
            }
        let shape = EntryShape(
            .string, integer == nil ? .embedded : .payload, key: key(ordinal), expiry: expiry,
            payload: integer, valueSize: integer == nil ? value.count : 0)
        let now = place(ordinal, shape, replacing: found)
        if integer == nil { memcpy(now.entry.mutableValue, value.base, value.count) }
        written(now, replacing: found)
    }

    /// The value as an integer if it is one in its shortest form, of at most 20 bytes.
    @inline(__always)
    static func integer(_ value: Bytes) -> Int64? {
        guard value.count <= ASCIIInteger.countMax, value.count > 0 else { return nil }
        return ASCIIInteger.parse(value)
    }

    /// The content of a string entry, valid until the entry changes.
    @inline(__always)
    public func content(_ found: Found) -> StringContent {
        let entry = found.entry
        return entry.hasPayload ? .integer(entry.payload) : .bytes(entry.value)
    }

    /// Sets the key to a string stored as an integer. The expiry stays.
    public func setInteger(_ ordinal: Int, _ value: Int64, replacing found: Found?) {
        if let found, found.entry.type == .string, found.entry.hasPayload {
            willUpdate(found)
            found.entry.payload = value
            changed(found)
            return
        }
        let shape = EntryShape(
            .string, .payload, key: key(ordinal), expiry: found?.entry.expiry, payload: value)
        written(place(ordinal, shape, replacing: found), replacing: found)
    }

    /// Lengthens a string to `count` bytes, filling with zeros, and writes `bytes` over it from
    /// `offset` on. Growth leaves spare room, because an appended string will grow again. OBJECT
    /// ENCODING then says raw, as for any string changed in place.
    public func overwrite(
        _ ordinal: Int, _ found: Found?, count: Int, with bytes: Bytes, at offset: Int
    ) {
        precondition(count <= Entry.valueSizeMax)
        precondition(offset >= 0 && offset <= count - bytes.count, "bytes beyond the string")
        let target: Found
        if let found {
            willUpdate(found)
            target = found.entry.hasPayload ? spellInteger(ordinal, found, capacity: count) : found
        } else {
            target = insert(
                ordinal,
                EntryShape(.string, .embeddedOther, key: key(ordinal), valueCapacity: count))
        }
        let old = target.entry.valueSize
        precondition(count >= old, "an edit does not shorten")
        if count > old, !target.shard.pointee.table.lengthenInPlace(target.slot, size: count) {
            let roomy = min(count + min(count, 1 << 20), Entry.valueSizeMax)
            target.shard.pointee.table.resizeValue(target.slot, size: count, capacity: roomy)
        }
        memset(target.entry.mutableValue + old, 0, count - old)
        target.entry.setEncoding(.embeddedOther)
        memcpy(target.entry.mutableValue + offset, bytes.base, bytes.count)
        written(target, replacing: found)
    }

    /// Turns a string stored as an integer into its digits, with room for `capacity` bytes.
    private func spellInteger(_ ordinal: Int, _ found: Found, capacity: Int) -> Found {
        ASCIIInteger.withDigits(of: found.entry.payload) { digits in
            let shape = EntryShape(
                .string, .embeddedOther, key: key(ordinal), expiry: found.entry.expiry,
                valueSize: digits.count, valueCapacity: capacity)
            found.shard.pointee.table.replace(found.slot, shape, keepingValue: false)
            memcpy(found.entry.mutableValue, digits.base, digits.count)
            return found
        }
    }
}
