// SPDX-License-Identifier: Apache-2.0
import Base
import Commands
import Glibc
import Networking
import Sessions
import Storage
import Synchronization

// Connections: accepting, handing over, refusing, closing.
extension Reactor {
    /// Accepts pending connections of a listener and gives each to the reactor that has the fewest.
    func acceptAll(listener: Int) {
        let listener = server.listeners[listener]
        for _ in 0..<1000 {  // Bound: epoll reports the rest again.
            guard
                let accepted = Socket.accept(
                    listener.fd, unixPath: listener.unixPath,
                    keepAliveSeconds: server.settings.keepAliveSeconds)
            else {
                let code = errno
                if code == ECONNABORTED || code == EINTR { continue }
                if code == EMFILE || code == ENFILE { refuseForDescriptors(listener.fd) }
                return
            }
            guard admit(accepted) else { continue }
            let target = isStopping ? self : server.leastLoadedReactor()
            target.connectionCount.wrappingAdd(1, ordering: .relaxed)
            if target === self {
                adopt(accepted)
            } else if !target.mailbox.post(.adopt(accepted)) {
                target.refuse(accepted)
            }
        }
    }

    private func admit(_ accepted: Socket.Accepted) -> Bool {
        let settings = server.settings.values
        let statistics = worker.statistics
        if server.connectionCount >= settings.pointee.clientCountMax.value {
            refuse(accepted, "-ERR max number of clients reached\r\n")
            statistics.pointee.connectionsRejected.bump()
            return false
        }
        if settings.pointee.protectedMode.value != 0, settings.pointee.passwordRequired.value == 0,
            !accepted.isLoopback
        {
            refuse(accepted, Reactor.protectedModeText)
            statistics.pointee.connectionsRejected.bump()
            return false
        }
        statistics.pointee.connectionsReceived.bump()
        return true
    }

    private static let protectedModeText: String =
        "-DENIED Martlet is running in protected mode because protected mode is enabled and no "
        + "password and no tenant secret is set. In this mode connections are only "
        + "accepted from the loopback interface. Set requirepass, or create tenants with "
        + "secrets, or turn protected-mode off if the network itself keeps strangers out.\r\n"

    private func refuse(_ accepted: Socket.Accepted, _ text: String) {
        var text = text
        text.withUTF8 {
            _ = Glibc.send(accepted.fd, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
        }
        Glibc.close(accepted.fd)
    }

    /// Turns away one client because no descriptor is left. Why: epoll is level-triggered and would
    /// report the pending client forever.
    private func refuseForDescriptors(_ listener: Int32) {
        if spareDescriptor < 0 { spareDescriptor = Reactor.openSpare() }
        guard spareDescriptor >= 0 else { return }
        Glibc.close(spareDescriptor)
        let fd = Glibc.accept(listener, nil, nil)
        if fd >= 0 { Glibc.close(fd) }
        // Another thread may take the descriptor first. The next call then tries again above.
        spareDescriptor = Reactor.openSpare()
        worker.statistics.pointee.connectionsRejected.bump()
        Log.standard.write(.warning, "turning a client away: no file descriptor is left")
    }

    /// A descriptor held in reserve; -1 if none is available.
    static func openSpare() -> Int32 { open("/dev/null", O_RDONLY | O_CLOEXEC) }

    /// Makes the accepted connection this reactor's. `connectionCount` already counts it.
    func adopt(_ accepted: Socket.Accepted) {
        let token = connections.reserve()
        let required = server.settings.passwordRequired != 0
        var state = SessionState(
            id: server.nextSessionID(), address: accepted.remote, localAddress: accepted.local,
            isUnixSocket: accepted.isUnixSocket, tenant: server.registry.server,
            isAuthenticated: !required, now: now)
        state.descriptor = accepted.fd
        let connection = ConnectionReference.allocate(capacity: 1)
        connection.initialize(
            to: Connection(fd: accepted.fd, token: token, session: Session(state)))
        server.registry.server.pointee.connections.wrappingAdd(1, ordering: .relaxed)
        connections.insert(connection)
        guard loop.add(accepted.fd, token: token) else {
            return close(connection)
        }
        if isStopping { drain(connection) }
    }

    /// Closes the connection at once. Unsent replies are lost.
    func close(_ connection: ConnectionReference) {
        let state = connection.pointee.session.state
        worker.unwatchAll(&state.pointee.watched)
        connection.pointee.session.chargeUnfinished(on: worker)
        state.pointee.tenant.pointee.connections.wrappingSubtract(1, ordering: .relaxed)
        endWait(connection)
        endSoftLimit(connection)
        loop.remove(connection.pointee.fd)
        Glibc.close(connection.pointee.fd)
        connections.remove(connection.pointee.token)
        if connection.pointee.replyEnd > connection.pointee.replyStart {
            answered.removeAll { $0 == connection }
        }
        connectionCount.wrappingSubtract(1, ordering: .relaxed)
        bufferedBytes.bump(-connection.pointee.bufferedBytes)
        connection.deinitialize(count: 1)
        connection.deallocate()
    }
}
