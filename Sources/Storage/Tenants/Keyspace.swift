// SPDX-License-Identifier: Apache-2.0
import Base

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
            (shards + index).initialize(
                to: Shard(keyspace: KeyspaceReference(keyspace), prefixBits: shardBits))
        }
        keyspace.initialize(
            to: Keyspace(tenant: tenant, number: number, shards: shards, shardBits: shardBits))
        return KeyspaceReference(keyspace)
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

public typealias KeyspaceReference = Reference<Keyspace>

extension Reference where Pointee == Keyspace {
    @inline(__always)
    public func shard(_ hash: Hash) -> ShardReference {
        // Why: a shift by 64 gives 0 in Swift, which is the index of the only shard.
        ShardReference(
            pointee.shards
                + Int(truncatingIfNeeded: hash.bits >> UInt64(64 &- pointee.shardBits)))
    }

    public var shardCount: Int { 1 << pointee.shardBits }

    public func shard(at index: Int) -> ShardReference {
        precondition(index >= 0 && index < shardCount)
        return ShardReference(pointee.shards + index)
    }

    /// Calls `body` with every shard in turn, under its lock. `isLocked` says that the caller
    /// already holds all locks.
    public func forEachShard(isLocked: Bool, _ body: (ShardReference) -> Void) {
        for index in 0..<shardCount {
            let shard = ShardReference(pointee.shards + index)
            if !isLocked { shard.acquire() }
            body(shard)
            if !isLocked { shard.release() }
        }
    }

    /// The number of keys, including expired ones not removed yet. Reads without locks, so it is
    /// exact only if no command runs meanwhile.
    public var keyCount: Int { total { $0.pointee.table.count } }

    /// Whether there is any key, or any key with an expiry; read like `keyCount`.
    func hasKeys(expiring: Bool) -> Bool {
        for index in 0..<shardCount where shard(at: index).hasKeys(expiring: expiring) {
            return true
        }
        return false
    }

    /// `keyCount` without negative entries: the answer of DBSIZE.
    public var visibleKeyCount: Int { total { $0.pointee.table.visibleCount } }

    /// The number of keys with an expiry; read like `keyCount`.
    public var expiringKeyCount: Int { total { $0.pointee.table.expiringCount } }

    @inline(__always)
    private func total(_ count: (UnsafeMutablePointer<Shard>) -> Int) -> Int {
        var sum = 0
        for index in 0..<shardCount { sum += count(pointee.shards + index) }
        return sum
    }

    /// Bytes of the keyspace's own structures, beside its tables.
    var structureSize: Int { Block.size(raw) }
}
