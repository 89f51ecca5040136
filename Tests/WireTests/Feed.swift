// SPDX-License-Identifier: Apache-2.0
import Base

@testable import Wire

/// What a parser found in an input that arrived in pieces.
struct Parsed: Equatable {
    var requests: [[[UInt8]]] = []
    var error: RESPParser.ParseError?
    /// Bytes behind the last whole request, or behind the last one before the error.
    var rest = 0
    /// Calls that asked for more.
    var waits = 0

    /// Whether both parses agree, however the input was cut.
    func agrees(with other: Parsed) -> Bool {
        requests == other.requests && error == other.error && rest == other.rest
    }

    /// The requests as text, for tests with text requests.
    var texts: [[String]] { requests.map { $0.map { String(decoding: $0, as: UTF8.self) } } }
}

/// Feeds a parser as a connection does: bytes that were not consumed are shown again, in front of
/// new ones. Each window is a new block, so a slice kept from the last call would show as garbage.
struct Feed: ~Copyable {
    var parser = RESPParser()
    private var list = ArgumentList()

    /// Shows `input` up to each of `cuts`, which must rise, and then whole.
    mutating func parse(_ input: [UInt8], cuts: [Int] = []) -> Parsed {
        var parsed = Parsed()
        var consumed = 0
        for end in cuts + [input.count] {
            let window = Array(input[consumed..<end])
            let taken = window.withBytes { take($0, &parsed) }
            consumed += taken
            if parsed.error != nil { break }
        }
        parsed.rest = input.count - consumed
        return parsed
    }

    /// Parses all requests of a window; returns how many bytes they took.
    private mutating func take(_ window: Bytes, _ parsed: inout Parsed) -> Int {
        var offset = 0
        while true {
            list.removeAll()
            switch parser.next(window.suffix(from: offset), into: &list) {
            case .request(let count, let consumed):
                precondition(consumed > 0 && offset + consumed <= window.count)
                precondition(list.count == count)
                let arguments = list.arguments(from: 0, count: count)
                if count > 0 {
                    parsed.requests.append((0..<count).map { arguments[$0].array })
                }
                offset += consumed
            case .needMore:
                parsed.waits += 1
                precondition(list.count == 0, "a slice was left behind")
                return offset
            case .malformed(let error):
                parsed.error = error
                return offset
            }
        }
    }

    static func parse(_ input: [UInt8], cuts: [Int] = []) -> Parsed {
        var feed = Feed()
        return feed.parse(input, cuts: cuts)
    }

    static func parse(_ input: String, cuts: [Int] = []) -> Parsed {
        parse(Array(input.utf8), cuts: cuts)
    }

    /// Random cuts, in random number, of an input of `count` bytes.
    static func randomCuts(_ count: Int, _ random: inout Random) -> [Int] {
        guard count > 1 else { return [] }
        let number = random.next(below: UInt64(min(count, 12)))
        return (0..<number).map { _ in Int(random.next(below: UInt64(count))) }.sorted()
    }
}
