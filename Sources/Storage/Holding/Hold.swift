// SPDX-License-Identifier: Apache-2.0
import Base
import CLinux

/// A command's hold of its keys: routed to their shards, whose locks it has. It ends exactly once,
/// by `end` or by going out of scope, and nothing of it is left then: counted, memory settled,
/// unlocked.
///
/// Why one word: it is a handle of a `Frame` in the worker, so that passing it costs a register.
/// Handlers get it `borrowing` and can neither end nor replace it.
///
/// Handlers name a key by its ordinal, its place among the keys that the command's spec points at:
/// in `RENAME source target`, 0 is the source and 1 the target. So a key is hashed and routed once,
/// and a handler cannot reach what its command did not name.
///
/// A `Slot` is good until the next insert or removal in the same keyspace. Views into an entry are
/// good until that entry changes.
public struct Hold: ~Copyable {
    @usableFromInline let frame: FrameReference

    init(_ frame: FrameReference) { self.frame = frame }

    deinit { frame.letGo() }

    /// Ends the hold of a command that ran: counts it for each tenant whose keys it named, settles
    /// memory, unlocks. The bytes are charged to the first of these tenants.
    @inline(__always)
    public consuming func end(isRead: Bool, isWrite: Bool, bytesIn: Int, bytesOut: Int) {
        let frame = self.frame
        discard self
        frame.end(isRead: isRead, isWrite: isWrite, bytesIn: bytesIn, bytesOut: bytesOut)
    }

    /// Ends the hold of a caller that is no client's command: nothing is counted.
    public consuming func end() {
        let frame = self.frame
        discard self
        frame.letGo()
    }

    /// Ends the hold of a command that was refused: its bytes are charged to the tenant of its
    /// first key, and no command is counted.
    public consuming func endRefused(bytesIn: Int, bytesOut: Int) {
        let frame = self.frame
        discard self
        if frame.pointee.keyCount > 0 {
            frame.pointee.keys[0].shard.charge(
                keylessCommands: 0, bytesIn: bytesIn, bytesOut: bytesOut)
        }
        frame.letGo()
    }

    /// Ends a hold that commands without keys are counted on.
    public consuming func end(keylessCommands count: Int, bytesIn: Int, bytesOut: Int) {
        let frame = self.frame
        discard self
        frame.pointee.keys[0].shard.charge(
            keylessCommands: count, bytesIn: bytesIn, bytesOut: bytesOut)
        frame.letGo()
    }

    // MARK: - What a handler may know

    /// How many keys the command names.
    public var count: Int { frame.pointee.keyCount }

    /// The moment that the command runs at.
    @inline(__always)
    public var now: Milliseconds { frame.pointee.worker.now }
    public var settings: SettingsReference { frame.pointee.worker.pointee.settings }

    /// The thread's random numbers.
    public var random: Random {
        _read { yield frame.pointee.worker.pointee.random }
        nonmutating _modify { yield &frame.pointee.worker.pointee.random }
    }

    /// Bytes that the key at `ordinal` takes with all that its value owns; 0 if it does not exist.
    public func size(_ ordinal: Int) -> Int {
        let resolved = self[ordinal]
        return resolved.shard.pointee.table.find(resolved.hash, resolved.key)?.entry.totalSize ?? 0
    }

    /// The same for several keys.
    public func sizes(_ ordinals: Range<Int>) -> [Int] {
        var sizes: [Int] = []
        for ordinal in ordinals { sizes.append(size(ordinal)) }
        return sizes
    }

    /// Whether the key at `ordinal` is there and has not expired, be it as a negative entry.
    public func isCached(_ ordinal: Int) -> Bool {
        let resolved = self[ordinal]
        let slot = resolved.shard.pointee.table.find(resolved.hash, resolved.key)
        return slot.map { !$0.entry.isExpired(at: now) } ?? false
    }

    /// Whether the keys of two ordinals are one key in one keyspace.
    public func isSameKey(_ left: Int, _ right: Int) -> Bool {
        let first = self[left]
        let second = self[right]
        return first.shard == second.shard && first.key == second.key
    }

    /// The bytes of the key at `ordinal`.
    public func key(_ ordinal: Int) -> Bytes { self[ordinal].key }

    /// The key at `ordinal`. An ordinal beyond the spec's keys is a fault of the handler, not of
    /// the data: handlers of commands with many keys go by `count`.
    @inline(__always)
    subscript(ordinal: Int) -> ResolvedKey {
        precondition(
            UInt(bitPattern: ordinal) < UInt(bitPattern: frame.pointee.keyCount), "no such key")
        return frame.pointee.keys[ordinal]
    }

