// SPDX-License-Identifier: Apache-2.0
import Base

// Changing entries. Every change of a key passes through one of these, which changes the shard's
// table and tells the key's waiters.
extension Hold {
    /// Removes the entry and all that it owns.
    public func remove(_ found: Found) {
        signal(found)
        found.shard.pointee.table.remove(found.slot)
    }

    /// Sets the moment of expiry, or removes it with nil.
    public func setExpiry(_ found: Found, _ expiry: Milliseconds?) {
        found.shard.pointee.table.setExpiry(found.slot, expiry)
        changed(found)
    }

    /// Inserts an entry of `shape` for the key at `ordinal`, which is known to be absent.
    func insert(_ ordinal: Int, _ shape: EntryShape) -> Found {
        let resolved = self[ordinal]
        let slot = resolved.shard.pointee.table.insert(
            resolved.hash, shape, access: Access.initial(now: now, settings: settings))
        let found = Found(slot: slot, shard: resolved.shard, hash: resolved.hash)
        signal(found)
        return found
    }

    /// Replaces the found entry by one of `shape`, or inserts it. The caller writes the value's
    /// bytes.
    func place(_ ordinal: Int, _ shape: EntryShape, replacing found: Found?) -> Found {
        guard let found else { return insert(ordinal, shape) }
        found.shard.pointee.table.freeOwned(found.slot)
        found.shard.pointee.table.replace(found.slot, shape, keepingValue: false)
        changed(found)
        return found
    }

    /// Notes that the key's value has changed, which is also an access.
    @inline(__always)
    public func changed(_ found: Found) {
        if !frame.pointee.options.contains(.leavesAccessTime) { noteAccess(found) }
        signal(found)
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

    /// Counts the change and tells the key's waiters.
    @inline(__always)
    func signal(_ found: Found) {
        frame.pointee.worker.statistics.pointee.changes.bump()
        if !found.shard.pointee.waiters.isEmpty {
            frame.pointee.worker.tell(found.hash, .changed, in: found.shard)
        }
    }
}
