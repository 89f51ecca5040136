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
/// Which keys: as in Redis, idle longest (LRU), used least (LFU), expiring first (TTL), or any.
/// Each eviction samples a few and takes the best of these and of those that earlier samples left
/// (`CandidatePools`).
///
/// How many: a command evicts until memory is below the limit, but for no longer than its share of
/// the thread's time (`EvictionAllowance`). If the limit has been lowered, it evicts as much as it
/// brings, and the reactors do the rest in slices between commands. So no command waits while a
/// full server shrinks, none is refused, and memory falls all the same.
///
/// Locks: eviction runs while a command holds its shards. It uses those, and takes another one only
/// if it is free: waiting would break the order of locks. It tries a busy shard again.
extension Reference where Pointee == Worker {
    /// Evicts until the server is below `memoryMax`, or as much as a command may. False if the
    /// policy forbids it or nothing can be evicted. If nothing else can be, evicts the keys that
    /// the command names, unless one of them is to grow.
    @inline(never)
    public func makeRoom(_ memoryMax: Int, for arrival: Arrival) -> Bool {
        settleHeld()
        registry.measureOtherMemory(now: pointee.monotonicNow)
        guard memoryInUse > memoryMax else { return true }
        // Why first: this memory belongs to no tenant, and is freed before any tenant's data.
        Reclaimer.shared.freeParts(Reclaimer.partsInCommandMax)
        var allowance = allowance(arrival)
        guard evict(untilLasting: memoryMax, !arrival.isGrowth, &allowance) else { return false }
        // Why more than `memoryMax`: what was evicted may still wait to be freed. Nearly every
        // write has just freed more than it takes, so memory falls. If it does not fall, because
        // large values are made and deleted in succession, writes are refused.
        let lasting = max(memoryMax, registry.lastingMemory)
        return memoryInUse <= lasting + 2 * Reclaimer.pressureSize
    }

    /// Evicts until the server will be below `memoryMax` when all waiting garbage is freed, or the
    /// allowance ends. With `evictingNamedKeys`, evicts the keys that the command names if nothing
    /// else can be evicted.
    func evict(
        untilLasting memoryMax: Int, _ evictingNamedKeys: Bool,
        _ allowance: inout EvictionAllowance
    ) -> Bool {
        guard registry.lastingMemory > memoryMax else { return true }
        let policy = self.policy
        guard policy != .noEviction else { return false }
        pointee.victims.passedOver.removeAll(keepingCapacity: true)
        // Bound: each turn evicts a key or passes over a tenant, at most sixteen.
        while registry.lastingMemory > memoryMax {
            if allowance.isUsedUp { return true }
            let victim = mostOverShare(memoryMax, expiring: policy.isVolatile)
            guard let victim, victim.isBeyondShare || !holdsTenantBeyondShare(memoryMax) else {
                guard evictingNamedKeys, let size = evictNamedKey(policy) else { return false }
                allowance.note(size)
                continue
            }
            if let size = evictOne(from: victim.tenant) {
                allowance.note(size)
                continue
            }
            guard pointee.victims.passedOver.count < VictimSearch.passedOverMax else {
                return false
            }
            pointee.victims.passedOver.append(victim.tenant)
        }
        return true
    }

    /// Evicts the tenant's own keys until it is below its memory limit, or as much as a command
    /// may. False if nothing can be evicted.
    @inline(never)
    public func makeRoom(
        in tenant: TenantReference, memoryMax: Int, for arrival: Arrival
    ) -> Bool {
        settleHeld()
        var allowance = allowance(arrival)
        while tenant.memoryInUse >= memoryMax {  // Bound: as many turns as there are keys.
            if allowance.isUsedUp { return registry.evictLater(from: tenant) }
            guard let size = evictOne(from: tenant) else { return false }
            allowance.note(size)
        }
        return true
    }

