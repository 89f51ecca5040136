// SPDX-License-Identifier: Apache-2.0
import Base
import CLinux

/// The tenants that the keys of a batch of requests name, looked up together.
///
/// Why: from a key that names its tenant to its entry there are seven cache misses, each dependent
/// on the one before: the index's bucket, its entry, the tenant, the keyspace, the directory, the
/// bucket, the entry. One key after the other, they cost more than the rest of a GET. Here each
/// step prefetches for all keys of the batch before it waits for the first. A tenant that the key
/// before has named, which is the usual case, is looked up once.
///
/// What `find` has found stays valid until the thread's tick ends (`Reclamation`), but may be dead
/// by then.
struct NamedTenants {
    private struct Named {
        /// A view of the first key that names the tenant.
        let id: Bytes
        let hash: Hash
        /// The prefetched bucket of the index.
        let bucket: UInt
        let database: Int
        var tenant: TenantReference?
        var keyspace: KeyspaceReference?
    }

    // Safety: `Worker.batchSize` elements, allocated here and freed with the worker; the first
    // `count` are initialized, and trivial.
    private let named = UnsafeMutablePointer<Named>.allocate(capacity: Worker.batchSize)
    private var count = 0

    func deallocate() { named.deallocate() }

    var isEmpty: Bool { count == 0 }

    mutating func removeAll() { count = 0 }

    /// Notes the tenant that `key` names, and prefetches its place in the index. Returns the number
    /// to pass to `keyspace` after `find`, or -1 if the key names no tenant.
    @inline(never)
    mutating func note(_ key: Bytes, _ keyspace: KeyspaceReference, _ registry: TenantRegistry)
        -> Int
    {
        guard let id = registry.tenantID(in: key) else { return -1 }
        let database = keyspace.pointee.number
        if count > 0, named[count - 1].id == id, named[count - 1].database == database {
            return count - 1
        }
        precondition(count < Worker.batchSize)
        let hash = Hash(id)
        (named + count).initialize(
            to: Named(
                id: id, hash: hash, bucket: registry.index.prefetchBucket(hash),
                database: database))
        count += 1
        return count - 1
    }

    @inline(never)
    mutating func find(_ registry: TenantRegistry) {
        for index in 0..<count {
            Table.prefetchEntry(bucket: named[index].bucket, tag: named[index].hash.tag)
        }
        for index in 0..<count {
            guard let tenant = registry.index.find(named[index].hash, named[index].id) else {
                continue
            }
            martlet_prefetch(tenant.keyspaceWord(named[index].database))
            named[index].tenant = tenant
        }
        for index in 0..<count {
            guard let keyspace = named[index].tenant?.keyspace(named[index].database) else {
                continue
            }
            martlet_prefetch(keyspace.raw)
            // Most have one shard, right behind.
            martlet_prefetch(keyspace.raw + Keyspace.headSize)
            named[index].keyspace = keyspace
        }
    }

    /// The keyspace of tenant `number`; nil if it does not exist.
    @inline(__always)
    func keyspace(_ number: Int) -> KeyspaceReference? { named[number].keyspace }
}
