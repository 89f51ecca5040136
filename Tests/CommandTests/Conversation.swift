// SPDX-License-Identifier: Apache-2.0
import Base
import Commands
import Storage
import Testing
import Wire

/// Conversations with a database, in the notation of the tests, and checks of the tables behind it.
extension Database {
    var keyCount: Int { registry.keyspace(registry.server, number).keyCount }

    /// The broken invariants of the selected database's tables.
    var violations: [String] {
        var broken: [String] = []
        registry.keyspace(registry.server, number).forEachShard(isLocked: false) {
            broken += $0.pointee.table.invariantViolations
        }
        return broken
    }

    /// Runs the requests of `conversation` in a new database: on each line a request, `=>`, and the
    /// reply with its line ends as spaces.
    static func converse(_ conversation: String) {
        let database = Database(families: Families.all + [Probes.family])
        for line in conversation.split(separator: "\n") {
            let words = words(of: String(line))
            guard let arrow = words.firstIndex(of: "=>") else {
                Issue.record("no reply in \(line)")
                continue
            }
            let reply = database.run(words[..<arrow].map { Array($0.utf8) })
            let expected = line.components(after: " => ")
            let lines = reply.split(separator: "\r\n", omittingEmptySubsequences: false)
            let isEmptyAtEnd = lines.suffix(2).allSatisfy { $0.isEmpty }
            let text = lines.dropLast(isEmptyAtEnd ? 2 : 1).joined(separator: " ")
            #expect(text == expected, "\(line)")
        }
    }

    /// Words between spaces; quotes keep a word together.
    private static func words(of line: String) -> [String] {
        var words: [String] = []
        var word = ""
        var isQuoted = false
        var isWord = false
        for letter in line {
            if letter == "'" {
                isQuoted.toggle()
                isWord = true
            } else if letter == " " && !isQuoted {
                if isWord { words.append(word) }
                word = ""
                isWord = false
            } else {
                word.append(letter)
                isWord = true
            }
        }
        return isWord ? words + [word] : words
    }
}

extension Substring {
    /// What follows the first `separator`.
    fileprivate func components(after separator: String) -> String {
        guard let range = firstRange(of: separator) else { return "" }
        return String(self[range.upperBound...])
    }
}

/// Commands that inspect what string commands cannot.
enum Probes {
    static let family = Family(
        group: "probe", [.key(HASH.self), .key(EXPIRY.self), .key(ENCODING.self)])

    /// HASH key: makes the key a hash.
    enum HASH: KeyCommand {
        static let spec = CommandSpec(
            "hash", arity: 2, [.write], keys: [.one(at: 1, [.readWrite, .insert])], since: "1.0.0",
            complexity: "O(1)", summary: "Makes a hash.")

        static func run(
            _ arguments: Arguments, _ keys: borrowing Hold, _ reply: inout ReplyWriter
        ) {
            let found = keys.find(0)
            let hash = keys.makeHash(0, replacing: found, fieldCount: 1, byteCount: 2)
            keys.setField(hash, Bytes("f" as StaticString), Bytes("v" as StaticString))
            reply.ok()
        }
    }

    /// EXPIRY key: milliseconds until it expires, -1 without an expiry, -2 for a missing key.
    enum EXPIRY: KeyCommand {
        static let spec = CommandSpec(
            "expiry", arity: 2, [.readOnly], keys: [.one(at: 1, [.readOnly])], since: "1.0.0",
            complexity: "O(1)", summary: "Tells the expiry.")

        static func run(
            _ arguments: Arguments, _ keys: borrowing Hold, _ reply: inout ReplyWriter
        ) {
            guard let found = keys.find(0) else { return reply.integer(-2) }
            reply.integer(found.entry.expiry.map { $0 - keys.now } ?? -1)
        }
    }

    /// ENCODING key: as OBJECT ENCODING names it.
    enum ENCODING: KeyCommand {
        static let spec = CommandSpec(
            "encoding", arity: 2, [.readOnly], keys: [.one(at: 1, [.readOnly])], since: "1.0.0",
            complexity: "O(1)", summary: "Tells the encoding.")

        static func run(
            _ arguments: Arguments, _ keys: borrowing Hold, _ reply: inout ReplyWriter
        ) {
            guard let found = keys.find(0) else { return reply.null() }
            switch found.entry.encoding {
            case .payload: reply.simple("int" as StaticString)
            case .embedded where found.entry.valueSize <= 44: reply.simple("embstr" as StaticString)
            case .embedded, .embeddedOther: reply.simple("raw" as StaticString)
            }
        }
    }
}

/// Random numbers, the same in every run.
struct SplitRandom {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next(below limit: Int) -> Int {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = (state ^ state >> 30) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
        return Int((mixed ^ mixed >> 31) % UInt64(limit))
    }
}
