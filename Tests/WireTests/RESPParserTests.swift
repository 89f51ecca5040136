// SPDX-License-Identifier: Apache-2.0
import Base
import Testing

@testable import Wire

/// However the bytes are cut, the parser finds the same requests.
@Suite struct RESPParserTests {
    static func request(_ arguments: [String]) -> String {
        "*\(arguments.count)\r\n" + arguments.map { "$\($0.utf8.count)\r\n\($0)\r\n" }.joined()
    }

    static let set = ["SET", "key", String(repeating: "v", count: 120)]
    static let twelve = (1...12).map { "argument-\($0)" }
    static let empty = ["ECHO", ""]

    /// Inputs, and the requests in them.
    static let inputs: [(String, [[String]])] = [
        (request(["PING"]), [["PING"]]),
        (request(set), [set]),
        (request(twelve), [twelve]),
        (request(empty) + request(["a\r\nb", "\0"]), [empty, ["a\r\nb", "\0"]]),
        (
            request(["GET", "a"]) + request(set) + request(twelve) + request(["PING"]),
            [["GET", "a"], set, twelve, ["PING"]]
        ),
        (
            "PING\r\n" + request(["GET", "a"]) + "GET b\n",
            [["PING"], ["GET", "a"], ["GET", "b"]]
        ),
        ("*0\r\n*-1\r\n*-5\r\n\r\n\n   \r\n" + request(["PING"]), [["PING"]]),
        ("ECHO \"a b\" 'c d'  e\r\n", [["ECHO", "a b", "c d", "e"]]),
    ]

    @Test(arguments: inputs.indices) func inOnePiece(number: Int) {
        let (input, requests) = Self.inputs[number]
        let parsed = Feed.parse(input)
        #expect(parsed.texts == requests)
        #expect(parsed.error == nil && parsed.rest == 0 && parsed.waits == 1)
    }

    @Test(arguments: inputs.indices) func byteByByte(number: Int) {
        let (input, requests) = Self.inputs[number]
        let parsed = Feed.parse(input, cuts: Array(0..<input.utf8.count))
        #expect(parsed.texts == requests)
        #expect(parsed.error == nil && parsed.rest == 0)
    }

    @Test(arguments: inputs.indices) func cutAnywhere(number: Int) {
        let (input, requests) = Self.inputs[number]
        for cut in 0...input.utf8.count {
            let parsed = Feed.parse(input, cuts: [cut])
            #expect(parsed.texts == requests && parsed.rest == 0, "cut at \(cut)")
        }
    }

    @Test(arguments: inputs.indices) func cutAtRandom(number: Int) {
        let (input, requests) = Self.inputs[number]
        var random = Random(seed: UInt64(number + 1))
        for _ in 0..<500 {
            let cuts = Feed.randomCuts(input.utf8.count, &random)
            let parsed = Feed.parse(input, cuts: cuts)
            #expect(parsed.texts == requests && parsed.rest == 0, "cuts at \(cuts)")
        }
    }

    /// The parser does not check the byte behind a CR, and skips the two bytes behind a bulk, as
    /// Redis does.
    @Test func lineEndsAreNotLookedAt() {
        #expect(Feed.parse("*1\rX$4\rXPINGXX").texts == [["PING"]])
    }

    @Test func bytesAwaitedNamesTheEndOfTheBulk() {
        var feed = Feed()
        _ = feed.parse(Array("*2\r\n$4\r\nECHO\r\n$1000\r\nabc".utf8))
        let awaited = feed.parser.bytesAwaited
        #expect(awaited == 14 + 7 + 1000 + 2)
    }

    @Test func resetForgetsWhatWasBegun() {
        var feed = Feed()
        let input = Array("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nva".utf8)
        let begun = feed.parse(input)
        #expect(begun.rest == input.count)
        feed.parser.reset()
        let awaited = feed.parser.bytesAwaited
        #expect(awaited == 0)
        let parsed = feed.parse(input + Array("lue\r\n".utf8))
        #expect(parsed.texts == [["SET", "k", "value"]])
    }
}

/// Inline commands, quoted as redis-server 7.0 understands quotes.
@Suite struct InlineCommandTests {
    @Test(arguments: [
        ("ECHO \"a\\x41\\n\\r\\t\\b\\a\\\\\\\"\\q\"", ["ECHO", "aA\n\r\t\u{8}\u{7}\\\"q"]),
        ("ECHO 'a\\'b\\n'", ["ECHO", "a'b\\n"]),
        ("ECHO \"\" ''", ["ECHO", "", ""]),
        ("   PING  ", ["PING"]),
        ("ECHO a\"b c\"", ["ECHO", "ab c"]),
        ("ECHO a'b c'", ["ECHO", "ab c"]),
        ("ECHO \"\\x4\"", ["ECHO", "x4"]),
        ("ECHO \"\\xzz\"", ["ECHO", "xzz"]),
        ("ECHO \\x41", ["ECHO", "\\x41"]),
        ("ECHO a\tb", ["ECHO", "a", "b"]),
        ("ECHO\ta\u{B}b\u{C}c", ["ECHO", "a\u{B}b\u{C}c"]),
        ("ECHO \u{B}a \u{C}b", ["ECHO", "a", "b"]),
        ("ECHO \"a\"\u{B}b", ["ECHO", "a", "b"]),
        ("PING\r", ["PING"]),
        ("", []),
        ("\t \r", []),
    ])
    func splits(line: String, arguments: [String]) {
        let split = Array(line.utf8).withBytes { InlineCommand.split($0) }
        #expect(split?.map { String(decoding: $0, as: UTF8.self) } == arguments)
    }

    @Test(arguments: [
        "'PING", "\"PING", "\"PING\"x", "'PING'x", "ECHO \"a", "ECHO 'a\\", "ECHO \"a\\",
        "ECHO \"a\"\"b\"", "GET \\\"a",
    ])
    func refuses(line: String) {
        #expect(Array(line.utf8).withBytes { InlineCommand.split($0) } == nil)
    }

    @Test func everyHexEscapeIsItsByte() {
        for byte in UInt8.min...UInt8.max {
            let digits = String(byte, radix: 16)
            let padded = digits.count < 2 ? "0" + digits : digits
            for text in [padded, padded.uppercased()] {
                let split = Array("\"\\x\(text)\"".utf8).withBytes { InlineCommand.split($0) }
                #expect(split == [[byte]])
            }
        }
    }
}
