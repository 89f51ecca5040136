// SPDX-License-Identifier: Apache-2.0
import Base

/// A hash's fields for reading, in either of its two forms.
///
/// | form      | encoding  | while                                         |
/// |-----------|-----------|-----------------------------------------------|
/// | listpack  | .embedded | at most hash-max-listpack-entries fields,     |
/// |           |           | no element above hash-max-listpack-value      |
/// | hashtable | .payload  | else; a hash that has become one stays one    |
///
/// Why two: a small hash is one block that is walked; a large hash has a table of its own. Packed
/// elements are field, value, field, value, …; in a table, a field is an entry's key and its value
/// the entry's value.
///
/// A view: valid until the hash changes. HashValue+Change has the changes.
public struct HashValue {
    public let entry: Entry

    @inline(__always)
    public init(_ found: Found) {
        self.init(found.entry)
    }

    @inline(__always)
    init(_ entry: Entry) {
        precondition(entry.type == .hash)
        self.entry = entry
    }

    /// A field and its value, in place.
    public struct Pair {
        public let field: Bytes
        public let value: Bytes
    }

    @inline(__always)
    public var isPacked: Bool { !entry.hasPayload }

    @inline(__always)
    var table: UnsafeMutablePointer<Table> { entry.nestedTable.table }

    /// Number of fields.
    @inline(__always)
    public var count: Int {
        isPacked ? PackedList(entry.value).count / 2 : table.pointee.count
    }

    /// The value of `field`, or nil.
    @inline(__always)
    public func find(_ field: Bytes) -> Bytes? {
        guard isPacked else { return table.pointee.member(field)?.value }
        let list = PackedList(entry.value)
        guard let element = list.find(field, stride: 2) else { return nil }
        return list.element(at: element.range.upperBound)?.value
    }

    /// Calls `body` with every field and its value. `body` must not change the hash.
    @inline(__always)
    public func forEach(_ body: (Pair) -> Void) {
        if isPacked {
            HashValue.forEachPacked(PackedList(entry.value), body)
        } else {
            table.pointee.forEach { body(Pair(field: $0.key, value: $0.value)) }
        }
    }

    @inline(__always)
    static func forEachPacked(_ list: PackedList, _ body: (Pair) -> Void) {
        var offset = PackedList.headerSize
        while let pair = pair(list, at: offset) {  // Bound: each turn moves on by two elements.
            body(pair.pair)
            offset = pair.end
        }
    }

    @inline(__always)
    private static func pair(_ list: PackedList, at offset: Int) -> (pair: Pair, end: Int)? {
        guard let field = list.element(at: offset),
            let value = list.element(at: field.range.upperBound)
        else { return nil }
        return (Pair(field: field.value, value: value.value), value.range.upperBound)
    }

    /// One step of a scan from `position`; see `Table.scan`. A packed hash is returned whole in one
    /// step.
    public func scan(
        from position: UInt64, limit: Int, bucketLimit: Int, _ body: (Pair) -> Void
    ) -> UInt64? {
        if isPacked {
            forEach(body)
            return nil
        }
        return table.pointee.scan(from: position, limit: limit, bucketLimit: bucketLimit) {
            body(Pair(field: $0.key, value: $0.value))
        }
    }

    // MARK: - Random fields

    /// A random field of a hash that is not empty, each with the same chance.
    public func random(_ random: inout Random) -> Pair {
        guard isPacked else {
            guard let slot = table.pointee.randomSlot(&random) else {
                preconditionFailure("a table with fields has a slot that is filled")
            }
            return Pair(field: slot.entry.key, value: slot.entry.value)
        }
        let list = PackedList(entry.value)
        var offset = PackedList.headerSize
        for _ in 0..<2 * Int(random.next(below: UInt64(count))) {
            guard let element = list.element(at: offset) else { break }
            offset = element.range.upperBound
        }
        guard let found = HashValue.pair(list, at: offset) else {
            preconditionFailure("a packed hash has as many fields as it says")
        }
        return found.pair
    }

    /// Calls `body` with a random field, drawn anew each time, `total` times or until it returns
    /// false.
    public func draw(_ total: Int, _ random: inout Random, _ body: (Pair) -> Bool) {
        guard isPacked, total > 4 else {
            for _ in 0..<total {
                guard body(self.random(&random)) else { return }
            }
            return
        }
        // Why: this walks the list once instead of once per draw.
        let count = self.count
        withUnsafeTemporaryAllocation(of: Pair.self, capacity: count) { pairs in
            var filled = 0
            forEach { pair in
                pairs.initializeElement(at: filled, to: pair)
                filled += 1
            }
            for _ in 0..<total {
                guard body(pairs[Int(random.next(below: UInt64(filled)))]) else { return }
            }
        }
    }

    /// Calls `body` with `wanted` different fields, every selection with the same chance. `wanted`
    /// is below `count`. The order is not random.
    public func sample(_ wanted: Int, _ random: inout Random, _ body: (Pair) -> Void) {
        precondition(wanted > 0 && wanted < count)
        // Why three: below a third, drawing until a field is new costs less than walking over all.
        if !isPacked && wanted * 3 <= count {
            var seen = Set<UInt>(minimumCapacity: wanted)
            while seen.count < wanted {  // Bound: two of three draws are new on average, or more.
                guard let entry = table.pointee.randomSlot(&random)?.entry else { return }
                if seen.insert(UInt(bitPattern: entry.base)).inserted {
                    body(Pair(field: entry.key, value: entry.value))
                }
            }
            return
        }
        var selection = Selection(wanted: wanted, of: count)
        forEach { if selection.takesNext(&random) { body($0) } }
    }
}
