// SPDX-License-Identifier: Apache-2.0
import Base
import Commands
import Storage
import Synchronization

// Tenants that outlive the process: those in the configuration, and those in the file of created
// tenants.
extension Server {
    /// Creates the tenants in the configuration, then those in the file. The configuration wins for
    /// a tenant in both.
    func loadTenants() throws(StartError) {
        for tenant in configuration.tenantLines { try load(tenant, place: "tenant \(tenant.id)") }
        let declared = Set(configuration.tenantLines.map(\.id))
        for (tenant, place) in try TenantFile.load(configuration.tenantsPath)
        where !declared.contains(tenant.id) {
            try load(tenant, place: place)
        }
        try checkPassword()
        refreshPasswordRequired()
    }

    /// The digest of the password; nil if there is none.
    var passwordDigest: [UInt8]? {
        let password = configuration.text("requirepass")
        return password.isEmpty ? nil : Secret.digest(Array(password.utf8))
    }

    /// Throws if a tenant's secret is also the password: that tenant would administer the server.
    private func checkPassword() throws(StartError) {
        guard let digest = passwordDigest, let tenant = registry.tenant(secretDigest: digest)
        else { return }
        let id = String(decoding: tenant.id.array, as: UTF8.self)
        throw .message("requirepass: it is the secret of tenant '\(id)' too")
    }

    private func load(_ tenant: TenantLine, place: String) throws(StartError) {
        do throws(TenantRegistry.Refusal) {
            try registry.create(
                id: Array(tenant.id.utf8), plan: tenant.plan, secretDigest: tenant.secretDigest)
        } catch {
            throw .message("\(place): \(TENANT.text(of: error).dropFirst("ERR ".count))")
        }
    }

    /// Makes sessions begin unauthenticated if there is a secret or a password to authenticate
    /// with.
    func refreshPasswordRequired() {
        // Why a lock: of two concurrent calls the later one must also have looked later.
        passwordRequiredLock.withLock { _ in
            let isRequired = registry.hasSecrets || !configuration.text("requirepass").isEmpty
            settings.values.pointee.passwordRequired.set(isRequired ? 1 : 0)
        }
        settings.values.pointee.rightsGeneration.wrappingAdd(1, ordering: .relaxed)
    }

    public func makeSecret() -> String { Secret.make() }
}
