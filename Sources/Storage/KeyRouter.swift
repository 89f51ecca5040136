// SPDX-License-Identifier: Apache-2.0
import Base
import CLinux
import Glibc

/// From a key to the shard that it lives in: by the tenant that a pattern finds in it, or the
/// session's keyspace.
enum KeyRouter {
    /// `creating`: whether a tenant that no key has named before comes into being. A read finds
    /// nothing in a tenant that does not exist, so it looks in the session's keyspace, where no key
    /// that a pattern matches ever is.
    @inline(__always)
    static func resolve(
        _ key: Bytes, keyspace: KeyspaceReference, registry: TenantRegistry, creating: Bool
    ) -> ResolvedKey {
        resolve(key, Hash(key), keyspace: keyspace, registry: registry, creating: creating)
    }

    @inline(__always)
    static func resolve(
        _ key: Bytes, _ hash: Hash, keyspace: KeyspaceReference, registry: TenantRegistry,
        creating: Bool
    ) -> ResolvedKey {
        guard registry.hasPatterns, keyspace.pointee.tenant == registry.server else {
            return ResolvedKey(key: key, hash: hash, shard: keyspace.shard(hash))
        }
        let routed = route(key, keyspace: keyspace, registry: registry, creating: creating)
        return ResolvedKey(key: key, hash: hash, shard: routed.shard(hash))
    }

    @inline(never)
    private static func route(
        _ key: Bytes, keyspace: KeyspaceReference, registry: TenantRegistry, creating: Bool
    ) -> KeyspaceReference {
        guard let id = registry.tenantID(in: key) else { return keyspace }
        return home(of: id, keyspace: keyspace, registry: registry, creating: creating)
    }

    /// Where the keys of tenant `id` live.
    static func home(
        of id: Bytes, keyspace: KeyspaceReference, registry: TenantRegistry, creating: Bool
    ) -> KeyspaceReference {
        let number = keyspace.pointee.number
        if creating { return registry.implicitKeyspace(id, number) }
        guard let tenant = registry.find(id) else { return keyspace }
        return tenant.keyspace(number) ?? keyspace
    }
}

// Resolving the keys of a command and holding their shards.
extension Reference where Pointee == Worker {
    /// Forgets the keys of the command before.
    @inline(__always)
    public func clearKeys() {
        pointee.resolvedCount = 0
        pointee.commonKeyspace = nil
    }

    /// Adds a key of the command at hand.
    @inline(__always)
    public func addKey(_ key: Bytes, keyspace: KeyspaceReference, creating: Bool) {
        if pointee.resolvedCount == pointee.capacity { pointee.reserve(pointee.resolvedCount + 1) }
        noteKeyspace(keyspace)
        pointee.resolved[pointee.resolvedCount] = resolve(
            key, Hash(key), keyspace: keyspace, creating: creating)
        pointee.resolvedCount += 1
    }

    /// Adds every `step`-th of `keys`, from the first on.
    public func addKeys(
        _ keys: UnsafeBufferPointer<Bytes>, step: Int, keyspace: KeyspaceReference, creating: Bool
    ) {
        guard !keys.isEmpty else { return }
        let first = pointee.resolvedCount
        let added = (keys.count - 1) / step + 1
        pointee.reserve(first + added)
        noteKeyspace(keyspace)
        let resolved = pointee.resolved + first
        if routes(keyspace) {
            pointee.registry._withUnsafeGuaranteedRef { registry in
                // Why kept: most commands name the keys of one tenant.
                var last: (id: Bytes, home: KeyspaceReference)?
                for index in 0..<added {
                    let key = keys[index &* step]
                    let hash = Hash(key)
                    var home = keyspace
                    if let id = registry.tenantID(in: key) {
                        if let last, last.id == id {
                            home = last.home
                        } else {
                            home = KeyRouter.home(
                                of: id, keyspace: keyspace, registry: registry, creating: creating)
                            last = (id, home)
                        }
                    }
                    resolved[index] = ResolvedKey(key: key, hash: hash, shard: home.shard(hash))
                }
            }
        } else {
            for index in 0..<added {
                let key = keys[index &* step]
                let hash = Hash(key)
                resolved[index] = ResolvedKey(key: key, hash: hash, shard: keyspace.shard(hash))
            }
        }
        pointee.resolvedCount = first + added
    }

    /// Whether keys that are looked for in `keyspace` may live in other tenants'.
    @inline(__always)
    func routes(_ keyspace: KeyspaceReference) -> Bool {
        pointee.hasPatterns && keyspace.pointee.tenant == pointee.serverTenant
    }

    /// Called before a key of `keyspace` is added: keeps `commonKeyspace` true.
    @inline(__always)
    private func noteKeyspace(_ keyspace: KeyspaceReference) {
        if pointee.resolvedCount == 0 {
            pointee.commonKeyspace = routes(keyspace) ? nil : keyspace
        } else if pointee.commonKeyspace != keyspace {
            pointee.commonKeyspace = nil
        }
    }

