// SPDX-License-Identifier: Apache-2.0
import Base
import CLinux

/// What was found out about a key before its command's turn, and asked for.
public struct Prefetch {
    let bucket: UInt
    let hash: Hash
    /// Where the key was looked for.
    let keyspace: KeyspaceReference
    /// The shard that it lives in, unless that dies; nil where the tenant that the key names does
    /// not exist yet, and may when the command runs.
    let shard: ShardReference?

    /// Asks for the entry that the bucket promises.
    @inline(__always)
    public func prefetchEntry() { Table.prefetchEntry(bucket: bucket, tag: hash.tag) }
}

// Asking for memory before it is used, so that the misses of several keys are waited for together.
extension UnsafeMutablePointer where Pointee == Worker {
    /// Asks for the bucket of a key that a later command of the batch names.
    @inline(__always)
    public func prefetchBucket(_ key: Bytes, keyspace: KeyspaceReference) -> Prefetch {
        let hash = Hash(key)
        var home: KeyspaceReference? = keyspace
        if routes(keyspace) {
            home = pointee.registry._withUnsafeGuaranteedRef {
                KeyRouter.existingHome(key, keyspace: keyspace, registry: $0)
            }
        }
        guard let home else {
            return Prefetch(bucket: 0, hash: hash, keyspace: keyspace, shard: nil)
        }
        let shard = home.shard(hash)
        martlet_prefetch(shard)
        let position = hash.bits << UInt64(home.pointee.shardBits)
        let bucket = Table.prefetchBucket(root: shard.pointee.table.root, position: position)
        return Prefetch(bucket: bucket, hash: hash, keyspace: keyspace, shard: shard)
    }

    /// How many keys of one command are asked for together.
    static var prefetchGroup: Int { 16 }

    /// Asks for the buckets and then the entries of the command's first keys. Their shards are
    /// held.
    func prefetchFirstKeys() {
        let group = Self.prefetchGroup
        let count = pointee.resolvedCount
        prefetchBuckets(0, min(2 * group, count))
        prefetchEntries(0, min(group, count))
    }

    /// Called when the first key of a group comes up: asks for the entries of the next group, and
    /// for the buckets of that behind it. Their shards are held.
    @inline(never)
    func prefetchFurtherKeys(_ position: Int) {
        let group = Self.prefetchGroup
        let count = pointee.resolvedCount
        prefetchBuckets(min(position + 2 * group, count), min(position + 3 * group, count))
        prefetchEntries(min(position + group, count), min(position + 2 * group, count))
    }

    private func prefetchBuckets(_ first: Int, _ end: Int) {
        for index in first..<end { _ = prefetchBucket(pointee.resolved[index]) }
    }

    private func prefetchEntries(_ first: Int, _ end: Int) {
        for index in first..<end {
            let resolved = pointee.resolved[index]
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
