// SPDX-License-Identifier: Apache-2.0
import Base

/// A directive: its name, kind, default and effect. Each is declared once, in `Directive.all`; the
/// file, the command line, the environment, CONFIG and README's table derive from that.
public struct Directive: Sendable {
    public let name: String
    /// Redis's older name for it.
    public let alias: String?
    public let kind: Kind
    /// The default as text. `Configuration.defaults` replaces the ones that it computes.
    public let initial: String
    /// Whether CONFIG SET may change it.
    public let isChangeable: Bool
    public let summary: String
    /// Copies a new value to where the server reads it: `Settings`, or the log.
    let apply: (@Sendable (SettingsReference, Value) -> Void)?

    public enum Kind: Sendable {
        case integer(ClosedRange<Int>)
        case memory(ClosedRange<Int>)
        /// A size of at least 0, or 1 % to 100 %, which is kept as a negative number.
        case memoryOrPercent
        /// An octal number, as file permissions are written.
        case octal
        case bool
        case choice([String])
        case text
        /// Several words on one line.
        case words
        case outputLimits
        /// One line of words per occurrence. The function checks the words and returns those to
        /// keep.
        case lines(@Sendable ([String]) throws(Unacceptable) -> [String])
        /// A directive that is not supported: only values that ask for nothing are accepted.
        case off(Lack)
    }

    public enum Value: Equatable, Sendable {
        case integer(Int)
        case bool(Bool)
        case text(String)
        case words([String])
        case lines([[String]])
    }

    /// Why words are not accepted, in Redis's words if it has them.
    public struct Unacceptable: Error, Equatable, Sendable {
        public let reason: String
        public init(_ reason: String) { self.reason = reason }
    }

    init(
        _ name: String, alias: String? = nil, _ kind: Kind, _ initial: String,
        isChangeable: Bool = false, _ summary: String,
        apply: (@Sendable (SettingsReference, Value) -> Void)? = nil
    ) {
        self.name = name
        self.alias = alias
        self.kind = kind
        self.initial = initial
        self.isChangeable = isChangeable
        self.summary = summary
        self.apply = apply
    }

    static func find(_ name: String) -> Directive? {
        let folded = String(decoding: name.utf8.map(ASCII.lower), as: UTF8.self)
        return byName[folded]
    }

    private static let byName: [String: Directive] = {
        var table: [String: Directive] = [:]
        for directive in all {
            for name in [directive.name, directive.alias].compactMap({ $0 }) {
                let previous = table.updateValue(directive, forKey: name)
                precondition(previous == nil, "directive \(name) is declared twice")
            }
        }
        return table
    }()
}

// From words to values and back.
extension Directive {
    /// The value of the words on one line.
    func value(of words: [String]) throws(Unacceptable) -> Value {
        switch kind {
        case .words:
            return .words(words == [""] ? [] : words)
        case .lines(let check):
            return .lines([try check(words)])
        case .outputLimits:
            return .words(try Directive.outputLimits(words))
        case .off(let lack):
            guard lack.isIdle(words) else { throw Unacceptable(lack.reason) }
            return .text(words.joined(separator: " "))
        default:
            guard words.count == 1 else { throw Unacceptable("wrong number of arguments") }
            return try scalar(words[0])
        }
    }

    private func scalar(_ word: String) throws(Unacceptable) -> Value {
        switch kind {
        case .integer(let range):
            guard let number = Array(word.utf8).withBytes({ ASCIIInteger.parse($0) }) else {
                throw Unacceptable("argument couldn't be parsed into an integer")
            }
            return .integer(try Directive.within(range, Int(number)))
        case .memory(let range):
            guard let size = MemorySize.parse(word) else {
                throw Unacceptable("argument must be a memory value")
            }
            return .integer(try Directive.within(range, size))
        case .memoryOrPercent:
            if word.hasSuffix("%") {
                guard let percent = Int(word.dropLast()), (1...100).contains(percent) else {
                    throw Unacceptable("argument must be a memory or percent value")
                }
                return .integer(-percent)
            }
            guard let size = MemorySize.parse(word) else {
                throw Unacceptable("argument must be a memory or percent value")
            }
            return .integer(size)
        case .octal:
            guard let mode = Int(word, radix: 8) else {
                throw Unacceptable("argument couldn't be parsed into an integer")
            }
            return .integer(try Directive.within(0...0o777, mode))
        case .bool:
            switch String(decoding: word.utf8.map(ASCII.lower), as: UTF8.self) {
            case "yes": return .bool(true)
            case "no": return .bool(false)
            default: throw Unacceptable("argument must be 'yes' or 'no'")
            }
        case .choice(let names):
            let folded = String(decoding: word.utf8.map(ASCII.lower), as: UTF8.self)
            guard names.contains(folded) else {
                throw Unacceptable(
                    "argument(s) must be one of the following: \(names.joined(separator: ", "))")
            }
            return .text(folded)
        default:
            return .text(word)
        }
    }

