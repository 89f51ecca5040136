// SPDX-License-Identifier: Apache-2.0
import Base
import Tenancy

// What is kept of created tenants across restarts, and whether a change is possible, before it is
// written and made. Only one thread changes created tenants, so what is found here holds until it
// makes the change.
extension TenantRegistry {
    /// What is kept of a created tenant.
    public struct Kept: Equatable, Sendable {
        public var id: [UInt8]
        public var plan: String
        public var secretDigest: [UInt8]?
    }

    /// All created tenants, in the order of their ids.
    public var keptTenants: [Kept] {
        let digests = control.withLock { $0.digests }
        return describeAll().compactMap { tenant in
            guard tenant.origin == .created else { return nil }
            return Kept(id: tenant.id, plan: tenant.plan, secretDigest: digests[tenant.id])
        }
    }

    /// What `create` would make, or why it would refuse.
    public func checkCreation(
        _ id: [UInt8], plan: String?, secretDigest: [UInt8]?
    ) throws(Refusal) -> Kept {
        guard TenantRegistry.isAcceptable(id) else { throw .badID }
        let named = try plan.map { name throws(Refusal) in try planIndex(name) }
        return try control.withLock { control throws(Refusal) in
            if let found = id.withBytes({ find($0) }), found.pointee.origin != .implicit {
                throw .exists
            }
            try control.check(secretDigest, for: id)
            let plan = named ?? control.assignedPlans[id] ?? 0
            return Kept(id: id, plan: control.plans[plan].name, secretDigest: secretDigest)
        }
    }

    /// What is kept of the tenant after `setPlan`; nil for a tenant that goes with its keys.
    public func checkPlan(_ id: [UInt8], _ plan: String) throws(Refusal) -> Kept? {
        _ = try planIndex(plan)
        return try control.withLock { control throws(Refusal) in
            let tenant = id.withBytes { find($0) }
            guard tenant != nil || control.hasDeparted(id) else { throw .missing }
            guard tenant?.pointee.origin == .created else { return nil }
            return Kept(id: id, plan: plan, secretDigest: control.digests[id])
        }
    }

    /// What is kept of the tenant after `setSecret`.
    public func checkSecret(_ id: [UInt8], _ digest: [UInt8]?) throws(Refusal) -> Kept {
        try control.withLock { control throws(Refusal) in
            guard let tenant = id.withBytes({ find($0) }) else { throw .missing }
            guard tenant.pointee.origin == .created else { throw .notCreated }
            try control.check(digest, for: id)
            let plan = control.plans[tenant.pointee.planIndex.value].name
            return Kept(id: id, plan: plan, secretDigest: digest)
        }
    }

    /// Whether the tenant is one of those that are kept.
    public func checkDeletion(_ id: [UInt8]) throws(Refusal) -> Bool {
        guard let tenant = id.withBytes({ find($0) }) else { throw .missing }
        return tenant.pointee.origin == .created
    }

    static func isAcceptable(_ id: [UInt8]) -> Bool {
        !id.isEmpty && id.count <= KeyPattern.tenantSizeMax
            && id.allSatisfy { ASCII.isPrintable($0) && $0 != 32 }
    }
}
