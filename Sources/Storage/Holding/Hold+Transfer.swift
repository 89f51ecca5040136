// SPDX-License-Identifier: Apache-2.0
import Base
import Glibc

// Moving and copying whole entries: RENAME, MOVE, COPY. Source and target may lie in different
// databases and in keyspaces of different tenants.
//
// A value that is moved or copied to a record's key is not kept: the key's next reader loads the
// row. Why: the value may be a row that was moved away before, to another key or database. Changes
// of rows are looked up only under the record's key, so this one may be out of date.
extension Hold {
    /// Gives the entry at `source` the key at `target`, in the target's keyspace, and replaces what
    /// was there. Value and expiry stay, and the move counts as an access. A large collection is
    /// not copied. The caller has found a source. Without one, nothing moves, the target is still
    /// removed, and the result is false. At a record's key the entry ends.
    public func move(from source: Int, to target: Int) -> Bool {
        if let replaced = find(target) { remove(replaced) }
        // Why only now: the removal above invalidates slots.
        guard let found = find(source) else { return false }
        let resolved = self[target]
        guard !isRecord(resolved) else {
            remove(found)
            return true
        }
        if !frame.pointee.options.contains(.leavesAccessTime) { noteAccess(found) }
        let old = found.entry
        let nested = old.ownedSize
        var shape = old.shape
        shape.key = resolved.key
        let moved = Entry.make(shape, access: old.access)
        if old.valueSize > 0 { memcpy(moved.mutableValue, old.value.base, old.valueSize) }
        detach(found, at: source, nested: nested)
        insert(moved, nested: nested, resolved)
        return true
    }

    /// Why the target's tenant has no room for the entry at `source` under the key at `target`, for
    /// `move`. In one tenant a move only grows by what the new key is longer. Invalidates slots.
    public func refusalOfMove(from source: Int, to target: Int) -> LimitRefusal? {
        let isInside = self[source].shard.tenant == self[target].shard.tenant
        let arriving = isInside ? key(target).count - key(source).count : size(source)
        return refusal(
            ofArrival: max(0, arriving - size(target)), isNew: !isInside && size(target) == 0,
            at: target)
    }

    /// Puts a copy of the entry at `source` under the key at `target`, and replaces what was there.
    /// False if there is no source, as in `move`.
    public func copy(from source: Int, to target: Int) -> Bool {
        if let replaced = find(target) { remove(replaced) }
        guard let found = find(source) else { return false }
        let resolved = self[target]
        guard !isRecord(resolved) else { return true }
        let access = Access.initial(now: now, settings: settings)
        let copied = found.entry.copy(key: resolved.key, access: access)
        insert(copied, nested: copied.ownedSize, resolved)
        return true
    }

    private func isRecord(_ resolved: ResolvedKey) -> Bool {
        guard let isReserved = frame.pointee.worker.registry.isReserved else { return false }
        return resolved.shard.pointee.keyspace.answersRecords && isReserved(resolved.key)
    }

    /// Takes the entry out of its table without what its value owns, which another entry has now.
    private func detach(_ found: Found, at source: Int, nested: Int) {
        let worker = frame.pointee.worker
        let shard = found.shard
        worker.willRemove(found.slot, from: shard.pointee.table, in: shard)
        let detached = shard.pointee.table.detach(found.slot)
        shard.pointee.table.allocatedSize -= detached.allocatedSize + nested
        Block.free(detached.base)
        worker.didRemove(key(source), found.hash, .command, in: shard)
    }

    private func insert(_ entry: Entry, nested: Int, _ resolved: ResolvedKey) {
        frame.pointee.worker.willInsert(resolved.hash, in: resolved.shard)
        resolved.shard.pointee.table.allocatedSize += entry.allocatedSize + nested
        let slot = resolved.shard.pointee.table.insert(resolved.hash, entry)
        let found = Found(slot: slot, shard: resolved.shard, hash: resolved.hash)
        if !frame.pointee.options.contains(.leavesAccessTime) { noteAccess(found) }
        didChange(found, .inserted)
    }
}
