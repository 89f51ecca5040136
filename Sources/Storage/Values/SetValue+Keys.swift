// SPDX-License-Identifier: Apache-2.0
import Base
import Glibc

// What commands do to sets. A set is never empty: removing the last member removes the key.
extension Hold {
    /// The result of removing a member.
    public enum SetRemoval {
        case absent
        case removed
        /// It was the last member, and the key was removed too.
        case removedWithKey
    }

    /// Inserts a set of one member under a key that is absent. `expected` is the number of members
    /// about to be added, including this one; a set expected to be large starts as a table.
    public func insertSet(_ ordinal: Int, _ member: Bytes, expected: Int) -> Found {
        let limits = SetLimits(settings)
        if expected <= limits.integerCountMax, let value = ASCIIInteger.parse(member) {
            let width = IntegerSet.width(of: value)
            let found = insert(
                ordinal,
                EntryShape(
                    .set, .embeddedOther, key: key(ordinal),
                    valueSize: IntegerSet.headerSize + width))
            let target = found.entry.mutableValue
            target[0] = UInt8(width)
            IntegerSet.store(value, width, at: target + IntegerSet.headerSize)
            written(found, replacing: nil)
            return found
        }
        if expected <= limits.packedCountMax, member.count <= limits.packedValueSizeMax,
            member.count < SetLimits.packedSizeMax / 2
        {
            let size = PackedList.headerSize + PackedList.encodedSize(member.count)
            let found = insert(
                ordinal, EntryShape(.set, .embedded, key: key(ordinal), valueSize: size))
            let target = found.entry.mutableValue
            PackedList.setCount(1, at: target)
            PackedList.write(member, to: target + PackedList.headerSize)
            written(found, replacing: nil)
            return found
        }
        let nested = NestedTable.make()
        _ = nested.table.pointee.insertMember(member)
        let found = insert(
            ordinal,
            EntryShape(
                .set, .payload, key: key(ordinal), payload: Int64(Int(bitPattern: nested.table))))
        found.shard.pointee.table.allocatedSize += nested.size
        written(found, replacing: nil)
        return found
    }

    /// Turns a packed set into a table at once if the members about to be added would make it one.
    public func prepareSet(_ found: Found, expected: Int) {
        let limits = SetLimits(settings)
        let encoding = found.entry.encoding
        if encoding == .embedded && expected > limits.packedCountMax
            || encoding == .embeddedOther && expected > limits.integerCountMax
        {
            willUpdate(found)
            found.shard.pointee.table.promoteSet(found.slot, joining: nil)
            // Why notify: the encoding changes, although the members do not.
            didChange(found, .updated)
        }
    }

    /// Adds a member. The slot stays valid. Returns whether the member is new.
    @inline(__always)
    public func addSetMember(_ found: Found, _ member: Bytes) -> Bool {
        willUpdate(found)
        let isNew = found.shard.pointee.table.addSetMember(
            found.slot, member, SetLimits(settings))
        if isNew { changed(found) }
        return isNew
    }

    /// Removes a member. The slot stays valid unless the key is removed.
    @inline(__always)
    public func removeSetMember(_ found: Found, _ member: Bytes) -> SetRemoval {
        let set = SetValue(found.entry)
        if set.count == 1 {
            guard set.contains(member) else { return .absent }
            remove(found)
            return .removedWithKey
        }
        willUpdate(found)
        guard found.shard.pointee.table.removeSetMember(found.slot, member) else { return .absent }
        changed(found)
        return .removed
    }

    /// Removes `wanted` random members and passes each to `body` first. If that is all members,
    /// also removes the key.
    public func popSetMembers(_ found: Found, _ wanted: Int, _ body: (SetMember) -> Void) {
        let set = SetValue(found.entry)
        let count = set.count
        guard wanted < count else {
            set.forEach(while: { member in
                body(member)
                return true
            })
            return remove(found)
        }
        willUpdate(found)
        if !set.isTable {
            found.shard.pointee.table.popPacked(
                found.slot, wanted, &random, body)
        } else if (count - wanted) * 5 > wanted {
            found.shard.pointee.table.changeNested(found.slot) { table in
                for _ in 0..<wanted {
                    guard let slot = table.randomSlot(&random) else { return }
                    body(.bytes(slot.entry.key))
                    table.remove(slot)
                }
            }
        } else {
            popNearlyAll(found, keeping: count - wanted, body)
        }
        changed(found)
    }

    /// Moves the few members that stay, chosen at random, to a new set, and passes all others to
    /// `body`. So a large set of which little is left becomes packed.
    private func popNearlyAll(_ found: Found, keeping: Int, _ body: (SetMember) -> Void) {
        var kept = SetBuilder(settings, .packed)
        found.shard.pointee.table.changeNested(found.slot) { table in
            for _ in 0..<keeping {
                guard let slot = table.randomSlot(&random) else { return }
                kept.add(.bytes(slot.entry.key))
                table.remove(slot)
            }
        }
        SetValue(found.entry).forEach(while: { member in
            body(member)
            return true
        })
        kept.replaceValue(of: found)
    }

    /// Stores the built set under the key at `ordinal`, whatever it held, without an expiry. An
    /// empty result removes the key. Returns the number of members.
    public func storeSet(_ ordinal: Int, _ result: consuming SetBuilder) -> Int {
        let count = result.count
        let old = find(ordinal)
        guard count > 0 else {
            if let old { remove(old) }
            return 0
        }
        let placed = place(
            ordinal, result.shape(key: key(ordinal), expiry: nil), replacing: old)
        result.move(to: placed)
        written(placed, replacing: old)
        return count
    }
}
