// SPDX-License-Identifier: Apache-2.0
import Base
import Glibc
import Synchronization
import Tenancy

/// All tenants of the server, by id and by secret; the plans; the key patterns that name tenants.
///
/// Threads: lookups by id come from the path of a request and go through `TenantIndex`. All else is
/// the control plane, under one mutex.
public final class TenantRegistry: Sendable {
    /// The tenant of sessions that have none of their own.
    // Safety: this one and the next are made in init and never freed; what changes in a tenant is
    // atomic, or guarded as its fields say.
    nonisolated(unsafe) public let server: TenantReference
    /// Who takes over the sessions of a tenant that is deleted, until they are closed: it has
    /// nothing and no index names it.
    nonisolated(unsafe) public let nobody: TenantReference
    public let settings: SettingsReference
    /// Patterns by which keys name their tenants; fixed at start.
    // Safety: written once in init, then only read.
    nonisolated(unsafe) let patterns: UnsafeMutableBufferPointer<KeyMatcher>
    /// Keys that a pattern may match and that are the server's own all the same: those of records.
    let isReserved: (@Sendable (Bytes) -> Bool)?
    let index: TenantIndex
    let control: Mutex<Control>
    /// Bytes of all tenants' tables and structures, as far as settled.
    public let settledMemory = Atomic<Int>(0)
    /// Bytes that the process has allocated beside these: buffers, connections, itself. Measured
    /// now and then.
    let otherMemory = Atomic<Int>(0)
    let otherMemoryMeasuredAt = Atomic<Int64>(0)
    /// Of 2^bits shards: the default keyspaces, and those of tenants that were created.
    let serverShardBits: Int
    let createdShardBits: Int

    struct Control: Sendable {
        var plans: [Plan]
        /// Digest of a secret to the id of its tenant, and the other way round.
        var secrets: [[UInt8]: [UInt8]] = [:]
        var digests: [[UInt8]: [UInt8]] = [:]
        /// Plans of tenants that keys alone name, by id, whether there is such a key or not: what
        /// records assigned and what TENANT PLAN set. Rows and administrators make them, so clients
        /// cannot fill memory with them.
        var assignedPlans: [[UInt8]: Int] = [:]
        /// Plans that records named and no directive declares.
        var unknownPlans: Set<String> = []
        /// Usage of tenants that are gone, so that sums over all tenants stay exact.
        var departed = Usage()
        var departedCount = 0
        var departedBudgets = DepartedBudgets()
    }

