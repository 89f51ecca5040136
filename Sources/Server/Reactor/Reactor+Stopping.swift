// SPDX-License-Identifier: Apache-2.0
import Base
import Glibc
import Networking

// Stopping: what has arrived is answered, what waits gets until the deadline.
extension Reactor {
    static let stopPatience: Milliseconds = 5000
    /// How many times a reactor that stops receives from one connection: a megabyte at most.
    private static let lastReceivesMax = 16

    func beginStop() {
        guard !isStopping else { return }
        isStopping = true
        stopDeadline = now + Reactor.stopPatience
        if number == 0 { stopListening() }
        for connection in connections.all { drain(connection) }
    }

    /// Clients whose connection the system has made already are served too.
    private func stopListening() {
        for (index, listener) in server.listeners.enumerated() {
            acceptAll(listener: index)
            loop.remove(listener.fd)
        }
    }

    /// Receives and serves what has arrived, and no more. A connection that has to wait meanwhile
    /// is drained further when it goes on.
    func drain(_ connection: ConnectionReference) {
        let token = connection.pointee.token
        for _ in 0..<Reactor.lastReceivesMax {
            if connection.pointee.isSuspended || connection.pointee.hasUnserved { return }
            guard connection.pointee.interest.reading else { break }
            let before = worker.statistics.pointee.readsProcessed.value
            receive(connection)
            guard connections.find(token) != nil else { return }
            // Why the counter: it tells whether there was anything.
            if worker.statistics.pointee.readsProcessed.value == before { break }
        }
        endInput(connection)
    }

    /// A connection that waited has been served.
    func settle(_ token: UInt64) {
        guard let connection = connections.find(token), !closeIfDone(connection), isStopping,
            !connection.pointee.hasEnded
        else { return }
        drain(connection)
    }

    var isDrained: Bool { connections.count == 0 || now >= stopDeadline }

    /// The deadline has come, or nobody is left. Whoever still waits for an answer learns why there
    /// is none.
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

    /// Takes no more messages, and closes the connections that were handed over too late.
    func refuseRest() {
        for message in mailbox.shut() {
            if case .adopt(let accepted) = message { refuse(accepted) }
        }
    }

    /// Closes a connection that was handed over to a reactor that has ended.
    func refuse(_ accepted: Socket.Accepted) {
        Glibc.close(accepted.fd)
        connectionCount.wrappingSubtract(1, ordering: .relaxed)
    }
}
