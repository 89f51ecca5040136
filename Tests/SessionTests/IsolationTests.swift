// SPDX-License-Identifier: Apache-2.0
import Base
import Storage
import Tenancy
import Testing

/// What the application sees of tenants with their own credentials, and what these see of others.
@Suite struct IsolationTests {
    /// The application can read every key that it is shown.
    @Test func theApplicationSeesWhatItCanName() throws {
        let host = Host(patterns: [try KeyPattern("tenant:{tenant}:*")])
        try host.registry.create(id: Array("acme".utf8), plan: nil, secretDigest: [1])
        let acme = Client(host, tenant: "acme")
        let application = Client(host)
        #expect(acme.ask("MSET", "mine", "1", "tenant:other:x", "2") == "+OK\r\n")
        #expect(application.ask("KEYS", "*") == "*0\r\n")
        #expect(application.ask("SCAN", "0") == "*2\r\n$1\r\n0\r\n*0\r\n")
        #expect(application.ask("RANDOMKEY") == "$-1\r\n")
        #expect(application.ask("SET", "tenant:acme:x", "3") == "+OK\r\n")
        #expect(acme.ask("GET", "tenant:acme:x") == "$1\r\n3\r\n")
        #expect(application.ask("KEYS", "*") == "*1\r\n$13\r\ntenant:acme:x\r\n")
        #expect(application.ask("RANDOMKEY") == "$13\r\ntenant:acme:x\r\n")
        #expect(application.ask("GET", "tenant:other:x") == "$-1\r\n")
        #expect(acme.ask("DBSIZE") == ":3\r\n")
    }
}

/// EXEC holds the shards of the tenant and the databases of the transaction's start.
@Suite struct TransactionIsolationTests {
    @Test func nobodyBecomesAnotherTenantInATransaction() throws {
        let (host, server) = StageServer.host()
        server.registry = host.registry
        for id in ["a", "b"] {
            try host.registry.create(id: Array(id.utf8), plan: nil, secretDigest: nil)
        }
        let client = Client(host, tenant: "a")
        for login in ["AUTH b", "HELLO 2 AUTH default b"] {
            client.converse(
                """
                MULTI => +OK
                SET k mine => +QUEUED
                \(login) => +QUEUED
                SET k mine => +QUEUED
                TENANT WHOAMI => -ERR Command not allowed inside a transaction
                DISCARD => +OK
                MULTI => +OK
                \(login) => +QUEUED
                SET k mine => +QUEUED
                EXEC => *2 -ERR a transaction cannot change its tenant +OK
                TENANT WHOAMI => $1 a
                DBSIZE => :1
                """)
        }
        client.converse(
            """
            MULTI => +OK
            AUTH a => +QUEUED
            GET k => +QUEUED
            EXEC => *2 +OK $4 mine
            AUTH b => +OK
            DBSIZE => :0
            """)
    }

    @Test func aSelectThatIsRefusedMovesNoKeys() throws {
        let host = Host()
        host.settings.values.pointee.databaseCount.set(4)
        Client(host).converse(
            """
            MULTI => +OK
            SELECT 9 => +QUEUED
            SET k 0 => +QUEUED
            SELECT 3 => +QUEUED
            SET k 3 => +QUEUED
            EXEC => *4 -ERR DB index is out of range +OK +OK +OK
            GET k => $1 3
            SELECT 0 => +OK
            GET k => $1 0
            """)
        let charged = host.registry.server.memoryInUse
        #expect(charged == host.registry.server.verify(host.worker).measured)
    }
}
