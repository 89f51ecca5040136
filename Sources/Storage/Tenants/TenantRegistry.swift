// SPDX-License-Identifier: Apache-2.0
import Base
import Synchronization
import Tenancy

/// All tenants of the server, by id and by secret; the plans; the key patterns that name tenants.
///
/// Threads: the request path looks tenants up by id, through `TenantIndex`. All else is the control
/// plane, under one mutex.
public final class TenantRegistry: Sendable {
    /// The tenant of sessions without one of their own.
    // Safety: this one and the next are made in init and never freed; what changes in a tenant is
    // atomic, or guarded as its fields say.
    public let server: TenantReference
    /// The tenant of sessions whose tenant was deleted, until they are closed. It has nothing, and
    /// no index names it.
    public let nobody: TenantReference
    public let settings: SettingsReference
    /// Patterns by which keys name their tenants; fixed at start.
    // Safety: written once in init, then only read.
    nonisolated(unsafe) let patterns: UnsafeMutableBufferPointer<KeyMatcher>
    /// Whether a key is the server's own even if a pattern matches it: the keys of records.
    let isReserved: (@Sendable (Bytes) -> Bool)?
    /// Is notified of every change of every key; nil in a server.
    let observer: (any ChangeObserver)?
    /// Is called after the limits of a tenant with sessions have changed, without a lock.
    public let limitsObserver = Mutex<(@Sendable () -> Void)?>(nil)
    let index: TenantIndex
    /// Tenants with keys that expire, and some that had them until lately: those that a sweep
    /// visits, apart from the server's own.
    let expiring = TenantIndex()
    /// Ids of tenants beyond their own limits, from which slices evict.
    let shrinking = Mutex<[[UInt8]]>([])
    let shrinkingCount = Atomic<Int>(0)
    let control: Mutex<Control>
    /// Bytes of all tenants' tables and structures, as far as settled.
    public let settledMemory = Atomic<Int>(0)
    /// Bytes that all clients hold (`chargeClients`).
    public let clientMemory = Atomic<Int>(0)
    /// The other bytes that the process has allocated: its threads' buffers, connections, itself.
    /// Measured now and then.
    let otherMemory = Atomic<Int>(0)
    let otherMemoryMeasuredAt = Atomic<Int64>(0)
    /// Whether resident memory was near `maxmemory` when it was last measured.
    let isNearLimit = Atomic<Bool>(false)
    /// A keyspace has 2^bits shards: these for the server's own keyspaces, and for those of created
    /// tenants.
    let serverShardBits: Int
    let createdShardBits: Int

    struct Control: Sendable {
        var plans: [Plan]
        /// The tenant's id by the digest of its secret, and the digest by the id.
        var secrets: [[UInt8]: [UInt8]] = [:]
        var digests: [[UInt8]: [UInt8]] = [:]
        /// Plans of implicit tenants by id, whether or not a key names them now: assigned by
        /// records or by TENANT PLAN. Only rows and administrators add plans, so clients cannot
        /// fill memory with them.
        var assignedPlans: [[UInt8]: Int] = [:]
        /// Plans that records named and no directive declares.
        var unknownPlans: Set<String> = []
        /// Usage of tenants that are gone, so that sums over all tenants stay exact.
        var departed = Usage()
        var departedCount = 0
        var departedBudgets = DepartedBudgets()
    }

    /// `threads`: the number of threads that serve requests. The server's own keyspaces get shards
    /// to match.
    public convenience init(
        settings: SettingsReference, plans: [Plan], patterns: [KeyPattern], threads: Int,
        isReserved: (@Sendable (Bytes) -> Bool)? = nil
    ) {
        self.init(
            settings: settings, plans: plans, patterns: patterns, threads: threads,
            isReserved: isReserved, observer: nil)
    }

