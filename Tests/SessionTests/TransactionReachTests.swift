// SPDX-License-Identifier: Apache-2.0
import Base
import Commands
import Storage
import TestSupport
import Testing

/// What a transaction touches is what EXEC has locked: no queued command takes it elsewhere.
@Suite struct TransactionReachTests {
    /// Knows the server's password, and the secret of one tenant.
    private final class Doorkeeper: QuietServer, @unchecked Sendable {
        var tenant: TenantReference?

        override func authenticate(user: [UInt8]?, password: [UInt8]) -> Authentication {
            if password == Array("password".utf8) { return .server }
            guard let tenant, password == Array("secret".utf8) else { return .refused }
            return .tenant(tenant)
        }
    }

    @Test func aLoginInsideItGoesToNoOtherTenant() throws {
        let host = Host(server: { Doorkeeper($0) })
        try host.registry.create(id: Array("acme".utf8), plan: nil, secretDigest: nil)
        (host.server as? Doorkeeper)?.tenant = Array("acme".utf8).withBytes {
            host.registry.find($0)
        }
        let client = Client(host)
        client.converse(
            """
            SET k own => +OK
            MULTI => +OK
            AUTH secret => +QUEUED
            HELLO 3 AUTH default secret SETNAME x => +QUEUED
            AUTH password => +QUEUED
            SET k changed => +QUEUED
            EXEC => *4 -ERR Command not allowed inside a transaction -ERR Command not allowed inside
              a transaction +OK +OK
            CLIENT GETNAME => $-1
            GET k => $7 changed
            AUTH secret => +OK
            GET k => $-1
            MULTI => +OK
            AUTH secret => +QUEUED
            SET k theirs => +QUEUED
            EXEC => *2 +OK +OK
            GET k => $6 theirs
            """)
    }

    @Test func aDatabaseThatIsNotThereIsNotUsed() {
        let host = Host()
        host.settings.values.pointee.databaseCount.set(4)
        Client(host).converse(
            """
            SET k v => +OK
            SELECT 4 => -ERR DB index is out of range
            COPY k k DB 4 => -ERR DB index is out of range
            MOVE k 15 => -ERR DB index is out of range
            SWAPDB 0 4 => -ERR DB index is out of range
            MULTI => +OK
            SELECT 7 => +QUEUED
            SET k w => +QUEUED
            COPY k l DB 5 => +QUEUED
            MOVE k 6 => +QUEUED
            SELECT 3 => +QUEUED
            SET k three => +QUEUED
            EXEC => *6 -ERR DB index is out of range +OK -ERR DB index is out of range -ERR DB index
              is out of range +OK +OK
            GET k => $5 three
            SELECT 0 => +OK
            GET k => $1 w
            """)
        for number in 4..<16 {
            #expect(host.registry.server.keyspace(number) == nil, "database \(number) was touched")
        }
    }

    @Test func nothingIsQueuedWithoutMemory() {
        let host = Host()
        let client = Client(host)
        client.converse("SET k v => +OK")
        host.settings.values.pointee.memoryMax.set(1)
        client.converse(
            """
            GET k => $1 v
            MULTI => +OK
            GET k => -OOM command not allowed when used memory > 'maxmemory'.
            DEL k => -OOM command not allowed when used memory > 'maxmemory'.
            EXEC => -EXECABORT Transaction discarded because of previous errors.
            DEL k => :1
            """)
    }
}