    @inline(__always)
    private func resolve(
        _ key: Bytes, _ hash: Hash, keyspace: KeyspaceReference, creating: Bool
    ) -> ResolvedKey {
        guard routes(keyspace) else {
            return ResolvedKey(key: key, hash: hash, shard: keyspace.shard(hash))
        }
        return pointee.registry._withUnsafeGuaranteedRef {
            KeyRouter.resolve(key, hash, keyspace: keyspace, registry: $0, creating: creating)
        }
    }

    /// Resolves the only key of the command at hand and takes its shard. `prefetch` is what was
    /// asked for when the request was parsed, and knows the hash and mostly the shard. (Not where a
    /// command in between has chosen another database or tenant.)
    public func acquire(
        _ key: Bytes, _ prefetch: Prefetch?, keyspace: KeyspaceReference, creating: Bool
    ) -> ShardReference {
        let hash = prefetch?.hash ?? Hash(key)
        var known = prefetch?.keyspace == keyspace ? prefetch?.shard : nil
        while true {  // Bound: a keyspace is dropped once; the next turn finds or makes another.
            let resolved =
                known.map { ResolvedKey(key: key, hash: hash, shard: $0) }
                ?? resolve(key, hash, keyspace: keyspace, creating: creating)
            known = nil
            resolved.shard.acquire()
            if !resolved.shard.pointee.isDead {
                pointee.resolved[0] = resolved
                pointee.resolvedCount = 1
                pointee.locked[0] = resolved.shard
                pointee.lockedCount = 1
                return resolved.shard
            }
            resolved.shard.release()
        }
    }

    /// Counts what a command on one key has used, settles memory and lets go of what it holds.
    public func finish(
        _ shard: ShardReference, isRead: Bool, isWrite: Bool, bytesIn: Int, bytesOut: Int
    ) {
        shard.charge(isRead: isRead, isWrite: isWrite, bytesIn: bytesIn, bytesOut: bytesOut)
        unlockKeys()
    }

    /// Takes the locks of the shards of all keys that were added. Returns false, with nothing held,
    /// where a keyspace was dropped meanwhile: the keys must then be added again.
    @inline(__always)
    public func lockKeys() -> Bool {
        guard pointee.resolvedCount == 1 else { return lockManyKeys() }
        let shard = pointee.resolved[0].shard
        shard.acquire()
        if shard.pointee.isDead {
            shard.release()
            return false
        }
        pointee.locked[0] = shard
        pointee.lockedCount = 1
        return true
    }

    @inline(never)
    private func lockManyKeys() -> Bool {
        pointee.lockedCount = 0
        let isHeld: Bool
        if let keyspace = pointee.commonKeyspace {
            isHeld = acquire(first: collectShards(of: keyspace))
        } else {
            for index in 0..<pointee.resolvedCount {
                pointee.locked[index] = pointee.resolved[index].shard
            }
            isHeld = lockCollected(pointee.resolvedCount)
        }
        if isHeld { prefetchFirstKeys() }
        return isHeld
    }

    /// Puts the shards of the command's keys, all of `keyspace`, into `locked`, in ascending order
    /// and each once. Returns how many there are.
    ///
    /// Why a bit for each shard: those of a keyspace lie in one array, so that the order of their
    /// numbers is that of their addresses, and nothing need be compared.
    private func collectShards(of keyspace: KeyspaceReference) -> Int {
        // Safety: a keyspace has at most `Worker.shardCountMax` shards, for which there are bits.
        precondition(keyspace.shardCount <= Worker.shardCountMax)
        let bits = pointee.shardSet
        let first = keyspace.pointee.shards
        let shift = UInt64(64 &- keyspace.pointee.shardBits)
        for index in 0..<pointee.resolvedCount {
            // Why: a shift by 64 gives 0 in Swift, which is the number of the only shard.
            let number = Int(truncatingIfNeeded: pointee.resolved[index].hash.bits >> shift)
            bits[number >> 6] |= 1 << UInt64(truncatingIfNeeded: number & 63)
        }
        var count = 0
        for word in 0..<(keyspace.shardCount + 63) >> 6 {
            var rest = bits[word]
            bits[word] = 0
            while rest != 0 {
                pointee.locked[count] = ShardReference(
                    first + (word << 6 | rest.trailingZeroBitCount))
                count &+= 1
                rest &= rest &- 1
            }
        }
        return count
    }

    /// Locks the `count` shards that stand in `locked`, in ascending order and each once.
    private func lockCollected(_ count: Int) -> Bool {
        if count <= 32 { return acquire(first: insertionSort(count)) }
        var shards = UnsafeMutableBufferPointer(start: pointee.locked, count: count)
        shards.sort { $0.address < $1.address }
        var kept = 0
        for index in 0..<count where kept == 0 || shards[kept - 1] != shards[index] {
            shards[kept] = shards[index]
            kept += 1
        }
        return acquire(first: kept)
    }

