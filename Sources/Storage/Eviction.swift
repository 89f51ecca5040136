// SPDX-License-Identifier: Apache-2.0
import Base
import Synchronization
import Tenancy

/// Making room: which tenant gives way, and which of its keys.
///
/// Who: the tenant that is furthest beyond its share. A tenant's share is its plan's memory, or, of
/// those without one, an equal part of `maxmemory`. So nobody's data is pushed out by others while
/// they are within their share.
///
/// What: as in Redis, the best of a few candidates: idle longest (LRU), used least (LFU), expiring
/// first (TTL), or any. Candidates are neighbours in a random place of the table, so that a sample
/// costs few cache misses.
///
/// Locks: eviction runs while a command holds its shards. It may hold those, and takes another one
/// only if it is free: waiting would break the order of locks. A busy shard is passed over.
extension UnsafeMutablePointer where Pointee == Worker {
    private var registry: TenantRegistry { pointee.registry._withUnsafeGuaranteedRef { $0 } }

    /// Evicts until the server is below `memoryMax`. False where the policy forbids it or nothing
    /// can go.
    @inline(never)
    public func makeRoom(_ memoryMax: Int) -> Bool {
        settleHeld()
        registry.measureOtherMemory(now: pointee.now)
        guard memoryInUse > memoryMax else { return true }
        guard policy != .noEviction else { return false }
        var attempts = 0
        while memoryInUse > memoryMax {
            // Bound: a hundred rounds without an eviction, or as many evictions as there are keys.
            guard let tenant = mostOverShare(memoryMax) else { return false }
            guard evictOne(from: tenant) else {
                attempts += 1
                if attempts >= 100 { return false }
                continue
            }
            attempts = 0
        }
        return true
    }

    /// Evicts the tenant's own keys until it is below its limit of memory.
    @inline(never)
    public func makeRoom(in tenant: TenantReference, memoryMax: Int) -> Bool {
        settleHeld()
        return evict(from: tenant) { tenant.memoryInUse < memoryMax }
    }

    /// Evicts the tenant's own keys until it has at most `keysMax`.
    @inline(never)
    public func makeRoom(in tenant: TenantReference, keysMax: Int) -> Bool {
        guard keysMax >= 0 else { return false }
        return evict(from: tenant) { tenant.keyCount <= keysMax }
    }

    private func evict(from tenant: TenantReference, until isDone: () -> Bool) -> Bool {
        var attempts = 0
        // Bound: a hundred rounds without an eviction, or as many as there are keys.
        while !isDone() {
            if evictOne(from: tenant) { attempts = 0 } else { attempts += 1 }
            if attempts >= 100 { return false }
        }
        return true
    }

    private var policy: EvictionPolicy {
        EvictionPolicy(rawValue: pointee.settings.values.pointee.evictionPolicy.value)
            ?? .noEviction
    }

    private func settleHeld() {
        for index in 0..<pointee.lockedCount { registry.settle(pointee.locked[index]) }
    }

    /// Evicts one key of the tenant. A tenant at its own limit under `noeviction` gives its least
    /// recently used key: its plan asked for eviction.
    private func evictOne(from tenant: TenantReference) -> Bool {
        guard let keyspace = randomKeyspace(of: tenant) else { return false }
        let policy = self.policy == .noEviction ? EvictionPolicy.allKeysLRU : self.policy
        var tries = 0
        let start = Int(pointee.random.next(below: UInt64(keyspace.shardCount)))
        while tries < keyspace.shardCount {
            let shard = keyspace.shard(at: (start + tries) % keyspace.shardCount)
            tries += 1
            if evictOne(from: shard, policy) { return true }
        }
        return false
    }

    /// One of the tenant's databases that have keys.
    private func randomKeyspace(of tenant: TenantReference) -> KeyspaceReference? {
        var chosen: KeyspaceReference?
        var count: UInt64 = 0
        tenant.forEachKeyspace { keyspace in
            guard keyspace.hasKeys else { return }
            count += 1
            // Each of those seen so far has then been chosen with the same chance.
            if count == 1 || pointee.random.next(below: count) == 0 { chosen = keyspace }
        }
        return chosen
    }

    private func evictOne(from shard: ShardReference, _ policy: EvictionPolicy) -> Bool {
        // Why without the lock: the count is only a hint, and most often the answer.
        if policy.isVolatile && shard.pointee.table.expiringCount == 0 { return false }
        let isHeld = holds(shard)
        if !isHeld {
            guard shard.pointee.lock.tryAcquire() else { return false }
        }
        defer { if !isHeld { shard.release() } }
        guard !shard.pointee.isDead else { return false }
        var best: (slot: Table.Slot, score: Int64)?
        let samples = pointee.settings.values.pointee.evictionSamples.value
        shard.pointee.table.sample(
            &pointee.random, limit: samples, onlyExpiring: policy.isVolatile
        ) { slot in
            if isHeld && isKeyOfCommand(slot.entry) { return }
            let score = self.score(slot.entry, policy)
            if best == nil || score > best?.score ?? 0 { best = (slot, score) }
        }
        guard let best else { return false }
        pointee.statistics.pointee.evictedKeys.bump()
        shard.pointee.usage.evicted += 1
        if shard.pointee.watchers != nil { shard.notifyWatchers(Hash(best.slot.entry.key)) }
        shard.pointee.table.remove(best.slot)
        registry.settle(shard)
        if !isHeld && shard.pointee.table.count == 0 { registry.dropIfEmpty(shard) }
        return true
    }

    /// Whether the command that asks for room named this key: it is not the one to go.
    private func isKeyOfCommand(_ entry: Entry) -> Bool {
        for index in 0..<min(pointee.resolvedCount, 64)
        where pointee.resolved[index].key == entry.key {
            return true
        }
        return false
    }

    /// Higher goes first.
    private func score(_ entry: Entry, _ policy: EvictionPolicy) -> Int64 {
        switch policy {
        case .allKeysLRU, .volatileLRU, .noEviction:
            Int64(Access.idleSeconds(entry.access, now: pointee.now))
        case .allKeysLFU, .volatileLFU:
            255
                - Int64(
                    Access.frequency(entry.access, now: pointee.now, settings: pointee.settings))
        case .allKeysRandom, .volatileRandom:
            Int64(pointee.random.next(below: 1 << 32))
        case .volatileTTL:
            Int64.max - (entry.expiry ?? .max)
        }
    }
}

extension UnsafeMutablePointer where Pointee == Tenant {
    /// What the tenant takes as far as its shards have told: exact between commands.
    @inline(__always)
    public var memoryInUse: Int { pointee.settledMemory.load(ordering: .relaxed) }
}
