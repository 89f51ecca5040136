// SPDX-License-Identifier: Apache-2.0
import Base
import Glibc
import Testing

@testable import Networking
@testable import Records
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

    /// The wait of the session.
    var wait: Wait {
        Wait(token: connection.pointee.token, serial: connection.pointee.waitSerial)
    }
}

private let hour: Milliseconds = 3_600_000

/// A message that ends a wait ends that wait and no other.
@Suite struct SuspensionTests {
    private func records() throws -> Bench {
        try Bench(
            "--record-source", "users", "table=users", "key=user:{id}", "--postgres-url",
            "postgresql://nobody@127.0.0.1:1/none")
    }

    @Test func aLateMessageEndsNoOtherWait() throws {
        let bench = try records()
        let peer = try bench.connect()
        #expect(peer.ask("GET user:1") == "" && peer.connection.pointee.isSuspended)
        let first = peer.wait
        let unknown = Wait(token: first.token, serial: first.serial + 1)
        bench.reactor.mailbox.post(.resume(unknown, .refused("ERR of no wait")))
        bench.turn()
        #expect(peer.receive() == "" && peer.wait == first)
        bench.reactor.mailbox.post(.resume(first, .refused("TRYAGAIN later")))
        bench.turn()
        #expect(peer.receive() == "-TRYAGAIN later\r\n" && !peer.connection.pointee.isSuspended)

        #expect(peer.ask("GET user:2") == "")
        let second = peer.wait
        #expect(second.token == first.token && second.serial > first.serial)
        bench.reactor.mailbox.post(.resume(first, .refused("ERR late")))
        bench.turn()
        #expect(peer.receive() == "" && peer.wait == second)
        bench.reactor.mailbox.post(.resume(second, .absent))
        bench.reactor.mailbox.post(.resume(second, .refused("ERR twice")))
        bench.turn()
        #expect(peer.receive() == "$-1\r\n")
        #expect(bench.reactor.blockedCount.load(ordering: .relaxed) == 0)
    }

    /// The records thread's answer names the wait that it belongs to.
    @Test func aRecordsAnswerFindsItsWait() throws {
        let bench = try records()
        let resumer = RecordResumer(bench.server)
        let peer = try bench.connect()
        #expect(peer.ask("GET user:1") == "")
        let first = RecordWaiter(reactor: 0, wait: peer.wait)
        resumer.resume(first, .unavailable(source: "users"))
        resumer.resume(first, .missing)
        resumer.resume(RecordWaiter(reactor: 9, wait: peer.wait), .missing)
        bench.turn()
        #expect(peer.receive() == "-TRYAGAIN record source users is unavailable\r\n")
        #expect(peer.ask("GET user:1") == "")
        resumer.resume(first, .unavailable(source: "users"))
        bench.turn()
        #expect(peer.receive() == "")
        resumer.resume(RecordWaiter(reactor: 0, wait: peer.wait), .missing)
        bench.turn()
        #expect(peer.receive() == "$-1\r\n")
    }

    @Test func aWaitFitsIntoTheWaiter() {
        let wait = Wait(token: .max >> 1, serial: Wait.serialMax)
        let waiter = RecordWaiter(reactor: 255, wait: wait)
        #expect(waiter.reactor == 255 && waiter.wait == wait)
    }

    private func throttled() throws -> (Bench, Peer) {
        let bench = try Bench(
            "--tenant-plan", "slow", "ops-per-second=2", "at-limit=throttle", "--tenant", "acme",
            "plan=slow", "secret=opensesame")
        let peer = try bench.connect()
        #expect(peer.ask("AUTH opensesame") == "+OK\r\n")
        peer.send("GET a", "GET a", "GET a", "GET a", "GET a")
        #expect(peer.connection.pointee.isSuspended && bench.reactor.timers.count == 1)
        _ = peer.receive()
        return (bench, peer)
    }

    @Test(arguments: [-hour, hour])
    func wallTimeNeitherHastensNorDelaysATimer(span: Milliseconds) throws {
        let (bench, peer) = try throttled()
        bench.jump(milliseconds: span)
        #expect(peer.receive() == "" && peer.connection.pointee.isSuspended)
        bench.pass(milliseconds: 1002)
        #expect(peer.receive()?.hasPrefix("$-1\r\n") == true)
    }

    @Test func aClosedConnectionLeavesNoTimer() throws {
        let (bench, peer) = try throttled()
        bench.reactor.mailbox.post(.close(token: peer.wait.token))
        bench.turn()
        #expect(peer.receive() == nil && bench.reactor.timers.count == 0)
        #expect(bench.reactor.connections.count == 0)
        #expect(bench.reactor.blockedCount.load(ordering: .relaxed) == 0)
    }

