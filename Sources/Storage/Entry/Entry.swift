// SPDX-License-Identifier: Apache-2.0
import Base
import Glibc

/// The type of an entry's value, as TYPE names it.
public enum ValueType: UInt8, Sendable {
    case string, hash, set, list, sortedSet, stream
    /// A negative entry: the record is known not to exist in PostgreSQL. Readers see no key.
    case absent

    public var name: StaticString {
        switch self {
        case .string: "string"
        case .hash: "hash"
        case .set: "set"
        case .list: "list"
        case .sortedSet: "zset"
        case .stream: "stream"
        case .absent: "none"
        }
    }
}

/// The layout of a value. The numbers have a meaning only together with the type.
public enum Encoding: UInt8, Sendable {
    /// The value's bytes are in the entry: a string as it was set, or a packed hash or set.
    case embedded = 0
    /// The payload is an integer (string), or points to a table (hash, set).
    case payload = 1
    /// The value's bytes are in the entry: a string that was changed in place, or sorted integers
    /// (set).
    case embeddedOther = 2
}

/// One key with its value and expiry, in one allocation.
///
/// Why: one pointer in the table, one cache miss to the header and the key, no second block for the
/// expiry, the value or a small collection.
///
/// Layout (8-byte units, little-endian):
///
///     0   byte 0: type (3 bits) | encoding (2) | payload (1) | expiry (1) | long (1)
///         bytes 1-3: access, seconds (LRU) or minutes and counter (LFU)
///         byte 4: key size, bytes 5-7: value size        (0 if long)
///     +8  if long: UInt32 key size, UInt32 value size
///     +8  if expiry: Int64 milliseconds since 1970
///     +8  if payload: Int64 or pointer
///     +…  key bytes, then value bytes
///
/// A 16-byte key with a 32-byte value takes 56 bytes, or 64 with an expiry: both fit the 64-byte
/// class.
///
/// Invariants:
/// 1. The three flag bits are adjacent; the key begins at 8 + 8 x the number of flags set.
/// 2. `byteCount <= Block.size(base)`; the rest of the block is room to grow in place.
/// 3. An entry with a payload has no value bytes.
@safe
public struct Entry: @unchecked Sendable {
    // Safety: `base` is a block of at least `byteCount` bytes, owned by the table that points to it
    // and read or changed only under the lock of its shard.
    public let base: UnsafeMutableRawPointer

    /// Where the entry lies: its identity while its table's shard is held.
    public var address: UInt { UInt(bitPattern: base) }

    static let payloadFlag: UInt64 = 1 << 5
    static let expiryFlag: UInt64 = 1 << 6
    static let longFlag: UInt64 = 1 << 7
    /// The longest key: the largest 24-bit size, although a long header has room for more.
    public static let keySizeMax = (1 << 24) - 1
    public static let valueSizeMax = 512 << 20

    @inline(__always)
    init(_ base: UnsafeMutableRawPointer) { self.base = base }

    @inline(__always)
    var header: UInt64 {
        get { base.load(as: UInt64.self) }
        nonmutating set { base.storeBytes(of: newValue, as: UInt64.self) }
    }

    @inline(__always)
    public var type: ValueType {
        ValueType(rawValue: UInt8(truncatingIfNeeded: header & 7)) ?? .absent
    }

    @inline(__always)
    public var encoding: Encoding {
        Encoding(rawValue: UInt8(truncatingIfNeeded: (header >> 3) & 3)) ?? .embedded
    }

    /// Whether this is a negative entry: a record known not to exist.
    @inline(__always)
    public var isAbsent: Bool { header & 7 == UInt64(ValueType.absent.rawValue) }

    func setEncoding(_ encoding: Encoding) {
        header = header & ~(3 << 3) | UInt64(encoding.rawValue) << 3
    }

    @inline(__always)
    public var hasExpiry: Bool { header & Entry.expiryFlag != 0 }

    @inline(__always)
    var isLong: Bool { header & Entry.longFlag != 0 }

    @inline(__always)
    public var hasPayload: Bool { header & Entry.payloadFlag != 0 }

    /// The 24 bits of access time or frequency that eviction and OBJECT read.
    @inline(__always)
    public var access: UInt32 {
        get { UInt32(truncatingIfNeeded: header >> 8) & 0xFF_FFFF }
        nonmutating set {
            header = header & ~(0xFF_FFFF << 8) | UInt64(newValue & 0xFF_FFFF) << 8
        }
    }

    @inline(__always)
    var keyOffset: Int {
        8 + 8 * ((header >> 5) & 7).nonzeroBitCount
    }

    @inline(__always)
    public var keySize: Int {
        isLong ? Int(base.load(fromByteOffset: 8, as: UInt32.self)) : Int((header >> 32) & 0xFF)
    }

    /// Bytes of the value in the entry.
    @inline(__always)
    public var valueSize: Int {
        isLong ? Int(base.load(fromByteOffset: 12, as: UInt32.self)) : Int(header >> 40)
    }

