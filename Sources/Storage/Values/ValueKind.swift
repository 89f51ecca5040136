// SPDX-License-Identifier: Apache-2.0
import Base
import Glibc

/// The kinds of value: every pair of a type and an encoding that exists.
///
/// Why one table: charging, freeing, COPY, OBJECT ENCODING, measuring and checking all depend on
/// the pair. Each of these is one switch in this file, without a default. A new type adds its cases
/// and does not compile until every switch handles them. Memory outside the entry is an `Owned`: a
/// new structure adds a case there, and one to `Garbage`, which frees it in parts.
///
/// | kind          | type   | encoding       | bytes in the entry          | payload | owns   |
/// |---------------|--------|----------------|-----------------------------|---------|--------|
/// | bytesString   | string | .embedded      | the string                  |         |        |
/// | editedString  | string | .embeddedOther | the string, changed in place|         |        |
/// | integerString | string | .payload       |                             | integer |        |
/// | packedHash    | hash   | .embedded      | `PackedList`: field, value… |         |        |
/// | tableHash     | hash   | .payload       |                             | address | table  |
/// | packedSet     | set    | .embedded      | `PackedList`: member…       |         |        |
/// | integerSet    | set    | .embeddedOther | `IntegerSet`                |         |        |
/// | tableSet      | set    | .payload       |                             | address | table  |
/// | absent        | absent | .embedded      |                             |         |        |
///
/// Layout: a kind's number is the five lowest bits of an entry's header, the encoding's two above
/// the type's three.
///
/// Invariant: a value owns memory outside its entry if and only if the entry has a payload and is
/// not a string. So the paths of SET and DEL test the header, and use the switches only if the
/// value owns something.
/// something to find.
enum ValueKind: UInt8, CaseIterable, Sendable {
    case bytesString = 0b00_000
    case integerString = 0b01_000
    case editedString = 0b10_000
    case packedHash = 0b00_001
    case tableHash = 0b01_001
    case packedSet = 0b00_010
    case tableSet = 0b01_010
    case integerSet = 0b10_010
    case absent = 0b00_110

    /// The longest string that Redis keeps in one block with its object.
    private static let embeddedStringMax = 44

    /// The name of the kind in OBJECT ENCODING, as in Redis.
    func encodingName(valueSize: Int) -> StaticString {
        switch self {
        case .bytesString: valueSize <= ValueKind.embeddedStringMax ? "embstr" : "raw"
        case .editedString: "raw"
        case .integerString: "int"
        case .packedHash, .packedSet: "listpack"
        case .tableHash, .tableSet: "hashtable"
        case .integerSet: "intset"
        case .absent: "none"
        }
    }

    /// Whether the entry has a payload: an integer, or the address of what the value owns.
    var hasPayload: Bool {
        switch self {
        case .bytesString, .editedString, .packedHash, .packedSet, .integerSet, .absent: false
        case .integerString, .tableHash, .tableSet: true
        }
    }

    /// What a value of this kind owns outside the entry whose payload is given.
    func owned(payload: () -> Int64) -> Owned? {
        switch self {
        case .bytesString, .editedString, .integerString: nil
        case .packedHash, .packedSet, .integerSet, .absent: nil
        case .tableHash, .tableSet: .table(NestedTable(payload: payload()))
        }
    }

    /// One line per rule that the bytes in the entry break, for checks.
    func violations(_ value: Bytes) -> [String] {
        switch self {
        case .bytesString, .editedString: []
        case .integerString, .tableHash, .tableSet, .absent:
            value.count == 0 ? [] : ["\(self) has bytes in its entry"]
        case .packedHash: PackedList.violations(value, elementsPerMember: 2)
        case .packedSet: PackedList.violations(value, elementsPerMember: 1)
        case .integerSet: IntegerSet.violations(value)
        }
    }
}

/// What a value owns outside its entry's block.
enum Owned {
    /// The members of a large hash or set.
    case table(NestedTable)

