// SPDX-License-Identifier: Apache-2.0
import Base
import Synchronization

// Telling those who wait for a key what has become of it. A change of one key goes through `tell`,
// a change of a whole shard through `tellAll`.

/// What clients find under the keys of one hash.
enum Presence {
    case none
    /// An entry that has expired and is still there: to clients, nothing.
    case expired
    case live
}

extension Table {
    /// An entry that stands for a record known not to exist is no key to anybody.
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

extension Waiter {
    /// What happened to a key.
    enum Reason {
        /// A client, or eviction, wrote or removed it.
        case changed
        /// It was removed because it had expired.
        case expired
    }
}

extension UnsafeMutablePointer where Pointee == Waiter {
    /// Whether a watch is broken by its key's going from `old` to `new`: whether clients have seen
    /// a key there at any time since the watch began. Only this reads and changes `beganExpired`.
    ///
    /// As in Redis: an entry that had expired when the watch began may go, or be replaced by
    /// another expired one. One that has expired since has changed, even while it is still there.
    func isBroken(from old: Presence, to new: Presence) -> Bool {
        if old == .live || new == .live { return true }
        guard old == .none || pointee.flags.contains(.beganExpired) else { return true }
        if new == .expired {
            pointee.flags.insert(.beganExpired)
        } else {
            pointee.flags.remove(.beganExpired)
        }
        return false
    }

    /// Tells a session that a key that it watches has changed: its EXEC will do nothing.
    func breakWatch() {
        precondition(pointee.kind == .watch)
        // Safety: what the owner of a watch points to (`Waiter.Kind.watch`).
        let isDirty = pointee.owner.assumingMemoryBound(to: Atomic<Bool>.self)
        isDirty.pointee.store(true, ordering: .releasing)
    }
}

extension Reference where Pointee == Worker {
    /// Tells who waits for the key of `hash`, in a shard that is held and in which somebody waits.
    ///
    /// A watch that breaks is over: its waiter is taken out. So the first change of a key that a
    /// thousand sessions watch tells a thousand, and the next ones nobody.
    @inline(never)
    func tell(_ hash: Hash, _ reason: Waiter.Reason, in shard: ShardReference) {
        guard let first = shard.pointee.waiters.first(hash) else { return }
        let old = reason == .expired ? Presence.expired : .live
        var bytes = 0
        // Why backwards: only the first waiter's removal needs a look-up.
        var waiter = first.pointee.previous
        while true {  // Bound: the queue.
            let isFirst = waiter == first
            let previous = waiter.pointee.previous
            if waiter.isBroken(from: old, to: .none) {
                bytes += shard.pointee.waiters.remove(waiter).bytes
                waiter.breakWatch()
                waiter.letGo()
            }
            if isFirst { break }
            waiter = previous
        }
        chargeWaiters(of: shard, bytes)
    }

    /// Tells everybody who waits in `shard` that the keys of `other` are about to take the place of
    /// its own, or none where that is nil. The caller holds the shard, and all of `other`.
    ///
    /// Those whose watch breaks stay where they are: the index is being walked.
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

    /// Charges the tenant for what the index of a shard has taken, or given back.
    func chargeWaiters(of shard: ShardReference, _ bytes: Int) {
        shard.noteWaiters()
        guard bytes != 0 else { return }
        pointee.unmanagedRegistry._withUnsafeGuaranteedRef {
            $0.chargeStructure(shard.tenant, bytes)
        }
    }
}

extension Reference where Pointee == Shard {
    /// Breaks every watch and lets all waiters go: the shard is about to be freed. Returns the
    /// bytes that this gives back.
    func letGoOfWaiters() -> Int {
        pointee.waiters.removeAll { waiter in
            waiter.breakWatch()
            waiter.letGo()
        }
    }
}
