// SPDX-License-Identifier: Apache-2.0
import Base
import Glibc
import Synchronization
import Tenancy

// The control plane: what TENANT commands, directives and records do to tenants.
extension TenantRegistry {
    public enum Refusal: Error, Equatable, Sendable {
        case exists, missing, unknownPlan, badID, secretInUse
    }

    /// What is known of a tenant without counting.
    public struct Description: Sendable {
        public var id: [UInt8]
        public var plan: String
        public var origin: Tenant.Origin
        public var limits: Limits
    }

    public var planNames: [String] { control.withLock { $0.plans.map(\.name) } }

    /// Creates a tenant, or takes over one that keys have named.
    public func create(id: [UInt8], plan: String?, secretDigest: [UInt8]?) throws(Refusal) {
        guard !id.isEmpty, id.count <= KeyPattern.tenantSizeMax,
            id.allSatisfy({ ASCII.isPrintable($0) && $0 != 32 })
        else { throw .badID }
        let named = try planIndex(plan)
        let index = plan == nil ? control.withLock { $0.assignedPlans[id] ?? named } : named
        if let existing = id.withBytes({ find($0) }), existing.pointee.origin != .implicit {
            throw .exists
        }
        if let secretDigest { try enter(secretDigest, for: id) }
        var tenant: TenantReference
        repeat {  // Bound: a tenant that goes meanwhile is not found in the next turn.
            tenant = id.withBytes { findOrMakeImplicit($0) }
        } while !takeOver(tenant)
        tenant.apply(limits(index), planIndex: index)
    }

    /// Makes an implicit tenant permanent. Returns false if it is gone.
    private func takeOver(_ tenant: TenantReference) -> Bool {
        control.withLock { _ in
            guard !tenant.pointee.isGone else { return false }
            tenant.pointee.origin = .created
            return true
        }
    }

    public func setPlan(id: [UInt8], plan: String) throws(Refusal) {
        let index = try planIndex(plan)
        guard let tenant = id.withBytes({ find($0) }) else { throw .missing }
        if tenant.pointee.origin == .implicit { control.withLock { $0.assign(index, to: id) } }
        tenant.apply(limits(index), planIndex: index)
    }

    /// Assigns the plan of a record's plan column: now if the tenant exists, and whenever a key
    /// names it anew. Nil, an empty column, revokes the assignment. A plan that no directive
    /// declares is ignored and logged.
    public func assignPlan(id: [UInt8], plan: String?) {
        guard id.count <= KeyPattern.tenantSizeMax else { return }
        guard let index = try? planIndex(plan) else {
            let isNews = control.withLock { control in
                control.unknownPlans.count < TenantRegistry.unknownPlansMax
                    && control.unknownPlans.insert(plan ?? "").inserted
            }
            guard isNews else { return }
            return Log.standard.write(
                .warning,
                "a record names plan '\(plan ?? "")', which no tenant-plan directive declares")
        }
        let hasChanged = control.withLock { control in
            let before = control.assignedPlans[id]
            control.assignedPlans[id] = plan == nil ? nil : index
            return plan != nil || before != nil
        }
        guard hasChanged, let tenant = id.withBytes({ find($0) }), tenant != server,
            tenant.pointee.planIndex.value != index
        else { return }
        tenant.apply(limits(index), planIndex: index)
    }

    /// The number of undeclared plans that are logged.
    private static var unknownPlansMax: Int { 100 }

    /// Replaces the tenant's secret, or removes it if `digest` is nil.
    public func setSecret(id: [UInt8], digest: [UInt8]?) throws(Refusal) {
        guard id.withBytes({ find($0) }) != nil else { throw .missing }
        if let digest { return try enter(digest, for: id) }
        control.withLock { $0.forgetSecret(of: id) }
    }

    public func tenant(secretDigest: [UInt8]) -> TenantReference? {
        guard let id = control.withLock({ $0.secrets[secretDigest] }) else { return nil }
        return id.withBytes { find($0) }
    }

    public var hasSecrets: Bool { control.withLock { !$0.secrets.isEmpty } }

    public func secretDigest(of id: [UInt8]) -> [UInt8]? {
        control.withLock { $0.digests[id] }
    }

