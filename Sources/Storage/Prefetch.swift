// SPDX-License-Identifier: Apache-2.0
import Base
import CLinux

/// The results of prefetching a key before its command runs.
public struct Prefetch {
    private(set) var bucket: UInt
    public let hash: Hash
    /// Where the key was looked for.
    let keyspace: KeyspaceReference
    /// The key's shard, valid until it dies; nil if the tenant that the key names does not exist
    /// yet. It may exist when the command runs.
    private(set) var shard: ShardReference?
    /// The index of the key's tenant in the batch's `NamedTenants`; -1 if the key names none.
    let named: Int

    /// The key's shard, if the key was looked for in `keyspace`. (An earlier command of the batch
    /// may have changed the database or tenant.)
    @inline(__always)
    public func shard(in keyspace: KeyspaceReference) -> ShardReference? {
        keyspace == self.keyspace ? shard : nil
    }

    // The next three continue where `findNamedTenants` ends. Each runs for all keys of the batch
    // before the next one.

    /// Prefetches the shard, if the key names a tenant.
    @inline(__always)
    public mutating func prefetchShard(_ worker: WorkerReference) {
        guard named >= 0, let home = worker.pointee.namedTenants.keyspace(named) else { return }
        let shard = home.shard(hash)
        martlet_prefetch(shard.raw)
        self.shard = shard
    }

    @inline(__always)
    public func prefetchDirectory() {
        guard named >= 0, let shard else { return }
        Directory.prefetch(root: shard.pointee.table.root)
    }

    @inline(__always)
    public mutating func prefetchBucket() {
        guard named >= 0, let shard else { return }
        bucket = Table.prefetchBucket(
            root: shard.pointee.table.root, position: shard.pointee.table.position(hash))
    }

    /// Prefetches an entry that the bucket's tags match.
    @inline(__always)
    public func prefetchEntry() { Table.prefetchEntry(bucket: bucket, tag: hash.tag) }
}

// Prefetching: requests memory before it is used, so the cache misses of several keys overlap.
extension Reference where Pointee == Worker {
    /// Prefetches the bucket of a key that a later command of the batch names.
    @inline(__always)
    public func prefetchBucket(_ key: Bytes, keyspace: KeyspaceReference) -> Prefetch {
        let hash = Hash(key)
        if routes(keyspace) {
            let named = pointee.unmanagedRegistry._withUnsafeGuaranteedRef {
                pointee.namedTenants.note(key, keyspace, $0)
            }
            if named >= 0 {
                return Prefetch(
                    bucket: 0, hash: hash, keyspace: keyspace, shard: nil, named: named)
            }
        }
        let shard = keyspace.shard(hash)
        martlet_prefetch(shard.raw)
        let position = hash.bits << UInt64(keyspace.pointee.shardBits)
        let bucket = Table.prefetchBucket(root: shard.pointee.table.root, position: position)
        return Prefetch(bucket: bucket, hash: hash, keyspace: keyspace, shard: shard, named: -1)
    }

    /// Begins a batch of at most `Worker.batchSize` keys.
    @inline(__always)
    public func beginBatch() { pointee.namedTenants.removeAll() }

    /// Whether keys of the batch name tenants, so that reaching their buckets takes several misses.
    @inline(__always)
    public var batchNamesTenants: Bool { !pointee.namedTenants.isEmpty }

    /// Looks up the tenants that the batch names, all together.
    public func findNamedTenants() {
        pointee.unmanagedRegistry._withUnsafeGuaranteedRef { pointee.namedTenants.find($0) }
    }
}

enum KeyPrefetch {
    /// How many keys of one command are prefetched together.
    static let group = 16
}

extension Reference where Pointee == Frame {
    /// Prefetches the buckets and then the entries of the command's first keys. Their shards are
    /// held.
    func prefetchFirstKeys() {
        let group = KeyPrefetch.group
        let count = pointee.keyCount
        prefetchBuckets(0, min(2 * group, count))
        prefetchEntries(0, min(group, count))
    }

    /// Called for the first key of a group. Prefetches the entries of the next group and the
    /// buckets of the group after that. The shards are held.
    @inline(never)
    func prefetchFurtherKeys(_ position: Int) {
        let group = KeyPrefetch.group
        let count = pointee.keyCount
        prefetchBuckets(min(position + 2 * group, count), min(position + 3 * group, count))
        prefetchEntries(min(position + group, count), min(position + 2 * group, count))
    }

    private func prefetchBuckets(_ first: Int, _ end: Int) {
        for index in first..<end { _ = prefetchBucket(pointee.keys[index]) }
    }

    private func prefetchEntries(_ first: Int, _ end: Int) {
        for index in first..<end {
            let resolved = pointee.keys[index]
            // Why look again: an earlier key may have made its segment grow, so the bucket found
            // before may be gone.
            Table.prefetchEntry(bucket: prefetchBucket(resolved), tag: resolved.hash.tag)
        }
    }

    @inline(__always)
    private func prefetchBucket(_ resolved: ResolvedKey) -> UInt {
        let table = resolved.shard
        return Table.prefetchBucket(
            root: table.pointee.table.root, position: table.pointee.table.position(resolved.hash))
    }
}
