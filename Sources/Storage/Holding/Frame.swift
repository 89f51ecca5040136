// SPDX-License-Identifier: Apache-2.0
import Base

/// A key of a command: its bytes, its hash, and the shard that it lives in.
public struct ResolvedKey {
    public let key: Bytes
    let hash: Hash
    let shard: ShardReference
}

/// What a hold knows about its command besides the keys. One byte, so one store sets it.
public struct HoldOptions: OptionSet, Sendable {
    public let rawValue: UInt8
    @inlinable public init(rawValue: UInt8) { self.rawValue = rawValue }

    /// The command inserts nothing, so it may leave expired keys in place while clients are paused.
    @inlinable public static var readOnly: HoldOptions { HoldOptions(rawValue: 1) }
    /// The command leaves the access times of its keys alone (CLIENT NO-TOUCH).
    @inlinable public static var leavesAccessTime: HoldOptions { HoldOptions(rawValue: 2) }

    /// The hold loads or drops a record; observers get `.record` as the reason.
    @inlinable public static var record: HoldOptions { HoldOptions(rawValue: 128) }

    /// All keys live in one tenant's keyspace, so the first key's shard answers for the tenant.
    static var oneTenant: HoldOptions { HoldOptions(rawValue: 4) }
    /// One key, whose shard is the only lock. `locked` is not used.
    static var oneKey: HoldOptions { HoldOptions(rawValue: 8) }
    /// An outer hold owns the locks (EXEC).
    static var inner: HoldOptions { HoldOptions(rawValue: 16) }
    /// The rates of all tenants allow a command: asked when the keys are held, or by the outer
    /// hold.
    @usableFromInline static var isLeased: HoldOptions { HoldOptions(rawValue: 32) }
    /// No tenant has a limit of memory or keys.
    @usableFromInline static var isUnlimited: HoldOptions { HoldOptions(rawValue: 64) }
}

/// One level of a thread's stack of holds: the keys of a command and the locks of their shards.
///
/// Why a stack in the worker and a one-word handle (`Hold`) to its top: the handle fits in a
/// register, calls in a handler copy nothing, and a command allocates nothing. Holds nest: EXEC
/// locks the keys of all its commands in level 0, and each command sees its own part of them in
/// level 1. A command whose keys come as bytes (a script's) copies them from the level below.
///
/// Layout:
///
///     worker.frames ─► level 0 │ level 1 │ level 2 │ level 3
///                      keys ─► room of level 0: k k k k k k k k
///                                keys of level 1 ──▲ (EXEC: a part of the outer's; a script's
///                                                     command: copies in level 1's own room)
///
/// Invariants:
/// 1. Only level 0 owns locks. `locked` is ascending by address, without duplicates.
/// 2. A level's room grows only while that level is the top. So no view of keys moves while an
///    inner hold is open.
/// 3. `worker.depth` is the number of open levels; 0 means that the thread holds no shard.
@usableFromInline
struct Frame {
    static let depthMax = 4

    // Safety: the worker that contains the frame and outlives it.
    let worker: WorkerReference
    @usableFromInline var options: HoldOptions = []
    /// How many keys the command has.
    var keyCount = 0
    // Safety: `keyCount` elements of this level's room, or of the outer level's (invariant 2).
    var keys: UnsafeMutablePointer<ResolvedKey>
    /// Collects misses on record keys; nil for a command that loads no records.
    var recordMisses: RecordMissesReference?
    /// The keyspace of all keys added so far; nil if two differ, or if keys may name tenants.
    var commonKeyspace: KeyspaceReference?
    /// Whether the outer level has every key added so far. Only for keys that come as bytes.
    var namesAll = true
    /// Whether a key names a tenant that does not exist (`KeyList.add`).
    var hasStrays = false

    // Safety: `capacity` elements each, allocated here, grown by `reserve`, freed with the worker.
    var room: UnsafeMutablePointer<ResolvedKey>
    var locked: UnsafeMutablePointer<ShardReference>
    var lockedCount = 0
    var capacity: Int

    static let initialCapacity = 64
    /// So many tenants of a command are found by looking through a list.
    fileprivate static let listedTenantsMax = 16

    init(_ worker: WorkerReference) {
        self.worker = worker
        capacity = Frame.initialCapacity
        room = .allocate(capacity: capacity)
        locked = .allocate(capacity: capacity)
        keys = room
    }

    func deallocate() {
        room.deallocate()
        locked.deallocate()
    }

    /// Grows the room for keys and locks to `count`.
    @inline(never)
    mutating func reserve(_ count: Int) {
        guard count > capacity else { return }
        let target = max(count, capacity * 2)
        let room = UnsafeMutablePointer<ResolvedKey>.allocate(capacity: target)
        room.moveInitialize(from: self.room, count: keyCount)
        self.room.deallocate()
        self.room = room
        keys = room
        let locked = UnsafeMutablePointer<ShardReference>.allocate(capacity: target)
        locked.moveInitialize(from: self.locked, count: lockedCount)
        self.locked.deallocate()
        self.locked = locked
        capacity = target
    }

