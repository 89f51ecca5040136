// SPDX-License-Identifier: Apache-2.0
import Base
import Testing

@testable import Wire

/// Every kind of reply, byte for byte, in both dialects.
@Suite struct ReplyWriterTests {
    static func bytes(_ version: UInt8, _ write: (inout ReplyWriter) -> Void) -> [UInt8] {
        let buffer = Reference<ByteBuffer>.make(ByteBuffer())
        defer { buffer.destroy() }
        var reply = ReplyWriter(buffer, version: version)
        write(&reply)
        return buffer.pointee.readable.array
    }

    static func text(_ version: UInt8, _ write: (inout ReplyWriter) -> Void) -> String {
        String(decoding: bytes(version, write), as: UTF8.self)
    }

    /// Expects the same bytes in both dialects.
    static func expect(
        _ text: String, _ location: SourceLocation = #_sourceLocation,
        _ write: (inout ReplyWriter) -> Void
    ) {
        expect(text, text, location, write)
    }

    static func expect(
        _ second: String, _ third: String, _ location: SourceLocation = #_sourceLocation,
        _ write: (inout ReplyWriter) -> Void
    ) {
        #expect(text(2, write) == second, sourceLocation: location)
        #expect(text(3, write) == third, sourceLocation: location)
    }

    @Test func linesAreTheSameInBoth() {
        Self.expect("+OK\r\n") { $0.ok() }
        Self.expect("+PONG\r\n") { $0.simple("PONG") }
        Self.expect("+x\r\n") { reply in [120].withBytes { reply.simple($0) } }
        Self.expect(":0\r\n") { $0.integer(0) }
        Self.expect(":-9223372036854775808\r\n") { $0.integer(Int64.min) }
        Self.expect(":9223372036854775807\r\n") { $0.integer(Int64.max) }
        Self.expect("raw") { $0.raw(Bytes("raw" as StaticString)) }
    }

    @Test func errorsAreOneLineAndCounted() {
        Self.expect("-ERR syntax error\r\n") { $0.error(.syntax) }
        Self.expect("-ERR a  b c\r\n") { $0.error("ERR a\r\nb\nc") }
        Self.expect("-ERR 'a' b\r\n") { reply in
            Array("a\0hidden".utf8).withBytes { reply.error("ERR '", quoting: $0, "' b") }
        }
        Self.expect("-ERR 'a  b'\r\n") { reply in
            Array("a\r\nb".utf8).withBytes { reply.error("ERR '", quoting: $0, "'") }
        }
        let odd = Self.bytes(2) { $0.error([69, 0xFF, 10, 0]) }
        #expect(odd == [45, 69, 0xFF, 32, 0, 13, 10])
        var count = 0
        _ = Self.bytes(2) { reply in
            reply.error(.syntax)
            reply.error("ERR")
            reply.error([69])
            [97].withBytes { reply.error("ERR ", quoting: $0) }
            reply.ok()
            count = reply.errorCount
        }
        #expect(count == 4)
    }

    @Test func bulksAreTheSameInBoth() {
        Self.expect("$0\r\n\r\n") { $0.bulk(Bytes.empty) }
        Self.expect("$0\r\n\r\n") { $0.bulk("" as String) }
        Self.expect("$2\r\n\r\n\r\n") { $0.bulk([13, 10]) }
        Self.expect("$4\r\ntext\r\n") { $0.bulk("text" as StaticString) }
        Self.expect("$3\r\n-42\r\n") { $0.bulk(-42) }
        Self.expect("$3\r\n\u{20AC}\r\n") { $0.bulk("\u{20AC}" as String) }
        let long = [UInt8](repeating: 7, count: 100_000)
        #expect(Self.bytes(2) { $0.bulk(long) } == Array("$100000\r\n".utf8) + long + [13, 10])
    }

    @Test func whatOnlyRESP3Knows() {
        Self.expect("$-1\r\n", "_\r\n") { $0.null() }
        Self.expect("*-1\r\n", "_\r\n") { $0.nullArray() }
        Self.expect(":1\r\n", "#t\r\n") { $0.bool(true) }
        Self.expect(":0\r\n", "#f\r\n") { $0.bool(false) }
        Self.expect("$3\r\n1.5\r\n", ",1.5\r\n") { $0.double(1.5) }
        Self.expect("$4\r\n-inf\r\n", ",-inf\r\n") { $0.double(-.infinity) }
        Self.expect("$2\r\n12\r\n", "(12\r\n") { $0.bigNumber("12") }
        Self.expect("$2\r\nab\r\n", "=6\r\ntxt:ab\r\n") { $0.verbatim("ab") }
        Self.expect("$2\r\nab\r\n", "=6\r\nmkd:ab\r\n") { $0.verbatim("ab", format: "mkd") }
        #expect(Self.text(3) { $0.attribute(1) } == "|1\r\n")
    }

