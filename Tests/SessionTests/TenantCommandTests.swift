// SPDX-License-Identifier: Apache-2.0
import Base
import Commands
import Storage
import Tenancy
import Testing

/// TENANT and RECORDS, each subcommand and each way to get it wrong.
@Suite struct TenantCommandTests {
    private static let plans: [Plan] = {
        var limits = Limits()
        limits.keys = 2
        limits.memory = 1 << 20
        limits.atLimit = .throttle
        return [Plan(name: "small", limits: limits)]
    }()

    private static func host(_ prepare: (StageServer) -> Void = { _ in }) -> (Host, StageServer) {
        StageServer.host(plans: plans, prepare)
    }

    @Test func badForms() {
        let (host, server) = Self.host()
        let long = String(repeating: "a", count: KeyPattern.tenantSizeMax + 1)
        let client = Client(host)
        client.converse(
            """
            TENANT => -ERR wrong number of arguments for 'tenant' command
            TENANT NOSUCH => -ERR unknown subcommand 'NOSUCH'. Try TENANT HELP.
            TENANT CREATE => -ERR wrong number of arguments for 'tenant|create' command
            TENANT CREATE a x => -ERR syntax error
            TENANT CREATE a PLAN => -ERR syntax error
            TENANT CREATE a x y => -ERR syntax error
            TENANT CREATE a SECRET '' => -ERR syntax error
            TENANT CREATE a PLAN small PLAN small => -ERR syntax error
            TENANT CREATE a SECRET b SECRET c => -ERR syntax error
            TENANT CREATE a PLAN nosuch => -ERR no tenant-plan directive declares that plan
            TENANT CREATE '' => -ERR a tenant's id is 1 to 128 printable characters without blanks
            TENANT CREATE é => -ERR a tenant's id is 1 to 128 printable characters without blanks
            TENANT CREATE 'a b' => -ERR a tenant's id is 1 to 128 printable characters without
              blanks
            TENANT CREATE \(long) => -ERR a tenant's id is 1 to 128 printable characters without
              blanks
            TENANT DELETE => -ERR wrong number of arguments for 'tenant|delete' command
            TENANT DELETE a => -ERR no such tenant
            TENANT LIST x => -ERR wrong number of arguments for 'tenant|list' command
            TENANT LIST => *0
            TENANT INFO => -ERR wrong number of arguments for 'tenant|info' command
            TENANT INFO a => -ERR no such tenant
            TENANT USAGE a => -ERR no such tenant
            TENANT USAGE a VERIFY => -ERR no such tenant
            TENANT PLAN => -ERR wrong number of arguments for 'tenant|plan' command
            TENANT PLAN a => -ERR no such tenant
            TENANT PLAN a small => -ERR no such tenant
            TENANT PLAN a small x => -ERR syntax error
            TENANT SECRET => -ERR wrong number of arguments for 'tenant|secret' command
            TENANT SECRET a => -ERR no such tenant
            TENANT SECRET a NEW => -ERR no such tenant
            TENANT SECRET a NEW x => -ERR syntax error
            TENANT INVALIDATE => -ERR wrong number of arguments for 'tenant|invalidate' command
            TENANT WHOAMI x => -ERR wrong number of arguments for 'tenant|whoami' command
            TENANT HELP x => -ERR wrong number of arguments for 'tenant|help' command
            """)
        #expect(server.notes == [], "something was written although nothing changed")
    }

    @Test func fromCreationToDeletion() {
        let (host, server) = Self.host()
        Client(host).converse(
            """
            TENANT CREATE b => +OK
            TENANT CREATE a plan small secret s3cret => +OK
            TENANT CREATE a => -ERR the tenant exists already
            TENANT CREATE c SECRET s3cret => -ERR another tenant has that secret
            TENANT LIST => *2 $1 a $1 b
            TENANT PLAN a => $5 small
            TENANT PLAN b => $7 default
            TENANT PLAN b small => +OK
            TENANT PLAN b => $5 small
            TENANT PLAN b nosuch => -ERR no tenant-plan directive declares that plan
            TENANT SECRET a => $3 set
            TENANT SECRET b => $4 none
            TENANT SECRET b s3cret => -ERR another tenant has that secret
            TENANT SECRET b '' => -ERR syntax error
            TENANT SECRET b other => +OK
            TENANT SECRET b => $3 set
            TENANT SECRET b none => +OK
            TENANT SECRET b => $4 none
            TENANT SECRET b new => $6 secret
            TENANT SECRET b => $3 set
            TENANT DELETE a => +OK
            TENANT DELETE a => -ERR no such tenant
            TENANT LIST => *1 $1 b
            TENANT SECRET b s3cret => +OK
            """)
        let changes = server.notes.filter { $0 == "save" }.count
        #expect(changes == 8, "every change is written, and nothing else")
        #expect(server.notes.contains("close a"), "its sessions end")
    }

