// SPDX-License-Identifier: Apache-2.0
import Base
import Glibc
import Synchronization
import Tenancy

// The control plane: what TENANT commands, directives and records do to tenants.
extension TenantRegistry {
    public enum Refusal: Error, Equatable, Sendable {
        case exists, missing, unknownPlan, badID, secretInUse, notCreated
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
        guard TenantRegistry.isAcceptable(id) else { throw .badID }
        let named = try plan.map { name throws(Refusal) in try planIndex(name) }
        // Why one critical section: two creators must not both succeed, and no session may find by
        // its secret a tenant that still goes with its last key.
        let tenant = try control.withLock { control throws(Refusal) in
            if let found = id.withBytes({ find($0) }), found.pointee.origin != .implicit {
                throw .exists
            }
            if let secretDigest { try control.enter(secretDigest, for: id) }
            let plan = named ?? control.assignedPlans[id] ?? 0
            let tenant = id.withBytes { id in
                index.findOrInsert(id) { make(id, .created, control, plan: plan) }
            }
            tenant.pointee.origin = .created
            tenant.store(control.plans[plan].limits, planIndex: plan)
            return tenant
        }
        noteNewLimits(of: tenant)
    }

    /// Sets the plan of a tenant, or of one that keys named and that has gone with a used budget:
    /// else it could come back only as used up as it went.
    public func setPlan(id: [UInt8], plan: String) throws(Refusal) {
        let index = try planIndex(plan)
        let tenant = try control.withLock { control throws(Refusal) -> TenantReference? in
            let tenant = id.withBytes { find($0) }
            guard tenant != nil || control.hasDeparted(id) else { throw .missing }
            if tenant == nil || tenant?.pointee.origin == .implicit {
                control.assign(index, to: id)
            }
            tenant?.store(control.plans[index].limits, planIndex: index)
            return tenant
        }
        if let tenant { noteNewLimits(of: tenant) }
    }

    /// The name of the plan that `setPlan` changes; nil if there is none to change.
    public func planName(of id: [UInt8]) -> String? {
        control.withLock { control in
            if let tenant = id.withBytes({ find($0) }) {
                return control.plans[tenant.pointee.planIndex.value].name
            }
            return control.hasDeparted(id)
                ? control.plans[control.assignedPlans[id] ?? 0].name : nil
        }
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
        let changed = control.withLock { control -> TenantReference? in
            let before = control.assignedPlans[id]
            control.assignedPlans[id] = plan == nil ? nil : index
            guard plan != nil || before != nil, let tenant = id.withBytes({ find($0) }),
                tenant != server, tenant.pointee.planIndex.value != index
            else { return nil }
            tenant.store(control.plans[index].limits, planIndex: index)
            return tenant
        }
        if let changed { noteNewLimits(of: changed) }
    }

    private func noteNewLimits(of tenant: TenantReference) {
        tenant.takeBackLeases()
        guard tenant.pointee.connections.load(ordering: .relaxed) > 0 else { return }
        let observer = limitsObserver.withLock { $0 }
        observer?()
    }

    /// The number of undeclared plans that are logged.
    private static var unknownPlansMax: Int { 100 }

    /// Replaces the tenant's secret, or removes it if `digest` is nil.
    public func setSecret(id: [UInt8], digest: [UInt8]?) throws(Refusal) {
        try control.withLock { control throws(Refusal) in
            guard let tenant = id.withBytes({ find($0) }) else { throw .missing }
            guard tenant.pointee.origin == .created else { throw .notCreated }
            guard let digest else { return control.forgetSecret(of: id) }
            try control.enter(digest, for: id)
        }
    }

    public func tenant(secretDigest: [UInt8]) -> TenantReference? {
        control.withLock { control in
            guard let id = control.secrets[secretDigest], let tenant = id.withBytes({ find($0) })
            else { return nil }
            // Why: other tenants go without closing sessions.
            return tenant.pointee.origin == .created ? tenant : nil
        }
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

    func planIndex(_ name: String?) throws(Refusal) -> Int {
        guard let name else { return 0 }
        let index = control.withLock { control in
            control.plans.firstIndex { $0.name == name }
        }
        guard let index else { throw .unknownPlan }
        return index
    }
}

extension TenantRegistry.Control {
    mutating func enter(
        _ digest: [UInt8], for id: [UInt8]
    ) throws(TenantRegistry.Refusal) {
        try check(digest, for: id)
        forgetSecret(of: id)
        secrets[digest] = id
        digests[id] = digest
    }

    /// Throws if another tenant has the secret.
    func check(_ digest: [UInt8]?, for id: [UInt8]) throws(TenantRegistry.Refusal) {
        guard let digest, let holder = secrets[digest], holder != id else { return }
        throw .secretInUse
    }

    mutating func forgetSecret(of id: [UInt8]) {
        if let digest = digests.removeValue(forKey: id) { secrets[digest] = nil }
    }

    /// Remembers the plan of an implicit tenant, however often it comes and goes.
    mutating func assign(_ plan: Int, to id: [UInt8]) {
        assignedPlans[id] = plan == 0 ? nil : plan
    }

    /// Whether an implicit tenant `id` is gone whose use of the day counts when it comes back.
    func hasDeparted(_ id: [UInt8]) -> Bool {
        id.withBytes { departedBudgets.find($0) } != nil
    }
}
