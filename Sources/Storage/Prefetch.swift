// SPDX-License-Identifier: Apache-2.0
import Base
import CLinux

/// What was found out about a key before its command's turn, and asked for.
public struct Prefetch {
    private(set) var bucket: UInt
    public let hash: Hash
    /// Where the key was looked for.
    let keyspace: KeyspaceReference
    /// The shard that it lives in, unless that dies; nil where the tenant that the key names does
    /// not exist yet, and may when the command runs.
    private(set) var shard: ShardReference?
    /// The place in the batch's `NamedTenants` of the one that the key names; -1 where it names
    /// none.
    let named: Int

    /// The shard of the key, if it was looked for in `keyspace`. (A command in between may have
    /// chosen another database or tenant.)
    @inline(__always)
    public func shard(in keyspace: KeyspaceReference) -> ShardReference? {
        keyspace == self.keyspace ? shard : nil
    }

    // The next three go on from where `findNamedTenants` ends, each for all keys of the batch
    // before the next.

    /// Asks for the shard, where the key names a tenant.
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

    /// Asks for the entry that the bucket promises.
    @inline(__always)
    public func prefetchEntry() { Table.prefetchEntry(bucket: bucket, tag: hash.tag) }
}

// Asking for memory before it is used, so that the misses of several keys are waited for together.
extension Reference where Pointee == Worker {
    /// Asks for the bucket of a key that a later command of the batch names.
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

    /// Whether keys of the batch name tenants, so that what they need lies behind several misses.
    @inline(__always)
    public var batchNamesTenants: Bool { !pointee.namedTenants.isEmpty }

    /// Looks the tenants up that the batch names, those of all keys together.
    public func findNamedTenants() {
        pointee.unmanagedRegistry._withUnsafeGuaranteedRef { pointee.namedTenants.find($0) }
    }
}

enum KeyPrefetch {
    /// How many keys of one command are asked for together.
    static let group = 16
}

extension Reference where Pointee == Frame {
    /// Asks for the buckets and then the entries of the command's first keys. Their shards are
    /// held.
    func prefetchFirstKeys() {
        let group = KeyPrefetch.group
        let count = pointee.keyCount
        prefetchBuckets(0, min(2 * group, count))
        prefetchEntries(0, min(group, count))
    }

    /// Called when the first key of a group comes up: asks for the entries of the next group, and
    /// for the buckets of that behind it. Their shards are held.
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
            // Why again and not kept: what was found before may be gone, as a key before this one
            // may have made its segment grow.
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
