// SPDX-License-Identifier: Apache-2.0
import Base

// Notification of changes: every change of a key passes through here, before and after it is made,
// except the deletion of a tenant, which tells by itself. All of it runs under the shard's lock.
extension Reference where Pointee == Shard {
    @inline(__always)
    var isObserved: Bool { pointee.listeners.contains(.observer) }

    /// Updates the bit that says whether a client waits for keys of the shard.
    func noteWaiters() {
        if pointee.waiters.isEmpty {
            pointee.listeners.remove(.waiters)
        } else {
            pointee.listeners.insert(.waiters)
        }
    }
}

extension Reference where Pointee == Worker {
    /// A value or an expiry is about to change in its slot.
    @inline(__always)
    func willUpdate(_ slot: Table.Slot, in shard: ShardReference) {
        if shard.isObserved { tellBefore([.bucket(slot.bucket)], in: shard) }
    }

    /// A key of `hash` is about to be inserted.
    @inline(__always)
    func willInsert(_ hash: Hash, in shard: ShardReference) {
        if shard.isObserved {
            tellBefore(shard.pointee.table.partsChanged(byInserting: hash), in: shard)
        }
    }

    /// An entry is about to be removed. `table` is the shard's.
    @inline(__always)
    func willRemove(_ slot: Table.Slot, from table: Table, in shard: ShardReference) {
        if shard.isObserved { tellBefore(table.partsChanged(byRemoving: slot), in: shard) }
    }

    /// The shard's whole table is about to be replaced.
    func willReplaceTable(of shard: ShardReference) {
        if shard.isObserved { tellBefore([.table(shard.pointee.table)], in: shard) }
    }

    /// Why an autoclosure: the list is made only here, so the path of SET allocates nothing.
    @inline(never)
    private func tellBefore(_ parts: @autoclosure () -> [TablePart], in shard: ShardReference) {
        for part in parts() { registry.observer?.willChange(part, in: shard) }
    }

    /// A key was inserted, or its value or expiry has changed.
    @inline(__always)
    func didChange(
        _ entry: Entry, _ hash: Hash, _ reason: ChangeReason, _ event: ChangeEvent,
        in shard: ShardReference
    ) {
        statistics.pointee.changes.bump()
        if entry.hasExpiry, !shard.pointee.isListedToExpire { listToExpire(shard) }
        if !shard.pointee.listeners.isEmpty {
            tellAfter(entry.key, entry, hash, reason, event, in: shard)
        }
    }

    @inline(never)
    private func tellAfter(
        _ key: Bytes, _ entry: Entry?, _ hash: Hash, _ reason: ChangeReason, _ event: ChangeEvent,
        in shard: ShardReference
    ) {
        if shard.pointee.listeners.contains(.waiters) {
            // To clients a negative entry is no key. It replaces no live one (`setAbsent`).
            let old: Presence = event == .inserted || entry?.isAbsent == true ? .none : .live
            let new: Presence = entry?.isAbsent == false ? .live : .none
            tell(
                hash, from: old, to: new, isLoad: reason == .record && event == .inserted,
                in: shard)
        }
        if shard.isObserved { registry.observer?.didChange(key, entry, reason, event, in: shard) }
    }

    /// Removes an entry from a shard's table and notifies before and after.
    @inline(__always)
    func remove(
        _ slot: Table.Slot, from table: inout Table, _ reason: ChangeReason,
        shrinking: Bool = true, in shard: ShardReference
    ) {
        guard shard.pointee.listeners.isEmpty else {
            return removeAndTell(slot, from: &table, reason, shrinking: shrinking, in: shard)
        }
        table.remove(slot, shrinking: shrinking)
    }

    @inline(never)
    private func removeAndTell(
        _ slot: Table.Slot, from table: inout Table, _ reason: ChangeReason, shrinking: Bool,
        in shard: ShardReference
    ) {
        // A negative entry is not a key to clients, so its removal notifies no waiter.
        if shard.pointee.listeners.contains(.waiters), !slot.entry.isAbsent {
            tell(Hash(slot.entry.key), from: reason == .expired ? .expired : .live, in: shard)
        }
        guard shard.isObserved else { return table.remove(slot, shrinking: shrinking) }
        // Why a copy: the key's bytes are freed with the entry.
        let key = slot.entry.key.array
        willRemove(slot, from: table, in: shard)
        table.remove(slot, shrinking: shrinking)
        key.withBytes { registry.observer?.didChange($0, nil, reason, .removed, in: shard) }
    }

    /// An entry was moved out of the shard's table, which counts as a removal.
    func didRemove(
        _ key: Bytes, _ hash: Hash, _ reason: ChangeReason, in shard: ShardReference
    ) {
        statistics.pointee.changes.bump()
        if !shard.pointee.listeners.isEmpty {
            tellAfter(key, nil, hash, reason, .removed, in: shard)
        }
    }

    /// The shard's table was emptied.
    func didEmpty(_ shard: ShardReference, _ reason: ChangeReason) {
        if shard.isObserved { registry.observer?.didEmpty(shard, reason) }
    }

    /// Two databases of one tenant have exchanged their tables.
    func didSwap(_ left: KeyspaceReference, _ right: KeyspaceReference) {
        if left.shard(at: 0).isObserved { registry.observer?.didSwap(left, right) }
    }
}
