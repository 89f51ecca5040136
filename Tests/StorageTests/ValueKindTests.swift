// SPDX-License-Identifier: Apache-2.0
import Base
import Glibc
import Testing

@testable import Storage

/// Compares the table of kinds with entries of each kind.
@Suite struct ValueKindTests {
    struct Line: Sendable {
        let kind: ValueKind
        let type: ValueType
        let encoding: Encoding
        let name: String
    }

    static let lines = [
        Line(kind: .bytesString, type: .string, encoding: .embedded, name: "embstr"),
        Line(kind: .editedString, type: .string, encoding: .embeddedOther, name: "raw"),
        Line(kind: .integerString, type: .string, encoding: .payload, name: "int"),
        Line(kind: .packedHash, type: .hash, encoding: .embedded, name: "listpack"),
        Line(kind: .tableHash, type: .hash, encoding: .payload, name: "hashtable"),
        Line(kind: .packedSet, type: .set, encoding: .embedded, name: "listpack"),
        Line(kind: .integerSet, type: .set, encoding: .embeddedOther, name: "intset"),
        Line(kind: .tableSet, type: .set, encoding: .payload, name: "hashtable"),
        Line(kind: .absent, type: .absent, encoding: .embedded, name: "none"),
    ]

    /// A table that frees at once, with one entry of the kind.
    private static func withEntry(
        _ kind: ValueKind, members: Int = 3, _ body: (inout Table, Table.Slot) throws -> Void
    ) rethrows {
        var table = Table(isPrivate: true)
        let slot = "key".utf8.withContiguousStorageIfAvailable { key in
            insert(kind, Bytes(key.baseAddress.unsafelyUnwrapped, key.count), members, &table)
        }
        if let slot { try body(&table, slot) }
        table.freeAll()
    }

    private static func insert(
        _ kind: ValueKind, _ key: Bytes, _ members: Int, _ table: inout Table
    ) -> Table.Slot {
        func insert(
            _ type: ValueType, _ encoding: Encoding, size: Int, payload: Int64? = nil
        ) -> Table.Slot {
            let shape = EntryShape(
                type, encoding, key: key, payload: payload, valueSize: size, valueCapacity: size)
            let slot = table.insert(Hash(key), shape, access: 0x123)
            if size > 0 { memset(slot.entry.mutableValue, 120, size) }
            return slot
        }
        /// A packed list of elements of one byte.
        func insertPacked(_ type: ValueType, elements: Int) -> Table.Slot {
            let slot = insert(type, .embedded, size: PackedList.headerSize + 2 * elements)
            let target = slot.entry.mutableValue
            PackedList.setCount(elements, at: target)
            for index in 0..<elements {
                target[PackedList.headerSize + 2 * index] = 1
                target[PackedList.headerSize + 2 * index + 1] = UInt8(truncatingIfNeeded: index)
            }
            return slot
        }
        switch kind {
        case .bytesString: return insert(.string, .embedded, size: 10)
        case .editedString: return insert(.string, .embeddedOther, size: 10)
        case .integerString: return insert(.string, .payload, size: 0, payload: -42)
        case .packedHash: return insertPacked(.hash, elements: 2 * members)
        case .packedSet: return insertPacked(.set, elements: members)
        case .absent: return insert(.absent, .embedded, size: 0)
        case .integerSet:
            let slot = insert(.set, .embeddedOther, size: IntegerSet.headerSize)
            slot.entry.mutableValue[0] = 2
            for number in 0..<members { table.insertInteger(slot, Int64(number * 1000)) }
            return slot
        case .tableHash, .tableSet:
            let isHash = kind == .tableHash
            let slot = insert(isHash ? .hash : .set, .embedded, size: 1)
            table.promoteValue(slot, .payload) { nested, _ in
                for number in 0..<members {
                    TableTests.key(number).withBytes { member in
                        if isHash {
                            nested.setMember(member, value: member)
                        } else {
                            _ = nested.insertMember(member)
                        }
                    }
                }
            }
            return slot
        }
    }

    /// The value's whole content, in an order that is the same for every copy.
    private static func content(_ entry: Entry) -> [String] {
        var content = ["\(entry.kind)", entry.value.string]
        if entry.hasPayload && !entry.ownsMemory { content.append("\(entry.payload)") }
        guard entry.ownsMemory else { return content }
        var members: [String] = []
        entry.nestedTable.table.pointee.forEach { members.append($0.key.string + $0.value.string) }
        return content + members.sorted()
    }

    // MARK: - Numbers and names

    @Test func everyKindIsInTheTableOfTheseTests() {
        #expect(Set(Self.lines.map(\.kind)) == Set(ValueKind.allCases))
    }

    @Test(arguments: lines) func typeEncodingAndName(_ line: Line) {
        #expect(line.kind.rawValue == line.type.rawValue | line.encoding.rawValue << 3)
        Self.withEntry(line.kind) { _, slot in
            let entry = slot.entry
            #expect(entry.kind == line.kind)
            #expect(entry.type == line.type && entry.encoding == line.encoding)
            #expect(entry.encodingName.description == line.name)
            for other in ValueKind.allCases {
                #expect(entry.isKind(other) == (other == line.kind))
            }
        }
    }

