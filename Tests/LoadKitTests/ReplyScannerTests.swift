// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import LoadKit

/// Replies of every type, whole and cut at every byte.
struct ReplyScannerTests {
    /// Presents the bytes in pieces, as a connection would, and returns everything found.
    private func scan(_ text: String, cutAt cuts: [Int] = []) -> [ReplyScanner.Step] {
        let bytes = Array(text.utf8)
        var scanner = ReplyScanner()
        var steps: [ReplyScanner.Step] = []
        var kept: [UInt8] = []
        var start = 0
        for end in cuts + [bytes.count] {
            kept += bytes[start..<end]
            start = end
            var position = 0
            reading: while true {
                let step = scanner.next(kept.span, at: &position)
                switch step {
                case .incomplete: break reading
                case .malformed: return steps + [step]
                case .reply, .push: steps.append(step)
                }
            }
            kept.removeFirst(position)
        }
        #expect(kept.isEmpty)
        return steps
    }

    private func reply(
        values: Int = 0, nulls: Int = 0, isZero: Bool = false, error: String? = nil
    ) -> ReplyScanner.Step {
        var reply = Reply()
        reply.values = values
        reply.nulls = nulls
        reply.isZero = isZero
        reply.errorText = error
        return .reply(reply)
    }

    private var conversation: (text: String, steps: [ReplyScanner.Step]) {
        let parts: [(String, ReplyScanner.Step)] = [
            ("+OK\r\n", reply(values: 1)),
            (":0\r\n", reply(values: 1, isZero: true)),
            (":10\r\n", reply(values: 1)),
            ("$-1\r\n", reply(nulls: 1)),
            ("*-1\r\n", reply(nulls: 1)),
            ("_\r\n", reply(nulls: 1)),
            ("$0\r\n\r\n", reply(values: 1)),
            ("$11\r\nab\r\n+OK\r\n:1\r\n", reply(values: 1)),
            ("-WRONGTYPE no\r\n", reply(values: 1, error: "WRONGTYPE no")),
            ("!7\r\nERR a\r\n\r\n", reply(values: 1, error: "ERR a\r\n")),
            ("*0\r\n", reply()),
            ("*3\r\n$1\r\na\r\n$-1\r\n$1\r\nb\r\n", reply(values: 2, nulls: 1)),
            ("*2\r\n*2\r\n:1\r\n*0\r\n*1\r\n*1\r\n_\r\n", reply(values: 1, nulls: 1)),
            ("%2\r\n+a\r\n:1\r\n+b\r\n~2\r\n#t\r\n,1.5\r\n", reply(values: 5)),
            ("(123456789012345678901234567890\r\n", reply(values: 1)),
            ("=7\r\ntxt:abc\r\n", reply(values: 1)),
            (">2\r\n+invalidate\r\n*1\r\n$1\r\nk\r\n", .push),
            ("|1\r\n+ttl\r\n*2\r\n$-1\r\n:3\r\n$2\r\nhi\r\n", reply(values: 1)),
            ("*2\r\n|1\r\n+a\r\n_\r\n:5\r\n-ERR inner\r\n", reply(values: 2, error: "ERR inner")),
            ("+END\r\n", reply(values: 1)),
        ]
        return (parts.map(\.0).joined(), parts.map(\.1))
    }

    @Test func everyTypeIsOneReply() {
        #expect(scan(conversation.text) == conversation.steps)
    }

    @Test func aCutAnywhereChangesNothing() {
        let (text, steps) = conversation
        for cut in 1..<text.utf8.count { #expect(scan(text, cutAt: [cut]) == steps) }
        #expect(scan(text, cutAt: Array(1..<text.utf8.count)) == steps)
    }

    @Test(arguments: [
        "hello\r\n", "$-2\r\n", "$1x\r\na\r\n", "*1\r+OK\r\n", "+OK\n", "%-1\r\n", "$\r\n",
        "$99999999999999999999\r\n", "*?\r\n",
    ])
    func nonsenseIsMalformed(text: String) {
        #expect(scan(text).last == .malformed)
    }

    @Test func aLineWithoutEndIsGivenUp() {
        let bytes = [UInt8](repeating: UInt8(ascii: "+"), count: ReplyScanner.lineLimit + 2)
        var scanner = ReplyScanner()
        var position = 0
        #expect(scanner.next(bytes.span, at: &position) == .malformed)
    }

    @Test func bodiesAreSkippedNotKept() {
        var scanner = ReplyScanner()
        var position = 0
        #expect(scanner.next(Array("$1000000\r\nabc".utf8).span, at: &position) == .incomplete)
        #expect(position == 13)
    }
}