    init(
        settings: SettingsReference, plans: [Plan], patterns: [KeyPattern], threads: Int,
        isReserved: (@Sendable (Bytes) -> Bool)? = nil, observer: (any ChangeObserver)?
    ) {
        self.observer = observer
        self.isReserved = isReserved
        self.settings = settings
        self.patterns = .allocate(capacity: patterns.count)
        _ = self.patterns.initialize(from: patterns.map(\.matcher))
        var bits = 6
        while bits < 10 && 1 << bits < threads * 64 { bits += 1 }
        serverShardBits = bits
        createdShardBits = threads > 1 ? 4 : 0
        index = TenantIndex()
        control = Mutex(Control(plans: [.unlimited] + plans.filter { $0.name != "default" }))
        server = Tenant.make(id: Bytes("default" as StaticString), origin: .server)
        nobody = Tenant.make(id: Bytes("nobody" as StaticString), origin: .created)
        _ = index.findOrInsert(Bytes("default" as StaticString)) { server }
        if let plan = plans.first(where: { $0.name == "default" }) {
            control.withLock { $0.plans[0] = plan }
        }
        chargeStructure(server, server.ownSize)
    }

    // MARK: - The request path

    /// Whether keys may name tenants at all.
    @inline(__always)
    public var hasPatterns: Bool { !patterns.isEmpty }

    /// The id of the tenant that `key` names, as a part of the key; nil if no pattern matches or
    /// the key is reserved.
    func tenantID(in key: Bytes) -> Bytes? {
        for index in 0..<patterns.count {
            guard let id = patterns[index].tenant(in: key) else { continue }
            if let isReserved, isReserved(key) { return nil }
            return id
        }
        return nil
    }

    public func find(_ id: Bytes) -> TenantReference? { index.find(id) }

    /// The tenant `id`, made now if nothing has named it before. A key whose id has control
    /// characters names no tenant and is the server's own, because ids appear in lines that
    /// machines read.
    func findOrMakeImplicit(_ id: Bytes) -> TenantReference {
        if let found = index.find(id) { return found }
        guard id.buffer.allSatisfy({ $0 >= 32 && $0 != 127 }) else { return server }
        // Why one critical section: a plan assigned meanwhile is seen here, or finds the tenant.
        return control.withLock { control in
            let plan = control.assignedPlans.isEmpty ? 0 : control.assignedPlans[id.array] ?? 0
            return index.findOrInsert(id) { make(id, .implicit, control, plan: plan) }
        }
    }

    /// A new tenant for the index.
    func make(
        _ id: Bytes, _ origin: Tenant.Origin, _ control: Control, plan: Int
    ) -> TenantReference {
        let tenant = Tenant.make(id: id, origin: origin)
        tenant.store(control.plans[plan].limits, planIndex: plan)
        if let budget = control.departedBudgets.find(id) { tenant.pointee.budget = budget }
        chargeStructure(tenant, tenant.ownSize)
        return tenant
    }

    /// Database `number` of `tenant`, made if it does not exist.
    @inline(__always)
    public func keyspace(_ tenant: TenantReference, _ number: Int) -> KeyspaceReference {
        tenant.keyspace(number) ?? makeKeyspace(tenant, number)
    }

    @inline(never)
    private func makeKeyspace(_ tenant: TenantReference, _ number: Int) -> KeyspaceReference {
        if let made = makeUnlessGone(tenant, number) { return made }
        // The session's tenant was deleted while it ran a command. The session is closed when that
        // ends.
        return makeKeyspace(nobody, number)
    }

    /// Database `number` of the implicit tenant `id`. Makes both if they do not exist.
    func implicitKeyspace(_ id: Bytes, _ number: Int) -> KeyspaceReference {
        while true {  // Bound: a tenant that goes meanwhile is not found in the next turn.
            let tenant = findOrMakeImplicit(id)
            if let keyspace = tenant.keyspace(number) { return keyspace }
            if let keyspace = makeUnlessGone(tenant, number) { return keyspace }
        }
    }

