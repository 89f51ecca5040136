// SPDX-License-Identifier: Apache-2.0
import Base
import Storage
import Tenancy
import TestSupport
import Testing

/// The limits of memory and keys for commands that Redis runs at any limit but that bring a key or
/// bytes to a tenant: RENAME, RENAMENX and SMOVE.
@Suite struct ArrivalLimitTests {
    private let quota = "-ERR DB capacity quota exceeded\r\n"

    @Test func smoveMakesNoKeyBeyondTheLimit() throws {
        let host = try TransactionLimitTests.host { $0.keys = 3 }
        let client = Client(host, tenant: "acme")
        client.converse(
            """
            SADD s 1 2 3 4 5 => :5
            SMOVE s a 1 => :1
            SMOVE s b 2 => :1
            SMOVE s c 3 => -ERR max keys limit exceeded. Limit: 3, Usage: 3
            SMOVE s a 3 => :1
            SMOVE s c none => :0
            SCARD s => :2
            RENAME a c => +OK
            EXISTS s a b c => :3
            """)
    }

    @Test func longNamesMeetTheMemoryLimit() throws {
        let host = try TransactionLimitTests.host { $0.memory = 1 << 20 }
        let client = Client(host, tenant: "acme")
        let members = (0..<50).map { "\($0)" }
        #expect(client.ask(["SADD", "s"] + members) == ":50\r\n")
        for index in 0..<50 { client.send(["SET", "k\(index)", "v"]) }
        _ = client.takeReplies()
        var refused = 0
        for index in 0..<50 {
            let name = String(repeating: "n", count: 200_000)
            for reply in [
                client.ask(["SMOVE", "s", "s" + name + "\(index)", "\(index)"]),
                client.ask(["RENAME", "k\(index)", "r" + name + "\(index)"]),
            ] where reply == quota { refused += 1 }
        }
        #expect(refused >= 94)
        let memory = try #require(host.memoryInUse(of: "acme"))
        #expect(memory <= 1 << 20)
        // What makes nothing larger is never refused.
        #expect(client.ask("RENAME", "s", "t") == "+OK\r\n")
        #expect(client.ask("SMOVE", "t", "t", "49") == ":1\r\n")
    }

    /// An application whose keys name tenants cannot rename its way past their limits.
    @Test func renamingIntoATenantMeetsItsLimits() throws {
        var limits = Limits()
        limits.keys = 2
        let host = Host(
            plans: [Plan(name: "small", limits: limits)],
            patterns: [try KeyPattern("tenant:{tenant}:*")])
        try host.registry.create(id: Array("t".utf8), plan: "small", secretDigest: nil)
        Client(host).converse(
            """
            MSET a 1 b 2 c 3 => +OK
            RENAME a tenant:t:a => +OK
            RENAMENX b tenant:t:b => :1
            RENAME c tenant:t:c => -ERR max keys limit exceeded. Limit: 2, Usage: 2
            RENAMENX c tenant:t:c => -ERR max keys limit exceeded. Limit: 2, Usage: 2
            RENAME c tenant:t:b => +OK
            RENAME tenant:t:a tenant:t:d => +OK
            EXISTS a b c tenant:t:b tenant:t:d => :2
            """)
    }

    @Test func aTenantThatEvictsMakesRoom() throws {
        let host = try TransactionLimitTests.host {
            $0.keys = 3
            $0.atLimit = .evict
        }
        let client = Client(host, tenant: "acme")
        client.converse(
            """
            SADD s 1 2 => :2
            MSET x 1 y 2 => +OK
            SMOVE s a 1 => :1
            DBSIZE => :3
            EXISTS s a => :2
            """)
    }
}
