// SPDX-License-Identifier: Apache-2.0
import Base
import Glibc
import Networking

// Stopping: requests that have arrived are answered, and waiting ones have until the deadline.
extension Reactor {
    static let stopPatience: Milliseconds = 5000
    /// How often a stopping reactor receives from one connection: at most a megabyte.
    private static let lastReceivesMax = 16

    func beginStop() {
        guard !isStopping else { return }
        isStopping = true
        stopDeadline = now + Reactor.stopPatience
        if number == 0 { stopListening() }
        // Why tokens: serving one connection may send and close others.
        let tokens = connections.all.map { $0.pointee.token }
        for token in tokens { connections.find(token).map(drain) }
    }

    /// Also serves clients whose connection the system has already accepted.
    private func stopListening() {
        for (index, listener) in server.listeners.enumerated() {
            acceptAll(listener: index)
            loop.remove(listener.fd)
        }
    }

    /// Receives and serves what has arrived, and no more. If the session must wait, the connection
    /// is drained further when the session resumes.
    func drain(_ connection: ConnectionReference) {
        let token = connection.pointee.token
        for _ in 0..<Reactor.lastReceivesMax {
            if connection.pointee.isSuspended || connection.pointee.hasUnserved { return }
            guard connection.pointee.interest.reading else { break }
            let before = worker.statistics.pointee.readsProcessed.value
            receive(connection)
            guard connections.find(token) != nil else { return }
            // Why the counter: it tells whether anything arrived.
            if worker.statistics.pointee.readsProcessed.value == before { break }
        }
        endInput(connection)
    }

    /// Called when a connection has been served after a wait.
    func settle(_ token: UInt64) {
        guard let connection = connections.find(token), !closeIfDone(connection), isStopping,
            !connection.pointee.hasEnded
        else { return }
        drain(connection)
    }

    var isDrained: Bool { connections.count == 0 || now >= stopDeadline }

    /// Closes all connections, at the deadline or when none is left. Clients that still wait for a
    /// reply get an error.
    func closeAll() {
        let text: StaticString = "-ERR Server is shutting down\r\n"
        for connection in connections.all {
            if connection.pointee.isSuspended && connection.pointee.output.isEmpty {
                _ = loop.send(
                    connection.pointee.fd,
                    UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
            }
            close(connection)
        }
    }

    /// Shuts the mailbox and closes connections that were handed over too late.
    func refuseRest() {
        for message in mailbox.shut() {
            if case .adopt(let accepted) = message { refuse(accepted) }
        }
    }

    /// Closes a connection that was handed to a reactor that has ended.
    func refuse(_ accepted: Socket.Accepted) {
        Glibc.close(accepted.fd)
        connectionCount.wrappingSubtract(1, ordering: .relaxed)
    }
}
