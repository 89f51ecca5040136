// SPDX-License-Identifier: Apache-2.0
import Base
import Testing

@testable import Wire

/// Malformed requests are refused in the words of redis-server 7.0, from which these are taken.
@Suite struct MalformedRequestTests {
    static let invalidCount = "invalid multibulk length"
    static let invalidSize = "invalid bulk length"
    static let unbalanced = "unbalanced quotes in request"

    static let malformed: [(String, String)] = [
        ("*abc\r\n", invalidCount), ("*\r\n", invalidCount), ("*+1\r\n", invalidCount),
        ("*01\r\n", invalidCount), ("*-0\r\n", invalidCount), ("* 1\r\n", invalidCount),
        ("*1 \r\n", invalidCount), ("*2147483648\r\n", invalidCount),
        ("*99999999999999999999\r\n", invalidCount),
        ("*1\r\n:4\r\nPING\r\n", "expected '$', got ':'"),
        ("*1\r\nPING\r\n", "expected '$', got 'P'"),
        ("*1\r\n\r\n", "expected '$', got '\r'"),
        ("*1\r\n\u{7F}\r\n", "expected '$', got '\u{7F}'"),
        ("*1\r\n$abc\r\n", invalidSize), ("*1\r\n$-1\r\n", invalidSize),
        ("*1\r\n$\r\n", invalidSize), ("*1\r\n$01\r\nx\r\n", invalidSize),
        ("*1\r\n$4 \r\n", invalidSize), ("*1\r\n$536870913\r\n", invalidSize),
        ("*3\r\n$3\r\nSET\r\n$1\r\na\r\n$-1\r\n", invalidSize),
        ("'PING\r\n", unbalanced), ("\"PING\"x\r\n", unbalanced),
    ]

    static func message(_ parsed: Parsed) -> String? {
        parsed.error.map { String(decoding: $0.message, as: UTF8.self) }
    }

    @Test(arguments: malformed.indices) func isRefusedHoweverItIsCut(number: Int) {
        let (input, text) = Self.malformed[number]
        let count = input.utf8.count
        for cuts in [[], Array(0..<count)] + (0..<count).map({ [$0] }) {
            let parsed = Feed.parse(input, cuts: cuts)
            #expect(
                Self.message(parsed) == "ERR Protocol error: " + text, "\(input) cut at \(cuts)")
            #expect(parsed.requests.isEmpty)
        }
    }

    @Test(arguments: malformed.indices) func requestsBeforeItAreKept(number: Int) {
        let (input, text) = Self.malformed[number]
        let parsed = Feed.parse(RESPParserTests.request(["GET", "a"]) + "PING\r\n" + input)
        #expect(parsed.texts == [["GET", "a"], ["PING"]])
        #expect(Self.message(parsed) == "ERR Protocol error: " + text)
    }

    @Test func aByteThatIsNoTextIsShownAsItIs() {
        let parsed = Feed.parse(Array("*1\r\n".utf8) + [0xFF] + Array("4\r\n".utf8))
        #expect(
            parsed.error?.message
                == Array("ERR Protocol error: expected '$', got '".utf8) + [0xFF, 39])
    }

    // MARK: - Limits

    @Test func aLineMayHave64Kilobytes() {
        let size = RESPParser.lineSizeMax
        let lines = [
            ("", "too big inline request"), ("*", "too big mbulk count string"),
            ("*1\r\n$", "too big bulk count string"),
        ]
        for (prefix, text) in lines {
            let start = prefix.utf8.count - (prefix.hasPrefix("*1") ? 4 : 0)
            let longest = prefix + String(repeating: "1", count: size - start)
            #expect(Feed.parse(longest).error == nil, "\(prefix)")
            let message = Self.message(Feed.parse(longest + "1"))
            #expect(message == "ERR Protocol error: " + text)
        }
    }

    @Test func aBulkMayHaveBulkSizeMaxBytes() {
        var feed = Feed()
        feed.parser.bulkSizeMax = 1000
        let longest = feed.parse(Array("*1\r\n$1000\r\n".utf8))
        #expect(longest.error == nil)
        var other = Feed()
        other.parser.bulkSizeMax = 1000
        let tooLong = other.parse(Array("*1\r\n$1001\r\n".utf8))
        #expect(tooLong.error == .invalidBulkLength)
        #expect(Feed.parse("*1\r\n$536870912\r\n").error == nil)
    }

    @Test func aCountMayBe31Bits() {
        #expect(Feed.parse("*2147483647\r\n").error == nil)
        #expect(Feed.parse("*2147483647\r\n$4\r\nPING\r\n").error == nil)
    }

    @Test(arguments: [
        ("*10\r\n", nil), ("*11\r\n", "unauthenticated multibulk length"),
        ("*2147483648\r\n", invalidCount), ("*1\r\n$16384\r\n", nil),
        ("*1\r\n$16385\r\n", "unauthenticated bulk length"),
        ("*1\r\n$536870913\r\n", invalidSize),
    ])
    func beforeAuthenticationRequestsAreTiny(input: String, text: String?) {
        var feed = Feed()
        feed.parser.isAuthenticated = false
        let parsed = feed.parse(Array(input.utf8))
        #expect(Self.message(parsed) == text.map { "ERR Protocol error: " + $0 })
    }
}

/// Random bytes: nothing traps, and cuts change nothing.
@Suite struct RESPParserFuzzTests {
    static let fragments = [
        "*1\r\n", "*2\r\n", "*3\r\n", "*0\r\n", "*-1\r\n", "*12\r\n", "*", "$", "$4\r\nPING\r\n",
        "$0\r\n\r\n", "$1\r\n", "$10\r\n", "$12", "\r\n", "\r", "\n", "a", "PING\r\n", "\"", "'",
        "\\x", "\\", " ", "1", "0", "-", "GET key\r\n", "99999999999999999999", ":1\r\n",
    ]

    static func input(_ random: inout Random) -> [UInt8] {
        var input: [UInt8] = []
        for _ in 0..<random.next(below: 24) {
            if random.next(below: 8) == 0 {
                input.append(UInt8(truncatingIfNeeded: random.next()))
            } else {
                let number = random.next(below: UInt64(fragments.count))
                input += Array(fragments[Int(number)].utf8)
            }
        }
        return input
    }

    @Test(arguments: [1, 2, 3, 4] as [UInt64]) func cutsChangeNothing(seed: UInt64) {
        var random = Random(seed: seed)
        var found = 0
        for _ in 0..<5000 {
            let input = Self.input(&random)
            let whole = Feed.parse(input)
            let cuts = Feed.randomCuts(input.count, &random)
            let cut = Feed.parse(input, cuts: cuts)
            #expect(whole.agrees(with: cut), "seed \(seed): \(input) cut at \(cuts)")
            found += whole.requests.count
        }
        #expect(found > 2000, "the inputs hold too few requests to prove anything")
    }
}
