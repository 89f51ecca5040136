// SPDX-License-Identifier: Apache-2.0
import Storage
import Tenancy
import TestSupport
import Testing

/// A transaction touches only what EXEC has locked: no queued command reaches further.
@Suite struct TransactionReachTests {
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

    /// A swap exchanges both databases even for a tenant that has only one of them.
    @Test func databasesAreSwappedForEveryTenant() throws {
        let host = Host(patterns: [try KeyPattern("tenant:{tenant}:*")])
        Client(host).converse(
            """
            SET tenant:a:k 0 => +OK
            SELECT 1 => +OK
            SET tenant:b:k 1 => +OK
            MULTI => +OK
            SWAPDB 1 2 => +QUEUED
            SWAPDB 0 1 => +QUEUED
            MGET tenant:a:k tenant:b:k => +QUEUED
            SELECT 2 => +QUEUED
            MGET tenant:a:k tenant:b:k => +QUEUED
            SET tenant:c:k 2 => +QUEUED
            SWAPDB 2 0 => +QUEUED
            SELECT 0 => +QUEUED
            MGET tenant:a:k tenant:b:k tenant:c:k => +QUEUED
            EXEC => *9 +OK +OK *2 $1 0 $-1 +OK *2 $-1 $1 1 +OK +OK +OK *3 $-1 $1 1 $1 2
            DBSIZE => :2
            """)
    }

    /// EXEC forgets the watched keys; UNWATCH inside it has no further effect.
    @Test func unwatchInsideIt() {
        Client(Host()).converse(
            """
            WATCH a b => +OK
            MULTI => +OK
            SET b 1 => +QUEUED
            UNWATCH => +QUEUED
            SET a 1 => +QUEUED
            EXEC => *3 +OK +OK +OK
            SET a 2 => +OK
            MULTI => +OK
            GET a => +QUEUED
            EXEC => *1 $1 2
            """)
    }
}
