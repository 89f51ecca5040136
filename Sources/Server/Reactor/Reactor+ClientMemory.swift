// SPDX-License-Identifier: Apache-2.0
import Base
import Storage
import Synchronization

// What connections hold: charged to their tenants, and bounded for each tenant and for the server
// (`maxmemory-clients`). Beyond a limit the largest connections are closed.
//
// Why here and not where the buffers grow: a buffer grows by at most what one receive brought or
// one command replied, and both have limits of their own.
extension Reactor {
    /// Charges the session's tenant for what the connection holds now.
    @inline(__always)
    func charge(_ connection: ConnectionReference) {
        let state = connection.pointee.session.state
        let size =
            connection.pointee.input.capacity + connection.pointee.output.capacity
            + connection.pointee.session.heldSize
        if size != state.pointee.chargedSize { charge(connection, size) }
    }

    @inline(never)
    private func charge(_ connection: ConnectionReference, _ size: Int) {
        guard !connection.pointee.isKilled else { return }
        let state = connection.pointee.session.state
        let isMore = size > state.pointee.chargedSize
        state.pointee.charge(size, server.registry)
        guard isMore else { return }
        let tenant = state.pointee.tenant
        let limit = tenant.clientMemoryMax
        if tenant.pointee.clientMemory.value > limit {
            closeLargest(of: tenant, until: { tenant.pointee.clientMemory.value <= limit })
        }
        if hasTooLargeClients { relieve() }
    }

    private var hasTooLargeClients: Bool {
        server.registry.clientMemory.value > server.settings.clientMemoryLimit
    }

    /// Closes the server's largest clients until all together hold less than their limit. If
    /// another reactor has the largest one, that reactor is told, unless the limit is far passed.
    func relieve() {
        let limit = server.settings.clientMemoryLimit
        largestClient.set(connections.all.reduce(0) { max($0, evictableSize($1)) })
        let other = server.reactors.max { $0.largestClient.value < $1.largestClient.value }
        if let other, other !== self, other.largestClient.value > largestClient.value,
            server.registry.clientMemory.value < limit + limit / 4
        {
            other.mailbox.post(.relieve)
            return
        }
        closeLargest(of: nil, until: { !hasTooLargeClients })
        largestClient.set(0)
    }

    /// What closing the connection would give back; 0 if it must not be closed for that.
    private func evictableSize(_ connection: ConnectionReference) -> Int {
        let state = connection.pointee.session.state
        return state.pointee.isNoEvict ? 0 : state.pointee.chargedSize
    }

    /// Closes this reactor's largest connections, of one tenant or of all, until `isDone`.
    private func closeLargest(of tenant: TenantReference?, until isDone: () -> Bool) {
        var sizes: [(connection: ConnectionReference, size: Int)] = []
        for connection in connections.all where !connection.pointee.isKilled {
            let state = connection.pointee.session.state
            if let tenant, state.pointee.tenant != tenant { continue }
            let size = tenant == nil ? evictableSize(connection) : state.pointee.chargedSize
            if size > 0 { sizes.append((connection, size)) }
        }
        sizes.sort { $0.size > $1.size }
        for (connection, size) in sizes {
            if isDone() { return }
            let state = connection.pointee.session.state
            Log.standard.write(
                .warning,
                "closing client \(state.pointee.id) at \(state.pointee.address), whose buffers "
                    + "hold \(size) bytes: the clients of "
                    + (tenant == nil ? "the server" : "tenant \(tenant?.id.string ?? "")")
                    + " hold too much")
            statistics.pointee.evictedClients.bump()
            state.pointee.charge(0, server.registry)
            kill(connection)
        }
    }

    /// Ends a connection soon: its session runs nothing more, and its mailbox closes it. For code
    /// that must not close connections itself, because its callers still use them.
    func kill(_ connection: ConnectionReference) {
        connection.pointee.isKilled = true
        connection.pointee.isClosing = true
        connection.pointee.session.state.pointee.closesAfterReply = true
        mailbox.post(.close(token: connection.pointee.token))
    }
}
