// SPDX-License-Identifier: Apache-2.0
import Base
import Glibc
import Synchronization
import Tenancy

// What TENANT commands, directives and records do to tenants.
extension TenantRegistry {
    public enum Refusal: Error, Equatable, Sendable {
        case exists, missing, unknownPlan, badID, secretInUse
    }

    /// What can be said of a tenant without counting.
    public struct Description: Sendable {
        public var id: [UInt8]
        public var plan: String
        public var origin: Tenant.Origin
        public var limits: Limits
    }

    public var planNames: [String] { control.withLock { $0.plans.map(\.name) } }

    public func plan(named name: String) -> Plan? {
        control.withLock { $0.plans.first { $0.name == name } }
    }

    /// Creates a tenant, or takes over one that keys have named.
    public func create(id: [UInt8], plan: String?, secretDigest: [UInt8]?) throws(Refusal) {
        guard !id.isEmpty, id.count <= KeyPattern.tenantSizeMax,
            id.allSatisfy({ ASCII.isPrintable($0) && $0 != 32 })
        else { throw .badID }
        let index = try planIndex(plan)
        if let existing = id.withBytes({ find($0) }), existing.pointee.origin != .implicit {
            throw .exists
        }
        if let secretDigest { try enter(secretDigest, for: id) }
        var tenant: TenantReference
        repeat {  // Bound: a tenant that goes meanwhile is no longer found in the next turn.
            tenant = id.withBytes { findOrMakeImplicit($0) }
        } while !takeOver(tenant)
        tenant.apply(limits(index), planIndex: index)
    }

    /// Makes an implicit tenant one that stays. False where it has gone.
    private func takeOver(_ tenant: TenantReference) -> Bool {
        // Safety: the pointer is good until this thread's tick ends; the closure does not keep it.
        nonisolated(unsafe) let tenant = tenant
        return control.withLock { _ in
            guard !tenant.pointee.isGone else { return false }
            tenant.pointee.origin = .created
            return true
        }
    }

    public func setPlan(id: [UInt8], plan: String) throws(Refusal) {
        let index = try planIndex(plan)
        guard let tenant = id.withBytes({ find($0) }) else { throw .missing }
        tenant.apply(limits(index), planIndex: index)
    }

    /// What a record's plan column says: applied now if the tenant exists, else when a key first
    /// names it. A plan that no directive declares is ignored with a line in the log.
    public func assignPlan(id: [UInt8], plan: String) {
        guard let index = try? planIndex(plan) else {
            return Log.standard.write(
                .warning, "a record names plan '\(plan)', which no tenant-plan directive declares")
        }
        if let tenant = id.withBytes({ find($0) }) {
            if tenant.pointee.planIndex.value != index {
                tenant.apply(limits(index), planIndex: index)
            }
        } else {
            control.withLock { $0.assignedPlans[id] = index }
        }
    }

    /// Replaces the tenant's secret, or takes it away with nil.
    public func setSecret(id: [UInt8], digest: [UInt8]?) throws(Refusal) {
        guard id.withBytes({ find($0) }) != nil else { throw .missing }
        control.withLock { control in
            control.secrets = control.secrets.filter { $0.value != id }
        }
        if let digest { try enter(digest, for: id) }
    }

    public func tenant(secretDigest: [UInt8]) -> TenantReference? {
        guard let id = control.withLock({ $0.secrets[secretDigest] }) else { return nil }
        return id.withBytes { find($0) }
    }

    public var hasSecrets: Bool { control.withLock { !$0.secrets.isEmpty } }

    public func secretDigest(of id: [UInt8]) -> [UInt8]? {
        control.withLock { control in control.secrets.first { $0.value == id }?.key }
    }

    /// Deletes the tenant and frees all that it had. The caller has ended its sessions.
    public func delete(id: [UInt8]) throws(Refusal) {
        guard let tenant = id.withBytes({ find($0) }), tenant.pointee.origin != .server else {
            throw .missing
        }
        control.withLock { control in
            control.secrets = control.secrets.filter { $0.value != id }
        }
        nonisolated(unsafe) let gone = tenant
        let isMine = control.withLock { _ in
            guard !gone.pointee.isGone else { return false }
            gone.pointee.isGone = true
            return id.withBytes { index.remove($0, tenant: gone) { true } }
        }
        guard isMine else { throw .missing }
        tenant.forEachKeyspace { keyspace in
            tenant.pointee.keyspaceWords[keyspace.pointee.number].store(0, ordering: .releasing)
            for number in 0..<keyspace.shardCount {
                let shard = keyspace.shard(at: number)
                shard.acquire()
                shard.pointee.isDead = true
                shard.abandonWatchers()
                shard.pointee.table.freeAll()
                settle(shard)
                let usage = shard.pointee.usage
                control.withLock { $0.departed += usage }
                shard.release()
            }
            chargeStructure(tenant, -keyspace.structureSize)
            Reclamation.retire(UnsafeMutableRawPointer(keyspace.pointee.shards))
            Reclamation.retire(UnsafeMutableRawPointer(keyspace))
        }
        control.withLock { $0.departedCount += 1 }
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

    /// Calls `body` with every tenant; no lock is held meanwhile.
    public func forEachTenant(_ body: (TenantReference) -> Void) { index.forEach(body) }

    public var tenantCount: Int { index.count }

    /// What tenants that are gone had used, and how many they were.
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
            control.secrets[digest] = id
            return true
        }
        guard entered else { throw .secretInUse }
    }
}
