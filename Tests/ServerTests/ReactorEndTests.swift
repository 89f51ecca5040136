// SPDX-License-Identifier: Apache-2.0
import Base
import Glibc
import Testing

@testable import Networking
@testable import Server

/// Listeners that fail, clients that read slowly, and clients that have closed their side.
@Suite struct ReactorEndTests {
    private func eventCount(_ bench: Bench) -> Int { bench.reactor.loop.wait(timeout: 0) }

    /// A listener whose clients the system does not hand over.
    @Test func aFailingListenerIsLeftAloneForAWhile() throws {
        let bench = try Bench()
        let listener = try #require(bench.server.listeners.first)
        var ends: [Int32] = [-1, -1]
        try #require(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends) == 0)
        defer { for end in ends { close(end) } }
        // A socket with bytes to read takes the listener's place: accept fails, and goes on to.
        try #require(dup2(ends[0], listener.fd) == listener.fd && write(ends[1], "x", 1) == 1)
        let isWatched = bench.reactor.loop.add(listener.fd, token: Reactor.listenerToken)
        try #require(isWatched)
        bench.turn()
        #expect(eventCount(bench) == 0)
        #expect(bench.reactor.acceptError == EINVAL && bench.reactor.timers.count == 1)
        #expect(bench.reactor.nextDeadline == bench.moment.monotonic + 100)
        bench.pass(milliseconds: 99)
        #expect(bench.reactor.nextDeadline == bench.moment.monotonic + 1)
        bench.pass(milliseconds: 1)
        #expect(bench.reactor.nextDeadline == bench.moment.monotonic + 100)
        #expect(eventCount(bench) == 0)
    }

    @Test func aPausedListenerAcceptsAgain() throws {
        let bench = try Bench()
        let socket = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(socket) }
        var name = try SocketAddress(path: "\(bench.folder.path)/socket", what: "")
        let status = name.with { connect(socket, $0, $1) }
        #expect(status == 0)
        bench.reactor.resumeAccepting(0)
        #expect(bench.reactor.connections.count == 1 && bench.reactor.acceptError == 0)
    }

    @Test func aClientThatReadsIsNotIdle() throws {
        let bench = try Bench("--timeout", "10")
        let peer = try bench.connect()
        let silent = try bench.connect()
        _ = peer.ask("SETRANGE a 4000000 x")
        peer.send("GET a", "GET a")
        silent.send("GET a", "GET a")
        var room = [UInt8](repeating: 0, count: 1 << 20)
        for _ in 0..<4 {
            bench.pass(milliseconds: 8000)
            #expect(recv(peer.descriptor, &room, room.count, 0) > 0)
            bench.turn()
        }
        #expect(bench.reactor.connections.count == 1)
        #expect(peer.connection.pointee.output.readableCount > 0)
        bench.pass(milliseconds: 12_000)
        #expect(bench.reactor.connections.count == 0)
    }

    /// The server let it wait; it is not idle for that.
    @Test func aClientThatWaitedIsNotIdle() throws {
        let bench = try Bench("--timeout", "10")
        let admin = try bench.connect()
        let peer = try bench.connect()
        #expect(admin.ask("CLIENT PAUSE 600000 WRITE") == "+OK\r\n")
        #expect(peer.ask("SET a 1") == "")
        for _ in 0..<3 {
            bench.pass(milliseconds: 9000)
            _ = admin.ask("PING")
        }
        #expect(admin.ask("CLIENT UNPAUSE") == "+OK\r\n")
        #expect(peer.receive() == "+OK\r\n")
        bench.pass(milliseconds: 5000)
        #expect(peer.ask("PING") == "+PONG\r\n")
    }

    /// A client that does not read and has closed its side is held back without a busy loop, and
    /// gets everything when it reads.
    @Test func aHalfClosedClientMayBeHeldBack() throws {
        let bench = try Bench("--client-output-buffer-limit", "normal 4000000 0 0")
        let peer = try bench.connect()
        #expect(peer.ask("SETRANGE k 299999 v") == ":300000\r\n")
        peer.put(Array(repeating: "GET k", count: 40))
        bench.turn()
        #expect(peer.isHeldBack)
        shutdown(peer.descriptor, Int32(SHUT_WR))
        bench.turn()
        bench.turn()
        #expect(peer.isHeldBack && eventCount(bench) == 0)
        var size = 0
        for _ in 0..<10_000 {
            guard let part = peer.receive() else { break }
            size += part.utf8.count
            bench.turn()
        }
        #expect(size == 40 * (300_000 + "$300000\r\n\r\n".utf8.count))
        #expect(bench.reactor.connections.count == 0)
    }

    /// A soft limit of no seconds ends a client above it, not one that is held back below it.
    @Test func aClientIsHeldBackBelowItsSoftLimit() throws {
        let bench = try Bench("--client-output-buffer-limit", "normal 4000000 3000000 0")
        let peer = try bench.connect()
        #expect(peer.ask("SETRANGE k 299999 v") == ":300000\r\n")
        peer.put(Array(repeating: "GET k", count: 40))
        bench.turn()
        #expect(peer.isHeldBack)
        bench.pass(milliseconds: 59_000)
        try #require(bench.reactor.connections.count == 1)
        #expect(peer.isHeldBack)
        bench.pass(milliseconds: 2000)
        #expect(bench.reactor.connections.count == 0)
    }

    @Test func aHalfClosedClientMayWaitForAPauseToEnd() throws {
        let bench = try Bench()
        let admin = try bench.connect()
        let patient = try bench.connect()
        #expect(admin.ask("CLIENT PAUSE 600000 WRITE") == "+OK\r\n")
        patient.put(["SET a 1", "GET a"])
        shutdown(patient.descriptor, Int32(SHUT_WR))
        bench.turn()
        #expect(patient.receive() == "" && bench.reactor.pausedCount == 1)
        bench.pass(milliseconds: Reactor.gonePatience - 1)
        #expect(admin.ask("CLIENT UNPAUSE") == "+OK\r\n")
        #expect(patient.receive() == "+OK\r\n$1\r\n1\r\n" && patient.receive() == nil)
        #expect(bench.reactor.timers.count == 0)

        #expect(admin.ask("CLIENT PAUSE 600000 WRITE") == "+OK\r\n")
        let late = try bench.connect()
        late.put(["SET a 2"])
        shutdown(late.descriptor, Int32(SHUT_WR))
        bench.turn()
        bench.pass(milliseconds: Reactor.gonePatience)
        #expect(late.receive() == nil && bench.reactor.pausedCount == 0)
        #expect(bench.reactor.timers.count == 0 && admin.ask("GET a") == "$1\r\n1\r\n")
    }
}
