// SPDX-License-Identifier: Apache-2.0
import Base
import Synchronization

// What clients make the server hold: unfinished requests, unsent replies, queued requests, watched
// keys, names. It counts for the session's tenant and within `maxmemory`, beside the tenants' data.
//
// Why apart from the data: a plan's memory limit bounds what a tenant stores, and a write must not
// be refused because its own request is in a buffer. So each limit bounds both, one by one.
// Eviction adds them: a tenant that holds much in buffers loses its own keys.
extension TenantRegistry {
    /// Changes what `tenant` is charged for its clients by `change` bytes.
    public func chargeClients(_ tenant: TenantReference, _ change: Int) {
        tenant.pointee.clientMemory.wrappingAdd(change, ordering: .relaxed)
        clientMemory.wrappingAdd(change, ordering: .relaxed)
    }
}

extension Reference where Pointee == Tenant {
    /// The most that the tenant's clients may hold together: as much as its plan lets it store, so
    /// that they can write and read every value, and some megabytes.
    @inline(__always)
    public var clientMemoryMax: Int {
        let extra = 4 << 20
        return min(pointee.memoryMax.value, .max - extra) + extra
    }
}