    private static func within(
        _ range: ClosedRange<Int>, _ number: Int
    ) throws(Unacceptable) -> Int {
        guard range.contains(number) else {
            throw Unacceptable(
                "argument must be between \(range.lowerBound) and \(range.upperBound) inclusive")
        }
        return number
    }

    /// Four words per client class. Martlet has only normal clients.
    private static func outputLimits(_ words: [String]) throws(Unacceptable) -> [String] {
        guard !words.isEmpty, words.count.isMultiple(of: 4) else {
            throw Unacceptable("Wrong number of arguments in buffer limit configuration.")
        }
        var limits: [String] = []
        for start in stride(from: 0, to: words.count, by: 4) {
            var name = String(decoding: words[start].utf8.map(ASCII.lower), as: UTF8.self)
            if name == "replica" { name = "slave" }
            guard outputClasses.contains(name) else {
                throw Unacceptable("Invalid client class specified in buffer limit configuration.")
            }
            guard let hard = MemorySize.parse(words[start + 1]),
                let soft = MemorySize.parse(words[start + 2]),
                let seconds = Int32(words[start + 3]), seconds >= 0
            else {
                throw Unacceptable(
                    "Error in hard, soft or soft_seconds setting in buffer limit configuration.")
            }
            limits += [name, String(hard), String(soft), String(seconds)]
        }
        return limits
    }

    private static let outputClasses = ["normal", "slave", "pubsub"]

    /// The limits of one client class, or nil if `words` has none for it. The last ones count.
    static func outputLimits(of name: String, in words: [String]) -> [String]? {
        var found: [String]?
        for start in stride(from: 0, to: words.count - 3, by: 4) where words[start] == name {
            found = Array(words[start..<(start + 4)])
        }
        return found
    }

    /// `value`, which replaces `earlier`. Of several output limits, those of other client classes
    /// stay.
    func replacing(_ earlier: Value?, with value: Value) -> Value {
        guard case .outputLimits = kind, case .words(let old)? = earlier,
            case .words(let new) = value
        else { return value }
        let both = old + new
        return .words(
            Directive.outputClasses.flatMap { Directive.outputLimits(of: $0, in: both) ?? [] })
    }

    /// The value as CONFIG GET shows it.
    func text(of value: Value) -> String {
        switch value {
        case .integer(let number):
            if case .octal = kind { return String(number, radix: 8) }
            if case .memoryOrPercent = kind, number < 0 { return "\(-number)%" }
            return String(number)
        case .bool(let flag): return flag ? "yes" : "no"
        case .text(let text): return text
        case .words(let words): return words.joined(separator: " ")
        case .lines(let lines):
            return lines.map(ConfigurationText.line).joined(separator: "\n")
        }
    }

    /// The value as lines of a configuration file.
    func fileLines(of value: Value) -> [String] {
        switch value {
        case .words(let words):
            return [ConfigurationText.line([name] + (words.isEmpty ? [""] : words))]
        case .lines(let lines):
            return lines.map { ConfigurationText.line([name] + $0) }
        default:
            return [ConfigurationText.line([name, text(of: value)])]
        }
    }

    /// Whether several lines add up. Without this the last line wins.
    var isRepeatable: Bool {
        if case .lines = kind { true } else { false }
    }

    /// Whether the directive takes several words, so that the text of CONFIG SET, an option or a
    /// variable must be split.
    var takesWords: Bool {
        switch kind {
        case .words, .lines, .outputLimits: true
        default: false
        }
    }
}
