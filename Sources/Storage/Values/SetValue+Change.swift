// SPDX-License-Identifier: Apache-2.0
import Base
import Glibc

// Changing a set in its slot of a table: a shard's table, or a `SetBuilder`'s.
//
// A set changes its form when a new member does not fit: too many integers become a table; integers
// joined by another string become a packed list if all members fit it, else a table; a packed list
// becomes a table. A set never returns to an earlier form; only a stored result is built anew.
extension Table {
    /// Adds a member to the set in `slot`. The slot stays valid. Returns whether the member is new.
    @inline(__always)
    mutating func addSetMember(_ slot: Slot, _ member: Bytes, _ limits: SetLimits) -> Bool {
        switch slot.entry.encoding {
        case .payload:
            return changeNested(slot) { $0.insertMember(member) }
        case .embedded:
            return addPacked(slot, member, limits)
        case .embeddedOther:
            guard let value = ASCIIInteger.parse(member) else {
                leaveIntegers(slot, joining: member, limits)
                return true
            }
            return addInteger(slot, value, limits)
        }
    }

    mutating func addSetMember(_ slot: Slot, _ member: SetMember, _ limits: SetLimits) -> Bool {
        if case .integer(let value) = member, slot.entry.encoding == .embeddedOther {
            return addInteger(slot, value, limits)
        }
        return member.withBytes { addSetMember(slot, $0, limits) }
    }

    /// Removes a member of the set in `slot`, which may become empty. Returns whether it existed.
    @inline(__always)
    mutating func removeSetMember(_ slot: Slot, _ member: Bytes) -> Bool {
        switch slot.entry.encoding {
        case .payload:
            return changeNested(slot) { $0.removeMember(member) }
        case .embedded:
            let list = PackedList(slot.entry.value)
            guard let element = list.find(member, stride: 1) else { return false }
            removePacked(slot, element.range, count: list.count - 1)
            return true
        case .embeddedOther:
            guard let value = ASCIIInteger.parse(member) else { return false }
            let integers = IntegerSet(slot.entry.value)
            let position = integers.position(of: value)
            guard position < integers.count, integers[position] == value else { return false }
            removeInteger(slot, at: position)
            return true
        }
    }

    mutating func removePacked(_ slot: Slot, _ range: Range<Int>, count: Int) {
        spliceValue(slot, range, size: 0) { value in
            PackedList.setCount(count, at: value.assumingMemoryBound(to: UInt8.self))
        }
    }

    /// Changes the nested table of the set in `slot`, and charges the change of its memory.
    @inline(__always)
    mutating func changeNested<Result>(_ slot: Slot, _ body: (inout Table) -> Result) -> Result {
        let nested = slot.entry.nestedTable
        let before = nested.table.pointee.allocatedSize
        let result = body(&nested.table.pointee)
        allocatedSize += nested.table.pointee.allocatedSize - before
        return result
    }

    /// Inserts a member into a set's nested table. Returns whether it is new.
    mutating func insertMember(_ member: Bytes) -> Bool {
        let hash = Hash(member)
        guard find(hash, member) == nil else { return false }
        _ = insert(hash, EntryShape(.string, .embedded, key: member), access: 0)
        return true
    }

    private mutating func addInteger(_ slot: Slot, _ value: Int64, _ limits: SetLimits) -> Bool {
        let integers = IntegerSet(slot.entry.value)
        guard !integers.contains(value) else { return false }
        if integers.count < limits.integerCountMax {
            insertInteger(slot, value)
        } else {
            ASCIIInteger.withDigits(of: value) { promoteSet(slot, joining: $0) }
        }
        return true
    }