    @Test func onlyWhatRedisEmbedsIsCalledSo() {
        #expect(ValueKind.bytesString.encodingName(valueSize: 44).description == "embstr")
        #expect(ValueKind.bytesString.encodingName(valueSize: 45).description == "raw")
        #expect(ValueKind.editedString.encodingName(valueSize: 1).description == "raw")
    }

    /// The two bits that SET and DEL test agree with the switches.
    @Test(arguments: ValueKind.allCases) func theHeaderSaysWhatIsOwned(_ kind: ValueKind) {
        Self.withEntry(kind) { _, slot in
            #expect(slot.entry.ownsMemory == (slot.entry.owned != nil))
            #expect(slot.entry.hasPayload == kind.hasPayload)
        }
    }

    // MARK: - Sizes

    @Test(arguments: ValueKind.allCases) func theSizeIsWhatIsMeasured(_ kind: ValueKind) {
        Self.withEntry(kind, members: 2000) { table, slot in
            #expect(slot.entry.totalSize == slot.entry.measuredSize)
            #expect(slot.entry.totalSize == slot.entry.allocatedSize + slot.entry.ownedSize)
            #expect((slot.entry.ownedSize > 0) == slot.entry.ownsMemory)
            #expect(table.allocatedSize == table.structureSize + slot.entry.totalSize)
            #expect(table.invariantViolations == [])
        }
    }

    @Test(.enabled(if: AllocatedMemory.isCounted), arguments: ValueKind.allCases)
    func freeingReturnsAllBytes(_ kind: ValueKind) throws {
        try Self.withEntry(kind, members: 100) { table, slot in
            let size = slot.entry.totalSize
            let structureSize = table.structureSize
            let before = try AllocatedMemory.bytes()
            table.remove(slot)
            #expect(try AllocatedMemory.bytes() == before - size - structureSize)
            #expect(table.allocatedSize == 0)
        }
    }

    @Test(.enabled(if: AllocatedMemory.isCounted), arguments: ValueKind.allCases)
    func replacingFreesWhatWasOwned(_ kind: ValueKind) throws {
        try Self.withEntry(kind, members: 100) { table, slot in
            let owned = slot.entry.ownedSize
            let charged = table.allocatedSize
            let before = try AllocatedMemory.bytes()
            table.freeOwned(slot)
            #expect(try AllocatedMemory.bytes() == before - owned)
            #expect(table.allocatedSize == charged - owned)
            let shape = EntryShape(.string, .payload, key: slot.entry.key, payload: 7)
            table.replace(slot, shape, keepingValue: false)
            #expect(table.invariantViolations == [])
        }
    }

    // MARK: - Copies

    @Test(arguments: ValueKind.allCases) func aCopyIsEqualAndItsOwn(_ kind: ValueKind) {
        Self.withEntry(kind, members: 100) { table, slot in
            let expected = Self.content(slot.entry)
            let size = slot.entry.totalSize
            let copy = Array("another".utf8).withBytes { slot.entry.copy(key: $0, access: 0x456) }
            #expect(copy.key.string == "another" && copy.access == 0x456)
            #expect(Self.content(copy) == expected)
            #expect(copy.violations == [])
            #expect(copy.totalSize == copy.measuredSize)
            // The copy's key is four bytes longer; its table has had no time to waste any.
            #expect(copy.totalSize <= size + 16)
            table.remove(slot)
            #expect(Self.content(copy) == expected)
            copy.free()
        }
    }

    // MARK: - Checks

    /// The checker itself must be able to fail.
    @Test(arguments: ValueKind.allCases) func brokenValuesAreNoticed(_ kind: ValueKind) {
        Self.withEntry(kind) { table, slot in
            let entry = slot.entry
            #expect(entry.violations == [])
            let header = entry.header
            entry.header ^= Entry.payloadFlag
            #expect(!entry.violations.isEmpty, "a payload too many or too few")
            entry.header = header | 0b11_000
            #expect(!entry.violations.isEmpty, "an encoding that no type has")
            entry.header = header
            switch kind {
            case .bytesString, .editedString, .integerString, .absent: break
            case .packedHash, .packedSet: Self.breakPacked(entry)
            case .integerSet: Self.breakIntegers(entry)
            case .tableHash, .tableSet:
                entry.nestedTable.table.pointee.count += 1
                #expect(!entry.violations.isEmpty && !table.invariantViolations.isEmpty)
                entry.nestedTable.table.pointee.count -= 1
            }
            #expect(entry.violations == [])
            #expect(table.invariantViolations == [])
        }
    }

    private static func breakPacked(_ entry: Entry) {
        let value = entry.mutableValue
        let count = value[0]
        value[0] += 1
        #expect(!entry.violations.isEmpty, "counts an element too many")
        value[0] = count
        let first = PackedList.headerSize
        for size: UInt8 in [0, 2, 200, 254, 255] {
            value[first] = size
            #expect(!entry.violations.isEmpty, "an element of \(size) bytes, which has one")
        }
        value[first] = 1
    }

    private static func breakIntegers(_ entry: Entry) {
        let value = entry.mutableValue
        for width: UInt8 in [0, 1, 3, 4] {
            value[0] = width
            #expect(!entry.violations.isEmpty, "three integers of \(width) bytes")
        }
        value[0] = 2
        let third = value + IntegerSet.offset(2, 2)
        IntegerSet.store(1000, 2, at: third)
        #expect(!entry.violations.isEmpty, "the second integer twice")
        IntegerSet.store(2000, 2, at: third)
    }
}
