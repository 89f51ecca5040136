// SPDX-License-Identifier: Apache-2.0
import Base
import Commands
import Storage
import Synchronization

// Tenants that outlive the process: those in the configuration, and those in the file that TENANT
// commands write.
extension Server {
    private static let heading =
        "# Tenants made by TENANT CREATE. Written by the server; secrets are kept as SHA-256 "
        + "digests.\n"

    /// Creates the tenants in the configuration, then those in the file. The configuration wins for
    /// a tenant in both.
    func loadTenants() throws(StartError) {
        for tenant in configuration.tenantLines { try load(tenant, place: "tenant \(tenant.id)") }
        let path = configuration.tenantsPath
        let content: [UInt8]
        do throws(TextFile.Failure) { content = try TextFile.read(path) } catch {
            guard error.isMissing else { throw .message("\(path): \(error.reason)") }
            try checkPassword()
            return refreshPasswordRequired()
        }
        let declared = Set(configuration.tenantLines.map(\.id))
        for (index, line) in content.split(separator: 10, omittingEmptySubsequences: false)
            .enumerated()
        {
            let place = "\(path):\(index + 1)"
            guard let words = ConfigurationText.words(line) else {
                throw .message("\(place): a quote is not closed")
            }
            guard let name = words.first, !name.hasPrefix("#") else { continue }
            guard name == "tenant" else { throw .message("\(place): unknown word '\(name)'") }
            let tenant: TenantLine
            do throws(Directive.Unacceptable) {
                tenant = try TenantLine(Array(words.dropFirst()))
            } catch {
                throw .message("\(place): \(error.reason)")
            }
            // Why an invalid line is an error: if it were skipped, the next TENANT CREATE would
            // write the file without it.
            if !declared.contains(tenant.id) { try load(tenant, place: place) }
        }
        try checkPassword()
        refreshPasswordRequired()
    }

    /// Throws if a tenant's secret is also the password: that tenant would administer the server.
    private func checkPassword() throws(StartError) {
        let password = Array(configuration.text("requirepass").utf8)
        guard !password.isEmpty,
            let tenant = registry.tenant(secretDigest: Secret.digest(password))
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

    /// Writes the tenants made by TENANT CREATE to the file. Returns an error text without "ERR",
    /// or nil.
    public func saveTenants() -> String? {
        refreshPasswordRequired()
        let declared = Set(configuration.tenantLines.map(\.id))
        let plans = Set(registry.planNames)
        return tenantsFileLock.withLock { _ -> String? in
            var text = Server.heading
            for tenant in registry.describeAll() where tenant.origin == .created {
                let id = String(decoding: tenant.id, as: UTF8.self)
                guard !declared.contains(id) else { continue }
                let line = TenantLine(
                    id: id, plan: plans.contains(tenant.plan) ? tenant.plan : nil,
                    secretDigest: registry.secretDigest(of: tenant.id))
                text += ConfigurationText.line(["tenant"] + line.words) + "\n"
            }
            let path = configuration.tenantsPath
            do throws(TextFile.Failure) { try TextFile.write(text, to: path, mode: 0o600) } catch {
                return "the tenants file \(path) could not be written: \(error.reason)"
            }
            return nil
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
