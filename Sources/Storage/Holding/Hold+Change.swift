// SPDX-License-Identifier: Apache-2.0
import Base

// Changing entries. Every change that a handler makes in place passes through one of these, which
// changes the shard's table and tells the key's waiters.
extension Hold {
    /// The reason that observers get for the command's changes.
    private var reason: ChangeReason {
        frame.pointee.options.contains(.record) ? .record : .command
    }

    /// Removes the entry and all that it owns.
    public func remove(_ found: Found) {
        let worker = frame.pointee.worker
        worker.statistics.pointee.changes.bump()
        worker.remove(
            found.slot, from: &found.shard.pointee.table, reason, in: found.shard)
    }

    /// Sets the moment of expiry, or removes it with nil.
    public func setExpiry(_ found: Found, _ expiry: Milliseconds?) {
        willUpdate(found)
        found.shard.pointee.table.setExpiry(found.slot, expiry)
        changed(found)
    }

    /// Inserts an entry of `shape` for the key at `ordinal`, which is known to be absent. The
    /// caller writes its value and then calls `written`.
    func insert(_ ordinal: Int, _ shape: EntryShape) -> Found {
        let resolved = self[ordinal]
        assert(
            resolved.shard.pointee.table.find(resolved.hash, resolved.key) == nil,
            "the table would hold the key twice")
        frame.pointee.worker.willInsert(resolved.hash, in: resolved.shard)
        let slot = resolved.shard.pointee.table.insert(
            resolved.hash, shape, access: Access.initial(now: now, settings: settings))
        return Found(slot: slot, shard: resolved.shard, hash: resolved.hash)
    }

    /// Puts an entry of `shape` in place of what was found, or inserts it. The caller writes its
    /// value and then calls `written`.
    func place(_ ordinal: Int, _ shape: EntryShape, replacing found: Found?) -> Found {
        guard let found else { return insert(ordinal, shape) }
        willUpdate(found)
        found.shard.pointee.table.freeOwned(found.slot)
        found.shard.pointee.table.replace(found.slot, shape, keepingValue: false)
        return found
    }

    /// Tells that an entry has the value that it was placed for: in place of `old`, or as a new
    /// one.
    func written(_ found: Found, replacing old: Found?) {
        guard old == nil else { return changed(found) }
        didChange(found, .inserted)
    }

    /// Tells that the entry's value or expiry is about to change. Every change in place begins
    /// here.
    @inline(__always)
    func willUpdate(_ found: Found) {
        frame.pointee.worker.willUpdate(found.slot, in: found.shard)
    }

    /// Tells that the value or the expiry of the key has changed, which is an access too. Every
    /// change in place ends here.
    @inline(__always)
    func changed(_ found: Found) {
        if !frame.pointee.options.contains(.leavesAccessTime) { noteAccess(found) }
        didChange(found, .updated)
    }

    @inline(__always)
    func didChange(_ found: Found, _ event: ChangeEvent) {
        frame.pointee.worker.didChange(
            found.entry, found.hash, reason, event, in: found.shard)
    }

    /// Notes the access, by clock or by counter, as the eviction policy needs it.
    @inline(__always)
    public func noteAccess(_ found: Found) {
        let worker = frame.pointee.worker
        let entry = found.entry
        let next = Access.next(
            entry.access, now: worker.now, settings: worker.pointee.settings,
            random: &worker.pointee.random)
        if next != entry.access { entry.access = next }
    }
}
