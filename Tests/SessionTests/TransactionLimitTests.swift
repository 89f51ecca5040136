// SPDX-License-Identifier: Apache-2.0
import Base
import Storage
import Tenancy
import Testing

/// How a tenant's limits apply to its transactions: each runs whole, later, or not at all, and no
/// session stays in one that cannot end.
@Suite struct TransactionLimitTests {
    static func host(_ change: (inout Limits) -> Void) throws -> Host {
        var limits = Limits()
        change(&limits)
        let host = Host(plans: [Plan(name: "metered", limits: limits)])
        try host.registry.create(id: Array("acme".utf8), plan: "metered", secretDigest: nil)
        host.worker.pointee.now = 20_000 * 86_400_000
        return host
    }

    @Test func aThrottledTransactionWaitsAndThenRunsWhole() throws {
        let host = try Self.host {
            $0.operationsPerSecond = 5
            $0.atLimit = .throttle
        }
        let client = Client(host, tenant: "acme")
        client.send(Array(repeating: ["GET", "a"], count: 5).map(RESP.request).joined())
        client.send(["MULTI"], ["SET", "a", "1"], ["INCR", "a"], ["INCR", "a"], ["EXEC"])
        var turns = 0
        while case .throttled(let wait)? = client.suspension, turns < 100 {
            turns += 1
            host.advance(milliseconds: wait)
            client.resume()
        }
        #expect(turns > 0 && turns < 100)
        #expect(client.takeReplies().hasSuffix("*3\r\n+OK\r\n:2\r\n:3\r\n"))
    }

    /// A transaction that exceeds the second's operations must pay them off before the next
    /// command.
    @Test func aLongTransactionIsPaidFor() throws {
        let host = try Self.host {
            $0.operationsPerSecond = 10
            $0.atLimit = .throttle
        }
        let client = Client(host, tenant: "acme")
        let began = host.worker.pointee.now
        for round in 0..<5 {
            client.send(["MULTI"])
            // Another key in each, so each time another shard is in debt.
            for _ in 0..<40 { client.send(["GET", "key \(round)"]) }
            client.send(["EXEC"])
            for _ in 0..<1000 {
                guard case .throttled = client.suspension else { break }
                host.advance(milliseconds: 1500)
                client.resume()
            }
            host.advance(milliseconds: 1500)
        }
        client.send(["GET", "a"])
        while case .throttled(let wait)? = client.suspension {
            host.advance(milliseconds: wait)
            client.resume()
        }
        // 200 commands at 10 per second; the first second's tokens are there at the start.
        let seconds = Double(host.worker.pointee.now - began) / 1000
        #expect(seconds > 15, "\(seconds) s")
    }

    /// A few bytes of request may make a large value. The tenant's memory limit holds before that
    /// value is made, outside a transaction and inside one, where only EXEC could have asked.
    @Test func memoryLimitsHoldInsideATransaction() throws {
        let quota = "-ERR DB capacity quota exceeded\r\n"
        let host = try Self.host { $0.memory = 1 << 20 }
        let client = Client(host, tenant: "acme")
        let members = (0..<4000).map { "\($0) " + String(repeating: "m", count: 100) }
        #expect(client.ask(["SADD", "s"] + members) == ":4000\r\n")
        #expect(client.ask("SETRANGE", "a", "200000", "x") == ":200001\r\n")
        let growing = [
            ["SETRANGE", "b", "700000", "x"], ["SETRANGE", "a", "900000", "x"],
            ["COPY", "s", "t"], ["SUNIONSTORE", "t", "s", "s"], ["SDIFFSTORE", "t", "s", "none"],
            ["SINTERSTORE", "t", "s"],
        ]
        let before = host.memoryInUse(of: "acme")
        for request in growing {
            #expect(client.ask(request) == quota, "\(request)")
            client.send(["MULTI"], request, ["EXISTS", "b", "t"], ["EXEC"])
            let reply = "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n\(quota):0\r\n"
            #expect(client.takeReplies() == reply, "\(request)")
        }
        #expect(host.memoryInUse(of: "acme") == before)
        #expect(client.ask("STRLEN", "a") == ":200001\r\n")
        // The first of two fits, the second no longer does.
        client.send(
            ["MULTI"], ["SETRANGE", "b", "150000", "x"], ["SETRANGE", "c", "400000", "x"], ["EXEC"])
        #expect(client.takeReplies().hasSuffix("*2\r\n:150001\r\n\(quota)"))
    }

    @Test func theServersMemoryLimitHoldsInsideATransaction() throws {
        let host = Host()
        let client = Client(host)
        // Why so large: the tests of other suites count as memory of this process.
        host.settings.values.pointee.memoryMax.set(400 << 20)
        client.send(["MULTI"], ["SETRANGE", "a", "450000000", "x"], ["EXISTS", "a"], ["EXEC"])
        let refused = "-OOM command not allowed when used memory > 'maxmemory'.\r\n"
        #expect(client.takeReplies().hasSuffix("*2\r\n\(refused):0\r\n"))
    }

    @Test func aTransactionBeyondTheDaysLimitIsOver() throws {
        let host = try Self.host { $0.operationsPerDay = 5 }
        let client = Client(host, tenant: "acme")
        // Watched keys are among others in the shard that is asked.
        client.send(["WATCH"] + (0..<64).map { "k\($0)" })
        client.send(["MULTI"], ["SET", "a", "1"], ["SET", "b", "1"])
        #expect(client.takeReplies() == "+OK\r\n+OK\r\n+QUEUED\r\n+QUEUED\r\n")
        let other = Client(host, tenant: "acme")
        for _ in 0..<100 { other.send(["GET", "a"]) }
        #expect(other.takeReplies().contains("-ERR max requests limit exceeded."))
        #expect(
            client.ask("EXEC").hasPrefix(
                "-EXECABORT Transaction discarded because of: max requests limit exceeded."))
        #expect(client.ask("GET", "a").hasPrefix("-ERR max requests limit exceeded."))
    }

    @Test func aTransactionCanBeDiscardedAtAnyLimit() throws {
        let host = try Self.host { $0.operationsPerDay = 5 }
        let client = Client(host, tenant: "acme")
        client.send(["MULTI"], ["SET", "a", "1"])
        let other = Client(host, tenant: "acme")
        for _ in 0..<100 { other.send(["GET", "a"]) }
        _ = client.takeReplies()
        #expect(client.ask("DISCARD") == "+OK\r\n")
        #expect(client.ask("GET", "a").hasPrefix("-ERR max requests limit exceeded."))
    }

    @Test func theServersOwnLimitCanBeLifted() throws {
        let host = try Self.host { $0.operationsPerDay = 5 }
        let client = Client(host)
        #expect(client.ask("TENANT", "PLAN", "default", "metered") == "+OK\r\n")
        for _ in 0..<100 { client.send(["GET", "a"]) }
        #expect(client.takeReplies().contains("-ERR max requests limit exceeded."))
        #expect(client.ask("TENANT", "PLAN", "default", "default") == "+OK\r\n")
        #expect(client.ask("GET", "a") == "$-1\r\n")
    }
}
