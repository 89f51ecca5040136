// SPDX-License-Identifier: Apache-2.0
/// A command's arguments as a tree, parsed from its `usage`, for COMMAND DOCS.
///
/// The grammar: words follow one another. A word in UPPER CASE is a token; any other word is an
/// argument, with its type after a colon. `[…]` is optional, `(…)` is a group, `a | b` is a choice,
/// and `...` says that the word or group before it may be repeated. A token and the words after it
/// in a group or alternative form one argument with a token.
public struct CommandUsage: Equatable, Sendable {
    public indirect enum Kind: Equatable, Sendable {
        /// key, string, integer, double, unix-time or pattern.
        case argument(type: String)
        case token
        case block([CommandUsage])
        case choice([CommandUsage])
    }

    public var name: String
    public var kind: Kind
    /// The token before the argument.
    public var token: String?
    public var isOptional = false
    public var isRepeated = false

    /// The arguments that `text` describes; nil if it breaks the grammar.
    public static func parse(_ text: String) -> [CommandUsage]? {
        var reader = Reader(words: words(text)[...])
        guard let alternatives = reader.alternatives(), reader.words.isEmpty else { return nil }
        guard alternatives.count == 1 else { return [choice(alternatives)] }
        return alternatives[0]
    }

    private static func words(_ text: String) -> [String] {
        var words: [String] = []
        var word = ""
        for character in text {
            if "[]()| ".contains(character) {
                if !word.isEmpty { words.append(word) }
                word = ""
                if character != " " { words.append(String(character)) }
            } else {
                word.append(character)
            }
        }
        if !word.isEmpty { words.append(word) }
        return words
    }

    fileprivate static func choice(_ alternatives: [[CommandUsage]]) -> CommandUsage {
        let parts = alternatives.map(group)
        return CommandUsage(name: parts.map(\.name).joined(separator: "_"), kind: .choice(parts))
    }

    /// Combines several items into one: a token with what follows it, or a block.
    fileprivate static func group(_ items: [CommandUsage]) -> CommandUsage {
        if items.count == 1 { return items[0] }
        guard let first = items.first, case .token = first.kind, let token = first.token,
            !first.isOptional, !first.isRepeated
        else {
            return CommandUsage(name: items.map(\.name).joined(separator: "_"), kind: .block(items))
        }
        let rest = Array(items.dropFirst())
        if rest.count == 1, rest[0].token == nil, !rest[0].isOptional, !rest[0].isRepeated {
            var only = rest[0]
            only.token = token
            return only
        }
        return CommandUsage(
            name: rest.map(\.name).joined(separator: "_"), kind: .block(rest), token: token)
    }

    /// The smallest number of words that the arguments take.
    public static func countMin(_ items: [CommandUsage]) -> Int {
        items.reduce(0) { $0 + ($1.isOptional ? 0 : $1.countMin) }
    }

    private var countMin: Int {
        let introduction = token != nil ? 1 : 0
        switch kind {
        case .argument: return introduction + 1
        case .token: return 1
        case .block(let items): return introduction + CommandUsage.countMin(items)
        case .choice(let parts): return introduction + (parts.map(\.countMin).min() ?? 0)
        }
    }

    /// Whether the arguments always take the same number of words.
    public var isFixed: Bool {
        guard !isOptional, !isRepeated else { return false }
        switch kind {
        case .argument, .token: return true
        case .block(let items): return items.allSatisfy(\.isFixed)
        case .choice(let parts):
            return parts.allSatisfy { $0.isFixed && $0.countMin == parts[0].countMin }
        }
    }
}

/// Reads the words of a usage from left to right.
private struct Reader {
    var words: ArraySlice<String>

    /// Sequences separated by bars, up to a closing bracket or the end.
    mutating func alternatives() -> [[CommandUsage]]? {
        var all: [[CommandUsage]] = []
        while true {  // Bound: each turn takes a bar or ends.
            guard let items = sequence() else { return nil }
            all.append(items)
            guard words.first == "|" else { break }
            words.removeFirst()
        }
        if all.count > 1 && all.contains([]) { return nil }
        return all
    }

    private mutating func sequence() -> [CommandUsage]? {
        var items: [CommandUsage] = []
        while let word = words.first, !["]", ")", "|"].contains(word) {
            words.removeFirst()
            if word == "..." {
                guard !items.isEmpty else { return nil }
                items[items.count - 1].isRepeated = true
            } else if word == "[" || word == "(" {
                guard var item = bracket(closing: word == "[" ? "]" : ")") else { return nil }
                if word == "[" { item.isOptional = true }
                items.append(item)
            } else {
                items.append(Reader.item(word))
            }
        }
        return items
    }

    private mutating func bracket(closing: String) -> CommandUsage? {
        guard let alternatives = alternatives(), words.popFirst() == closing,
            alternatives.first?.isEmpty == false
        else { return nil }
        if alternatives.count > 1 { return CommandUsage.choice(alternatives) }
        return CommandUsage.group(alternatives[0])
    }

    private static func item(_ word: String) -> CommandUsage {
        let parts = word.split(separator: ":", maxSplits: 1).map(String.init)
        if parts.count == 2, types.contains(parts[1]) {
            return CommandUsage(name: parts[0], kind: .argument(type: parts[1]))
        }
        if word == word.uppercased(), word != word.lowercased() || word.count == 1 {
            return CommandUsage(name: word.lowercased(), kind: .token, token: word)
        }
        return CommandUsage(name: word, kind: .argument(type: "string"))
    }

    private static let types = ["key", "string", "integer", "double", "unix-time", "pattern"]
}
