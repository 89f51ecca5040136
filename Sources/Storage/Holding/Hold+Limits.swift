// SPDX-License-Identifier: Apache-2.0
import Base

/// The limit that keeps a command from running.
public enum LimitRefusal: Equatable, Sendable {
    case operationsPerDay(limit: Int, used: Int)
    case operationsPerSecond(limit: Int, retryAfter: Milliseconds)
    case bandwidthPerDay(limit: Int, used: Int)
    /// The operations of this second are used up, and the tenant's plan says to wait this long.
    case throttled(Milliseconds)
    /// The same, for a tenant that a key named and that is not the session's own: other tenants'
    /// requests come behind this one, and must not wait for it.
    case throttledByKey(limit: Int, retryAfter: Milliseconds)
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

    /// Why the rates of the named keys' tenants do not allow a command of a session of `own` now.
    /// Counts a refusal for its tenant; a wait is not counted. Inside EXEC the outer hold was
    /// checked for all commands.
    public func refusalByRates(ofSessionOf own: TenantReference) -> LimitRefusal? {
        guard !frame.pointee.options.contains(.inner) else { return nil }
        let worker = frame.pointee.worker
        let moment = Moment(wall: worker.now, monotonic: worker.monotonicNow)
        var refusal: LimitRefusal?
        frame.forEachTenant { shard in
            guard refusal == nil, !shard.hasLease else { return }
            refusal = shard.renewLeases(now: moment)
            guard let found = refusal else { return }
            if case .operationsPerSecond(let limit, let wait) = found,
                shard.tenant.atLimit == .throttle
            {
                if shard.tenant == own {
                    refusal = .throttled(wait)
                    return
                }
                refusal = .throttledByKey(limit: limit, retryAfter: wait)
            }
            shard.pointee.usage.rejected += 1
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
        let keys = KeysByTenant(self, tenantCount: tenantCount)
        var mayCreate: [Bool]?
        func creations() -> [Bool] {
            let found = mayCreate ?? created()
            mayCreate = found
            return found
        }
        var refusal: LimitRefusal?
        frame.forEachTenant { shard in
            guard refusal == nil else { return }
            refusal = refusalByMemory(of: shard.tenant, arriving: arrivingCount)
            if refusal == nil { refusal = refusalByKeys(of: shard.tenant, keys, creations) }
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

    private func refusalByKeys(
        of tenant: TenantReference, _ keys: borrowing KeysByTenant, _ created: () -> [Bool]
    ) -> LimitRefusal? {
        let worker = frame.pointee.worker
        let keysMax = tenant.pointee.keysMax.value
        guard keysMax != .max else { return nil }
        let ordinals = keys.ordinals(of: tenant)
        guard tenant.keyCount + missingKeyCount(ordinals) > keysMax else { return nil }
        let mayCreate = created()
        var missing = missingKeyCount(ordinals, among: mayCreate)
        guard missing > 0, tenant.keyCount + missing > keysMax else { return nil }
        if worker.removeExpired(of: tenant) {
            missing = missingKeyCount(ordinals, among: mayCreate)
            guard tenant.keyCount + missing > keysMax else { return nil }
        }
        if tenant.atLimit == .evict,
            worker.makeRoom(in: tenant, keysMax: keysMax - missing, arriving: missing)
        {
            return nil
        }
        return .tenantKeys(limit: keysMax, used: tenant.keyCount)
    }

    /// How many of these keys do not exist: an upper bound of those that the command creates.
    private func missingKeyCount(_ ordinals: KeysByTenant.Ordinals) -> Int {
        var missing = 0
        ordinals.forEach { if isMissing($0) { missing += 1 } }
        return missing
    }

    /// The exact number: without keys that the command only reads, and each name once.
    private func missingKeyCount(
        _ ordinals: KeysByTenant.Ordinals, among created: [Bool]
    ) -> Int {
        var missing: Set<[UInt8]> = []
        ordinals.forEach {
            if $0 < created.count, created[$0], isMissing($0) { missing.insert(key($0).array) }
        }
        return missing.count
    }

    private func isMissing(_ ordinal: Int) -> Bool {
        let resolved = self[ordinal]
        return resolved.shard.pointee.table.find(resolved.hash, resolved.key) == nil
    }

    /// The keys of a command, found by their tenant.
    ///
    /// Why a list of all: a command may name a key of each of thousands of tenants, and looking
    /// through all keys for each of them would cost the square of that.
    private struct KeysByTenant {
        /// The ordinals of a tenant's keys.
        enum Ordinals {
            case all(Range<Int>)
            case some(ArraySlice<Int>)

            @inline(__always)
            func forEach(_ body: (Int) -> Void) {
                switch self {
                case .all(let range): for ordinal in range { body(ordinal) }
                case .some(let list): for ordinal in list { body(ordinal) }
                }
            }
        }

        private let count: Int
        /// Nil if all keys are of one tenant: that allocates nothing.
        private var groups: [UInt: Range<Int>]?
        private var ordered: [Int] = []

        init(_ hold: borrowing Hold, tenantCount: Int) {
            count = hold.count
            guard tenantCount > 1 else { return }
            let tenants = (0..<count).map { hold[$0].shard.tenant.address }
            ordered = (0..<count).sorted { (tenants[$0], $0) < (tenants[$1], $1) }
            var groups: [UInt: Range<Int>] = [:]
            var start = 0
            for end in 1...count {
                guard end == count || tenants[ordered[end]] != tenants[ordered[start]] else {
                    continue
                }
                groups[tenants[ordered[start]]] = start..<end
                start = end
            }
            self.groups = groups
        }

        func ordinals(of tenant: TenantReference) -> Ordinals {
            guard let groups else { return .all(0..<count) }
            return .some(ordered[groups[tenant.address] ?? 0..<0])
        }
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
