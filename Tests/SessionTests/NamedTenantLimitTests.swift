// SPDX-License-Identifier: Apache-2.0
import Base
import Commands
import Sessions
import Storage
import Tenancy
import Testing

/// Limits of tenants that the keys of the application's commands name.
@Suite struct NamedTenantLimitTests {
    private static let names = (0..<40).map { "t\($0)" }

    private static func host(_ change: (inout Limits) -> Void) throws -> Host {
        var limits = Limits()
        change(&limits)
        let host = Host(
            plans: [Plan(name: "metered", limits: limits)],
            patterns: [try KeyPattern("tenant:{tenant}:*")])
        for name in names + ["acme"] {
            try host.registry.create(id: Array(name.utf8), plan: "metered", secretDigest: nil)
        }
        return host
    }

    private static let refusal =
        "-ERR max requests limit exceeded. Limit: 10, Usage: 10. Try again in "

    @Test func onlyItsOwnSessionWaitsForAThrottledTenant() throws {
        let host = try Self.host {
            $0.operationsPerSecond = 10
            $0.atLimit = .throttle
        }
        let client = Client(host)
        let requests = (0..<30).map { RESP.request(["SET", "tenant:acme:\($0)", "v"]) }
        client.send(requests.joined() + RESP.request(["SET", "tenant:t1:a", "v"]))
        #expect(client.suspension == nil)
        let replies = client.takeReplies().split(separator: "\r\n")
        #expect(replies.count == 31 && replies.last == "+OK", "\(replies)")
        let refused = replies.filter { $0.hasPrefix("-") }
        #expect(refused.count >= 19 && refused.count <= 20, "\(refused.count)")
        for text in refused {
            #expect(text.hasPrefix(Self.refusal) && text.hasSuffix(" ms"), "\(text)")
            let wait = Int(text.dropFirst(Self.refusal.count).dropLast(3)) ?? 0
            #expect(wait > 0 && wait <= 1001)
        }
        let own = Client(host, tenant: "acme", id: 2)
        own.send(requests.joined())
        guard case .throttled = own.suspension else {
            Issue.record("its own session does not wait")
            return
        }
        let both = client.ask("MGET", "tenant:t2:a", "tenant:acme:1")
        #expect(both.hasPrefix(Self.refusal))
        client.send(["MULTI"], ["GET", "tenant:acme:1"], ["EXEC"])
        #expect(
            client.takeReplies().contains(
                "-EXECABORT Transaction discarded because of: max requests limit exceeded."))
        #expect(client.suspension == nil)
    }

    /// The keys of all tenants in turn, so that no two neighbours belong to one tenant.
    private static func pairs(_ count: Int) -> [String] {
        (0..<count).flatMap { round in names.flatMap { ["tenant:\($0):\(round)", "v"] } }
    }

    @Test func eachOfManyTenantsIsCountedOnce() throws {
        let host = try Self.host { _ in }
        let client = Client(host)
        #expect(client.ask(["MSET"] + Self.pairs(3)) == "+OK\r\n")
        for name in Self.names {
            let tenant = try #require(Array(name.utf8).withBytes { host.registry.find($0) })
            #expect(tenant.usage.commands == 1 && tenant.usage.writes == 1, "\(name)")
            #expect(tenant.keyCount == 3)
        }
    }

    @Test func eachOfManyTenantsHasItsOwnRoom() throws {
        let host = try Self.host { $0.keys = 3 }
        let client = Client(host)
        let full = "-ERR max keys limit exceeded. Limit: 3, Usage: "
        #expect(client.ask(["MSET"] + Self.pairs(4)).hasPrefix(full + "0"))
        #expect(client.ask(["MSET"] + Self.pairs(2)) == "+OK\r\n")
        // Keys that exist, and one name twice, need no more room.
        #expect(client.ask(["MSET"] + Self.pairs(3) + Self.pairs(3)) == "+OK\r\n")
        let one = ["tenant:t20:new", "v"]
        #expect(client.ask(["MSET"] + Self.pairs(3) + one).hasPrefix(full + "3"))
        let refused = Self.names.filter { name in
            Array(name.utf8).withBytes { host.registry.find($0)?.usage.rejected ?? 0 } > 0
        }
        #expect(refused == ["t0", "t20"], "the tenant that has no room is the one that is told")
    }
}
