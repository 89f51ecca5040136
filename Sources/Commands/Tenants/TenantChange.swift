// SPDX-License-Identifier: Apache-2.0
import Base
import Storage

/// A change of a tenant that TENANT CREATE, DELETE, PLAN or SECRET asks for.
///
/// It is checked, then written to the tenants file, and only then applied: a client that gets an
/// error finds nothing changed, and a change that was answered survives a crash. The command's
/// session waits meanwhile. One thread makes all changes, so what was checked holds when the
/// change is applied.
///
/// Why a class: a session's suspension holds it in one word.
public final class TenantChange: Equatable, Sendable {
    public enum Kind: Equatable, Sendable {
        case create(plan: String?, secretDigest: [UInt8]?)
        case setPlan(String)
        case setSecret(digest: [UInt8]?)
        case delete
    }

    public let id: [UInt8]
    public let kind: Kind
    /// The secret that the server made, which the reply shows.
    public let madeSecret: String?

    public init(_ id: [UInt8], _ kind: Kind, madeSecret: String? = nil) {
        self.id = id
        self.kind = kind
        self.madeSecret = madeSecret
    }

    public static func == (left: TenantChange, right: TenantChange) -> Bool {
        left.id == right.id && left.kind == right.kind && left.madeSecret == right.madeSecret
    }

    /// The digest of the secret that the tenant gets.
    public var newDigest: [UInt8]? {
        switch kind {
        case .create(_, let digest), .setSecret(let digest): digest
        case .setPlan, .delete: nil
        }
    }

    /// What a check finds.
    public enum Verdict: Equatable, Sendable {
        /// An error reply.
        case refused(String)
        /// Allowed. The tenant does not outlive the process, so nothing is written.
        case unwritten
        /// Allowed, and this is to be kept.
        case kept(TenantRegistry.Kept)
        /// Allowed, and the tenant is to be forgotten.
        case forgotten
    }

    /// Whether the change is possible. Changes nothing.
    public func check(_ registry: TenantRegistry) -> Verdict {
        do throws(TenantRegistry.Refusal) {
            switch kind {
            case .create(let plan, let digest):
                return .kept(try registry.checkCreation(id, plan: plan, secretDigest: digest))
            case .setPlan(let plan):
                return try registry.checkPlan(id, plan).map { .kept($0) } ?? .unwritten
            case .setSecret(let digest): return .kept(try registry.checkSecret(id, digest))
            case .delete:
                guard id != registry.server.id.array else { return .refused(TENANT.ownTenant) }
                return try registry.checkDeletion(id) ? .forgotten : .unwritten
            }
        } catch {
            return .refused(TENANT.text(of: error))
        }
    }

    /// Makes the change. Returns an error reply, or nil.
    public func apply(_ registry: TenantRegistry, _ server: any ServerControl) -> String? {
        do throws(TenantRegistry.Refusal) {
            switch kind {
            case .create(let plan, let digest):
                try registry.create(id: id, plan: plan, secretDigest: digest)
            case .setPlan(let plan): try registry.setPlan(id: id, plan: plan)
            case .setSecret(let digest): try registry.setSecret(id: id, digest: digest)
            case .delete: return delete(registry, server)
            }
        } catch {
            return TENANT.text(of: error)
        }
        return nil
    }

    private func delete(_ registry: TenantRegistry, _ server: any ServerControl) -> String? {
        // Why all threads stand still: no session may join the tenant before it is deleted. Why it
        // is looked for inside: while this thread waits, a tenant that keys named may go and come.
        server.whileStandingStill {
            guard let tenant = id.withBytes({ registry.find($0) }) else { return TENANT.missing }
            guard tenant != registry.server else { return TENANT.ownTenant }
            server.closeSessions(of: tenant)
            do throws(TenantRegistry.Refusal) { try registry.delete(tenant) } catch {
                return TENANT.text(of: error)
            }
            return nil
        }
    }
}
