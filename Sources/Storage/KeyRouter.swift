// SPDX-License-Identifier: Apache-2.0
import Base

// Routing: from a key to its keyspace. If a pattern finds a tenant in the key, the key lives in
// that tenant's keyspace, else in the session's.
extension Reference where Pointee == Worker {
    /// Whether keys looked for in `keyspace` may live in other tenants' keyspaces.
    @inline(__always)
    func routes(_ keyspace: KeyspaceReference) -> Bool {
        pointee.hasPatterns && keyspace.pointee.tenant == pointee.serverTenant
    }

    /// The keyspace that `key` lives in when it is looked for in `keyspace`. With `creating`, a
    /// tenant that no key has named before is made.
    @inline(__always)
    func home(of key: Bytes, in keyspace: KeyspaceReference, creating: Bool) -> KeyspaceReference {
        guard routes(keyspace) else { return keyspace }
        return route(key, in: keyspace, creating: creating)
    }

    @inline(never)
    private func route(
        _ key: Bytes, in keyspace: KeyspaceReference, creating: Bool
    ) -> KeyspaceReference {
        guard let id = tenantID(in: key) else { return keyspace }
        return home(ofTenant: id, in: keyspace, creating: creating)
    }

    /// The tenant's id that a pattern finds in `key`, as a part of the key; nil if none matches.
    @inline(__always)
    func tenantID(in key: Bytes) -> Bytes? {
        pointee.unmanagedRegistry._withUnsafeGuaranteedRef { $0.tenantID(in: key) }
    }

    /// Tenant `id`'s keyspace for the database number of `keyspace`.
    func home(
        ofTenant id: Bytes, in keyspace: KeyspaceReference, creating: Bool
    ) -> KeyspaceReference {
        let number = keyspace.pointee.number
        return pointee.unmanagedRegistry._withUnsafeGuaranteedRef { registry in
            if creating { return registry.implicitKeyspace(id, number) }
            return registry.find(id)?.keyspace(number) ?? keyspace
        }
    }
}
