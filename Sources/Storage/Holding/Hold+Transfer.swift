// SPDX-License-Identifier: Apache-2.0
import Base
import Glibc

// Moving and copying whole entries: RENAME, MOVE, COPY. Source and target may lie in different
// databases and in keyspaces of different tenants.
extension Hold {
    /// Gives the entry at `source` the key at `target`, in the target's keyspace, and replaces what
    /// was there. Value and expiry stay, and the move counts as an access. A large collection is
    /// not copied. The caller has found a source. Without one, nothing moves, the target is still
    /// removed, and the result is false.
    public func move(from source: Int, to target: Int) -> Bool {
        if let replaced = find(target) { remove(replaced) }
        // Why only now: the removal above invalidates slots.
        guard let found = find(source) else { return false }
        let resolved = self[target]
        changed(found)
        let old = found.entry
        let nested = old.ownedSize
        var shape = old.shape
        shape.key = resolved.key
        let moved = Entry.make(shape, access: old.access)
        if old.valueSize > 0 { memcpy(moved.mutableValue, old.value.base, old.valueSize) }
        let detached = found.shard.pointee.table.detach(found.slot)
        found.shard.pointee.table.allocatedSize -= detached.allocatedSize + nested
        // What the value owns now belongs to `moved`, so only the block goes.
        Block.free(detached.base)
        insert(moved, nested: nested, resolved)
        return true
    }

    /// Puts a copy of the entry at `source` under the key at `target`, and replaces what was there.
    /// False if there is no source, as in `move`.
    public func copy(from source: Int, to target: Int) -> Bool {
        if let replaced = find(target) { remove(replaced) }
        guard let found = find(source) else { return false }
        let resolved = self[target]
        let access = Access.initial(now: now, settings: settings)
        let copied = found.entry.copy(key: resolved.key, access: access)
        insert(copied, nested: copied.ownedSize, resolved)
        return true
    }

    private func insert(_ entry: Entry, nested: Int, _ resolved: ResolvedKey) {
        resolved.shard.pointee.table.allocatedSize += entry.allocatedSize + nested
        let slot = resolved.shard.pointee.table.insert(resolved.hash, entry)
        changed(Found(slot: slot, shard: resolved.shard, hash: resolved.hash))
    }
}
