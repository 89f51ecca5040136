// SPDX-License-Identifier: Apache-2.0
import Base
import Glibc

/// A set under construction: the result of a union or a difference, before it is replied or stored.
///
/// Why: it is an ordinary entry in a table of its own, so the code that changes stored sets also
/// adds, finds and removes its members and changes its form. Its memory is not charged until it
/// moves to a key.
public struct SetBuilder: ~Copyable {
    public enum Form { case integers, packed }

    // Safety: allocated in `init`, freed in `deinit`, never handed out.
    private let table: UnsafeMutablePointer<Table>
    private let slot: Table.Slot
    private let limits: SetLimits

    public init(_ settings: SettingsReference, _ form: Form) {
        limits = SetLimits(settings)
        table = .allocate(capacity: 1)
        table.initialize(to: Table(isPrivate: true))
        let size = form == .integers ? IntegerSet.headerSize : PackedList.headerSize
        let encoding = form == .integers ? Encoding.embeddedOther : .embedded
        let shape = EntryShape(.set, encoding, key: .empty, valueSize: size)
        slot = table.pointee.insert(Hash(.empty), shape, access: 0)
        let value = slot.entry.mutableValue
        if form == .integers { value[0] = 2 } else { PackedList.setCount(0, at: value) }
    }

    deinit {
        table.pointee.freeAll()
        table.deallocate()
    }

    private var value: SetValue { SetValue(slot.entry) }

    /// Calls `body` with a view of the members so far. The builder lives until `body` returns.
    public borrowing func withValue(_ body: (SetValue) -> Void) { body(SetValue(slot.entry)) }

    public var count: Int { value.count }

    /// Returns whether the member is new.
    @discardableResult
    public mutating func add(_ member: SetMember) -> Bool {
        table.pointee.addSetMember(slot, member, limits)
    }

    /// Returns whether the member was there.
    @discardableResult
    public mutating func remove(_ member: SetMember) -> Bool {
        member.withBytes { table.pointee.removeSetMember(slot, $0) }
    }

    /// Turns the set into a set of integers if all members are integers and not too many.
    public mutating func makeIntegers() {
        guard !value.isIntegers, count <= limits.integerCountMax else { return }
        var integers: [Int64] = []
        integers.reserveCapacity(count)
        value.forEach(while: { member in
            member.withBytes { bytes in
                if let value = ASCIIInteger.parse(bytes) { integers.append(value) }
            }
            return true
        })
        guard integers.count == count else { return }
        integers.sort()
        let width = integers.reduce(2) { max($0, IntegerSet.width(of: $1)) }
        let size = IntegerSet.offset(integers.count, width)
        if value.isTable { replaceByPacked(.embeddedOther) }
        table.pointee.rewriteValue(slot, .embeddedOther, size: size) { target, _ in
            target[0] = UInt8(width)
            for (index, integer) in integers.enumerated() {
                IntegerSet.store(integer, width, at: target + IntegerSet.offset(index, width))
            }
        }
    }

    /// Frees the nested table and replaces the entry by one without; the caller writes its value.
    private func replaceByPacked(_ encoding: Encoding) {
        table.pointee.freeOwned(slot)
        let shape = EntryShape(.set, encoding, key: .empty)
        table.pointee.replace(slot, shape, keepingValue: false)
    }

    // MARK: - Moving to a key

    /// The shape of an entry of `key` that the value can move to.
    func shape(key: Bytes, expiry: Milliseconds?) -> EntryShape {
        let entry = slot.entry
        return EntryShape(
            .set, entry.encoding, key: key, expiry: expiry,
            payload: entry.hasPayload ? entry.payload : nil,
            valueSize: entry.hasPayload ? 0 : entry.valueSize)
    }

    /// Moves the value to an entry of `shape`, and charges the entry for it. The builder is empty
    /// afterwards.
    func move(to found: Found) {
        let entry = slot.entry
        if entry.ownsMemory {
            let size = entry.ownedSize
            found.shard.pointee.table.allocatedSize += size
            table.pointee.allocatedSize -= size
            let empty = EntryShape(.set, .embedded, key: .empty, valueSize: PackedList.headerSize)
            table.pointee.replace(slot, empty, keepingValue: false)
            PackedList.setCount(0, at: slot.entry.mutableValue)
        } else {
            memcpy(found.entry.mutableValue, entry.value.base, entry.valueSize)
        }
    }

    /// Replaces the value of a stored set that is a table. Key, expiry and access stay.
    func replaceValue(of found: Found) {
        found.shard.pointee.table.freeOwned(found.slot)
        let shape = shape(key: found.entry.key, expiry: found.entry.expiry)
        found.shard.pointee.table.replace(found.slot, shape, keepingValue: false)
        move(to: found)
    }
}
