// SPDX-License-Identifier: Apache-2.0
import Base
import Synchronization
import Tenancy

/// Why limits do not let a command run.
public enum LimitRefusal: Equatable, Sendable {
    case operationsPerDay(limit: Int, used: Int)
    case operationsPerSecond(limit: Int, retryAfter: Milliseconds)
    case bandwidthPerDay(limit: Int, used: Int)
    /// The operations of this second are used up, and the tenant's plan says to wait: so long.
    case throttled(Milliseconds)
    /// `maxmemory` is reached, and nothing can be evicted.
    case serverMemory
    case tenantMemory
    case tenantKeys(limit: Int, used: Int)
}

// Admission under the locks: the rates of the tenants whose keys a command names, the server's
// memory, the tenants' memory and numbers of keys.
extension Hold {
    /// Whether the command may run without further questions: every tenant has a lease, and a
    /// command that may need more memory meets no limit of memory or of keys.
    ///
    /// Why two bits that are set when the keys are locked: the shards' lines are at hand then, and
    /// the question is one test for the caller, in whose module it is inlined.
    @inlinable @inline(__always)
    public func isAdmitted(mayGrow: Bool) -> Bool {
        guard mayGrow else { return frame.pointee.options.contains(.isLeased) }
        return frame.pointee.options.contains([.isLeased, .isUnlimited]) && hasServerRoom
    }

    /// Whether the server is within `maxmemory`.
    @usableFromInline var hasServerRoom: Bool {
        let memoryMax = settings.memoryMax
        return memoryMax == 0 || frame.pointee.worker.memoryInUse <= memoryMax
    }

    /// Whether the leases of the first key's shard are so large that some dozens of commands may
    /// run before they are looked at again.
    public var hasAmpleLease: Bool { frame.pointee.keys[0].shard.hasAmpleLease }

    /// Why the rates of the tenants whose keys are named do not allow a command now. A refusal is
    /// counted for the tenant; a wait is not. Inside EXEC the outer hold was asked for all.
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

    /// Why memory or numbers of keys do not allow a command that may need more of them. `arriving`:
    /// bytes of the request; `created`: for each key whether the command may create it.
    @inline(never)
    public func refusalByMemory(
        arriving: () -> Int, created: () -> [Bool]
    ) -> LimitRefusal? {
        let worker = frame.pointee.worker
        let memoryMax = settings.memoryMax
        if memoryMax > 0, worker.memoryInUse > memoryMax, !worker.makeRoom(memoryMax) {
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
        // What is larger than the limit by itself fits no more after an eviction. Of what is for
        // several tenants it is not known here what is whose.
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
        if tenant.atLimit == .evict, worker.makeRoom(in: tenant, memoryMax: memoryMax) {
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
        if tenant.atLimit == .evict, worker.makeRoom(in: tenant, keysMax: keysMax - missing) {
            return nil
        }
        return .tenantKeys(limit: keysMax, used: tenant.keyCount)
    }

    /// How many of the command's keys in `tenant` do not exist: an upper bound of how many the
    /// command creates.
    private func missingKeyCount(of tenant: TenantReference) -> Int {
        var missing = 0
        for ordinal in 0..<count where isMissing(ordinal, in: tenant) { missing += 1 }
        return missing
    }

    /// The same without keys that the command only reads, and each name once: exact.
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

    /// Growth below this is not asked for: the next command meets the limit.
    private static let unaskedGrowth = 16 * 1024

    /// Why there is no room for `growth` bytes more under the key at `ordinal`: asked before a
    /// request of a few bytes makes a large value (SETRANGE, COPY, SUNIONSTORE). Slots that were
    /// found before are void afterwards, as keys may have been evicted.
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

    private func hasRoom(forGrowth growth: Int, _ tenant: TenantReference) -> Bool {
        let memoryMax = tenant.pointee.memoryMax.value
        guard memoryMax != .max else { return true }
        guard growth <= memoryMax else { return false }
        let rest = memoryMax - growth
        if tenant.memoryInUse <= rest { return true }
        let worker = frame.pointee.worker
        if worker.removeExpired(of: tenant), tenant.memoryInUse <= rest { return true }
        return tenant.atLimit == .evict && worker.makeRoom(in: tenant, memoryMax: rest)
    }

    /// What a transaction used beyond the leases of its shards is owed by their tenants from now
    /// on, and not only when the same shard is asked again.
    public func returnOverdrafts() {
        for shard in frame.heldShards where !shard.hasLease { shard.returnLeases() }
    }
}

extension Reference where Pointee == Worker {
    /// Whether the server has room for `growth` bytes more, after evictions if need be.
    fileprivate func hasRoom(forGrowth growth: Int) -> Bool {
        let memoryMax = settings.memoryMax
        guard memoryMax > 0 else { return true }
        guard growth <= memoryMax else { return false }
        return memoryInUse <= memoryMax - growth
            || makeRoom(memoryMax - growth, evictingNamedKeys: false)
    }

    /// Whether memory is full and nothing can be evicted.
    public var isOutOfMemory: Bool {
        let memoryMax = settings.memoryMax
        return memoryMax > 0 && memoryInUse > memoryMax && !makeRoom(memoryMax)
    }
}