    /// Sorts the first `count` shards in `locked`, and keeps each once. Returns how many are left.
    private func insertionSort(_ count: Int) -> Int {
        let shards = pointee.locked
        var kept = 0
        for index in 0..<count {
            let shard = shards[index]
            var place = kept
            while place > 0, shards[place - 1].address > shard.address {
                place -= 1
            }
            if place > 0, shards[place - 1] == shard { continue }
            var last = kept
            while last > place {
                shards[last] = shards[last - 1]
                last -= 1
            }
            shards[place] = shard
            kept += 1
        }
        return kept
    }

    /// Takes the locks of the first `count` shards in `locked`. Returns false, with nothing held,
    /// where one of them is dead.
    @inline(__always)
    private func acquire(first count: Int) -> Bool {
        let shards = pointee.locked
        for index in 0..<count {
            shards[index].acquire()
            guard shards[index].pointee.isDead else { continue }
            for held in 0...index { shards[held].release() }
            return false
        }
        pointee.lockedCount = count
        return true
    }

    /// Takes every shard of `keyspaces`, besides those of the keys that were added: for EXEC with
    /// commands that go over a whole keyspace.
    public func lockKeys(andAllOf keyspaces: [KeyspaceReference]) -> Bool {
        var count = pointee.resolvedCount
        for keyspace in keyspaces { count += keyspace.shardCount }
        pointee.reserve(count)
        for index in 0..<pointee.resolvedCount {
            pointee.locked[index] = pointee.resolved[index].shard
        }
        var next = pointee.resolvedCount
        for keyspace in keyspaces {
            for index in 0..<keyspace.shardCount {
                pointee.locked[next] = keyspace.shard(at: index)
                next += 1
            }
        }
        return lockCollected(next)
    }

    /// Settles memory, drops tenants that have become empty, and lets go of every shard.
    @inline(__always)
    public func unlockKeys() {
        for index in 0..<pointee.lockedCount {
            let shard = pointee.locked[index]
            if shard.pointee.table.allocatedSize != shard.pointee.settledSize
                || shard.pointee.table.count == 0
            {
                settleAndDrop(shard)
            }
            shard.release()
        }
        pointee.lockedCount = 0
    }

    private func settleAndDrop(_ shard: ShardReference) {
        pointee.registry._withUnsafeGuaranteedRef { registry in
            registry.settle(shard)
            if shard.pointee.table.count == 0 { registry.dropIfEmpty(shard) }
        }
    }

    /// Whether the calling command holds the lock of `shard`.
    public func holds(_ shard: ShardReference) -> Bool {
        var low = 0
        var high = pointee.lockedCount
        while low < high {  // Bound: the range halves; `locked` is in ascending order.
            let middle = (low + high) / 2
            if pointee.locked[middle] == shard { return true }
            if pointee.locked[middle].address < shard.address {
                low = middle + 1
            } else {
                high = middle
            }
        }
        return false
    }

    /// Takes the lock of a shard that no key of the command named, if the command does not hold it
    /// already. Nil inside a transaction that does not hold it: the shard came into being since,
    /// and to wait for one more would break the order of locks; to the transaction it is not there.
    func hold(_ shard: ShardReference) -> ShardHold? {
        guard pointee.lockedCount > 0 else {
            shard.acquire()
            return ShardHold(shard: shard, isTaken: true)
        }
        return holds(shard) ? ShardHold(shard: shard, isTaken: false) : nil
    }

    /// Calls `body` with the entry of `key`, under its shard's lock.
    public func withEntry<Result>(
        _ key: Bytes, in keyspace: KeyspaceReference, _ body: (Entry?) -> Result
    ) -> Result {
        let registry = pointee.registry._withUnsafeGuaranteedRef { $0 }
        let resolved = KeyRouter.resolve(
            key, keyspace: keyspace, registry: registry, creating: false)
        let isHeld = pointee.lockedCount > 0 && holds(resolved.shard)
        if !isHeld { resolved.shard.acquire() }
        defer { if !isHeld { resolved.shard.release() } }
        return body(resolved.shard.pointee.table.find(resolved.hash, key)?.entry)
    }

    /// The shards held now, each once, in ascending order.
    public var heldShards: UnsafeBufferPointer<ShardReference> {
        UnsafeBufferPointer(start: pointee.locked, count: pointee.lockedCount)
    }
}

/// A shard that is held, and whether `Worker.hold` took its lock, so that `end` lets go of it.
struct ShardHold {
    let shard: ShardReference
    let isTaken: Bool

    func end() {
        if isTaken { shard.release() }
    }
}
