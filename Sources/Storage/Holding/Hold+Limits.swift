// SPDX-License-Identifier: Apache-2.0
import Base

/// The limit that keeps a command from running.
public enum LimitRefusal: Equatable, Sendable {
    case operationsPerDay(limit: Int, used: Int)
    case operationsPerSecond(limit: Int, retryAfter: Milliseconds)
    case bandwidthPerDay(limit: Int, used: Int)
    /// The operations of this second are used up, and the tenant's plan says to wait this long.
    case throttled(Milliseconds)
    /// `maxmemory` is reached, and nothing can be evicted.
    case serverMemory
    case tenantMemory
    case tenantKeys(limit: Int, used: Int)
}

// Admission under the locks: the rates of the tenants whose keys a command names, the server's
// memory, and the tenants' memory and numbers of keys.
extension Hold {
    /// Whether the command may run without further checks: every tenant has a lease, and no limit
    /// of memory or keys can apply to a command that may need more memory.
    ///
    /// Why two bits, set when the keys are locked: the shards' cache lines are loaded then anyway,
    /// and the check is one test, inlined in the caller's module.
    @inlinable @inline(__always)
    public func isAdmitted(mayGrow: Bool) -> Bool {
        guard mayGrow else { return frame.pointee.options.contains(.isLeased) }
        return frame.pointee.options.contains([.isLeased, .isUnlimited]) && hasServerRoom
    }

    /// Whether the server is within `maxmemory`.
    @inline(never) @usableFromInline var hasServerRoom: Bool {
        let memoryMax = settings.memoryMax
        return memoryMax == 0 || frame.pointee.worker.memoryInUse <= memoryMax
    }

    /// Whether the leases of the first key's shard are large enough for several dozen commands
    /// without another check.
    public var hasAmpleLease: Bool { frame.pointee.keys[0].shard.hasAmpleLease }

    /// Why the rates of the named keys' tenants do not allow a command now. Counts a refusal for
    /// its tenant; a wait is not counted. Inside EXEC the outer hold was checked for all commands.
    public func refusalByRates() -> LimitRefusal? {
        guard !frame.pointee.options.contains(.inner) else { return nil }
        var refusal: LimitRefusal?
        frame.forEachTenant { shard in
            guard refusal == nil, !shard.hasLease else { return }
            refusal = shard.renewLeases(now: now)
            guard let found = refusal else { return }
            if case .operationsPerSecond(_, let wait) = found, shard.tenant.atLimit == .throttle {
                refusal = .throttled(wait)
            } else {
                shard.pointee.usage.rejected += 1
            }
        }
        return refusal
    }

    /// Why memory or numbers of keys do not allow a command that may need more of them. `arriving`
    /// is the size of the request; `created` says for each key whether the command may create it.
    @inline(never)
    public func refusalByMemory(
        arriving: () -> Int, created: () -> [Bool]
    ) -> LimitRefusal? {
        let worker = frame.pointee.worker
        let memoryMax = settings.memoryMax
        if memoryMax > 0, worker.memoryInUse > memoryMax,
            !worker.makeRoom(memoryMax, for: .request(arriving()))
        {
            frame.forEachTenant { $0.pointee.usage.rejected += 1 }
            return .serverMemory
        }
        var tenantCount = 0
        var isLimited = false
        frame.forEachTenant {
            tenantCount += 1
            if $0.isLimited { isLimited = true }
        }
        guard isLimited else { return nil }
        // Eviction makes no room for a request larger than the limit. If keys belong to several
        // tenants, their shares of the request are not known here.
        let arrivingCount = tenantCount == 1 ? arriving() : 0
        var refusal: LimitRefusal?
        frame.forEachTenant { shard in
            guard refusal == nil else { return }
            refusal = refusalByMemory(of: shard.tenant, arriving: arrivingCount)
            if refusal == nil { refusal = refusalByKeys(of: shard.tenant, created) }
            if refusal != nil { shard.pointee.usage.rejected += 1 }
        }
        return refusal
    }

    private func refusalByMemory(of tenant: TenantReference, arriving: Int) -> LimitRefusal? {
        let worker = frame.pointee.worker
        let memoryMax = tenant.pointee.memoryMax.value
        guard memoryMax != .max else { return nil }
        if arriving > memoryMax { return .tenantMemory }
        guard tenant.memoryInUse >= memoryMax else { return nil }
        if worker.removeExpired(of: tenant), tenant.memoryInUse < memoryMax { return nil }
        if tenant.atLimit == .evict,
            worker.makeRoom(in: tenant, memoryMax: memoryMax, for: .request(arriving))
        {
            return nil
        }
        return .tenantMemory
    }

    private func refusalByKeys(of tenant: TenantReference, _ created: () -> [Bool]) -> LimitRefusal?
    {
        let worker = frame.pointee.worker
        let keysMax = tenant.pointee.keysMax.value
        guard keysMax != .max, tenant.keyCount + missingKeyCount(of: tenant) > keysMax else {
            return nil
        }
        let mayCreate = created()
        var missing = missingKeyCount(of: tenant, among: mayCreate)
        guard missing > 0, tenant.keyCount + missing > keysMax else { return nil }
        if worker.removeExpired(of: tenant) {
            missing = missingKeyCount(of: tenant, among: mayCreate)
            guard tenant.keyCount + missing > keysMax else { return nil }
        }
        if tenant.atLimit == .evict,
            worker.makeRoom(in: tenant, keysMax: keysMax - missing, arriving: missing)
        {
            return nil
        }
        return .tenantKeys(limit: keysMax, used: tenant.keyCount)
    }