    /// Frees the room that a huge command needed.
    mutating func shrink() {
        guard capacity > 65_536 else { return }
        deallocate()
        self = Frame(worker)
    }
}

@usableFromInline typealias FrameReference = Reference<Frame>

extension Reference where Pointee == Frame {
    /// Calls `body` with one shard per tenant whose keys the command names: the shard of the
    /// tenant's first key. All these shards are held.
    @inline(__always)
    func forEachTenant(_ body: (ShardReference) -> Void) {
        guard pointee.keyCount > 0 else { return }
        let first = pointee.keys[0].shard
        body(first)
        if !pointee.options.contains(.oneTenant) { forEachFurtherTenant(first, body) }
    }

    @inline(never)
    private func forEachFurtherTenant(_ first: ShardReference, _ body: (ShardReference) -> Void) {
        // Why a list at first: a command may name thousands of keys, but mostly of few tenants, and
        // most keys belong to the same tenant as the key before. With one tenant the list stays
        // empty and allocates nothing. Why a set then: looking through a long list for each key
        // would cost the square of the number of tenants.
        var seen: [TenantReference] = []
        var many: Set<UInt> = []
        let firstTenant = first.tenant
        var previous = firstTenant
        var index = 1
        while index < pointee.keyCount {
            let shard = pointee.keys[index].shard
            let tenant = shard.tenant
            index += 1
            if tenant == previous { continue }
            previous = tenant
            if tenant == firstTenant { continue }
            if seen.count < Frame.listedTenantsMax {
                if seen.contains(tenant) { continue }
                seen.append(tenant)
                if seen.count == Frame.listedTenantsMax { many = Set(seen.map(\.address)) }
            } else if !many.insert(tenant.address).inserted {
                continue
            }
            body(shard)
        }
    }

    // MARK: - Ending

    /// Counts the command, settles memory, unlocks.
    @inline(__always)
    func end(isRead: Bool, isWrite: Bool, bytesIn: Int, bytesOut: Int) {
        guard pointee.options.contains(.oneKey) else {
            return endMany(isRead: isRead, isWrite: isWrite, bytesIn: bytesIn, bytesOut: bytesOut)
        }
        let shard = pointee.keys[0].shard
        shard.charge(isRead: isRead, isWrite: isWrite, bytesIn: bytesIn, bytesOut: bytesOut)
        letGo(of: shard)
    }

    @inline(never)
    private func endMany(isRead: Bool, isWrite: Bool, bytesIn: Int, bytesOut: Int) {
        // The command counts once for each tenant that it names; its bytes go to the first.
        var bytes = (in: bytesIn, out: bytesOut)
        forEachTenant { shard in
            shard.charge(isRead: isRead, isWrite: isWrite, bytesIn: bytes.in, bytesOut: bytes.out)
            bytes = (0, 0)
        }
        letGo()
    }

    /// Settles memory and unlocks, without counting a command.
    @inline(never)
    func letGo() {
        let options = pointee.options
        if options.contains(.oneKey) { return letGo(of: pointee.keys[0].shard) }
        let worker = pointee.worker
        if options.contains(.inner) {
            var previous: ShardReference?
            for index in 0..<pointee.keyCount where pointee.keys[index].shard != previous {
                worker.settle(pointee.keys[index].shard)
                previous = pointee.keys[index].shard
            }
        } else {
            for index in 0..<pointee.lockedCount { worker.settleAndUnlock(pointee.locked[index]) }
            pointee.lockedCount = 0
        }
        pointee.keyCount = 0
        worker.pointee.depth &-= 1
        pointee.shrink()
    }

    @inline(__always)
    private func letGo(of shard: ShardReference) {
        let worker = pointee.worker
        worker.pointee.depth = 0
        worker.settleAndUnlock(shard)
    }
}

extension Reference where Pointee == Worker {
    /// Reports the shard's change of memory to the tenant and the server, drops an implicit tenant
    /// that has become empty, and unlocks.
    @inline(__always)
    func settleAndUnlock(_ shard: ShardReference) {
        if shard.pointee.table.allocatedSize != shard.pointee.settledSize
            || shard.pointee.table.count == 0
        {
            settleAndDrop(shard)
        }
        shard.release()
    }

    @inline(never)
    private func settleAndDrop(_ shard: ShardReference) {
        settle(shard)
        if shard.pointee.table.count == 0 { registry.dropIfEmpty(shard) }
    }

    /// Reports the shard's change of memory to the tenant and the server.
    @inline(__always)
    func settle(_ shard: ShardReference) {
        pointee.unmanagedRegistry._withUnsafeGuaranteedRef { $0.settle(shard) }
    }
}
