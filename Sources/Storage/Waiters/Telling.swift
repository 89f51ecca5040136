// SPDX-License-Identifier: Apache-2.0
import Base
import Synchronization

// Tells waiters what happened to a key. A change of one key goes through `tell`, a change of a
// whole shard through `tellAll`; the deletion of a tenant lets its waiters go.

/// What clients find under the keys of one hash.
enum Presence {
    case none
    /// An expired entry that is still there; clients see nothing.
    case expired
    case live
}

extension Table {
    /// Clients do not see a negative entry as a key.
    func presence(_ hash: Hash, now: Milliseconds) -> Presence {
        guard root != 0 else { return .none }
        let position = self.position(hash)
        let segment = self.segment(at: position)
        var index = segment.homeIndex(position << UInt64(segment.depth))
        var found = Presence.none
        while true {  // Bound: invariant 1 of Segment, an empty slot ends every probe.
            let bucket = segment.bucket(index)
            var bits = Bucket.matches(bucket.tags, hash.tag)
            while bits != 0 {
                let entry = bucket.entry(Bucket.lane(bits))
                bits &= bits &- 1
                guard !entry.isAbsent, Hash(entry.key) == hash else { continue }
                guard entry.isExpired(at: now) else { return .live }
                found = .expired
            }
            if Bucket.matches(bucket.tags, Bucket.emptyTag) != 0 { return found }
            index = segment.next(index)
        }
    }
}

extension UnsafeMutablePointer where Pointee == Waiter {
    /// Whether a change of the key from `old` to `new` breaks a watch. It does if clients saw a key
    /// at any time since the watch began, except for a record that was loaded for the first time.
    /// After the watch began, only this function reads and changes its flags.
    ///
    /// As in Redis: an entry that had expired before the watch began may be removed or replaced by
    /// another expired one. An entry that expires later counts as changed, even while it is still
    /// there.
    func isBroken(from old: Presence, to new: Presence, isLoad: Bool = false) -> Bool {
        if isLoad, pointee.flags.contains(.beganUnloaded) {
            pointee.flags.remove(.beganUnloaded)
            return false
        }
        if old == .live || new == .live { return true }
        guard old == .none || pointee.flags.contains(.beganExpired) else { return true }
        if new == .expired {
            pointee.flags.insert(.beganExpired)
        } else {
            pointee.flags.remove(.beganExpired)
        }
        return false
    }

    /// Marks the session: a key that it watches has changed, so its EXEC will do nothing.
    func breakWatch() {
        precondition(pointee.kind == .watch)
        // Safety: what the owner of a watch points to (`Waiter.Kind.watch`).
        let isDirty = pointee.owner.assumingMemoryBound(to: Atomic<Bool>.self)
        isDirty.pointee.store(true, ordering: .releasing)
    }
}

extension Reference where Pointee == Worker {
    /// Tells the waiters for the key of `hash` that it was written or removed: what clients found
    /// before and what they find now. With `isLoad` a record, or that there is none, was put where
    /// there was no entry. The shard is held and has waiters.
    ///
    /// A broken watch is over: its waiter is removed. So if a thousand sessions watch a key, its
    /// first change tells a thousand, and the next ones none.
    @inline(never)
    func tell(
        _ hash: Hash, from old: Presence, to new: Presence = .none, isLoad: Bool = false,
        in shard: ShardReference
    ) {
        guard let first = shard.pointee.waiters.first(hash) else { return }
        var bytes = 0
        // Why backwards: only removing the first waiter needs a look-up.
        var waiter = first.pointee.previous
        while true {  // Bound: the queue.
            let isFirst = waiter == first
            let previous = waiter.pointee.previous
            if waiter.isBroken(from: old, to: new, isLoad: isLoad) {
                bytes += shard.pointee.waiters.remove(waiter).bytes
                waiter.breakWatch()
                waiter.letGo()
            }
            if isFirst { break }
            waiter = previous
        }
        chargeWaiters(of: shard, bytes)
    }

    /// Tells all waiters of `shard` that the keys of `other` are about to replace its own; with
    /// nil, that its keys are about to be removed. The caller holds the shard and all of `other`.
    ///
    /// Waiters of broken watches stay in the index, because it is being walked.
    func tellAll(of shard: ShardReference, replacedBy other: KeyspaceReference?) {
        shard.pointee.waiters.forEachQueue { first in
            let hash = first.pointee.hash
            let now = pointee.now
            let old = shard.pointee.table.presence(hash, now: now)
            let new = other?.shard(hash).pointee.table.presence(hash, now: now) ?? .none
            guard old != .none || new != .none else { return }
            first.forEachInQueue { if $0.isBroken(from: old, to: new) { $0.breakWatch() } }
        }
    }

    /// Charges the tenant for the bytes that a shard's index took or gave back.
    func chargeWaiters(of shard: ShardReference, _ bytes: Int) {
        shard.noteWaiters()
        guard bytes != 0 else { return }
        pointee.unmanagedRegistry._withUnsafeGuaranteedRef {
            $0.chargeStructure(shard.tenant, bytes)
        }
    }
}

extension Reference where Pointee == Shard {
    /// Breaks every watch and lets all waiters go, because the shard is about to be freed. Returns
    /// the freed bytes.
    func letGoOfWaiters() -> Int {
        pointee.waiters.removeAll { waiter in
            waiter.breakWatch()
            waiter.letGo()
        }
    }
}
