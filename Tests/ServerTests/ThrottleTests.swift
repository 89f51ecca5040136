// SPDX-License-Identifier: Apache-2.0
import Base
import Glibc
import Testing

@testable import Networking
@testable import Server
@testable import Storage

/// Sessions of a throttled tenant take turns.
@Suite struct ThrottleTests {
    /// A tenant of ten operations a second, whose budget is used up, and its sessions.
    private func bench(_ count: Int) throws -> (Bench, [Peer]) {
        let bench = try Bench(
            "--tenant-plan", "slow", "ops-per-second=10", "at-limit=throttle", "--tenant", "acme",
            "plan=slow", "secret=opensesame", "--tenant", "other", "secret=openbarley")
        let peers = try (0..<count).map { _ in try bench.connect() }
        for peer in peers { #expect(peer.ask("AUTH opensesame") == "+OK\r\n") }
        for _ in 0..<20 where !peers[0].isSuspended { peers[0].send("GET a") }
        #expect(peers[0].isSuspended)
        _ = peers[0].receive()
        return (bench, peers)
    }

    /// Which of the peers have a reply.
    private func answered(_ peers: [Peer]) -> [Int] {
        peers.indices.filter { peers[$0].receive() != "" }
    }

    @Test func waitingSessionsAreServedInOrderWithOneTimer() throws {
        let (bench, peers) = try bench(6)
        for peer in peers.dropFirst() { peer.send("GET a") }
        #expect(peers.filter(\.isSuspended).count == 6)
        #expect(bench.reactor.timers.count == 1 && answered(peers) == [])
        var order: [Int] = []
        for _ in 0..<12 {
            bench.pass(milliseconds: 60)
            order += answered(peers)
        }
        #expect(order == [0, 1, 2, 3, 4, 5])
        #expect(bench.reactor.timers.count == 0 && bench.reactor.throttles.isEmpty)
        #expect(bench.reactor.blockedCount.load(ordering: .relaxed) == 0)
    }

    /// A session with many requests does not keep the others from theirs.
    @Test func aLongPipelineTakesItsTurn() throws {
        let (bench, peers) = try bench(3)
        peers[0].put(Array(repeating: "GET a", count: 50))
        for peer in peers.dropFirst() { peer.send("GET a") }
        var order: [Int] = []
        for _ in 0..<8 {
            bench.pass(milliseconds: 101)
            order += answered(peers)
        }
        #expect(order.prefix(3) == [0, 1, 2])
        #expect(order.dropFirst(3).allSatisfy { $0 == 0 } && order.count > 3)
    }

    /// A session that has not waited yet does not overtake those that wait.
    @Test func aNewcomerQueues() throws {
        let (bench, peers) = try bench(3)
        peers[1].send("GET a")
        bench.moment.monotonic += 150
        bench.moment.wall += 150
        peers[2].put(["GET a"])
        bench.reactor.tick(events: bench.reactor.loop.wait(timeout: 0), at: bench.moment)
        #expect(answered(peers).contains(0))
        #expect(peers[2].isSuspended)
    }

    @Test func sessionsThatLeaveAreForgotten() throws {
        let (bench, peers) = try bench(4)
        for peer in peers.dropFirst() { peer.send("GET a") }
        for peer in peers.prefix(2) { bench.reactor.close(peer.connection) }
        bench.pass(milliseconds: 101)
        #expect(answered(Array(peers.dropFirst(2))) == [0])
        for peer in peers.dropFirst(2) { bench.reactor.close(peer.connection) }
        #expect(bench.reactor.throttles.isEmpty && bench.reactor.timers.count == 0)
    }

    /// A limit that is lifted frees its sessions at once.
    @Test func aLiftedLimitEndsTheWait() throws {
        let (bench, peers) = try bench(2)
        peers[1].send("GET a")
        try bench.server.registry.setPlan(id: Array("acme".utf8), plan: "default")
        bench.turn()
        #expect(answered(peers) == [0, 1])
        #expect(bench.reactor.throttles.isEmpty && bench.reactor.timers.count == 0)
    }

    @Test func otherTenantsAreNotPutOff() throws {
        let (bench, _) = try bench(1)
        let other = try bench.connect()
        #expect(other.ask("AUTH openbarley") == "+OK\r\n")
        #expect(other.ask("GET a") == "$-1\r\n")
    }
}

/// The sessions of a tenant together run for a millisecond, then others have their turn.
@Suite struct TurnTests {
    private func bench() throws -> (Bench, Peer) {
        let bench = try Bench(
            "--tenant", "heavy", "secret=opensesame", "--tenant", "light", "secret=openbarley")
        let peer = try bench.connect()
        #expect(peer.ask("AUTH opensesame") == "+OK\r\n")
        let members = (0..<2000).map { "m\($0)" }.joined(separator: " ")
        #expect(peer.ask("SADD a \(members)") == ":2000\r\n")
        #expect(peer.ask("SADD b \(members)") == ":2000\r\n")
        return (bench, peer)
    }

    private func tick(_ bench: Bench) {
        bench.reactor.tick(events: bench.reactor.loop.wait(timeout: 0), at: bench.moment)
    }

    @Test func aLongPipelineYields() throws {
        let (bench, heavy) = try bench()
        let light = try bench.connect()
        #expect(light.ask("AUTH openbarley") == "+OK\r\n")
        let count = 300
        heavy.put(Array(repeating: "SINTERCARD 2 a b", count: count))
        tick(bench)
        #expect(bench.reactor.unserved == [heavy.connection.pointee.token])
        var replies = 0
        var ticks = 0
        while replies < count && ticks < 10_000 {
            light.put(["PING"])
            tick(bench)
            #expect(light.receive() == "+PONG\r\n", "the others are served in every tick")
            replies += heavy.receive()?.split(separator: "\r\n").count ?? 0
            ticks += 1
        }
        #expect(replies == count && ticks > 3)
    }

    /// Many connections of one tenant have one turn, not one each.
    @Test func connectionsShareTheirTenantsTurn() throws {
        let (bench, heavy) = try bench()
        var peers = [heavy]
        for _ in 0..<5 {
            let peer = try bench.connect()
            #expect(peer.ask("AUTH opensesame") == "+OK\r\n")
            peers.append(peer)
        }
        for peer in peers { peer.put(Array(repeating: "SINTERCARD 2 a b", count: 100)) }
        tick(bench)
        let served = peers.filter { $0.receive() != "" }
        #expect(served.count == 1)
        bench.turn()
        bench.turn()
        let counts = peers.map { $0.receive()?.split(separator: "\r\n").count ?? 0 }
        #expect(counts.allSatisfy { $0 > 0 })
    }
}