    /// While TENANT DELETE waits for the standstill, others delete the tenant and create the next.
    @Test func theTenantWhoseSessionsCloseIsDeleted() throws {
        let (host, server) = Self.host()
        let registry = host.registry
        let id = Array("acme".utf8)
        func tenant() throws -> TenantReference {
            try #require(id.withBytes { registry.find($0) })
        }
        let client = Client(host)
        client.converse("TENANT CREATE acme SECRET s0 => +OK")
        let first = try tenant()
        var second: TenantReference?
        server.beforeStandstill = {
            try? registry.delete(first)
            try? registry.create(id: id, plan: nil, secretDigest: [1])
            second = id.withBytes { registry.find($0) }
        }
        client.converse("TENANT DELETE acme => +OK")
        #expect(second != nil && second != first)
        #expect(server.closedTenants == [second])
        client.converse("TENANT LIST => *0")

        server.beforeStandstill = nil
        client.converse("TENANT CREATE acme => +OK")
        let third = try tenant()
        server.beforeStandstill = { try? registry.delete(third) }
        client.converse("TENANT DELETE acme => -ERR no such tenant")
        #expect(server.closedTenants == [second])
    }

    @Test func theServersOwnTenantStays() {
        let (host, _) = Self.host()
        let client = Client(host)
        let own = host.registry.server.id.string
        client.converse(
            """
            TENANT WHOAMI => $\(own.utf8.count) \(own)
            TENANT DELETE \(own) => -ERR the server's own tenant cannot be deleted
            TENANT SECRET \(own) NEW => -ERR only a created tenant can have a secret
            TENANT SECRET \(own) => $4 none
            TENANT CREATE \(own) => -ERR the tenant exists already
            TENANT LIST => *0
            """)
    }

    @Test func whatCannotBeWrittenIsNotInForce() {
        let (host, server) = Self.host()
        Client(host).converse("TENANT CREATE b => +OK")
        server.refusal = "the disk is full"
        Client(host).converse(
            """
            TENANT CREATE a => -ERR the disk is full
            TENANT LIST => *1 $1 b
            TENANT SECRET b NEW => -ERR the disk is full
            TENANT SECRET b => $4 none
            TENANT PLAN b small => -ERR the disk is full
            TENANT PLAN b => $7 default
            TENANT DELETE b => -ERR the disk is full
            TENANT LIST => *1 $1 b
            """)
        #expect(server.notes.filter { $0 == "save" }.count == 5)
    }