    /// Bytes, as charged.
    var size: Int {
        switch self {
        case .table(let nested): nested.size
        }
    }

    /// Bytes, measured by the allocator block by block.
    var measuredSize: Int {
        switch self {
        case .table(let nested): nested.measuredSize
        }
    }

    /// A copy of all of it, for another entry.
    func copy() -> Owned {
        switch self {
        case .table(let nested): .table(nested.copy())
        }
    }

    /// The payload of the entry that owns it.
    var payload: Int64 {
        switch self {
        case .table(let nested): nested.payload
        }
    }

    /// Takes it from its owner, to be freed in parts.
    func discard() -> Garbage {
        switch self {
        case .table(let nested): Garbage(nested)
        }
    }

    /// Frees it: at once if it is small, else in the background.
    func free() { Reclaimer.shared.free(self) }

    /// One line per rule that it breaks, for checks.
    var violations: [String] {
        switch self {
        case .table(let nested): nested.violations
        }
    }
}

// What other files of Storage ask about an entry's value of any kind.
extension Entry {
    private static let typeMask: UInt64 = 0b111
    private static let kindMask: UInt64 = 0b11_111

    var kind: ValueKind {
        guard let kind = ValueKind(rawValue: UInt8(truncatingIfNeeded: header & Entry.kindMask))
        else { fatal("an entry of no kind") }
        return kind
    }

    /// `kind == other`, by one comparison of the header's bits.
    @inline(__always)
    func isKind(_ other: ValueKind) -> Bool { header & Entry.kindMask == UInt64(other.rawValue) }

    /// Whether the value owns memory outside the entry's block: `ValueKind`'s invariant.
    @inline(__always)
    var ownsMemory: Bool {
        hasPayload && header & Entry.typeMask != UInt64(ValueType.string.rawValue)
    }

    /// What the value owns outside the entry's block, or nil.
    var owned: Owned? { kind.owned { payload } }

    /// Bytes that the value owns outside the entry's block.
    @inline(__always)
    var ownedSize: Int { ownsMemory ? owned?.size ?? 0 : 0 }

    /// Bytes of the entry's block and of all memory that its value owns.
    public var totalSize: Int { allocatedSize + ownedSize }

    /// The same, measured by the allocator block by block.
    var measuredSize: Int { Block.size(base) + (owned?.measuredSize ?? 0) }

    /// Frees the entry's block and all memory that its value owns.
    @inline(__always)
    func free() {
        if ownsMemory { owned?.free() }
        Block.free(base)
    }

    /// A copy of the entry and of all memory that its value owns, under another key.
    func copy(key: Bytes, access: UInt32) -> Entry {
        var shape = self.shape
        shape.key = key
        if let copy = owned?.copy() { shape.payload = copy.payload }
        let entry = Entry.make(shape, access: access)
        if valueSize > 0 { memcpy(entry.mutableValue, value.base, valueSize) }
        return entry
    }

    /// The table of a large hash or set.
    @inline(__always)
    var nestedTable: NestedTable {
        precondition(isKind(.tableHash) || isKind(.tableSet))
        return NestedTable(payload: payload)
    }

    /// The name of the value's encoding in OBJECT ENCODING.
    public var encodingName: StaticString { kind.encodingName(valueSize: valueSize) }

    /// One line per rule that the entry and its value break, for checks.
    var violations: [String] {
        guard let kind = ValueKind(rawValue: UInt8(truncatingIfNeeded: header & Entry.kindMask))
        else { return ["an entry of no kind"] }
        guard hasPayload == kind.hasPayload else {
            return ["\(kind) \(hasPayload ? "has a payload" : "has no payload")"]
        }
        return kind.violations(value) + (owned?.violations ?? [])
    }
}

extension Table {
    /// Frees what the value in `slot` owns, before the entry is replaced.
    @inline(__always)
    mutating func freeOwned(_ slot: Slot) {
        guard slot.entry.ownsMemory, let owned = slot.entry.owned else { return }
        allocatedSize -= owned.size
        owned.free()
    }
}