    /// Changes the number of value bytes. The caller ensures that they fit the block and the
    /// header.
    func setValueSize(_ size: Int) {
        if isLong {
            base.storeBytes(of: UInt32(size), toByteOffset: 12, as: UInt32.self)
        } else {
            precondition(size < 1 << 24)
            header = header & ((1 << 40) - 1) | UInt64(size) << 40
        }
    }

    @inline(__always)
    public var key: Bytes { Bytes(raw: base + keyOffset, keySize) }

    @inline(__always)
    public var value: Bytes { Bytes(raw: base + (keyOffset + keySize), valueSize) }

    /// The value's bytes, for changes in place under the shard's lock.
    @inline(__always)
    var mutableValue: UnsafeMutablePointer<UInt8> {
        (base + (keyOffset + keySize)).assumingMemoryBound(to: UInt8.self)
    }

    /// The moment of expiry, or nil.
    @inline(__always)
    public var expiry: Milliseconds? {
        guard hasExpiry else { return nil }
        return base.load(fromByteOffset: isLong ? 16 : 8, as: Int64.self)
    }

    @inline(__always)
    func isExpired(at now: Milliseconds) -> Bool {
        guard hasExpiry else { return false }
        return base.load(fromByteOffset: isLong ? 16 : 8, as: Int64.self) <= now
    }

    func storeExpiry(_ moment: Milliseconds) {
        precondition(hasExpiry)
        base.storeBytes(of: moment, toByteOffset: isLong ? 16 : 8, as: Int64.self)
    }

    @inline(__always)
    public var payload: Int64 {
        get { base.load(fromByteOffset: keyOffset - 8, as: Int64.self) }
        nonmutating set {
            precondition(hasPayload)
            base.storeBytes(of: newValue, toByteOffset: keyOffset - 8, as: Int64.self)
        }
    }

    /// The bytes that the layout uses; the block may be larger.
    @inline(__always)
    public var byteCount: Int { keyOffset + keySize + valueSize }

    /// The true size of the entry's block, without the memory that a large collection has of its
    /// own.
    @inline(__always)
    public var allocatedSize: Int { Block.size(base) }
}

/// The parts and sizes of a new entry.
public struct EntryShape {
    public var type: ValueType
    public var encoding: Encoding
    public var key: Bytes
    public var expiry: Milliseconds?
    public var payload: Int64?
    /// Bytes of value at first.
    public var valueSize: Int
    /// Bytes of value to make room for; at least `valueSize`.
    public var valueCapacity: Int

    @inline(__always)
    public init(
        _ type: ValueType, _ encoding: Encoding, key: Bytes, expiry: Milliseconds? = nil,
        payload: Int64? = nil, valueSize: Int = 0, valueCapacity: Int = 0
    ) {
        self.type = type
        self.encoding = encoding
        self.key = key
        self.expiry = expiry
        self.payload = payload
        self.valueSize = valueSize
        self.valueCapacity = max(valueSize, valueCapacity)
    }

    @inline(__always)
    var isLong: Bool { key.count > 0xFF || valueCapacity > 0xFF_FFFF }

    @inline(__always)
    var keyOffset: Int {
        8 + (isLong ? 8 : 0) + (expiry != nil ? 8 : 0) + (payload != nil ? 8 : 0)
    }

    @inline(__always)
    var byteCount: Int { keyOffset + key.count + valueCapacity }
}

extension Entry {
    /// Allocates an entry of `shape` with the key in place; the caller writes the value bytes.
    @inline(__always)
    static func make(_ shape: EntryShape, access: UInt32) -> Entry {
        precondition(shape.key.count <= valueSizeMax && shape.valueCapacity <= valueSizeMax)
        let entry = Entry(Block.allocate(shape.byteCount))
        entry.writeHeader(shape, access: access)
        memcpy(entry.base + shape.keyOffset, shape.key.base, shape.key.count)
        return entry
    }

    @inline(__always)
    private func writeHeader(_ shape: EntryShape, access: UInt32) {
        var bits = UInt64(shape.type.rawValue) | UInt64(shape.encoding.rawValue) << 3
        bits |= UInt64(access & 0xFF_FFFF) << 8
        var offset = 8
        if shape.isLong {
            bits |= Entry.longFlag
            base.storeBytes(of: UInt32(shape.key.count), toByteOffset: 8, as: UInt32.self)
            base.storeBytes(of: UInt32(shape.valueSize), toByteOffset: 12, as: UInt32.self)
            offset = 16
        } else {
            bits |= UInt64(shape.key.count) << 32 | UInt64(shape.valueSize) << 40
        }
        if let expiry = shape.expiry {
            bits |= Entry.expiryFlag
            base.storeBytes(of: expiry, toByteOffset: offset, as: Int64.self)
            offset += 8
        }
        if let payload = shape.payload {
            bits |= Entry.payloadFlag
            base.storeBytes(of: payload, toByteOffset: offset, as: Int64.self)
        }
        header = bits
    }

    /// The shape of this entry.
    var shape: EntryShape {
        EntryShape(
            type, encoding, key: key, expiry: expiry, payload: hasPayload ? payload : nil,
            valueSize: valueSize)
    }
}
