// SPDX-License-Identifier: Apache-2.0
import Base
import Storage
import Tenancy
import TestSupport
import Testing

/// How keys of a transaction or a command reach tenants that do not exist yet.
@Suite struct NewTenantReachTests {
    /// A key that no table can hold is refused when it is queued, so EXEC makes no tenant.
    @Test func aTooLongKeyIsNotQueued() throws {
        let host = Host(patterns: [try KeyPattern("tenant:{tenant}:*")])
        let client = Client(host)
        client.converse(
            """
            MULTI => +OK
            SET tenant:left:k v => +QUEUED
            """)
        let key = String(repeating: "k", count: 1 << 24)
        #expect(client.ask(["GET", key]).hasPrefix("-ERR max key size exceeded"))
        client.converse(
            "EXEC => -EXECABORT Transaction discarded because of previous errors.")
        #expect(host.registry.find(Bytes("left" as StaticString)) == nil)
    }

    /// Both are one key, wherever its tenant comes from.
    @Test func aKeyOfANewTenantIsOneKey() throws {
        let host = Host(patterns: [try KeyPattern("tenant:{tenant}:*")])
        Client(host).converse(
            """
            COPY tenant:a:k tenant:a:k => -ERR source and destination objects are the same
            MOVE tenant:a:k 0 => -ERR source and destination objects are the same
            RENAME tenant:a:k tenant:a:k => -ERR no such key
            MULTI => +OK
            GET tenant:b:k => +QUEUED
            SET tenant:b:k 1 => +QUEUED
            MGET tenant:b:k tenant:c:k => +QUEUED
            EXEC => *3 $-1 +OK *2 $1 1 $-1
            """)
        #expect(host.registry.find(Bytes("a" as StaticString)) == nil)
        #expect(host.registry.find(Bytes("c" as StaticString)) == nil)
    }
}
