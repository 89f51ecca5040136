// SPDX-License-Identifier: Apache-2.0
import Base
import Glibc
import Testing

@testable import Networking
@testable import Server
@testable import Storage

/// A server with one reactor. The test decides when it ticks and what its clocks show.
final class Bench {
    let folder = TemporaryFolder()
    let server: Server
    let reactor: Reactor
    /// Both clocks, as the next tick reads them.
    var moment = Moment(wall: 0, monotonic: 0)

    init(_ arguments: String...) throws {
        let configuration = try Configuration(
            arguments: [
                "serve", "--port", "0", "--unixsocket", "\(folder.path)/socket", "--tenants-file",
                "\(folder.path)/tenants",
            ] + arguments, environment: [:], settings: SettingsReference())
        server = try Server(configuration: configuration)
        reactor = try #require(server.reactors.first)
        moment = .now
    }

    deinit {
        for connection in reactor.connections.all { reactor.close(connection) }
        for listener in server.listeners { close(listener.fd) }
    }

    /// Ticks until no socket and no message is ready.
    func turn() {
        var turns = 0
        repeat {
            reactor.tick(events: reactor.loop.wait(timeout: 0), at: moment)
            turns += 1
        } while turns < 100 && (reactor.loop.wait(timeout: 0) > 0 || !reactor.unserved.isEmpty)
    }

    /// Time passes on both clocks.
    func pass(milliseconds: Milliseconds) {
        moment.wall += milliseconds
        moment.monotonic += milliseconds
        turn()
    }

    /// Wall time is set to another moment.
    func jump(milliseconds: Milliseconds) {
        moment.wall += milliseconds
        turn()
    }

    func connect() throws -> Peer {
        var ends: [Int32] = [-1, -1]
        let type = Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
        try #require(socketpair(AF_UNIX, type, 0, &ends) == 0)
        reactor.connectionCount.wrappingAdd(1, ordering: .relaxed)
        reactor.mailbox.post(
            .adopt(
                Socket.Accepted(
                    fd: ends[0], remote: "peer", local: "here", isLoopback: true,
                    isUnixSocket: true)))
        turn()
        let newest = reactor.connections.all.max {
            $0.pointee.session.state.pointee.id < $1.pointee.session.state.pointee.id
        }
        return Peer(self, ends[1], try #require(newest))
    }
}

/// A client at the other end of a socket.
final class Peer {
    unowned let bench: Bench
    let descriptor: Int32
    let connection: ConnectionReference

    init(_ bench: Bench, _ descriptor: Int32, _ connection: ConnectionReference) {
        self.bench = bench
        self.descriptor = descriptor
        self.connection = connection
    }

    deinit {
        // Why: a process that another test starts meanwhile has a copy of the descriptor for a
        // moment, and the connection would stay open until it closes that.
        shutdown(descriptor, Int32(SHUT_RDWR))
        close(descriptor)
    }

    func send(_ lines: String...) {
        put(lines)
        bench.turn()
    }

    /// Puts requests into the socket; no tick follows.
    func put(_ lines: [String]) {
        let text = lines.map { $0 + "\r\n" }.joined()
        _ = Glibc.send(descriptor, text, text.utf8.count, Int32(MSG_NOSIGNAL))
    }

    /// The replies since the last call; nil if the server has closed the connection.
    func receive() -> String? {
        var text = ""
        var room = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = recv(descriptor, &room, room.count, 0)
            if count == 0 { return text.isEmpty ? nil : text }
            if count < 0 { return text }
            text += String(decoding: room[..<count], as: UTF8.self)
        }
    }

    func ask(_ line: String) -> String? {
        send(line)
        return receive()
    }

    var isHeldBack: Bool { connection.pointee.isHeldBack }
    var isSuspended: Bool { connection.pointee.isSuspended }

    /// The wait of the session.
    var wait: Wait {
        Wait(token: connection.pointee.token, serial: connection.pointee.waitSerial)
    }
}
