// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import LoadKit

/// The two forms of a result.
struct ReportTests {
    private func report() throws -> Report {
        var report = Report(try LoadOptions(arguments: ["--mix", "get=3,set=1", "--keys", "10"]))
        var stream = ReplyStream(pipeline: 3)
        for command in [LoadCommand.get, .get, .set] {
            stream.outstanding.append(command)
            report.tally.countRequest(command)
        }
        let replies = Array("$1\r\nx\r\n$-1\r\n-OOM say \"no\"\r\n".utf8)
        _ = report.tally.receive(replies.span, &stream)
        report.latency.record(1_500_000, count: 3)
        report.elapsedSeconds = 0.5
        report.server = ServerUse(
            userSeconds: 0.000_003, systemSeconds: 0.000_006, residentBytesBefore: 1,
            residentBytesAfter: 2)
        return report
    }

    @Test func textShowsErrorsAndServer() throws {
        let text = try report().text
        #expect(text.contains("requests      3 in 0.500 s, 6 per second"))
        #expect(text.contains("1 × OOM say \"no\""))
        #expect(text.contains("hits          1, misses 1"))
        #expect(text.contains("p99.9 1.500"))
        #expect(text.contains("CPU 3.000 µs/request (user 1.000, system 2.000)"))
        #expect(!text.contains("lost"))
    }

    @Test func lostRequestsAreShownAndFailTheRun() throws {
        var report = try report()
        #expect(report.isComplete)
        report.lostRequests = 4
        #expect(!report.isComplete)
        #expect(report.text.contains("4 requests without a reply"))
    }

    @Test func jsonIsEscapedAndComplete() throws {
        let json = try report().json
        #expect(json.contains(#""example": "OOM say \"no\"""#))
        #expect(json.contains(#""replies": 3"#))
        #expect(json.contains(#""p50": 1500.000"#))
        #expect(json.contains(#""get": {"requests": 2, "replies": 2, "errors": 0, "found": 1"#))
        #expect(json.filter { $0 == "{" }.count == json.filter { $0 == "}" }.count)
    }

    @Test func numbersAreWrittenForPeople() {
        #expect(Format.grouped(1_234_567) == "1,234,567")
        #expect(Format.grouped(-999) == "-999")
        #expect(Format.decimal(1.0049, 2) == "1.00")
        #expect(Format.decimal(-0.5, 1) == "-0.5")
        #expect(Format.decimal(0.07, 3) == "0.070")
        #expect(Format.decimal(.infinity, 1) == "0")
        #expect(Format.quoted("a\"\\\n\u{1}") == #""a\"\\\n\u0001""#)
    }
}