    /// Evicts the tenant's own keys until it has at most `keysMax`, or as many as a command may
    /// that brings `arriving` keys. False if nothing can be evicted.
    @inline(never)
    public func makeRoom(in tenant: TenantReference, keysMax: Int, arriving: Int) -> Bool {
        guard keysMax >= 0 else { return false }
        var allowance = allowance(.keys(arriving))
        // Why counted once: the sum over many shards takes longer than an eviction.
        var excess = tenant.keyCount - keysMax
        while excess > 0 {  // Bound: as many turns as there are keys.
            if allowance.isUsedUp { return registry.evictLater(from: tenant) }
            guard evictOne(from: tenant) != nil else { return false }
            allowance.note(1)
            excess -= 1
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

    /// Evicts one key of the tenant and returns its size; nil if none was found. Under
    /// `noeviction`, a tenant at its own limit loses its least recently used key, because its plan
    /// asks for eviction.
    func evictOne(from tenant: TenantReference) -> Int? {
        let policy = self.policy == .noEviction ? EvictionPolicy.allKeysLRU : self.policy
        let pool = pointee.victims.pools.pool(of: tenant, policy)
        for _ in 0..<100 {  // Bound: samples are random, and locks come free.
            guard let keyspace = randomKeyspace(of: tenant, expiring: policy.isVolatile) else {
                return nil
            }
            let isSampled = sample(keyspace, policy, into: pool)
            if let size = evictBest(of: pool, tenant, policy) { return size }
            // Why: a holder that has lost its core needs one to release its lock.
            if !isSampled { sched_yield() }
        }
        return nil
    }

    /// A random database of the tenant that has keys, or keys that expire; larger ones with a
    /// higher chance.
    private func randomKeyspace(
        of tenant: TenantReference, expiring: Bool
    ) -> KeyspaceReference? {
        var chosen: KeyspaceReference?
        var total: UInt64 = 0
        tenant.forEachKeyspace { keyspace in
            guard keyspace.hasKeys(expiring: expiring) else { return }
            // Why an estimate: the sum over a thousand shards takes longer than an eviction.
            let number = pointee.random.next(below: UInt64(keyspace.shardCount))
            let count = keyspace.shard(at: Int(number)).keyCountHint
            let weight = UInt64(max(1, count * keyspace.shardCount))
            total += weight
            if pointee.random.next(below: total) < weight { chosen = keyspace }
        }
        return chosen
    }

    /// Offers a few keys of the keyspace to a pool, from a random shard and if necessary from those
    /// behind it. False if all shards with keys were busy.
    private func sample(
        _ keyspace: KeyspaceReference, _ policy: EvictionPolicy, into pool: Int
    ) -> Bool {
        let limit = policy.sampleCount(pointee.settings.evictionSamples)
        var wanted = limit
        var isBusy = false
        let start = Int(pointee.random.next(below: UInt64(keyspace.shardCount)))
        for step in 0..<keyspace.shardCount {
            let shard = keyspace.shard(at: (start + step) % keyspace.shardCount)
            // Why without the lock: the counts are only a hint, and usually decide.
            guard shard.hasKeys(expiring: policy.isVolatile) else { continue }
            let isHeld = holds(shard)
            guard isHeld || shard.pointee.lock.tryLock() else {
                isBusy = true
                continue
            }
            wanted -= sample(shard, wanted, policy, into: pool, isHeld: isHeld)
            if !isHeld { shard.release() }
            if wanted <= 0 { return true }
        }
        return !isBusy || wanted < limit
    }

    private func sample(
        _ shard: ShardReference, _ wanted: Int, _ policy: EvictionPolicy, into pool: Int,
        isHeld: Bool
    ) -> Int {
        guard !shard.pointee.isDead else { return 0 }
        let database = shard.pointee.keyspace.pointee.number
        return shard.pointee.table.sample(
            &pointee.random, wanted: wanted, onlyExpiring: policy.isVolatile
        ) { slot in
            if isHeld && isKeyOfCommand(slot.entry) { return }
            let score = score(slot.entry, policy)
            guard pointee.victims.pools.hasPlace(for: score, in: pool) else { return }
            let candidate = EvictionCandidate(
                hash: Hash(slot.entry.key), database: database, score: score)
            pointee.victims.pools.offer(candidate, to: pool)
        }
    }

    /// Evicts the best candidate that is still there and not in use, and returns its size.
    private func evictBest(
        of pool: Int, _ tenant: TenantReference, _ policy: EvictionPolicy
    ) -> Int? {
        var rank = 0
        while rank < pointee.victims.pools.count(pool) {  // Bound: passes over or removes one.
            let candidate = pointee.victims.pools.candidate(rank, of: pool)
            switch evict(candidate, of: tenant, policy) {
            case .evicted(let size):
                pointee.victims.pools.remove(rank, of: pool)
                return size
            case .busy: rank += 1
            case .gone: pointee.victims.pools.remove(rank, of: pool)
            case .used(let candidate):
                pointee.victims.pools.remove(rank, of: pool)
                pointee.victims.pools.offer(candidate, to: pool)
            }
        }
        return nil
    }

    private enum Attempt {
        case evicted(Int), gone, busy
        /// It was used meanwhile, and has a lower score.
        case used(EvictionCandidate)
    }

    private func evict(
        _ candidate: EvictionCandidate, of tenant: TenantReference, _ policy: EvictionPolicy
    ) -> Attempt {
        guard let keyspace = tenant.keyspace(candidate.database) else { return .gone }
        let shard = keyspace.shard(candidate.hash)
        let isHeld = holds(shard)
        guard isHeld || shard.pointee.lock.tryLock() else { return .busy }
        defer { if !isHeld { shard.release() } }
        guard !shard.pointee.isDead, let slot = shard.pointee.table.find(candidate.hash),
            !policy.isVolatile || slot.entry.hasExpiry, !isHeld || !isKeyOfCommand(slot.entry)
        else { return .gone }
        let score = self.score(slot.entry, policy)
        if score < candidate.score, !policy.isRandom {
            return .used(
                EvictionCandidate(
                    hash: candidate.hash, database: candidate.database, score: score))
        }
        let size = evict(slot, of: shard)
        if !isHeld && shard.pointee.table.count == 0 { registry.dropIfEmpty(shard) }
        return .evicted(size)
    }

    /// Evicts the first key of the current command that may be evicted, and returns its size.
    private func evictNamedKey(_ policy: EvictionPolicy) -> Int? {
        for resolved in namedKeys(64) {
            guard holds(resolved.shard),
                let slot = resolved.shard.pointee.table.find(resolved.hash, resolved.key),
                slot.entry.hasExpiry || !policy.isVolatile
            else { continue }
            return evict(slot, of: resolved.shard)
        }
        return nil
    }

    /// Evicts an entry of a held shard, counts it, and returns its size.
    private func evict(_ slot: Table.Slot, of shard: ShardReference) -> Int {
        let before = shard.pointee.table.allocatedSize
        pointee.statistics.pointee.evictedKeys.bump()
        shard.pointee.usage.evicted += 1
        remove(slot, from: &shard.pointee.table, .evicted, in: shard)
        settle(shard)
        return before - shard.pointee.table.allocatedSize
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

    /// The score of a candidate, which does not rise while it waits unused.
    private func score(_ entry: Entry, _ policy: EvictionPolicy) -> Int64 {
        switch policy {
        case .allKeysLRU, .volatileLRU, .noEviction:
            // The second of the last access.
            Int64(Access.idleSeconds(entry.access, now: pointee.now)) - pointee.now / 1000
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

extension EvictionPolicy {
    fileprivate var isRandom: Bool { self == .allKeysRandom || self == .volatileRandom }

    /// How many keys an eviction samples. Why twice as many for LFU: what should go is the few keys
    /// that have come lately and are used little. A share of them stays, as large as it must be for
    /// a sample to meet one.
    fileprivate func sampleCount(_ samples: Int) -> Int {
        switch self {
        case .allKeysRandom, .volatileRandom: 1
        case .allKeysLFU, .volatileLFU: 2 * samples
        case .allKeysLRU, .volatileLRU, .volatileTTL, .noEviction: samples
        }
    }
}
