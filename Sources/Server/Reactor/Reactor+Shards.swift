// SPDX-License-Identifier: Apache-2.0
import Base
import Networking
import Sessions

// Sessions that met a shard which another thread holds for long, for a union of large sets perhaps.
// They wait, and this reactor serves others meanwhile.
//
// Why they try again after a millisecond and are not told: telling would cost every command that
// lets go of a shard a look at who waits. A try of the first few sessions costs some microseconds.
extension Reactor {
    /// How many sessions in a row may find their shards still held before the others wait on.
    private static let failuresMax = 8

    func queueForShard(_ wait: Wait) {
        if shardWaits.isEmpty { _ = timers.add(deadline: now + 1, .shards) }
        shardWaits.append(wait)
    }

    /// Serves the waiting sessions, in their order, until several still cannot run.
    @inline(never)
    func retryShards() {
        let waits = shardWaits
        shardWaits = []
        var failureCount = 0
        var served: [UInt64] = []
        for wait in waits {
            guard let connection = connections.find(wait.token),
                connection.pointee.waitSerial == wait.serial
            else { continue }
            if failureCount >= Reactor.failuresMax || hasHadTurn(connection) {
                queueForShard(wait)
                continue
            }
            endWait(connection)
            connection.pointee.session.resume(.again)
            watch(connection)
            serveInput(connection)
            served.append(wait.token)
            // It may be gone.
            if shardWaits.last?.token == wait.token { failureCount += 1 }
        }
        sendAll()
        for token in served { settle(token) }
    }
}
