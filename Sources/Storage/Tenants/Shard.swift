// SPDX-License-Identifier: Apache-2.0
import Base
import Synchronization
import Tenancy

/// A part of a keyspace: a lock, the table that it guards, and what is counted while it is held.
///
/// Layout, in cache lines, so that a GET touches the first two:
///
///     line 0   table (root, counts, sizes), lock, flags, leases' day, operation lease
///     line 1   byte lease, the seven usage counters that commands change
///     line 2   the rest of the counters, watchers, back pointers, sweep
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
    /// The tenant has a limit of memory or of keys: what may need more of them asks first.
    /// Atomic, as plans change while others hold the lock.
    let isLimited = Atomic<Bool>(false)
    /// The day that the leases are of, modulo 2^16.
    var leaseDay: UInt16 = 0
    /// Operations that may still run before the tenant's budget is asked again.
    var operationLease = 0
    /// Bytes that may still be moved before the tenant's budget is asked again.
    var byteLease = 0
    public var usage = Usage()
    /// What of `table.allocatedSize` the tenant and the server have been told.
    var settledSize = 0
    /// Sessions that WATCH keys of this shard; nil where none does.
    var watchers: UnsafeMutablePointer<Watcher>?
    public let keyspace: KeyspaceReference
    /// Where the sweep of expired entries goes on, if one is under way (`Table.isSweeping`).
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
