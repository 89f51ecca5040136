// SPDX-License-Identifier: Apache-2.0
import Base

/// A command's hold of its keys: they are routed to their shards, and those are locked. It ends
/// exactly once, by `end` or by going out of scope. Ending settles memory and unlocks.
///
/// Why one word: it is a handle of a `Frame` in the worker, so passing it costs one register.
/// Handlers get it `borrowing` and can neither end nor replace it.
///
/// Handlers name a key by its ordinal, its place among the keys of the command's spec: in `RENAME
/// source target`, 0 is the source and 1 the target. So each key is hashed and routed once, and a
/// handler cannot access keys that its command does not name.
///
/// A `Slot` is valid until the next insert or removal in the same keyspace. A view of an entry is
/// valid until that entry changes.
public struct Hold: ~Copyable {
    @usableFromInline let frame: FrameReference

    init(_ frame: FrameReference) { self.frame = frame }

    deinit { frame.letGo() }

    /// Ends the hold of a command that ran: counts it for each tenant whose keys it named, settles
    /// memory, and unlocks. Its bytes are charged to the first of these tenants.
    @inline(__always)
    public consuming func end(isRead: Bool, isWrite: Bool, bytesIn: Int, bytesOut: Int) {
        let frame = self.frame
        discard self
        frame.end(isRead: isRead, isWrite: isWrite, bytesIn: bytesIn, bytesOut: bytesOut)
    }

    /// Ends the hold without counting a command.
    public consuming func end() {
        let frame = self.frame
        discard self
        frame.letGo()
    }

    /// Ends the hold, and charges `count` commands and their bytes to the tenant of its first key:
    /// commands without keys, or none for a refused command.
    public consuming func end(commands count: Int, bytesIn: Int, bytesOut: Int) {
        let frame = self.frame
        discard self
        if frame.pointee.keyCount > 0 {
            frame.pointee.keys[0].shard
                .charge(commands: count, bytesIn: bytesIn, bytesOut: bytesOut)
        }
        frame.letGo()
    }

    // MARK: - What a handler may ask

    /// How many keys the command names.
    public var count: Int { frame.pointee.keyCount }

    /// Whether this is a part of another hold, which owns the locks.
    public var isInner: Bool { frame.pointee.options.contains(.inner) }

    /// The time of the command.
    @inline(__always)
    public var now: Milliseconds { frame.pointee.worker.now }
    public var settings: SettingsReference { frame.pointee.worker.pointee.settings }

    /// The thread's random numbers.
    public var random: Random {
        _read { yield frame.pointee.worker.pointee.random }
        nonmutating _modify { yield &frame.pointee.worker.pointee.random }
    }

    /// Bytes of the key at `ordinal` and of all that its value owns; 0 if it does not exist.
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

    /// Whether the key at `ordinal` is cached and has not expired. A negative entry counts.
    public func isCached(_ ordinal: Int) -> Bool {
        let resolved = self[ordinal]
        let slot = resolved.shard.pointee.table.find(resolved.hash, resolved.key)
        return slot.map { !$0.entry.isExpired(at: now) } ?? false
    }

    /// Whether two ordinals name one key in one keyspace.
    public func isSameKey(_ left: Int, _ right: Int) -> Bool {
        let first = self[left]
        let second = self[right]
        return first.shard == second.shard && first.key == second.key
    }

    /// The bytes of the key at `ordinal`.
    public func key(_ ordinal: Int) -> Bytes { self[ordinal].key }

    /// The key at `ordinal`. An ordinal beyond the command's keys is a bug in the handler: handlers
    /// of commands with many keys go by `count`.
    @inline(__always)
    subscript(ordinal: Int) -> ResolvedKey {
        precondition(
            UInt(bitPattern: ordinal) < UInt(bitPattern: frame.pointee.keyCount), "no such key")
        return frame.pointee.keys[ordinal]
    }

    /// The key at `ordinal`, when it is first looked up. With many keys, prefetches later ones
    /// meanwhile.
    @inline(__always)
    private func next(_ ordinal: Int) -> ResolvedKey {
        if frame.pointee.keyCount > KeyPrefetch.group, ordinal & (KeyPrefetch.group - 1) == 0 {
            frame.prefetchFurtherKeys(ordinal)
        }
        return self[ordinal]
    }

