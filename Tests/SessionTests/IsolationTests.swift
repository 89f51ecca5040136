// SPDX-License-Identifier: Apache-2.0
import Base
import Commands
import Storage
import Tenancy
import TestSupport
import Testing

/// What the application sees of tenants that have a credential of their own, and they of others.
@Suite struct IsolationTests {
    private func answer(_ client: Client, _ words: String...) -> String {
        client.send(RESP.request(words))
        return client.takeReplies()
    }

    /// A key that the application is shown it can also read.
    @Test func theApplicationSeesWhatItCanName() throws {
        let host = Host(patterns: [try KeyPattern("tenant:{tenant}:*")])
        try host.registry.create(id: Array("acme".utf8), plan: nil, secretDigest: [1])
        let acme = Client(host, tenant: "acme")
        let application = Client(host)
        #expect(answer(acme, "MSET", "mine", "1", "tenant:other:x", "2") == "+OK\r\n")
        #expect(answer(application, "KEYS", "*") == "*0\r\n")
        #expect(answer(application, "SCAN", "0") == "*2\r\n$1\r\n0\r\n*0\r\n")
        #expect(answer(application, "RANDOMKEY") == "$-1\r\n")
        #expect(answer(application, "SET", "tenant:acme:x", "3") == "+OK\r\n")
        #expect(answer(acme, "GET", "tenant:acme:x") == "$1\r\n3\r\n")
        #expect(answer(application, "KEYS", "*") == "*1\r\n$13\r\ntenant:acme:x\r\n")
        #expect(answer(application, "RANDOMKEY") == "$13\r\ntenant:acme:x\r\n")
        #expect(answer(application, "GET", "tenant:other:x") == "$-1\r\n")
        #expect(answer(acme, "DBSIZE") == ":3\r\n")
    }

    /// EXEC holds the shards of the tenant that the session had when it began: what another one's
    /// commands change would be changed without a lock.
    @Test(arguments: ["AUTH acme", "HELLO 3 AUTH acme acme"])
    func aTransactionCannotChangeItsTenant(login: String) throws {
        let host = Host(server: { KnowingServer($0) })
        try host.registry.create(id: Array("acme".utf8), plan: nil, secretDigest: nil)
        try host.registry.create(id: Array("other".utf8), plan: nil, secretDigest: nil)
        (host.server as? KnowingServer)?.registry = host.registry
        let words = login.split(separator: " ").map(String.init)
        let client = Client(host, tenant: "other")
        client.send(["MULTI"], words, ["SET", "key", "1"], ["EXEC"])
        let refusal = "-ERR a transaction cannot change its tenant\r\n"
        #expect(client.takeReplies().hasSuffix("*2\r\n\(refusal)+OK\r\n"))
        #expect(answer(client, "TENANT", "WHOAMI") == "$5\r\nother\r\n")
        #expect(answer(Client(host, tenant: "acme"), "DBSIZE") == ":0\r\n")
        // Who logs in as whom they are changes nothing.
        let acme = Client(host, tenant: "acme")
        acme.send(["MULTI"], ["AUTH", "acme"], ["SET", "key", "1"], ["EXEC"])
        #expect(acme.takeReplies().hasSuffix("*2\r\n+OK\r\n+OK\r\n"))
    }

    /// What runs behind a SELECT that fails runs in the database that was selected before, and EXEC
    /// must hold that one: memory is settled of shards that are held.
    @Test func aSelectThatFailsMovesNoTransaction() throws {
        let host = Host()
        host.settings.values.pointee.databaseCount.set(4)
        let client = Client(host)
        client.send(["MULTI"], ["SELECT", "9"], ["SET", "key", "value"], ["EXEC"])
        let refusal = "-ERR DB index is out of range\r\n"
        #expect(client.takeReplies().hasSuffix("*2\r\n\(refusal)+OK\r\n"))
        let charged = host.registry.server.memoryInUse
        #expect(charged == host.registry.server.verify(host.worker).measured)
    }
}

/// A server to which every tenant's id is its secret.
private final class KnowingServer: QuietServer, @unchecked Sendable {
    var registry: TenantRegistry?

    override func authenticate(user: [UInt8]?, password: [UInt8]) -> Authentication {
        guard let tenant = password.withBytes({ registry?.find($0) }) else { return .refused }
        return .tenant(tenant)
    }
}
