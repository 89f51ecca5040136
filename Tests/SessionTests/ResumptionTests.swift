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
}
