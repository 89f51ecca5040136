// SPDX-License-Identifier: Apache-2.0
import Base
import Tenancy

/// A part of a keyspace: a lock, the table that it guards, and what is counted while it is held.
///
/// Layout, in cache lines, so that a GET touches the first two:
///
///     line 0   table (root, counts, sizes), lock, flags, leases' day, operation lease
///     line 1   byte lease, the seven usage counters that commands change
///     line 2   the rest of the counters, waiters, back pointers, sweep
///
/// Invariants:
/// 1. Everything but `lock` is read and written under the lock; `root` may be read without it for
///    prefetching.
/// 2. Locks of several shards are taken in ascending order of address, and nothing blocks under
///    one.
public struct Shard: ~Copyable {
    public var table: Table
    // Why not first: a change of any field is to the thread sanitizer one at the shard's address.
    let lock = SpinLock()
    /// The keyspace was dropped: whoever waited for the lock must look the keyspace up again.
    var isDead = false
    /// The day that the leases are of, modulo 2^16.
    var leaseDay: UInt16 = 0
    /// Operations that may still run before the tenant's budget is asked again.
    var operationLease = 0
    /// Bytes that may still be moved before the tenant's budget is asked again.
    var byteLease = 0
    public var usage = Usage()
    /// What of `table.allocatedSize` the tenant and the server have been told.
    var settledSize = 0
    /// Who waits for keys of this shard.
    var waiters = WaiterIndex()
    public let keyspace: UnsafeMutablePointer<Keyspace>
    /// Where the sweep of expired entries goes on, if one is under way (`Table.isSweeping`).
    var sweep = Table.Sweep()

    init(keyspace: UnsafeMutablePointer<Keyspace>, prefixBits: Int) {
        self.keyspace = keyspace
        table = Table(prefixBits: prefixBits)
    }
}

public typealias ShardReference = UnsafeMutablePointer<Shard>

extension UnsafeMutablePointer where Pointee == Shard {
    /// Takes the lock.
    @inline(__always)
    public func acquire() { pointee.lock.lock() }

    @inline(__always)
    public func release() { pointee.lock.unlock() }

    public var tenant: TenantReference { pointee.keyspace.pointee.tenant }

    /// Puts an empty table in the place of the shard's. What is returned no thread finds any more,
    /// so it may be freed by the rules of `Reclamation`.
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
    /// The number that SELECT knows it by.
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

    /// Calls `body` with every shard in turn, each under its lock unless `isLocked` says that they
    /// are held.
    public func forEachShard(isLocked: Bool, _ body: (ShardReference) -> Void) {
        for index in 0..<shardCount {
            let shard = pointee.shards + index
            if !isLocked { shard.acquire() }
            body(shard)
            if !isLocked { shard.release() }
        }
    }

    /// The number of keys, expired ones that nobody has touched included. Reads without locks: it
    /// is exact where no command runs beside it.
    public var keyCount: Int {
        var count = 0
        for index in 0..<shardCount { count += (pointee.shards + index).pointee.table.count }
        return count
    }

    /// Whether there is any key, or any with an expiry; read as `keyCount` is.
    func hasKeys(expiring: Bool) -> Bool {
        for index in 0..<shardCount {
            let shard = pointee.shards + index
            let count = expiring ? shard.pointee.table.expiringCount : shard.pointee.table.count
            if count > 0 { return true }
        }
        return false
    }

    /// `keyCount` without entries that no command sees: what DBSIZE says.
    public var visibleKeyCount: Int {
        var count = 0
        for index in 0..<shardCount { count += (pointee.shards + index).pointee.table.visibleCount }
        return count
    }

    /// How many of the keys have an expiry; read as `keyCount` is.
    public var expiringKeyCount: Int {
        var count = 0
        for index in 0..<shardCount {
            count += (pointee.shards + index).pointee.table.expiringCount
        }
        return count
    }

    /// Bytes of the keyspace's own structures, beside its tables.
    var structureSize: Int { Block.size(UnsafeMutableRawPointer(self)) }
}