    private mutating func addPacked(_ slot: Slot, _ member: Bytes, _ limits: SetLimits) -> Bool {
        let list = PackedList(slot.entry.value)
        guard list.find(member, stride: 1) == nil else { return false }
        let count = list.count + 1
        let size = PackedList.encodedSize(member.count)
        let end = list.bytes.count
        guard count <= limits.packedCountMax, member.count <= limits.packedValueSizeMax,
            end + size <= SetLimits.packedSizeMax
        else {
            promoteSet(slot, joining: member)
            return true
        }
        spliceValue(slot, end..<end, size: size) { value in
            let bytes = value.assumingMemoryBound(to: UInt8.self)
            PackedList.write(member, to: bytes + end)
            PackedList.setCount(count, at: bytes)
        }
        return true
    }

    /// Turns the set of integers in `slot` into a form that also holds `member`, which is no
    /// integer.
    private mutating func leaveIntegers(
        _ slot: Slot, joining member: Bytes, _ limits: SetLimits
    ) {
        let integers = IntegerSet(slot.entry.value)
        let count = integers.count
        var size = PackedList.headerSize + PackedList.encodedSize(member.count)
        var longest = member.count
        // Why the first and last: no integer between them has more digits than both.
        if count > 0 {
            longest = max(
                longest, ASCIIInteger.byteCount(integers[0]),
                ASCIIInteger.byteCount(integers[count - 1]))
        }
        guard count < limits.packedCountMax, longest <= limits.packedValueSizeMax,
            count * PackedList.encodedSize(longest) + size <= SetLimits.packedSizeMax
        else { return promoteSet(slot, joining: member) }
        for index in 0..<count {
            size += PackedList.encodedSize(ASCIIInteger.byteCount(integers[index]))
        }
        rewriteValue(slot, .embedded, size: size) { target, old in
            let integers = IntegerSet(old)
            var next = target + PackedList.headerSize
            for index in 0..<count {
                next += ASCIIInteger.withDigits(of: integers[index]) {
                    PackedList.write($0, to: next)
                }
            }
            PackedList.write(member, to: next)
            PackedList.setCount(count + 1, at: target)
        }
    }

    /// Turns the packed set in `slot` into a table, and adds `member` if given.
    mutating func promoteSet(_ slot: Slot, joining member: Bytes?) {
        let isIntegers = slot.entry.encoding == .embeddedOther
        promoteValue(slot, .payload) { table, old in
            if isIntegers {
                let integers = IntegerSet(old)
                for index in 0..<integers.count {
                    _ = ASCIIInteger.withDigits(of: integers[index]) { table.insertMember($0) }
                }
            } else {
                PackedList(old).forEach { element in
                    _ = table.insertMember(element.value)
                    return true
                }
            }
            if let member { _ = table.insertMember(member) }
        }
    }

    /// Removes `wanted` random members, fewer than all, from the set of integers or packed set in
    /// `slot`, in one walk. Passes each to `body` before removing it.
    mutating func popPacked(
        _ slot: Slot, _ wanted: Int, _ random: inout Random, _ body: (SetMember) -> Void
    ) {
        let entry = slot.entry
        let isIntegers = entry.encoding == .embeddedOther
        let count = SetValue(entry).count
        var selection = Selection(wanted: wanted, of: count)
        let target = entry.mutableValue
        let header = isIntegers ? IntegerSet.headerSize : PackedList.headerSize
        var offset = header
        var kept = header
        for _ in 0..<count {
            var next = offset
            var member = SetMember.integer(0)
            if isIntegers {
                let integers = IntegerSet(entry.value)
                next += integers.width
                let value = IntegerSet.load(target + offset, integers.width)
                member = .integer(value)
            } else if let element = PackedList(entry.value).element(at: offset) {
                next = element.range.upperBound
                member = .bytes(element.value)
            }
            if selection.takesNext(&random) {
                body(member)
            } else {
                memmove(target + kept, target + offset, next - offset)
                kept += next - offset
            }
            offset = next
        }
        if !isIntegers { PackedList.setCount(count - wanted, at: target) }
        resizeValue(slot, size: kept, capacity: kept)
    }
}
