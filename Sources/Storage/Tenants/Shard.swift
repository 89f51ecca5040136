// SPDX-License-Identifier: Apache-2.0
import Base
import Synchronization
import Tenancy

/// One part of a keyspace: a lock, the table that it guards, and the counters that change under it.
///
/// Layout, in cache lines; a GET touches the first two:
///
///     line 0   table (root, counts, sizes), lock, flags, leases' day, operation lease
///     line 1   byte lease, the seven usage counters that commands change
///     line 2   the rest of the counters, waiters, back pointers, sweep
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
    /// The tenant has a limit of memory or of keys: commands that may need more check it first.
    /// Atomic, as plans change while others hold the lock.
    let limitWord = Atomic<Bool>(false)
    /// Who is notified of changes.
    var listeners: Listeners = []
    /// Its tenant is in the registry's list of those whose keys may expire.
    var isListedToExpire = false
    /// The budget's day that the leases are of (`Budget.dayCount`).
    var leaseDay: UInt16 = 0
    /// Operations that may still run before the shard asks the tenant's budget again.
    var operationLease = 0
    /// Bytes that may still be transferred before the shard asks the tenant's budget again.
    var byteLease = 0
    public var usage = Usage()
    /// The part of `table.allocatedSize` that the tenant's and the server's counters include.
    var settledSize = 0
    /// Who waits for keys of this shard.
    var waiters = WaiterIndex()
    public let keyspace: KeyspaceReference
    /// The progress of the sweep of expired entries, if one is under way (`Table.isSweeping`).
    var sweep = Table.Sweep()

    init(keyspace: KeyspaceReference, prefixBits: Int) {
        self.keyspace = keyspace
        table = Table(prefixBits: prefixBits)
    }
}

public typealias ShardReference = Reference<Shard>

extension Reference where Pointee == Shard {
    /// Takes the lock.
    @inline(__always)
    public func acquire() { pointee.lock.lock() }

    /// Takes the lock unless another thread holds it for long. Returns whether it was taken.
    @inline(__always)
    func acquireSoon() -> Bool { pointee.lock.lockSoon() }

    @inline(__always)
    public func release() { pointee.lock.unlock() }

    public var tenant: TenantReference { pointee.keyspace.pointee.tenant }

    /// The number of keys. Without the lock it is a hint.
    var keyCountHint: Int { pointee.table.count }

    /// Whether there is any key, or any key with an expiry. Without the lock it is a hint.
    func hasKeys(expiring: Bool) -> Bool {
        expiring ? pointee.table.expiringCount > 0 : pointee.table.count > 0
    }

    /// Replaces the shard's table by an empty one and returns the old one. No thread finds that any
    /// more, so it may be freed by the rules of `Reclamation`.
    func takeTable() -> Table {
        let table = pointee.table
        pointee.table = Table(prefixBits: pointee.keyspace.pointee.shardBits)
        return table
    }
}