    /// Deletes the tenant; the reclaimer's thread frees its keys. The caller found the tenant in
    /// this tick and has already ended its sessions.
    ///
    /// Why a tenant and no id: the id may name another one by now, whose sessions go on.
    public func delete(_ tenant: TenantReference) throws(Refusal) {
        guard tenant.pointee.origin != .server else { throw .missing }
        let id = tenant.id.array
        let isMine = control.withLock { control in
            guard !tenant.pointee.isGone else { return false }
            tenant.pointee.isGone = true
            control.forgetSecret(of: id)
            control.assignedPlans[id] = nil
            control.departedCount += 1
            return id.withBytes { index.remove($0, tenant: tenant) }
        }
        guard isMine else { throw .missing }
        tenant.forEachKeyspace { keyspace in
            tenant.keyspaceWord(keyspace.pointee.number).pointee.store(0, ordering: .releasing)
            for number in 0..<keyspace.shardCount {
                let shard = keyspace.shard(at: number)
                shard.acquire()
                shard.pointee.isDead = true
                chargeStructure(tenant, -shard.letGoOfWaiters())
                observer?.willChange(.table(shard.pointee.table), in: shard)
                Reclaimer.shared.free(shard.takeTable())
                observer?.didEmpty(shard, .tenantDeleted)
                settle(shard)
                let usage = shard.pointee.usage
                control.withLock { $0.departed += usage }
                shard.release()
            }
            chargeStructure(tenant, -keyspace.structureSize)
            Reclamation.retire(keyspace.raw)
        }
        retire(tenant)
    }

    /// All tenants, the server's own first.
    public func describeAll() -> [Description] {
        var all: [Description] = []
        let names = planNames
        index.forEach { all.append(TenantRegistry.describe($0, names)) }
        return all.sorted { left, right in
            if (left.origin == .server) != (right.origin == .server) {
                return left.origin == .server
            }
            return left.id.lexicographicallyPrecedes(right.id)
        }
    }

    public func describe(_ tenant: TenantReference) -> Description {
        TenantRegistry.describe(tenant, planNames)
    }

    private static func describe(_ tenant: TenantReference, _ names: [String]) -> Description {
        Description(
            id: tenant.id.array, plan: names[tenant.pointee.planIndex.value],
            origin: tenant.pointee.origin, limits: tenant.limits)
    }

    /// Calls `body` with every tenant, without holding a lock.
    public func forEachTenant(_ body: (TenantReference) -> Void) { index.forEach(body) }

    /// Whether the databases of `viewer`'s sessions combine the keyspaces of many tenants.
    public func isMadeOfTenants(_ viewer: TenantReference) -> Bool {
        hasPatterns && viewer == server
    }

    /// Calls `body` with every tenant whose keys a session of `viewer` sees, its own first.
    public func forEachTenant(
        inSightOf viewer: TenantReference, _ body: (TenantReference) -> Void
    ) {
        body(viewer)
        guard isMadeOfTenants(viewer) else { return }
        forEachTenant { if $0 != viewer { body($0) } }
    }

    public var tenantCount: Int { index.count }

    /// The usage of tenants that are gone, and their number.
    public var departed: (usage: Usage, count: Int) {
        control.withLock { ($0.departed, $0.departedCount) }
    }

    private func limits(_ index: Int) -> Limits { control.withLock { $0.plans[index].limits } }

    private func planIndex(_ name: String?) throws(Refusal) -> Int {
        guard let name else { return 0 }
        let index = control.withLock { control in
            control.plans.firstIndex { $0.name == name }
        }
        guard let index else { throw .unknownPlan }
        return index
    }

    private func enter(_ digest: [UInt8], for id: [UInt8]) throws(Refusal) {
        let entered = control.withLock { control in
            if let holder = control.secrets[digest], holder != id { return false }
            control.forgetSecret(of: id)
            control.secrets[digest] = id
            control.digests[id] = digest
            return true
        }
        guard entered else { throw .secretInUse }
    }
}

extension TenantRegistry.Control {
    mutating func forgetSecret(of id: [UInt8]) {
        if let digest = digests.removeValue(forKey: id) { secrets[digest] = nil }
    }

    /// Remembers the plan of an implicit tenant, however often it comes and goes.
    mutating func assign(_ plan: Int, to id: [UInt8]) {
        assignedPlans[id] = plan == 0 ? nil : plan
    }
}
