// SPDX-License-Identifier: Apache-2.0
import Base
import CLinux
import Glibc
import Synchronization

/// What a command on keys may touch: the keys that it named, under the locks of their shards.
///
/// Made by the executor, which has resolved and locked the keys that the command's spec points at;
/// handed to `run`; and ended by the executor, which settles memory and lets go. A key that the
/// spec did not point at, in a shard that is not held, stops the process: it is an error in the
/// spec, never in the data.
///
/// A `Slot` is good until the next insert or removal in the same keyspace. Views into an entry are
/// good until that entry changes.
public struct Keys {
    // Safety: the worker of the calling thread, which outlives every command.
    public let worker: WorkerReference
    /// The keyspace that the session has selected; keys that a pattern names live in their
    /// tenants'.
    public let keyspace: KeyspaceReference
    /// Whether reads leave the access time alone (CLIENT NO-TOUCH).
    public var leavesAccessTime = false
    /// Whether the command inserts nothing, so that what has expired may stay while clients are
    /// paused.
    public var isReadOnly = false
    /// The command may be answered from records: a miss on a record's key is noted.
    public var recordMisses: UnsafeMutablePointer<RecordMisses>?
    /// Position of the next key expected; commands use their keys mostly in order.
    var cursor = 0

    @inline(__always)
    public init(worker: WorkerReference, keyspace: KeyspaceReference) {
        self.worker = worker
        self.keyspace = keyspace
    }

    public var now: Milliseconds { worker.pointee.now }
    public var settings: SettingsReference { worker.pointee.settings }
    public var registry: TenantRegistry { worker.pointee.registry._withUnsafeGuaranteedRef { $0 } }

    /// A key where it was found: the slot and the shard that it belongs to.
    public struct Found {
        public let slot: Table.Slot
        let shard: ShardReference
        let hash: Hash

        @inline(__always)
        public var entry: Entry { slot.entry }
    }

    /// The outcome of looking for a value of one type.
    public enum Lookup {
        case missing
        case wrongType
        case found(Found)
    }

    // MARK: - Finding

    @inline(__always)
    mutating func resolve(_ key: Bytes) -> ResolvedKey {
        let count = worker.pointee.resolvedCount
        if cursor < count {
            let expected = worker.pointee.resolved[cursor]
            if expected.key.base == key.base && expected.key.count == key.count {
                if count > WorkerReference.prefetchGroup,
                    cursor & (WorkerReference.prefetchGroup - 1) == 0
                {
                    worker.prefetchFurtherKeys(cursor)
                }
                cursor += 1
                return expected
            }
        }
        return resolveSlowly(key)
    }

    @inline(never)
    private mutating func resolveSlowly(_ key: Bytes) -> ResolvedKey {
        // A key that was looked for just now and is to be inserted.
        if cursor > 0, cursor <= worker.pointee.resolvedCount {
            let previous = worker.pointee.resolved[cursor - 1]
            if previous.key.base == key.base && previous.key.count == key.count { return previous }
        }
        // Why only a few: the command goes back to its first keys, or sideways; a long list is
        // cheaper to hash again.
        for index in 0..<min(worker.pointee.resolvedCount, 8) {
            let candidate = worker.pointee.resolved[index]
            if candidate.key.base == key.base && candidate.key.count == key.count {
                cursor = index + 1
                return candidate
            }
        }
        let resolved = KeyRouter.resolve(
            key, keyspace: keyspace, registry: registry, creating: false)
        return worker.holds(resolved.shard) ? resolved : resolvedBefore(key)
    }

    /// The key as it was found before its shard was locked. Its tenant has come into being since,
    /// or was deleted.
    private func resolvedBefore(_ key: Bytes) -> ResolvedKey {
        for index in 0..<worker.pointee.resolvedCount {
            let candidate = worker.pointee.resolved[index]
            if candidate.key.base == key.base && candidate.key.count == key.count {
                return candidate
            }
        }
        fatal("a command used a key that its spec does not name")
    }

    /// The entry of `key`, for a command that changes it: nothing is counted. An expired entry is
    /// removed, and so is one that says that a record does not exist: what is written now is newer.
    public mutating func find(_ key: Bytes) -> Found? { find(resolve(key)) }

