// SPDX-License-Identifier: Apache-2.0
import Base
import Synchronization
import Testing

@testable import Wire

/// Error replies are counted by their first words.
@Suite struct ErrorTallyTests {
    /// The counts, as "WORD=n" in the order of appearance.
    static func counts(_ tally: borrowing ErrorTally) -> [String] {
        var all: [String] = []
        tally.forEachWord { all.append("\(String(decoding: $0, as: UTF8.self))=\($1)") }
        return all
    }

    static func count(_ text: String, in tally: borrowing ErrorTally) {
        Array(text.utf8).withBytes { tally.count($0) }
    }

    @Test func wordsAreKeptApart() {
        let tally = ErrorTally()
        for text in ["ERR a", "WRONGTYPE b", "ERR", "ERR c d", "OOM e"] {
            Self.count(text, in: tally)
        }
        #expect(Self.counts(tally) == ["ERR=3", "WRONGTYPE=1", "OOM=1"])
        #expect(tally.total.load(ordering: .relaxed) == 5)
    }

    @Test func anErrorWithoutAWordIsERR() {
        let tally = ErrorTally()
        let letters = String(repeating: "A", count: 40)
        for text in ["", "nothing", letters, letters + " b"] { Self.count(text, in: tally) }
        #expect(Self.counts(tally) == ["ERR=4"])
        // Redis looks at 32 bytes too, including the minus sign.
        let longest = String(repeating: "A", count: 30)
        Self.count(longest + " b", in: tally)
        Self.count(longest + "A b", in: tally)
        #expect(Self.counts(tally) == ["ERR=5", "\(longest)=1"])
    }

    @Test func wordsThatComeTooLateShareALine() {
        let tally = ErrorTally()
        for number in 0..<200 { Self.count("E\(number) a", in: tally) }
        let counts = Self.counts(tally)
        #expect(counts.count == 128 && counts[126] == "E126=1")
        #expect(counts[127] == "ERRORSTATS_OVERFLOW=73")
        Self.count("E0 again", in: tally)
        Self.count("E199 again", in: tally)
        #expect(Self.counts(tally)[0] == "E0=2")
        #expect(Self.counts(tally)[127] == "ERRORSTATS_OVERFLOW=74")
        #expect(tally.total.load(ordering: .relaxed) == 202)
    }

    @Test func afterAResetItBeginsAgain() {
        let tally = ErrorTally()
        Self.count("ERR a", in: tally)
        tally.reset()
        #expect(Self.counts(tally).isEmpty && tally.total.load(ordering: .relaxed) == 0)
        Self.count("NOAUTH a", in: tally)
        #expect(Self.counts(tally) == ["NOAUTH=1"])
    }

    @Test func everyKindOfErrorReplyIsCounted() {
        let buffer = Reference<ByteBuffer>.make(ByteBuffer())
        let tally = Reference<ErrorTally>.make(ErrorTally())
        defer {
            buffer.destroy()
            tally.destroy()
        }
        var reply = ReplyWriter(buffer, version: 2, countingErrorsIn: tally)
        reply.error("NOPERM no")
        reply.error(Array("ERR no".utf8))
        reply.error(.wrongType)
        reply.error("ERR no ", quoting: Bytes("such" as StaticString))
        reply.ok()
        reply.uncountedError(Array("FOO bar".utf8))
        #expect(Self.counts(tally.pointee) == ["NOPERM=1", "ERR=2", "WRONGTYPE=1"])
        #expect(reply.errorCount == 4)
    }
}
