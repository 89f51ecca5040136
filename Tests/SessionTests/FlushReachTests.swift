// SPDX-License-Identifier: Apache-2.0
import Base
import Storage
import Tenancy
import Testing

/// FLUSHDB and FLUSHALL empty what DBSIZE counts, and nothing else.
@Suite struct FlushReachTests {
    /// The application, and a tenant with a secret that keeps keys in databases of its own.
    private static func stage(_ patterns: [KeyPattern]) throws -> (application: Client, own: Client)
    {
        let host = Host(patterns: patterns)
        try host.registry.create(id: Array("acme".utf8), plan: nil, secretDigest: [1])
        let own = Client(host, tenant: "acme", id: 2)
        own.converse(
            """
            SET k1 v => +OK
            SELECT 3 => +OK
            SET k2 v => +OK
            SELECT 0 => +OK
            """)
        let application = Client(host)
        application.converse(
            """
            SET plain v => +OK
            SET tenant:acme:x v => +OK
            SET tenant:gone:x v => +OK
            """)
        return (application, own)
    }

    @Test func withPatternsTheApplicationReachesEveryTenant() throws {
        let (application, own) = try Self.stage([try KeyPattern("tenant:{tenant}:*")])
        application.converse(
            """
            DBSIZE => :4
            FLUSHDB => +OK
            DBSIZE => :0
            """)
        own.converse(
            """
            DBSIZE => :0
            SELECT 3 => +OK
            DBSIZE => :1
            """)
        application.converse(
            """
            SELECT 3 => +OK
            DBSIZE => :1
            FLUSHALL => +OK
            DBSIZE => :0
            """)
        own.converse("DBSIZE => :0")
    }

    @Test func withoutPatternsItReachesItsOwnKeys() throws {
        let (application, own) = try Self.stage([])
        application.converse(
            """
            DBSIZE => :3
            FLUSHALL => +OK
            DBSIZE => :0
            """)
        own.converse(
            """
            DBSIZE => :1
            FLUSHDB => +OK
            DBSIZE => :0
            SELECT 3 => +OK
            DBSIZE => :1
            """)
    }

    @Test func aTenantReachesNoOther() throws {
        let (application, own) = try Self.stage([try KeyPattern("tenant:{tenant}:*")])
        own.converse(
            """
            FLUSHALL => +OK
            DBSIZE => :0
            """)
        application.converse("DBSIZE => :2")
    }
}