    /// `threads`: how many threads will serve requests; the default keyspaces get shards to match.
    public init(
        settings: SettingsReference, plans: [Plan], patterns: [KeyPattern], threads: Int,
        isReserved: (@Sendable (Bytes) -> Bool)? = nil
    ) {
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

    // MARK: - The path of a request

    /// Whether keys may name tenants at all.
    @inline(__always)
    public var hasPatterns: Bool { !patterns.isEmpty }

    /// The tenant that `key` names by a pattern, as a part of the key; nil where none matches.
    func tenantID(in key: Bytes) -> Bytes? {
        for index in 0..<patterns.count {
            guard let id = patterns[index].tenant(in: key) else { continue }
            if let isReserved, isReserved(key) { return nil }
            return id
        }
        return nil
    }

    public func find(_ id: Bytes) -> TenantReference? { index.find(id) }

    /// The tenant `id`; one that only keys have named so far is made here. Control characters name
    /// nobody, so that key is the server's own: an id stands in lines that are read by machines.
    func findOrMakeImplicit(_ id: Bytes) -> TenantReference {
        if let found = index.find(id) { return found }
        guard id.buffer.allSatisfy({ $0 >= 32 && $0 != 127 }) else { return server }
        let plan = planForNewTenant(id)
        let tenant = index.findOrInsert(id) {
            let tenant = Tenant.make(id: id, origin: .implicit)
            tenant.apply(plan.limits, planIndex: plan.index)
            if let budget = plan.budget { tenant.pointee.budget = budget }
            chargeStructure(tenant, tenant.ownSize)
            return tenant
        }
        // Order: a record that was read between the two looks found no tenant to give its plan to.
        let newest = planForNewTenant(id)
        if newest.index != plan.index, tenant.pointee.origin == .implicit {
            tenant.apply(newest.limits, planIndex: newest.index)
        }
        return tenant
    }

    private func planForNewTenant(
        _ id: Bytes
    ) -> (limits: Limits, index: Int, budget: Budget?) {
        control.withLock { control in
            let index = control.assignedPlans.isEmpty ? 0 : control.assignedPlans[id.array] ?? 0
            return (control.plans[index].limits, index, control.departedBudgets.find(id))
        }
    }

    /// Database `number` of `tenant`, made where it does not exist.
    @inline(__always)
    public func keyspace(_ tenant: TenantReference, _ number: Int) -> KeyspaceReference {
        tenant.keyspace(number) ?? makeKeyspace(tenant, number)
    }

    @inline(never)
    private func makeKeyspace(_ tenant: TenantReference, _ number: Int) -> KeyspaceReference {
        if let made = makeUnlessGone(tenant, number) { return made }
        // A session whose tenant was deleted while it ran a command: it is closed when that ends.
        return makeKeyspace(nobody, number)
    }

    /// Database `number` of the tenant `id` that keys name. Both are made where they do not exist.
    func implicitKeyspace(_ id: Bytes, _ number: Int) -> KeyspaceReference {
        while true {  // Bound: a tenant that goes meanwhile is no longer found in the next turn.
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
            if let made = tenant.keyspace(number) { return UInt(bitPattern: made) }
            let bits =
                switch tenant.pointee.origin {
                case .server: serverShardBits
                case .created: createdShardBits
                case .implicit: 0
                }
            let keyspace = Keyspace.make(tenant: tenant, number: number, shardBits: bits)
            chargeStructure(tenant, keyspace.structureSize)
            let word = UInt(bitPattern: keyspace)
            tenant.keyspaceWord(number).pointee.store(word, ordering: .releasing)
            return word
        }
        return KeyspaceReference(bitPattern: made)
    }

    /// Called under the lock of the only shard of an implicit tenant's keyspace that holds no key:
    /// drops the keyspace, and the tenant with its last one.
    ///
    /// Order: the shard's lock, then the control lock, then the index's. Nobody takes them the
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
            guard tenant.pointee.origin == .implicit else { return nil }
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
            _ = index.remove(tenant.id, tenant: tenant) { true }
            return true
        }
        guard let isLast else { return }
        settle(shard)
        chargeStructure(tenant, -keyspace.structureSize)
        if isLast { retire(tenant) }
        Reclamation.retire(UnsafeMutableRawPointer(keyspace))
    }

    /// Charges what a tenant or a keyspace is made of, beside its tables.
    func chargeStructure(_ tenant: TenantReference, _ size: Int) {
        tenant.pointee.settledMemory.wrappingAdd(size, ordering: .relaxed)
        settledMemory.wrappingAdd(size, ordering: .relaxed)
    }

    /// Frees a tenant that no index names any more, when nobody can be looking at it.
    func retire(_ tenant: TenantReference) {
        settledMemory.wrappingSubtract(tenant.ownSize, ordering: .relaxed)
        Reclamation.retire(UnsafeMutableRawPointer(tenant))
    }

    /// Tells the tenant and the server what the shard's memory has become. Under the shard's lock.
    @inline(__always)
    func settle(_ shard: ShardReference) {
        let change = shard.pointee.table.allocatedSize - shard.pointee.settledSize
        guard change != 0 else { return }
        shard.pointee.settledSize += change
        shard.tenant.pointee.settledMemory.wrappingAdd(change, ordering: .relaxed)
        settledMemory.wrappingAdd(change, ordering: .relaxed)
    }
}
