// SPDX-License-Identifier: Apache-2.0
import Base
import Glibc

/// Making room: which tenant loses keys, and which ones.
///
/// Which tenant: one beyond its share, the furthest that `VictimSearch` knows. A tenant's share is
/// its plan's memory; tenants without a limit share `maxmemory` equally. So no tenant loses data
/// while another exceeds its share.
///
/// A tenant beyond its share cannot evict keys of tenants within theirs. If its command needs room
/// and nothing else can be evicted, the keys that the command names are evicted, as in Redis, or
/// the command is refused.
///
/// Which keys: as in Redis, the best of a few candidates: idle longest (LRU), used least (LFU),
/// expiring first (TTL), or any. Candidates are neighbours at a random place in the table, so a
/// sample costs few cache misses.
///
/// Locks: eviction runs while a command holds its shards. It uses those, and takes another one only
/// if it is free: waiting would break the order of locks. It tries a busy shard again.
extension Reference where Pointee == Worker {
    /// Evicts until the server is below `memoryMax`. False if the policy forbids it or nothing can
    /// be evicted. With `evictingNamedKeys`, evicts the keys that the command names if nothing else
    /// can be evicted.
    @inline(never)
    public func makeRoom(_ memoryMax: Int, evictingNamedKeys: Bool = true) -> Bool {
        settleHeld()
        registry.measureOtherMemory(now: pointee.now)
        guard memoryInUse > memoryMax else { return true }
        // Why first: this memory belongs to no tenant, and is freed before any tenant's data.
        Reclaimer.shared.freeParts(Reclaimer.partsInCommandMax)
        guard evict(untilLasting: memoryMax, evictingNamedKeys) else { return false }
        // Why more than `memoryMax`: what was evicted may still wait to be freed. Nearly every
        // write has just freed more than it takes, so memory falls. If it does not fall, because
        // large values are made and deleted in succession, writes are refused.
        return memoryInUse <= memoryMax + 2 * Reclaimer.pressureSize
    }

    /// Evicts until the server will be below `memoryMax` when all waiting garbage is freed.
    private func evict(untilLasting memoryMax: Int, _ evictingNamedKeys: Bool) -> Bool {
        guard registry.lastingMemory > memoryMax else { return true }
        let policy = self.policy
        guard policy != .noEviction else { return false }
        pointee.victims.passedOver.removeAll(keepingCapacity: true)
        // Bound: each turn evicts a key or passes over a tenant, at most sixteen.
        while registry.lastingMemory > memoryMax {
            let victim = mostOverShare(memoryMax, expiring: policy.isVolatile)
            guard let victim, victim.isBeyondShare || !holdsTenantBeyondShare(memoryMax) else {
                guard evictingNamedKeys, evictNamedKey(policy) else { return false }
                continue
            }
            if evictOne(from: victim.tenant) { continue }
            guard pointee.victims.passedOver.count < VictimSearch.passedOverMax else {
                return false
            }
            pointee.victims.passedOver.append(victim.tenant)
        }
        return true
    }

    /// Evicts the tenant's own keys until it is below its memory limit.
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
        while !isDone() {  // Bound: as many turns as there are keys.
            guard evictOne(from: tenant) else { return false }
        }
        return true
    }

    private var policy: EvictionPolicy {
        EvictionPolicy(rawValue: settings.evictionPolicy)
            ?? .noEviction
    }

    private func settleHeld() {
        guard isHolding else { return }
        frame(0).forEachHeldShard { settle($0) }
    }

    /// The result of trying to evict a key. `missed`: the sample had no key that may be evicted.
    private enum Attempt { case evicted, missed, busy }

    /// Evicts one key of the tenant. False if none was found. Under `noeviction`, a tenant at its
    /// own limit loses its least recently used key, because its plan asks for eviction.
    private func evictOne(from tenant: TenantReference) -> Bool {
        let policy = self.policy == .noEviction ? EvictionPolicy.allKeysLRU : self.policy
        for _ in 0..<100 {  // Bound: samples are random, and locks come free.
            guard let keyspace = randomKeyspace(of: tenant, expiring: policy.isVolatile) else {
                return false
            }
            var isBusy = false
            let start = Int(pointee.random.next(below: UInt64(keyspace.shardCount)))
            for step in 0..<keyspace.shardCount {
                let shard = keyspace.shard(at: (start + step) % keyspace.shardCount)
                switch evictOne(from: shard, policy) {
                case .evicted: return true
                case .missed: break
                case .busy: isBusy = true
                }
            }
            // Why: a holder that has lost its core needs one to release its lock.
            if isBusy { sched_yield() }
        }
        return false
    }

    /// A random database of the tenant that has keys, or keys that expire.
    private func randomKeyspace(
        of tenant: TenantReference, expiring: Bool
    ) -> KeyspaceReference? {
        var chosen: KeyspaceReference?
        var count: UInt64 = 0
        tenant.forEachKeyspace { keyspace in
            guard keyspace.hasKeys(expiring: expiring) else { return }
            count += 1
            // So far, each database was chosen with the same chance.
            if count == 1 || pointee.random.next(below: count) == 0 { chosen = keyspace }
        }
        return chosen
    }

    private func evictOne(from shard: ShardReference, _ policy: EvictionPolicy) -> Attempt {
        // Why without the lock: the count is only a hint, and usually decides.
        if policy.isVolatile && shard.pointee.table.expiringCount == 0 { return .missed }
        let isHeld = holds(shard)
        guard isHeld || shard.pointee.lock.tryLock() else { return .busy }
        defer { if !isHeld { shard.release() } }
        guard !shard.pointee.isDead else { return .missed }
        var best: (slot: Table.Slot, score: Int64)?
        let samples = pointee.settings.evictionSamples
        shard.pointee.table.sample(
            &pointee.random, limit: samples, onlyExpiring: policy.isVolatile
        ) { slot in
            if isHeld && isKeyOfCommand(slot.entry) { return }
            let score = self.score(slot.entry, policy)
            if best == nil || score > best?.score ?? 0 { best = (slot, score) }
        }
        guard let best else { return .missed }
        evict(best.slot, of: shard)
        if !isHeld && shard.pointee.table.count == 0 { registry.dropIfEmpty(shard) }
        return .evicted
    }

    /// Evicts the first key of the current command that may be evicted.
    private func evictNamedKey(_ policy: EvictionPolicy) -> Bool {
        for resolved in namedKeys(64) {
            guard holds(resolved.shard),
                let slot = resolved.shard.pointee.table.find(resolved.hash, resolved.key),
                slot.entry.hasExpiry || !policy.isVolatile
            else { continue }
            evict(slot, of: resolved.shard)
            return true
        }
        return false
    }

    /// Evicts an entry of a held shard and counts it.
    private func evict(_ slot: Table.Slot, of shard: ShardReference) {
        pointee.statistics.pointee.evictedKeys.bump()
        shard.pointee.usage.evicted += 1
        remove(slot, from: &shard.pointee.table, .evicted, in: shard)
        settle(shard)
    }

    /// Whether the current command names this key; such a key is not evicted here.
    private func isKeyOfCommand(_ entry: Entry) -> Bool {
        namedKeys(64).contains { $0.key == entry.key }
    }

    /// The first keys of the current command, at most `limit`; empty if the thread holds nothing.
    func namedKeys(_ limit: Int) -> UnsafeBufferPointer<ResolvedKey> {
        guard let frame = topFrame else { return UnsafeBufferPointer(start: nil, count: 0) }
        return UnsafeBufferPointer(
            start: frame.pointee.keys, count: min(frame.pointee.keyCount, limit))
    }

    /// The entry with the highest score is evicted first.
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
