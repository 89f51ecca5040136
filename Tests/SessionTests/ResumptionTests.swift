// SPDX-License-Identifier: Apache-2.0
import Base
import Sessions
import Testing

/// How a session continues after it has waited for records.
@Suite struct ResumptionTests {
    private func host() -> Host {
        Host(isRecordKey: { $0.array.starts(with: "user:".utf8) })
    }

    private func waiting(_ requests: [String]...) -> Client {
        let client = Client(host())
        client.send(requests.map(RESP.request).joined())
        #expect(client.suspension == .records([Array("user:1".utf8)]))
        #expect(client.takeReplies() == "")
        return client
    }

    @Test func absentIsAnAnswerForWhatWasAwaited() {
        let client = waiting(["GET", "user:1"], ["GET", "user:2"], ["GET", "user:1"])
        client.resume(.absent)
        // Only user:1 is known not to exist, and only for the request that waited for it.
        #expect(client.suspension == .records([Array("user:2".utf8)]))
        #expect(client.takeReplies() == "$-1\r\n")
        client.resume(.absent)
        #expect(client.suspension == .records([Array("user:1".utf8)]))
        #expect(client.takeReplies() == "$-1\r\n")
    }

    @Test func againLooksAgain() {
        let client = waiting(["GET", "user:1"], ["PING"])
        client.resume(.again)
        #expect(client.suspension == .records([Array("user:1".utf8)]))
        #expect(client.takeReplies() == "")
        #expect(Client(client.host, id: 2).ask("SET", "user:1", "Ada") == "+OK\r\n")
        client.resume(.again)
        #expect(client.suspension == nil && client.takeReplies() == "$3\r\nAda\r\n+PONG\r\n")
    }

    @Test func refusedAnswersOneRequest() {
        let client = waiting(["GET", "user:1"], ["PING"], ["GET", "user:1"])
        client.resume(.refused("TRYAGAIN later"))
        #expect(client.takeReplies() == "-TRYAGAIN later\r\n+PONG\r\n")
        #expect(client.suspension == .records([Array("user:1".utf8)]))
        client.resume(.absent)
        #expect(client.suspension == nil && client.takeReplies() == "$-1\r\n")
    }

    /// A record is dropped as often as it is loaded. How long the request tries is measured by
    /// monotonic time.
    @Test(arguments: [-3_600_000, 0, 3_600_000] as [Milliseconds])
    func aRequestTriesForTwoSeconds(jump: Milliseconds) {
        let client = waiting(["GET", "user:1"])
        client.host.worker.pointee.now += jump
        for _ in 0..<50 { client.resume(.again) }
        #expect(client.suspension != nil && client.takeReplies() == "")
        client.host.advance(milliseconds: 2000)
        client.resume(.again)
        #expect(client.suspension == nil && client.takeReplies().hasPrefix("-TRYAGAIN "))
    }

    @Test func aTransactionGoesOnInTheSameWays() {
        let transaction = [["MULTI"], ["GET", "user:1"], ["EXEC"]]
        let opened = "+OK\r\n+QUEUED\r\n"
        for (resumption, reply) in [
            (Resumption.absent, "*1\r\n$-1\r\n"),
            (.refused("TRYAGAIN later"), "-TRYAGAIN later\r\n"),
        ] {
            let client = Client(host())
            client.send(transaction.map(RESP.request).joined())
            #expect(client.suspension == .records([Array("user:1".utf8)]))
            #expect(client.takeReplies() == opened)
            client.resume(resumption)
            #expect(client.suspension == nil && client.takeReplies() == reply)
        }
    }

    /// That a record does not exist is known to the request that waited for it, and not to those
    /// behind it if that request ends without looking.
    @Test func whatIsAbsentEndsWithTheTransaction() {
        let client = Client(host())
        client.send(["WATCH", "w"], ["MULTI"], ["GET", "user:1"], ["EXEC"])
        #expect(client.suspension == .records([Array("user:1".utf8)]))
        #expect(Client(client.host, id: 2).ask("SET", "w", "1") == "+OK\r\n")
        client.resume(.absent)
        #expect(client.suspension == nil && client.takeReplies().hasSuffix("*-1\r\n"))
        client.send(["GET", "user:1"])
        #expect(client.suspension == .records([Array("user:1".utf8)]))
    }

    /// EXEC loads what it reads before it runs. If a record is gone when its command runs, nobody
    /// knows whether there is a row.
    @Test func aTransactionThatLosesARecordSaysSo() {
        let client = Client(host())
        client.converse(
            """
            SET user:1 row => +OK
            MULTI => +OK
            GET user:1 => +QUEUED
            SWAPDB 0 1 => +QUEUED
            GET user:1 => +QUEUED
            MGET other user:1 => +QUEUED
            EXISTS other => +QUEUED
            EXEC => *5 $3 row +OK -TRYAGAIN the record changes faster than it can be loaded
              -TRYAGAIN the record changes faster than it can be loaded :0
            """)
        #expect(client.state.pointee.transaction.isOpen == false)
        client.send(["GET", "user:1"])
        #expect(client.suspension == .records([Array("user:1".utf8)]))
    }

    /// What the transaction itself removes is gone, as in Redis. Afterwards it is loaded again.
    @Test func aTransactionSeesItsOwnRemovals() {
        let client = Client(host())
        client.converse(
            """
            MSET user:1 a user:2 b user:3 c user:4 d other o => +OK
            MULTI => +OK
            DEL user:1 => +QUEUED
            GETDEL user:2 => +QUEUED
            MOVE user:3 1 => +QUEUED
            MGET user:1 user:2 user:3 => +QUEUED
            RENAME other user:4 => +QUEUED
            GET user:4 => +QUEUED
            EXEC => *6 :1 $1 b :1 *3 $-1 $-1 $-1 +OK -TRYAGAIN the record changes faster than it can
              be loaded
            """)
        client.send(["GET", "user:1"])
        #expect(client.suspension == .records([Array("user:1".utf8)]))
    }

    /// The absence of a record is known for the whole transaction that waited for it.
    @Test func absentIsAnAnswerThroughoutATransaction() {
        let client = Client(host())
        client.send(["MULTI"], ["GET", "user:1"], ["MGET", "user:1", "user:1"], ["EXEC"])
        _ = client.takeReplies()
        client.resume(.absent)
        #expect(client.takeReplies() == "*2\r\n$-1\r\n*2\r\n$-1\r\n$-1\r\n")
        client.send(["GET", "user:1"])
        #expect(client.suspension == .records([Array("user:1".utf8)]))
    }
}
