// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import LoadKit

/// Replies counted under the command that they answer.
struct TallyTests {
    private func receive(
        _ commands: [LoadCommand], _ text: String
    ) -> (tally: Tally, received: Tally.Received) {
        var tally = Tally()
        var stream = ReplyStream(pipeline: max(1, commands.count))
        for command in commands {
            stream.outstanding.append(command)
            tally.countRequest(command)
        }
        let received = tally.receive(Array(text.utf8).span, &stream)
        return (tally, received)
    }

    @Test func hitsAndMissesAreTheServers() {
        let (tally, received) = receive(
            [.get, .get, .mget, .exists, .hget, .sismember, .set],
            "$1\r\nx\r\n$-1\r\n*3\r\n$1\r\na\r\n_\r\n$-1\r\n:0\r\n$-1\r\n:1\r\n+OK\r\n")
        #expect(received.replies == 7)
        #expect(tally.replies == 7)
        #expect(tally.hits == 2)
        #expect(tally.misses == 4)
        #expect(tally[.hget].absent == 1)
        #expect(tally[.sismember].found == 1)
        #expect(tally.errorReplies == 0)
    }

    @Test func errorsAreCountedByKind() {
        let (tally, _) = receive(
            [.get, .set, .incr, .incr],
            "-OOM a b\r\n-ERR max requests limit exceeded. Limit: 5\r\n"
                + "-ERR max requests limit exceeded. Limit: 6\r\n-WRONGTYPE x\r\n")
        #expect(tally.errorReplies == 4)
        #expect(tally.errors["OOM"]?.count == 1)
        #expect(tally.errors["ERR max requests limit"]?.count == 2)
        #expect(
            tally.errors["ERR max requests limit"]?.example
                == "ERR max requests limit exceeded. Limit: 5")
        #expect(tally.errors["WRONGTYPE"]?.count == 1)
        #expect(tally.misses == 0)
    }

    @Test func kindsBeyondTheLimitAreCountedAsOther() {
        let text = (0..<100).map { "-KIND\($0) x\r\n" }.joined()
        let (tally, _) = receive([LoadCommand](repeating: .get, count: 100), text)
        #expect(tally.errors.count == Tally.errorKindLimit + 1)
        #expect(tally.errors["other"]?.count == 100 - Tally.errorKindLimit)
        #expect(tally.errors.values.reduce(0) { $0 + $1.count } == 100)
    }

    @Test func aReplyThatNobodyAskedForIsAFault() {
        #expect(receive([.ping], "+PONG\r\n+PONG\r\n").received.isMalformed)
    }

    @Test func mergingAddsEverything() {
        var (left, _) = receive([.get, .get], "$-1\r\n-OOM a\r\n")
        let (right, _) = receive([.get, .set], "$1\r\nx\r\n-OOM b\r\n")
        left.merge(right)
        #expect(left.requests == 4)
        #expect(left.hits == 1)
        #expect(left.misses == 1)
        #expect(left.errors == ["OOM": ErrorTally(count: 2, example: "OOM a")])
    }
}
