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

    /// EXEC takes the shards of the tenant that it began as, and runs no command on another's.
    @Test func aTransactionStaysWithItsTenant() throws {
        let host = Host(server: { Doorman($0) })
        try host.registry.create(id: Array("acme".utf8), plan: nil, secretDigest: [1])
        let doorman = try #require(host.server as? Doorman)
        doorman.tenant = Array("acme".utf8).withBytes { host.registry.find($0) }
        let acme = Client(host, tenant: "acme")
        let application = Client(host)
        for command in [["AUTH", "acme"], ["HELLO", "2", "AUTH", "acme", "acme"]] {
            #expect(answer(application, "MULTI") == "+OK\r\n")
            application.send(RESP.request(command))
            #expect(application.takeReplies() == "+QUEUED\r\n")
            #expect(answer(application, "SET", "a", "1") == "+QUEUED\r\n")
            let refusal = "-ERR a transaction cannot log in as another tenant\r\n"
            #expect(answer(application, "EXEC") == "*2\r\n\(refusal)+OK\r\n")
            #expect(answer(application, "DEL", "a") == ":1\r\n")
        }
        #expect(answer(acme, "DBSIZE") == ":0\r\n")
        #expect(answer(application, "AUTH", "acme") == "+OK\r\n")
    }

    /// Lets everybody in as one tenant.
    private final class Doorman: QuietServer, @unchecked Sendable {
        var tenant: TenantReference?

        override func authenticate(user: [UInt8]?, password: [UInt8]) -> Authentication {
            tenant.map { .tenant($0) } ?? .refused
        }
    }
}
