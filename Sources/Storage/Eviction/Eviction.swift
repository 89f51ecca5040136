// SPDX-License-Identifier: Apache-2.0
import Base
import Glibc
import Synchronization
import Tenancy

/// Making room: which tenant gives way, and which of its keys.
///
/// Who: a tenant beyond its share, the furthest as far as `VictimSearch` knows. A tenant's share is
/// its plan's memory, or, of those without one, an equal part of `maxmemory`. So nobody's data is
/// pushed out while somebody else takes more than their share.
///
/// A command of a tenant beyond its share, of whom nothing else can go, makes nobody within theirs
/// give way: the keys that it names go, as in Redis, or it is refused.
///
/// What: as in Redis, the best of a few candidates: idle longest (LRU), used least (LFU), expiring
/// first (TTL), or any. Candidates are neighbours in a random place of the table, so that a sample
/// costs few cache misses.
///
/// Locks: eviction runs while a command holds its shards. It may hold those, and takes another one
/// only if it is free: waiting would break the order of locks. A busy shard is tried again.
extension Reference where Pointee == Worker {
    /// Evicts until the server is below `memoryMax`. False where the policy forbids it or nothing
    /// can go. `evictingNamedKeys`: the keys that the command names go when nothing else can.
    @inline(never)
    public func makeRoom(_ memoryMax: Int, evictingNamedKeys: Bool = true) -> Bool {
        settleHeld()
        registry.measureOtherMemory(now: pointee.now)
        guard memoryInUse > memoryMax else { return true }
        // Why first: it is nobody's any more, and goes before anybody's data.
        Reclaimer.shared.freeParts(Reclaimer.partsInCommandMax)
        guard evict(untilLasting: memoryMax, evictingNamedKeys) else { return false }
        // Why more than `memoryMax`: what was evicted may still wait to be freed. Nearly every
        // write has just freed more than it will take, so memory falls; where it does not, as large
        // values are made and deleted one after the other, writes are refused.
        return memoryInUse <= memoryMax + 2 * Reclaimer.pressureSize
    }

    /// Evicts until the server will be below `memoryMax` once what waits is freed.
    private func evict(untilLasting memoryMax: Int, _ evictingNamedKeys: Bool) -> Bool {
        guard registry.lastingMemory > memoryMax else { return true }
        let policy = self.policy
        guard policy != .noEviction else { return false }
        pointee.victims.passedOver.removeAll(keepingCapacity: true)
        // Bound: each turn takes a key or passes a tenant over, sixteen at most.
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
        for shard in frame(0).heldShards { settle(shard) }
    }

    /// What an attempt to evict a key came to. `missed`: the sample had none that may go.
    private enum Attempt { case evicted, missed, busy }

    /// Evicts one key of the tenant; false where none was found. A tenant at its own limit under
    /// `noeviction` gives its least recently used key: its plan asked for eviction.
    private func evictOne(from tenant: TenantReference) -> Bool {
        let policy = self.policy == .noEviction ? EvictionPolicy.allKeysLRU : self.policy
        for _ in 0..<100 {  // Bound: samples are drawn by chance, and a lock comes free.
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
            // Why: a holder that has lost its core needs it to let go.
            if isBusy { sched_yield() }
        }
        return false
    }

    /// One of the tenant's databases that have keys, or keys that expire.
    private func randomKeyspace(
        of tenant: TenantReference, expiring: Bool
    ) -> KeyspaceReference? {
        var chosen: KeyspaceReference?
        var count: UInt64 = 0
        tenant.forEachKeyspace { keyspace in
            guard keyspace.hasKeys(expiring: expiring) else { return }
            count += 1
            // Each of those seen so far has then been chosen with the same chance.
            if count == 1 || pointee.random.next(below: count) == 0 { chosen = keyspace }
        }
        return chosen
    }

    private func evictOne(from shard: ShardReference, _ policy: EvictionPolicy) -> Attempt {
        // Why without the lock: the count is only a hint, and most often the answer.
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

    /// Evicts the first key of the command at hand that may go.
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

    /// Removes an entry of a shard that is held, and counts it.
    private func evict(_ slot: Table.Slot, of shard: ShardReference) {
        pointee.statistics.pointee.evictedKeys.bump()
        shard.pointee.usage.evicted += 1
        remove(slot, from: &shard.pointee.table, .evicted, in: shard)
        settle(shard)
    }

    /// Whether the command that asks for room named this key: it is not the one to go.
    private func isKeyOfCommand(_ entry: Entry) -> Bool {
        namedKeys(64).contains { $0.key == entry.key }
    }

    /// The first keys of the command at hand, `limit` at most; none where the thread holds nothing.
    func namedKeys(_ limit: Int) -> UnsafeBufferPointer<ResolvedKey> {
        guard let frame = topFrame else { return UnsafeBufferPointer(start: nil, count: 0) }
        return UnsafeBufferPointer(
            start: frame.pointee.keys, count: min(frame.pointee.keyCount, limit))
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
