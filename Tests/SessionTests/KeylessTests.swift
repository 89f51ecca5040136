// SPDX-License-Identifier: Apache-2.0
import Base
import Commands
import Storage
import Tenancy
import Testing

/// Commands without keys are counted in batches, but before anyone can see the counts.
@Suite struct KeylessTests {
    @Test func whatWasAnsweredIsCounted() {
        let host = Host()
        let client = Client(host)
        let server = host.registry.server
        var requests = (0..<100).map { _ in RESP.request(["PING"]) }
        requests += [RESP.request(["GET", "a"]), RESP.request(["ECHO", "b"])]
        let text = requests.joined()
        client.send(text)
        #expect(server.usage.commands == 102)
        #expect(server.usage.bytesIn == text.utf8.count)
        #expect(server.usage.bytesOut == client.text.utf8.count)
    }

    @Test func eachDatabaseCountsItsOwn() throws {
        let host = Host()
        let client = Client(host)
        let ping = RESP.request(["PING"])
        client.send(ping + ping + RESP.request(["SELECT", "1"]) + ping)
        let server = host.registry.server
        let first = try #require(server.keyspace(0))
        let second = try #require(server.keyspace(1))
        #expect(first.shard(at: 0).pointee.usage.commands == 3)
        #expect(second.shard(at: 0).pointee.usage.commands == 1)
    }

    @Test func aTransactionCountsAllOfItsCommands() {
        let host = Host()
        let client = Client(host)
        let words = [["PING"], ["MULTI"], ["PING"], ["TIME"], ["EXEC"], ["PING"]]
        client.send(words.map { RESP.request($0) }.joined())
        #expect(host.registry.server.usage.commands == 6)
    }

    @Test func aSmallBudgetIsKeptToTheCommand() throws {
        var limits = Limits()
        limits.operationsPerDay = 20
        let host = Host(plans: [Plan(name: "small", limits: limits)])
        try host.registry.create(id: Array("acme".utf8), plan: "small", secretDigest: nil)
        let client = Client(host, tenant: "acme")
        client.send((0..<40).map { _ in RESP.request(["PING"]) }.joined())
        let granted = client.text.components(of: "+PONG")
        #expect(granted == 20, "\(granted) of 40 commands ran within a budget of 20")
    }

    @Test func aLargeBudgetEndsAtItsLimit() throws {
        var limits = Limits()
        limits.operationsPerDay = 100_000
        let host = Host(plans: [Plan(name: "large", limits: limits)])
        try host.registry.create(id: Array("acme".utf8), plan: "large", secretDigest: nil)
        let client = Client(host, tenant: "acme")
        let hundred = (0..<100).map { _ in RESP.request(["PING"]) }.joined()
        var granted = 0
        for _ in 0..<1010 {
            client.send(hundred)
            granted += client.takeReplies().components(of: "+PONG")
        }
        #expect(granted == 100_000)
    }
}

extension String {
    /// How often `part` occurs in the text.
    fileprivate func components(of part: String) -> Int {
        let text = Array(utf8)
        let pattern = Array(part.utf8)
        guard text.count >= pattern.count else { return 0 }
        return (0...text.count - pattern.count).count {
            text[$0] == pattern[0] && text[$0..<$0 + pattern.count].elementsEqual(pattern)
        }
    }
}