    /// A command that runs elsewhere counts once, with its outcome, and others follow in order.
    @Test func aChangeCountsOnceAndKeepsItsPlace() {
        let (host, _) = Self.host()
        let client = Client(host)
        client.converse("TENANT CREATE other => +OK")
        let before = Self.pairs(client, "INFO", host.registry.server.id.string)["commands"]
        #expect(before == ":1")
        client.send(
            ["TENANT", "CREATE", "a"], ["TENANT", "SECRET", "a", "NEW"], ["TENANT", "CREATE", "a"],
            ["PING"])
        let replies = client.takeReplies()
        #expect(
            replies == "+OK\r\n$6\r\nsecret\r\n-ERR the tenant exists already\r\n+PONG\r\n")
        let after = Self.pairs(client, "INFO", host.registry.server.id.string)["commands"]
        #expect(after == ":6")
    }

    // MARK: - Figures

    /// The names and values of a flat reply.
    private static func pairs(_ client: Client, _ words: String...) -> [String: String] {
        client.send(["TENANT"] + words)
        let lines = client.takeReplies().split(separator: "\r\n").filter {
            !$0.hasPrefix("*") && ($0 == "$-1" || !$0.hasPrefix("$"))
        }
        var pairs: [String: String] = [:]
        for index in stride(from: 0, to: lines.count - 1, by: 2) {
            pairs[String(lines[index])] = String(lines[index + 1])
        }
        return pairs
    }

    @Test func whatATenantHasUsed() {
        let (host, _) = Self.host()
        let asker = Client(host)
        asker.converse("TENANT CREATE acme PLAN small => +OK")
        let client = Client(host, tenant: "acme")
        client.converse(
            """
            SET a 1 => +OK
            SET b 2 PX 100 => +OK
            GET a => $1 1
            GET none => $-1
            """)
        let before = Self.pairs(asker, "INFO", "acme")
        #expect(before["id"] == "acme" && before["plan"] == "small")
        #expect(before["origin"] == "created" && before["at_limit"] == "throttle")
        #expect(before["keys"] == ":2" && before["keys_limit"] == ":2")
        #expect(before["memory_limit"] == ":1048576" && before["connections_limit"] == "$-1")
        #expect(before["commands"] == ":4" && before["reads"] == ":2" && before["writes"] == ":2")
        #expect(before["hits"] == ":1" && before["misses"] == ":1" && before["expired"] == ":0")
        host.advance(milliseconds: 200)
        client.converse("GET b => $-1")
        let after = Self.pairs(asker, "INFO", "acme")
        #expect(after["keys"] == ":1" && after["expired"] == ":1" && after["misses"] == ":2")
        #expect(Self.pairs(asker, "USAGE", "acme")["keys"] == ":1")
        #expect(Self.pairs(asker, "USAGE", "acme")["commands"] == ":5")
        let verified = Self.pairs(asker, "USAGE", "acme", "verify")
        #expect(verified["difference"] == ":0" && verified["keys"] == ":1")
        #expect(verified["charged"] == verified["measured"])
        asker.converse("TENANT USAGE acme x => -ERR syntax error")
        asker.send(["TENANT", "USAGE"])
        let all = asker.takeReplies()
        #expect(all.hasPrefix("*4\r\n") && all.contains("\r\nacme\r\n*8\r\n$6\r\nmemory\r\n"))
    }

    // MARK: - Who may

    @Test func aTenantKnowsOfItselfAlone() {
        let (host, server) = Self.host()
        Client(host).converse("TENANT CREATE acme => +OK\nTENANT CREATE other => +OK")
        let client = Client(host, tenant: "acme")
        client.converse(
            """
            TENANT WHOAMI => $4 acme
            TENANT INFO other => -NOPERM this user has no permissions to run the 'tenant|info'
              command
            TENANT INFO nosuch => -NOPERM this user has no permissions to run the 'tenant|info'
              command
            """)
        #expect(Self.pairs(client, "INFO", "acme")["id"] == "acme")
        server.notes = []
        for words in [
            ["CREATE", "x"], ["DELETE", "acme"], ["LIST"], ["USAGE"], ["PLAN", "acme"],
            ["SECRET", "acme"], ["INVALIDATE", "acme"],
        ] {
            client.send(["TENANT"] + words)
            #expect(
                client.takeReplies() == "-NOPERM this user has no permissions to run the "
                    + "'tenant|\(words[0].lowercased())' command\r\n")
        }
        #expect(server.notes == [])
    }

    @Test func notInsideATransaction() {
        let (host, _) = Self.host()
        Client(host).converse(
            """
            MULTI => +OK
            TENANT CREATE a => -ERR Command not allowed inside a transaction
            EXEC => -EXECABORT Transaction discarded because of previous errors.
            TENANT LIST => *0
            """)
    }

    // MARK: - Records

    @Test func records() {
        let (host, server) = Self.host {
            $0.records = [[("name", "users"), ("loads", "3")], [("name", "carts")]]
        }
        Client(host).converse(
            """
            TENANT INVALIDATE acme => :4
            RECORDS => -ERR wrong number of arguments for 'records' command
            RECORDS NOSUCH => -ERR unknown subcommand 'NOSUCH'. Try RECORDS HELP.
            RECORDS SOURCES x => -ERR wrong number of arguments for 'records|sources' command
            RECORDS SOURCES => *2 *4 $4 name $5 users $5 loads $1 3 *2 $4 name $5 carts
            RECORDS STATS => *2 *4 $4 name $5 users $5 loads $1 3 *2 $4 name $5 carts
            RECORDS INVALIDATE => -ERR wrong number of arguments for 'records|invalidate' command
            RECORDS INVALIDATE users => +OK
            RECORDS INVALIDATE nosuch => -ERR no such record source
            RECORDS LOAD user:1 => +OK
            RECORDS LOAD cart:1 => -ERR no record source answers that key
            """)
        #expect(server.notes == ["invalidate acme"])
    }
}