    // MARK: - Finding
    //
    //                     counts a hit     notes       removes a
    //                     or a miss        access      negative entry
    //     find                                         yes
    //     read            yes              yes
    //     peek            yes
    //     readToReplace   yes              yes         yes
    //     findAny                                                      (finds it too)
    //
    // None of them finds an expired entry; they remove it, but for reads while clients are paused.

    /// The entry of the key at `ordinal`, for a command that changes it. Counts nothing. Removes an
    /// expired entry, and also a negative one, because the write that follows is newer.
    @inline(__always)
    public func find(_ ordinal: Int) -> Found? {
        guard let found = live(next(ordinal)) else { return nil }
        if found.entry.isAbsent {
            removeAbsent(found)
            return nil
        }
        return found
    }

    /// The entry of the key at `ordinal`, for a command that reads it. Counts a hit or a miss and
    /// notes the access.
    @inline(__always)
    public func read(_ ordinal: Int) -> Found? {
        guard let found = peek(ordinal) else { return nil }
        if !frame.pointee.options.contains(.leavesAccessTime) { noteAccess(found) }
        return found
    }

    /// `read` without noting the access, for commands that only inspect a key.
    @inline(__always)
    public func peek(_ ordinal: Int) -> Found? {
        let resolved = next(ordinal)
        let found = live(resolved)
        guard let found, !found.entry.isAbsent else {
            countMiss(resolved, isNegative: found != nil)
            return nil
        }
        found.shard.pointee.usage.hits += 1
        frame.pointee.worker.statistics.pointee.keyspaceHits.bump()
        return found
    }

    /// The string at `ordinal`, for a command that reads it.
    ///
    /// Why not `read` and `content`: this is the path of GET, and one call is cheaper than three.
    public func readString(_ ordinal: Int) -> Lookup<StringContent> {
        guard let found = read(ordinal) else { return .missing }
        guard found.entry.type == .string else { return .wrongType }
        return .found(content(found))
    }

    /// `read` for a command that replies the old value and then writes another one.
    ///
    /// Why `find` as well: it removes a negative entry, which `read` leaves where it is.
    public func readToReplace(_ ordinal: Int) -> Found? { read(ordinal) ?? find(ordinal) }

    /// `find` for a value of `type`.
    @inline(__always)
    public func find(_ ordinal: Int, as type: ValueType) -> Lookup<Found> {
        guard let found = find(ordinal) else { return .missing }
        return found.entry.type == type ? .found(found) : .wrongType
    }

    /// `read` for a value of `type`.
    @inline(__always)
    public func read(_ ordinal: Int, as type: ValueType) -> Lookup<Found> {
        guard let found = read(ordinal) else { return .missing }
        return found.entry.type == type ? .found(found) : .wrongType
    }

    /// The entry of the key at `ordinal`, negative entries included. Removes an expired one.
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

    /// A negative entry counts as a miss, but loads nothing.
    @inline(never)
    private func countMiss(_ resolved: ResolvedKey, isNegative: Bool) {
        resolved.shard.pointee.usage.misses += 1
        frame.pointee.worker.statistics.pointee.keyspaceMisses.bump()
        if !isNegative { frame.pointee.recordMisses?.pointee.note(resolved.key) }
    }

    @inline(never)
    private func removeAbsent(_ found: Found) {
        frame.pointee.worker.remove(
            found.slot, from: &found.shard.pointee.table, .command, in: found.shard)
    }

    @inline(never)
    private func expire(_ shard: ShardReference, _ slot: Table.Slot) {
        let worker = frame.pointee.worker
        // Why not for a command that writes: it would insert the key a second time.
        if frame.pointee.options.contains(.readOnly) && worker.isExpiryPaused { return }
        worker.expire(shard, slot)
    }
}

/// A found key: its slot and its shard.
public struct Found {
    let slot: Table.Slot
    let shard: ShardReference
    let hash: Hash

    @inline(__always)
    public var entry: Entry { slot.entry }
}

/// The result of looking for a value of one type.
public enum Lookup<Value> {
    case missing
    case wrongType
    case found(Value)
}