    /// A leftover timer of an earlier wait does nothing.
    @Test func aLateTimerEndsNoOtherWait() throws {
        let (bench, peer) = try throttled()
        let wait = peer.wait
        let stale = Wait(token: wait.token, serial: wait.serial - 1)
        _ = bench.reactor.timers.add(deadline: bench.reactor.now, .refill(stale))
        bench.turn()
        #expect(peer.wait == wait && bench.reactor.timers.count == 1)
    }

    /// A connection handed over after the reactor has ended is closed, not forgotten.
    @Test func aReactorThatEndsKeepsNoSocket() throws {
        let bench = try Bench()
        var ends: [Int32] = [-1, -1]
        try #require(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends) == 0)
        let accepted = Socket.Accepted(
            fd: ends[0], remote: "", local: "", isLoopback: true, isUnixSocket: true)
        bench.reactor.connectionCount.wrappingAdd(1, ordering: .relaxed)
        #expect(bench.reactor.mailbox.post(.adopt(accepted)))
        bench.reactor.refuseRest()
        var byte: UInt8 = 0
        #expect(recv(ends[1], &byte, 1, 0) == 0)
        #expect(bench.reactor.connectionCount.load(ordering: .relaxed) == 0)
        #expect(!bench.reactor.mailbox.post(.stop))
        close(ends[1])
    }
}

/// Spans go by monotonic time, expiry by wall time.
@Suite struct ReactorClockTests {
    @Test(arguments: [-hour, hour])
    func aPauseLastsAsLongAsWasAskedFor(span: Milliseconds) throws {
        let bench = try Bench()
        let first = try bench.connect()
        let second = try bench.connect()
        let admin = try bench.connect()
        #expect(admin.ask("SET due 1 PX 500") == "+OK\r\n")
        #expect(admin.ask("CLIENT PAUSE 60000 WRITE") == "+OK\r\n")
        bench.moment = .now
        second.send("APPEND order 2")
        first.send("APPEND order 1")
        bench.jump(milliseconds: span)
        bench.pass(milliseconds: 59_000)
        #expect(bench.reactor.pausedCount == 2)
        #expect(first.receive() == "" && second.receive() == "")
        let keyspace = bench.server.registry.keyspace(bench.server.registry.server, 0)
        #expect(keyspace.keyCount == 1, "a key expired in the pause")
        let deadline = try #require(bench.reactor.nextDeadline)
        #expect(deadline - bench.reactor.now <= 1000)
        bench.pass(milliseconds: 1001)
        #expect(second.receive() == ":1\r\n" && first.receive() == ":2\r\n")
        #expect(bench.reactor.pausedCount == 0 && !bench.server.pauseState.isActive)
        #expect(bench.server.settings.values.pointee.expiryPausedUntil.value == 0)
    }

    /// A pause ends even if no session waits for its end.
    @Test func aPauseThatHoldsNobodyEnds() throws {
        let bench = try Bench()
        let admin = try bench.connect()
        #expect(admin.ask("SET due 1 PX 500") == "+OK\r\n")
        #expect(admin.ask("CLIENT PAUSE 60000 ALL") == "+OK\r\n")
        bench.moment = .now
        #expect(bench.reactor.nextDeadline != nil)
        bench.pass(milliseconds: 60_100)
        #expect(!bench.server.pauseState.isActive)
        bench.pass(milliseconds: 200)
        let keyspace = bench.server.registry.keyspace(bench.server.registry.server, 0)
        #expect(keyspace.keyCount == 0)
    }

    @Test func whoLeavesInAPauseIsForgotten() throws {
        let bench = try Bench()
        let admin = try bench.connect()
        #expect(admin.ask("CLIENT PAUSE 60000 WRITE") == "+OK\r\n")
        for _ in 0..<20 { try bench.connect().send("SET a 1") }
        bench.turn()
        #expect(bench.reactor.pausedCount == 0 && bench.reactor.connections.count == 1)
        #expect(bench.reactor.timers.count == 0)
        #expect(admin.ask("CLIENT UNPAUSE") == "+OK\r\n")
        #expect(admin.ask("EXISTS a") == ":0\r\n")
    }