    @Test func aggregates() {
        Self.expect("*3\r\n") { $0.array(3) }
        Self.expect("*0\r\n") { $0.array(0) }
        Self.expect("*4\r\n", "%2\r\n") { $0.map(2) }
        Self.expect("*2\r\n", "~2\r\n") { $0.set(2) }
        Self.expect("*2\r\n", ">2\r\n") { $0.push(2) }
    }

    @Test func aHeaderGoesInFrontOfWhatWasWritten() {
        for count in [0, 1, 9, 10, 1000] {
            let elements = String(repeating: ":1\r\n", count: count * 2)
            let before = "+OK\r\n"
            func write(_ kind: ReplyWriter.Aggregate, _ each: Int) -> (inout ReplyWriter) -> Void {
                { reply in
                    reply.ok()
                    let mark = reply.begin()
                    for _ in 0..<count * each { reply.integer(1) }
                    reply.finish(mark, kind, count: count)
                    reply.ok()
                }
            }
            let half = String(elements.prefix(elements.count / 2))
            Self.expect("\(before)*\(count)\r\n\(half)+OK\r\n") { write(.array, 1)(&$0) }
            Self.expect(
                "\(before)*\(count)\r\n\(half)+OK\r\n", "\(before)~\(count)\r\n\(half)+OK\r\n"
            ) { write(.set, 1)(&$0) }
            Self.expect(
                "\(before)*\(count * 2)\r\n\(elements)+OK\r\n",
                "\(before)%\(count)\r\n\(elements)+OK\r\n"
            ) { write(.map, 2)(&$0) }
        }
    }

    @Test func aggregatesNest() {
        let text = Self.text(2) { reply in
            let outer = reply.begin()
            let inner = reply.begin()
            reply.integer(1)
            reply.finish(inner, .array, count: 1)
            reply.integer(2)
            reply.finish(outer, .array, count: 2)
        }
        #expect(text == "*2\r\n*1\r\n:1\r\n:2\r\n")
    }

    @Test func aReplyCanBeTakenBack() {
        let text = Self.text(2) { reply in
            reply.ok()
            let mark = reply.count
            reply.bulk("gone" as StaticString)
            reply.truncate(to: mark)
            reply.integer(1)
        }
        #expect(text == "+OK\r\n:1\r\n")
    }

    @Test func helpIsALineEach() {
        let text = Self.text(2) { $0.help("OBJECT", ["A", "    b."]) }
        #expect(text.hasPrefix("*5\r\n+OBJECT <subcommand> [<arg> [value] [opt] ...]."))
        #expect(text.hasSuffix("\r\n+A\r\n+    b.\r\n+HELP\r\n+    Prints this help.\r\n"))
    }
}

/// Doubles in the form in which redis-server 7.0 writes scores.
@Suite struct DecimalTests {
    @Test(
        arguments: [
            (0.1, "0.10000000000000001"), (1, "1"), (-1.5, "-1.5"), (0, "0"), (-0.0, "-0"),
            (3.14159, "3.1415899999999999"), (1e15, "1000000000000000"),
            (4_503_599_627_370_495, "4503599627370495"),
            (4_503_599_627_370_497, "4503599627370497"),
            (9_007_199_254_740_992, "9007199254740992"), (1e17, "1e+17"),
            (1e300, "1.0000000000000001e+300"),
            (.leastNonzeroMagnitude, "4.9406564584124654e-324"),
            (1e-5, "1.0000000000000001e-05"), (123456789.123, "123456789.123"),
            (.infinity, "inf"), (-.infinity, "-inf"), (.nan, "nan"),
        ] as [(Double, String)])
    func text(value: Double, text: String) {
        #expect(Decimal.text(of: value) == text)
    }

    @Test func textReadsBackAsTheSameNumber() {
        var random = Random(seed: 5)
        for _ in 0..<20_000 {
            let value = Double(bitPattern: random.next())
            guard value.isFinite else { continue }
            #expect(Double(Decimal.text(of: value)) == value)
        }
    }
}