    private func makeUnlessGone(
        _ tenant: TenantReference, _ number: Int
    ) -> KeyspaceReference? {
        let made: UInt = control.withLock { _ in
            if tenant.pointee.isGone { return 0 }
            if let made = tenant.keyspace(number) { return made.address }
            let bits =
                switch tenant.pointee.origin {
                case .server: serverShardBits
                case .created: createdShardBits
                case .implicit: 0
                }
            let keyspace = Keyspace.make(tenant: tenant, number: number, shardBits: bits)
            if observer != nil {
                keyspace.forEachShard(isLocked: true) { $0.pointee.listeners = .observer }
            }
            chargeStructure(tenant, keyspace.structureSize)
            let word = keyspace.address
            tenant.keyspaceWord(number).pointee.store(word, ordering: .releasing)
            return word
        }
        guard let keyspace = KeyspaceReference(address: made) else { return nil }
        // Order: after the control lock was held to publish the keyspace; see `takeBackLeases`.
        tenant.noteLimits(in: keyspace)
        return keyspace
    }

    /// Drops the keyspace of an implicit tenant if it holds no key, and the tenant with its last
    /// keyspace. Called under the lock of the keyspace's only shard.
    ///
    /// Order: the shard's lock, then the control lock, then the index's. No code takes them the
    /// other way round.
    func dropIfEmpty(_ shard: ShardReference) {
        let keyspace = shard.pointee.keyspace
        let tenant = keyspace.pointee.tenant
        guard tenant.pointee.origin == .implicit, shard.pointee.table.count == 0,
            !shard.pointee.isDead, shard.pointee.waiters.isEmpty
        else { return }
        let usage = shard.pointee.usage
        shard.returnLeases()
        let isLast: Bool? = control.withLock { control in
            // Why `isGone`: the thread that deletes the tenant frees its keyspaces, this one
            // included.
            guard tenant.pointee.origin == .implicit, !tenant.pointee.isGone else { return nil }
            shard.pointee.isDead = true
            tenant.keyspaceWord(keyspace.pointee.number).pointee.store(0, ordering: .releasing)
            var remaining = false
            tenant.forEachKeyspace { _ in remaining = true }
            control.departed += usage
            guard !remaining else { return false }
            control.departedCount += 1
            tenant.pointee.isGone = true
            if tenant.hasRates {
                control.departedBudgets.keep(tenant.pointee.budget, of: tenant.id)
            }
            _ = index.remove(tenant.id, tenant: tenant)
            return true
        }
        guard let isLast else { return }
        settle(shard)
        chargeStructure(tenant, -keyspace.structureSize)
        if isLast { retire(tenant) }
        Reclamation.retire(keyspace.raw)
    }

    /// Charges the structures of a tenant or a keyspace, apart from its tables.
    func chargeStructure(_ tenant: TenantReference, _ size: Int) {
        tenant.pointee.settledMemory.wrappingAdd(size, ordering: .relaxed)
        settledMemory.wrappingAdd(size, ordering: .relaxed)
    }

    /// Retires a tenant that no index names any more. It is freed when no thread can read it.
    func retire(_ tenant: TenantReference) {
        settledMemory.wrappingSubtract(tenant.ownSize, ordering: .relaxed)
        // Why no thread lists it again: that happens under the lock of a live shard, and it has
        // none.
        _ = expiring.remove(tenant.id, tenant: tenant)
        Reclamation.retire(tenant.raw)
    }

    /// Adds the change of the shard's memory to the tenant's and the server's counters. Called
    /// under the shard's lock.
    @inline(__always)
    func settle(_ shard: ShardReference) {
        let change = shard.pointee.table.allocatedSize - shard.pointee.settledSize
        guard change != 0 else { return }
        shard.pointee.settledSize += change
        shard.tenant.pointee.settledMemory.wrappingAdd(change, ordering: .relaxed)
        settledMemory.wrappingAdd(change, ordering: .relaxed)
    }
}