    @Test func idleClientsAreClosedByTheirOwnTime() throws {
        let bench = try Bench("--timeout", "10")
        let peer = try bench.connect()
        #expect(peer.ask("PING") == "+PONG\r\n")
        bench.jump(milliseconds: hour)
        #expect(peer.receive() == "")
        bench.jump(milliseconds: -2 * hour)
        bench.pass(milliseconds: 9000)
        #expect(peer.receive() == "")
        bench.pass(milliseconds: 2000)
        #expect(peer.receive() == nil)
    }

    /// CLIENT LIST shows elapsed seconds, even if wall time jumps.
    @Test(arguments: [-hour, hour])
    func ageAndIdleTimeAreOfTheSameClock(span: Milliseconds) throws {
        let bench = try Bench()
        let peer = try bench.connect()
        bench.jump(milliseconds: span)
        bench.pass(milliseconds: 7000)
        let admin = try bench.connect()
        let line = try #require(admin.ask("CLIENT LIST ID 1"))
        #expect(line.contains(" age=7 idle=7 "), "\(line)")
        #expect(admin.ask("CLIENT KILL MAXAGE 8 SKIPME no") == ":0\r\n")
        #expect(peer.receive() == "")
    }

    /// A client that reads again in time is left alone, and its timer is gone.
    @Test func theSoftLimitIsLookedAtInTime() throws {
        let bench = try Bench("--client-output-buffer-limit", "normal", "0", "100000", "60")
        let peer = try bench.connect()
        let value = String(repeating: "v", count: 60_000)
        #expect(peer.ask("SET a \(value)") == "+OK\r\n")
        let gets = Array(repeating: "GET a\r\n", count: 20).joined()
        peer.send(gets)
        #expect(bench.reactor.timers.count == 1)
        bench.jump(milliseconds: hour)
        bench.pass(milliseconds: 59_000)
        var received = 0
        for _ in 0..<1000 where received < 20 * 60_000 {
            received += peer.receive()?.utf8.count ?? 0
            bench.turn()
        }
        #expect(received > 20 * 60_000 && bench.reactor.timers.count == 0)
        #expect(peer.connection.pointee.softLimitSince == nil)

        peer.send(gets)
        #expect(bench.reactor.timers.count == 1)
        bench.jump(milliseconds: -hour)
        bench.pass(milliseconds: 59_000)
        #expect(bench.reactor.connections.count == 1)
        bench.pass(milliseconds: 1001)
        #expect(bench.reactor.connections.count == 0 && bench.reactor.timers.count == 0)
    }

    /// Keys expire soon after wall time jumps past their expiry.
    @Test func expiryFollowsWallTime() throws {
        let bench = try Bench()
        let peer = try bench.connect()
        #expect(peer.ask("SET a 1 PX 3600000") == "+OK\r\n")
        bench.pass(milliseconds: 200)
        bench.pass(milliseconds: 5000)
        let deadline = try #require(bench.reactor.nextDeadline)
        #expect(deadline == bench.reactor.now + Reactor.wallTimePatience)
        let keyspace = bench.server.registry.keyspace(bench.server.registry.server, 0)
        bench.jump(milliseconds: -hour)
        #expect(keyspace.keyCount == 1)
        bench.jump(milliseconds: 2 * hour)
        #expect(keyspace.keyCount == 0)
    }
}

/// What closes a connection while the reactor has others in hand.
@Suite struct ReactorClosingTests {
    /// Draining one connection may send all replies, which closes a client that said QUIT.
    @Test func stoppingClosesOthersMeanwhile() throws {
        let bench = try Bench()
        let reader = try bench.connect()
        reader.send("SETRANGE big 2000000 x")
        _ = reader.receive()
        let leaving = try bench.connect()
        leaving.put(["QUIT"])
        bench.reactor.receive(leaving.connection)
        #expect(bench.reactor.connections.count == 2 && bench.reactor.answered.count == 1)
        reader.put(["GET big"])
        bench.reactor.beginStop()
        #expect(leaving.receive() == "+OK\r\n" && leaving.receive() == nil)
        #expect(bench.reactor.connections.count <= 1)
    }

    /// A session may be killed while its own command waits for all threads to stand still. What it
    /// sent behind that command does not run.
    @Test func aKilledSessionRunsNoMore() throws {
        let bench = try Bench()
        let victim = try bench.connect()
        let session = victim.connection.pointee.session.state
        bench.server.forEachSession { $0.id == session.pointee.id }
        #expect(session.pointee.closesAfterReply && victim.connection.pointee.isClosing)
        bench.turn()
        #expect(victim.receive() == nil && bench.reactor.connections.count == 0)
    }
}
