// SPDX-License-Identifier: Apache-2.0
import Storage
import TestSupport
import Testing

/// What a transaction touches is what EXEC has locked: no queued command takes it elsewhere.
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
}