    /// The key at `ordinal` when it is first looked for: of many keys, those further on are asked
    /// for while this one is worked on.
    @inline(__always)
    private func next(_ ordinal: Int) -> ResolvedKey {
        if frame.pointee.keyCount > KeyPrefetch.group, ordinal & (KeyPrefetch.group - 1) == 0 {
            frame.prefetchFurtherKeys(ordinal)
        }
        return self[ordinal]
    }

    // MARK: - Finding

    /// The entry of the key at `ordinal`, for a command that changes it: nothing is counted. An
    /// expired entry is removed, and so is a negative entry: what is written now is newer.
    @inline(__always)
    public func find(_ ordinal: Int) -> Found? {
        guard let found = live(next(ordinal)) else { return nil }
        if found.entry.isAbsent {
            removeAbsent(found)
            return nil
        }
        return found
    }

    /// The entry of the key at `ordinal`, for a command that reads it: counts a hit or a miss and
    /// notes the access.
    @inline(__always)
    public func read(_ ordinal: Int) -> Found? {
        guard let found = peek(ordinal) else { return nil }
        if !frame.pointee.options.contains(.leavesAccessTime) { noteAccess(found) }
        return found
    }

    /// `read` that leaves the access time alone, for commands that look at a key from outside.
    @inline(__always)
    public func peek(_ ordinal: Int) -> Found? {
        let resolved = next(ordinal)
        guard let found = live(resolved) else {
            countMiss(resolved)
            return nil
        }
        if found.entry.isAbsent {
            countNegativeHit(resolved)
            return nil
        }
        found.shard.pointee.usage.hits += 1
        frame.pointee.worker.statistics.pointee.keyspaceHits.bump()
        return found
    }

    /// The string at `ordinal`, for a command that reads it.
    ///
    /// Why not `read` and `content`: this is the path of GET, and one call is cheaper than three.
    public func readString(_ ordinal: Int) -> StringLookup {
        guard let found = read(ordinal) else { return .missing }
        guard found.entry.type == .string else { return .wrongType }
        return .found(content(found))
    }

    /// `find`, for a value that must be of `type`.
    @inline(__always)
    public func find(_ ordinal: Int, as type: ValueType) -> Lookup {
        guard let found = find(ordinal) else { return .missing }
        return found.entry.type == type ? .found(found) : .wrongType
    }

    /// `read`, for a value that must be of `type`.
    @inline(__always)
    public func read(_ ordinal: Int, as type: ValueType) -> Lookup {
        guard let found = read(ordinal) else { return .missing }
        return found.entry.type == type ? .found(found) : .wrongType
    }

    /// The entry of the key at `ordinal` as it is, a negative entry included; an expired one is
    /// removed.
    public func findAny(_ ordinal: Int) -> Found? { live(self[ordinal]) }

    @inline(__always)
    private func live(_ resolved: ResolvedKey) -> Found? {
        guard let slot = resolved.shard.pointee.table.find(resolved.hash, resolved.key) else {
            return nil
        }
        let entry = slot.entry
        if entry.hasExpiry && entry.isExpired(at: now) {
            expire(resolved.shard, slot)
            return nil
        }
        return Found(slot: slot, shard: resolved.shard, hash: resolved.hash)
    }

    @inline(never)
    private func countMiss(_ resolved: ResolvedKey) {
        resolved.shard.pointee.usage.misses += 1
        frame.pointee.worker.statistics.pointee.keyspaceMisses.bump()
        if let misses = frame.pointee.recordMisses { misses.pointee.note(resolved.key) }
    }

    /// A hit on a negative entry is a miss, and no load is needed.
    @inline(never)
    private func countNegativeHit(_ resolved: ResolvedKey) {
        resolved.shard.pointee.usage.misses += 1
        frame.pointee.worker.statistics.pointee.keyspaceMisses.bump()
    }

    @inline(never)
    private func removeAbsent(_ found: Found) { found.shard.pointee.table.remove(found.slot) }

    @inline(never)
    private func expire(_ shard: ShardReference, _ slot: Table.Slot) {
        let worker = frame.pointee.worker
        // Why not for a command that writes: it would insert the key a second time.
        if frame.pointee.options.contains(.readOnly) && worker.isExpiryPaused { return }
        worker.expire(shard, slot)
    }
}

/// A key where it was found: the slot and the shard that it is in.
public struct Found {
    let slot: Table.Slot
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

/// The outcome of looking for a string.
public enum StringLookup {
    case missing
    case wrongType
    case found(StringContent)
}
