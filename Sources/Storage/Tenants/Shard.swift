// SPDX-License-Identifier: Apache-2.0
import Base
import Tenancy

/// One part of a keyspace: a lock, the table that it guards, and the counters that change under it.
///
/// Layout, in cache lines; a GET touches the first two:
///
///     line 0   table (root, counts, sizes), lock, flags, leases' day, operation lease
///     line 1   byte lease, the seven usage counters that commands change
///     line 2   the rest of the counters, watchers, back pointers, sweep
///
/// Invariants:
/// 1. Everything except `lock` is read and written under the lock; prefetching may read `root`
///    without it.
/// 2. A thread takes the locks of several shards in ascending order of address, and never blocks
///    while it holds one.
public struct Shard: ~Copyable {
    public var table: Table
    // Why not first: the thread sanitizer takes a change of any field for one at the shard's
    // address.
    let lock = SpinLock()
    /// The keyspace was dropped: a thread that waited for the lock must look the keyspace up again.
    var isDead = false
    /// The day of the leases, modulo 2^16.
    var leaseDay: UInt16 = 0
    /// Operations that may still run before the shard asks the tenant's budget again.
    var operationLease = 0
    /// Bytes that may still be transferred before the shard asks the tenant's budget again.
    var byteLease = 0
    public var usage = Usage()
    /// The part of `table.allocatedSize` that the tenant's and the server's counters include.
    var settledSize = 0
    /// Sessions that WATCH keys of this shard; nil if none does.
    var watchers: UnsafeMutablePointer<Watcher>?
    public let keyspace: UnsafeMutablePointer<Keyspace>
    /// The progress of the sweep of expired entries, if one is under way (`Table.isSweeping`).
    var sweep = Table.Sweep()

    init(keyspace: UnsafeMutablePointer<Keyspace>, prefixBits: Int) {
        self.keyspace = keyspace
        table = Table(prefixBits: prefixBits)
    }
}

public typealias ShardReference = UnsafeMutablePointer<Shard>

extension UnsafeMutablePointer where Pointee == Shard {
    @inline(__always)
    public func acquire() { pointee.lock.lock() }

    @inline(__always)
    public func release() { pointee.lock.unlock() }

    public var tenant: TenantReference { pointee.keyspace.pointee.tenant }

    /// Replaces the shard's table by an empty one and returns the old one. No thread finds that any
    /// more, so it may be freed by the rules of `Reclamation`.
    func takeTable() -> Table {
        let table = pointee.table
        pointee.table = Table(prefixBits: pointee.keyspace.pointee.shardBits)
        return table
    }
}

/// One database of one tenant: its keys and nothing else, in shards.
///
/// Layout: a cache line with the fields below, then the shards, in one block.
public struct Keyspace: ~Copyable {
    public let tenant: TenantReference
    /// Its number for SELECT.
    public let number: Int
    let shards: UnsafeMutablePointer<Shard>
    public let shardBits: Int

    /// Makes a keyspace of 2^`shardBits` empty shards.
    static func make(
        tenant: TenantReference, number: Int, shardBits: Int
    ) -> KeyspaceReference {
        let count = 1 << shardBits
        let block = Block.allocateLines(headSize + MemoryLayout<Shard>.stride * count)
        let keyspace = block.bindMemory(to: Keyspace.self, capacity: 1)
        let shards = (block + headSize).bindMemory(to: Shard.self, capacity: count)
        for index in 0..<count {
            (shards + index).initialize(to: Shard(keyspace: keyspace, prefixBits: shardBits))
        }
        keyspace.initialize(
            to: Keyspace(tenant: tenant, number: number, shards: shards, shardBits: shardBits))
        return keyspace
    }

    static let headSize = 64

    private init(
        tenant: TenantReference, number: Int, shards: UnsafeMutablePointer<Shard>, shardBits: Int
    ) {
        self.tenant = tenant
        self.number = number
        self.shards = shards
        self.shardBits = shardBits
    }
}

public typealias KeyspaceReference = UnsafeMutablePointer<Keyspace>

extension UnsafeMutablePointer where Pointee == Keyspace {
    @inline(__always)
    public func shard(_ hash: Hash) -> ShardReference {
        // Why: a shift by 64 gives 0 in Swift, which is the index of the only shard.
        pointee.shards + Int(truncatingIfNeeded: hash.bits >> UInt64(64 &- pointee.shardBits))
    }

    public var shardCount: Int { 1 << pointee.shardBits }

    public func shard(at index: Int) -> ShardReference {
        precondition(index >= 0 && index < shardCount)
        return pointee.shards + index
    }

    /// Calls `body` with every shard in turn, under its lock. `isLocked` says that the caller
    /// already holds all locks.
    public func forEachShard(isLocked: Bool, _ body: (ShardReference) -> Void) {
        for index in 0..<shardCount {
            let shard = pointee.shards + index
            if !isLocked { shard.acquire() }
            body(shard)
            if !isLocked { shard.release() }
        }
    }

    /// The number of keys, including expired ones not removed yet. Reads without locks, so it is
    /// exact only if no command runs meanwhile.
    public var keyCount: Int {
        var count = 0
        for index in 0..<shardCount { count += (pointee.shards + index).pointee.table.count }
        return count
    }

    /// Whether there is any key, or any key with an expiry; read like `keyCount`.
    func hasKeys(expiring: Bool) -> Bool {
        for index in 0..<shardCount {
            let shard = pointee.shards + index
            let count = expiring ? shard.pointee.table.expiringCount : shard.pointee.table.count
            if count > 0 { return true }
        }
        return false
    }

    /// `keyCount` without negative entries: the answer of DBSIZE.
    public var visibleKeyCount: Int {
        var count = 0
        for index in 0..<shardCount { count += (pointee.shards + index).pointee.table.visibleCount }
        return count
    }

    /// The number of keys with an expiry; read like `keyCount`.
    public var expiringKeyCount: Int {
        var count = 0
        for index in 0..<shardCount {
            count += (pointee.shards + index).pointee.table.expiringCount
        }
        return count
    }

    /// Bytes of the keyspace's own structures, apart from its tables.
    var structureSize: Int { Block.size(UnsafeMutableRawPointer(self)) }
}
