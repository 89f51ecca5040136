// SPDX-License-Identifier: Apache-2.0
import Base

/// A set member as it is stored: its bytes, or an integer.
public enum SetMember {
    case bytes(Bytes)
    case integer(Int64)

    /// Calls `body` with the member's bytes, which are valid during the call.
    @inline(__always)
    public func withBytes<Result>(_ body: (Bytes) -> Result) -> Result {
        switch self {
        case .bytes(let bytes): body(bytes)
        case .integer(let value): ASCIIInteger.withDigits(of: value, body)
        }
    }
}

/// A set's members for reading, in any of its three forms.
///
/// | form      | encoding       | while                                                     |
/// |-----------|----------------|-----------------------------------------------------------|
/// | intset    | .embeddedOther | all are integers, at most set-max-intset-entries          |
/// | listpack  | .embedded      | at most set-max-listpack-entries, none above -value bytes |
/// | hashtable | .payload       | else; a set that has become one stays one                 |
///
/// A view: valid until the set changes.
public struct SetValue {
    public let entry: Entry

    @inline(__always)
    public init(_ entry: Entry) {
        precondition(entry.type == .set)
        self.entry = entry
    }

    @inline(__always)
    var table: UnsafeMutablePointer<Table> { entry.nestedTable.table }

    /// Whether the members are in a table of their own. A scan then needs a cursor.
    public var isTable: Bool { entry.encoding == .payload }
    public var isIntegers: Bool { entry.encoding == .embeddedOther }
    public var isPacked: Bool { entry.encoding == .embedded }

    @inline(__always)
    public var count: Int {
        switch entry.encoding {
        case .embedded: PackedList(entry.value).count
        case .payload: table.pointee.count
        case .embeddedOther: IntegerSet(entry.value).count
        }
    }

    @inline(__always)
    public func contains(_ member: Bytes) -> Bool {
        switch entry.encoding {
        case .embedded:
            return PackedList(entry.value).find(member, stride: 1) != nil
        case .payload:
            return table.pointee.member(member) != nil
        case .embeddedOther:
            guard let value = ASCIIInteger.parse(member) else { return false }
            return IntegerSet(entry.value).contains(value)
        }
    }

    public func contains(_ member: SetMember) -> Bool {
        if case .integer(let value) = member, entry.encoding == .embeddedOther {
            return IntegerSet(entry.value).contains(value)
        }
        return member.withBytes { contains($0) }
    }

    /// Calls `body` with every member until it returns false. `body` must not change the set.
    @inline(__always)
    public func forEach(while body: (SetMember) -> Bool) {
        switch entry.encoding {
        case .embedded:
            PackedList(entry.value).forEach { body(.bytes($0.value)) }
        case .payload:
            table.pointee.forEachWhile { body(.bytes($0.key)) }
        case .embeddedOther:
            let integers = IntegerSet(entry.value)
            for index in 0..<integers.count {
                guard body(.integer(integers[index])) else { return }
            }
        }
    }

    /// One step of a scan of a set that is a table; see `Table.scan`.
    public func scan(
        from position: UInt64, limit: Int, bucketLimit: Int, _ body: (Bytes) -> Void
    ) -> UInt64? {
        table.pointee.scan(from: position, limit: limit, bucketLimit: bucketLimit) { body($0.key) }
    }

    // MARK: - Random members

    /// A random member of a set that is not empty, each with the same chance.
    public func random(_ random: inout Random) -> SetMember {
        let count = self.count
        precondition(count > 0)
        switch entry.encoding {
        case .embedded:
            let skipped = Int(random.next(below: UInt64(count)))
            return .bytes(packedElement(skipped).value)
        case .payload:
            guard let slot = table.pointee.randomSlot(&random) else {
                preconditionFailure("a table with members has a slot that is filled")
            }
            return .bytes(slot.entry.key)
        case .embeddedOther:
            return .integer(IntegerSet(entry.value)[Int(random.next(below: UInt64(count)))])
        }
    }

    func packedElement(_ index: Int) -> PackedList.Element {
        let list = PackedList(entry.value)
        var offset = PackedList.headerSize
        for _ in 0..<index {
            guard let element = list.element(at: offset) else { break }
            offset = element.range.upperBound
        }
        guard let element = list.element(at: offset) else {
            preconditionFailure("a packed list has as many elements as it says")
        }
        return element
    }

    /// Calls `body` with a random member, drawn anew each time, `total` times or until it returns
    /// false.
    public func draw(_ total: Int, _ random: inout Random, _ body: (SetMember) -> Bool) {
        guard isPacked, total > 4 else {
            for _ in 0..<total {
                guard body(self.random(&random)) else { return }
            }
            return
        }
        // Why: this walks the list once instead of once per draw.
        let list = PackedList(entry.value)
        let count = list.count
        withUnsafeTemporaryAllocation(of: Int.self, capacity: count) { offsets in
            var filled = 0
            list.forEach { element in
                offsets[filled] = element.range.lowerBound
                filled += 1
                return true
            }
            for _ in 0..<total {
                let offset = offsets[Int(random.next(below: UInt64(count)))]
                guard let element = list.element(at: offset), body(.bytes(element.value)) else {
                    return
                }
            }
        }
    }

    /// Calls `body` with `wanted` different members, every selection with the same chance. `wanted`
    /// is below `count`. The order is not random.
    public func sample(_ wanted: Int, _ random: inout Random, _ body: (SetMember) -> Void) {
        let count = self.count
        precondition(wanted > 0 && wanted < count)
        // Why three: below a third, drawing until a member is new costs less than walking over all.
        if isTable && wanted * 3 <= count {
            var seen = Set<UInt>(minimumCapacity: wanted)
            while seen.count < wanted {  // Bound: two of three draws are new on average, or more.
                guard let slot = table.pointee.randomSlot(&random) else { return }
                if seen.insert(UInt(bitPattern: slot.entry.base)).inserted {
                    body(.bytes(slot.entry.key))
                }
            }
            return
        }
        var selection = Selection(wanted: wanted, of: count)
        forEach(while: { member in
            if selection.takesNext(&random) { body(member) }
            return selection.wanted > 0
        })
    }
}

/// Selects `wanted` elements of a sequence of known length in one pass, every selection with the
/// same chance: Knuth's algorithm S.
struct Selection {
    private(set) var wanted: Int
    private var left: Int

    init(wanted: Int, of count: Int) {
        self.wanted = wanted
        left = count
    }

    mutating func takesNext(_ random: inout Random) -> Bool {
        let takes = random.next(below: UInt64(left)) < UInt64(wanted)
        left -= 1
        if takes { wanted -= 1 }
        return takes
    }
}

/// The thresholds between a set's forms.
struct SetLimits {
    let integerCountMax: Int
    let packedCountMax: Int
    let packedValueSizeMax: Int
    /// The maximum size of a packed set, whatever the directives say, so it fits an entry.
    static let packedSizeMax = 1 << 26
    static let integerCountHardMax = 1 << 23

    init(_ settings: SettingsReference) {
        integerCountMax = min(
            settings.setMaxIntegerEntries, SetLimits.integerCountHardMax)
        packedCountMax = min(
            settings.setMaxPackedEntries, PackedList.elementCountMax)
        packedValueSizeMax = settings.setMaxPackedValueSize
    }
}