    @inline(__always)
    mutating func find(_ resolved: ResolvedKey) -> Found? {
        guard let found = live(resolved) else { return nil }
        if found.entry.isAbsent {
            removeAbsent(found)
            return nil
        }
        return found
    }

    /// The entry of `key`, for a command that reads it: counts a hit or a miss and notes the
    /// access.
    public mutating func read(_ key: Bytes) -> Found? { read(resolve(key)) }

    @inline(__always)
    mutating func read(_ resolved: ResolvedKey) -> Found? {
        guard let found = live(resolved) else {
            countMiss(resolved)
            return nil
        }
        if found.entry.isAbsent {
            countMissOfAbsent(resolved)
            return nil
        }
        found.shard.pointee.usage.hits += 1
        worker.pointee.statistics.pointee.keyspaceHits.bump()
        if !leavesAccessTime { touch(found.entry) }
        return found
    }

    /// `find`, where the value must be of `type`.
    public mutating func find(_ key: Bytes, as type: ValueType) -> Lookup {
        guard let found = find(key) else { return .missing }
        return found.entry.type == type ? .found(found) : .wrongType
    }

    /// `read`, where the value must be of `type`.
    public mutating func read(_ key: Bytes, as type: ValueType) -> Lookup {
        guard let found = read(key) else { return .missing }
        return found.entry.type == type ? .found(found) : .wrongType
    }

    @inline(__always)
    private mutating func live(_ resolved: ResolvedKey) -> Found? {
        guard let slot = resolved.shard.pointee.table.find(resolved.hash, resolved.key) else {
            return nil
        }
        let entry = slot.entry
        let found = Found(slot: slot, shard: resolved.shard, hash: resolved.hash)
        if entry.hasExpiry && entry.isExpired(at: now) {
            expire(found)
            return nil
        }
        return found
    }

    @inline(never)
    private func countMiss(_ resolved: ResolvedKey) {
        resolved.shard.pointee.usage.misses += 1
        worker.pointee.statistics.pointee.keyspaceMisses.bump()
        if let recordMisses { recordMisses.pointee.note(resolved.key) }
    }

    /// A miss that no record can mend: that there is none is what was loaded.
    @inline(never)
    private func countMissOfAbsent(_ resolved: ResolvedKey) {
        resolved.shard.pointee.usage.misses += 1
        worker.pointee.statistics.pointee.keyspaceMisses.bump()
    }

    @inline(never)
    private func removeAbsent(_ found: Found) { found.shard.pointee.table.remove(found.slot) }

    @inline(never)
    private func expire(_ found: Found) {
        // Why not for a command that writes: it would insert the key a second time.
        if isReadOnly && worker.isExpiryPaused { return }
        worker.expire(found.shard, found.slot)
    }

    /// Notes the access, by the clock or the counter that the eviction policy goes by.
    @inline(__always)
    func touch(_ entry: Entry) {
        let next = Access.next(
            entry.access, now: now, settings: settings, random: &worker.pointee.random)
        if next != entry.access { entry.access = next }
    }

    // MARK: - Changing

    /// Removes the entry and all that it owns.
    public func remove(_ found: Found) {
        signal(found)
        found.shard.pointee.table.remove(found.slot)
    }

    /// Sets the moment of expiry, or takes it away with nil.
    public func setExpiry(_ found: Found, _ expiry: Milliseconds?) {
        found.shard.pointee.table.setExpiry(found.slot, expiry)
        changed(found)
    }

    /// Inserts an entry of `shape`, whose key is known to be absent.
    public mutating func insert(_ shape: EntryShape) -> Found {
        let resolved = resolve(shape.key)
        let slot = resolved.shard.pointee.table.insert(
            resolved.hash, shape, access: Access.initial(now: now, settings: settings))
        let found = Found(slot: slot, shard: resolved.shard, hash: resolved.hash)
        signal(found)
        return found
    }

    /// Notes that the value of the key has changed, which is an access too. Every change of an
    /// entry that stays goes through here.
    @inline(__always)
    public func changed(_ found: Found) {
        if !leavesAccessTime { touch(found.entry) }
        signal(found)
    }

    /// Tells all who wait to hear of it that the key has changed.
    @inline(__always)
    func signal(_ found: Found) {
        worker.pointee.statistics.pointee.changes.bump()
        if !found.shard.pointee.waiters.isEmpty {
            worker.tell(found.hash, .changed, in: found.shard)
        }
    }
}
