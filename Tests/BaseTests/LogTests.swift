// SPDX-License-Identifier: Apache-2.0
import Glibc
import Testing

@testable import Base

/// What a message from outside may write into the log.
@Suite struct LogTests {
    @Test(
        arguments: [
            (
                "a record names plan 'x\n1:M 01 Jan # forged'",
                "a record names plan 'x?1:M 01 Jan # forged'"
            ),
            ("\u{1b}[31mred\r\u{7f}\0", "?[31mred???"), ("\u{9b}2J", "?2J"),
            ("naïve 日本 …", "naïve 日本 …"), ("", ""),
        ])
    func aMessageIsOneLine(message: String, shown: String) {
        #expect(Log.withoutControls(message) == shown)
    }

    /// A pipe, and the log that writes to it.
    private final class Pipe {
        let log: Log
        private let reader: Int32
        let writer: Int32

        init() throws {
            var ends: [Int32] = [0, 0]
            try #require(pipe(&ends) == 0)
            (reader, writer) = (ends[0], ends[1])
            log = Log(descriptor: writer)
        }

        deinit { close(reader) }

        /// Reads until a line contains `last`.
        func lines(until last: String) -> [String] {
            var text = ""
            var chunk = [UInt8](repeating: 0, count: 65_536)
            while !text.contains(last) || text.last != "\n" {
                let count = read(reader, &chunk, chunk.count)
                if count <= 0 { break }
                text += String(decoding: chunk[..<count], as: UTF8.self)
            }
            return text.split(separator: "\n").map(String.init)
        }
    }

    @Test func withoutAThreadALineIsWrittenAtOnce() throws {
        let pipe = try Pipe()
        pipe.log.write(.warning, "first")
        #expect(pipe.lines(until: "first").count == 1)
    }

    @Test func aFullPipeHoldsNobodyUpAndTheLossIsTold() throws {
        let pipe = try Pipe()
        try #require(pipe.log.start())
        let count = 60_000
        // Nobody reads, and this is several times what the pipe and the log may hold.
        for number in 0..<count { pipe.log.write(.notice, "line number \(number) of many") }
        #expect(!pipe.log.flush(milliseconds: 50), "the pipe is full")
        let lines = pipe.lines(until: "could not be written")
        let told = try #require(lines.last?.split(separator: " ").dropLast(8).last)
        let kept = lines.dropLast().filter { $0.contains("line number ") }
        #expect(kept.count + (Int(told) ?? 0) == count, "told \(told), kept \(kept.count)")
        #expect(kept.count > 5000 && kept.count < count)
        for (number, line) in kept.enumerated() where !line.hasSuffix("number \(number) of many") {
            Issue.record("line \(number) is '\(line)'")
            return
        }
        pipe.log.write(.warning, "the last")
        #expect(pipe.log.flush(milliseconds: 10_000))
        #expect(pipe.lines(until: "the last").count == 1)
    }

    @Test func whatCannotBeWrittenIsToldByTheNextDescriptor() throws {
        let pipe = try Pipe()
        let path = "/tmp/martlet-log-\(getpid())"
        defer { unlink(path) }
        #expect(pipe.log.open(path: "/dev/full") == 0)
        try #require(pipe.log.start())
        for _ in 0..<3 { pipe.log.write(.notice, "lost") }
        #expect(!pipe.log.flush(milliseconds: 10_000))
        #expect(pipe.log.open(path: path) == 0)
        pipe.log.write(.notice, "kept")
        #expect(pipe.log.flush(milliseconds: 10_000))
        let file = try #require(fopen(path, "r"))
        defer { fclose(file) }
        var buffer = [CChar](repeating: 0, count: 1000)
        let count = fread(&buffer, 1, buffer.count, file)
        let text = String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
        #expect(text.contains("kept\n") && text.contains(" 3 lines of the log"), "\(text)")
    }
}