    /// How many of the command's keys in `tenant` do not exist: an upper bound of the keys that it
    /// creates.
    private func missingKeyCount(of tenant: TenantReference) -> Int {
        var missing = 0
        for ordinal in 0..<count where isMissing(ordinal, in: tenant) { missing += 1 }
        return missing
    }

    /// The exact number: without keys that the command only reads, and each name once.
    private func missingKeyCount(of tenant: TenantReference, among created: [Bool]) -> Int {
        var missing: Set<[UInt8]> = []
        for ordinal in 0..<min(count, created.count)
        where created[ordinal] && isMissing(ordinal, in: tenant) {
            missing.insert(key(ordinal).array)
        }
        return missing.count
    }

    private func isMissing(_ ordinal: Int, in tenant: TenantReference) -> Bool {
        let resolved = self[ordinal]
        return resolved.shard.tenant == tenant
            && resolved.shard.pointee.table.find(resolved.hash, resolved.key) == nil
    }

    // MARK: - Growth

    /// Growth below this is not checked; the next command meets the limit.
    private static let unaskedGrowth = 16 * 1024

    /// Why there is no room for `growth` more bytes under the key at `ordinal`. Called before a
    /// request of a few bytes makes a large value (SETRANGE, COPY, SUNIONSTORE). Invalidates slots
    /// found before, because it may evict keys.
    @inline(never)
    public func refusal(ofGrowth growth: Int, at ordinal: Int) -> LimitRefusal? {
        guard growth >= Hold.unaskedGrowth else { return nil }
        let worker = frame.pointee.worker
        let shard = self[ordinal].shard
        let refusal: LimitRefusal? =
            !worker.hasRoom(forGrowth: growth)
            ? .serverMemory : hasRoom(forGrowth: growth, shard.tenant) ? nil : .tenantMemory
        if refusal != nil { shard.pointee.usage.rejected += 1 }
        return refusal
    }

    /// Why the tenant of the key at `ordinal` has no room for it and `growth` bytes: for commands
    /// that Redis runs at any limit, and that may still bring a key or bytes to a tenant (RENAME,
    /// SMOVE). With `isNew` it gets one key more. Invalidates slots, like `refusal(ofGrowth:)`.
    public func refusal(ofArrival growth: Int, isNew: Bool, at ordinal: Int) -> LimitRefusal? {
        let shard = self[ordinal].shard
        let tenant = shard.tenant
        guard shard.isLimited else { return refusal(ofGrowth: growth, at: ordinal) }
        let keysMax = tenant.pointee.keysMax.value
        if isNew, keysMax != .max, tenant.keyCount >= keysMax, !hasRoomForKey(tenant, keysMax) {
            shard.pointee.usage.rejected += 1
            return .tenantKeys(limit: keysMax, used: tenant.keyCount)
        }
        if growth > 0, !hasRoom(forGrowth: growth, tenant) {
            shard.pointee.usage.rejected += 1
            return .tenantMemory
        }
        return refusal(ofGrowth: growth, at: ordinal)
    }

    private func hasRoomForKey(_ tenant: TenantReference, _ keysMax: Int) -> Bool {
        let worker = frame.pointee.worker
        if worker.removeExpired(of: tenant), tenant.keyCount < keysMax { return true }
        return tenant.atLimit == .evict
            && worker.makeRoom(in: tenant, keysMax: keysMax - 1, arriving: 1)
    }

    private func hasRoom(forGrowth growth: Int, _ tenant: TenantReference) -> Bool {
        let memoryMax = tenant.pointee.memoryMax.value
        guard memoryMax != .max else { return true }
        guard growth <= memoryMax else { return false }
        let rest = memoryMax - growth
        if tenant.memoryInUse <= rest { return true }
        let worker = frame.pointee.worker
        if worker.removeExpired(of: tenant), tenant.memoryInUse <= rest { return true }
        return tenant.atLimit == .evict
            && worker.makeRoom(in: tenant, memoryMax: rest, for: .growth(growth))
    }

    /// Charges the operations that a transaction used beyond its shards' leases to their tenants
    /// now, instead of when the same shards are next checked.
    public func returnOverdrafts() {
        frame.forEachHeldShard { if !$0.hasLease { $0.returnLeases() } }
    }
}

extension Reference where Pointee == Worker {
    /// Whether the server has room for `growth` more bytes, after evictions if necessary.
    fileprivate func hasRoom(forGrowth growth: Int) -> Bool {
        let memoryMax = settings.memoryMax
        guard memoryMax > 0 else { return true }
        guard growth <= memoryMax else { return false }
        return memoryInUse <= memoryMax - growth
            || makeRoom(memoryMax - growth, for: .growth(growth))
    }

    /// Whether memory is full and nothing can be evicted.
    public var isOutOfMemory: Bool {
        let memoryMax = settings.memoryMax
        return memoryMax > 0 && memoryInUse > memoryMax && !makeRoom(memoryMax, for: .request(0))
    }
}
