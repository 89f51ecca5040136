// SPDX-License-Identifier: Apache-2.0
import Base
import Glibc

/// The directives set in one place: a file with the files that it includes, the environment, or the
/// command line.
///
/// Within a layer the last value wins, and repeatable directives add up. A higher layer replaces
/// all lines that lower layers have for a directive.
struct ConfigurationLayer {
    private(set) var values: [String: Directive.Value] = [:]
    /// The directives named here that the server does not support, in the order of their last
    /// lines.
    private(set) var unsupported: [Unsupported] = []

    /// A line with a directive that is not supported, or not with every value.
    struct Unsupported {
        let name: String
        let place: String
        let lack: Lack
        /// Whether the line asks for nothing.
        let isIdle: Bool

        /// What the line asks for, and why it has no effect: one line for the log.
        var note: String { "\(place): \(name) has no effect: \(lack.reason)" }
    }

    private static let includeDepthMax = 16

    /// Adds one line; `place` names it in errors.
    mutating func add(
        _ name: String, _ words: [String], place: String
    ) throws(ConfigurationError) {
        guard let directive = Directive.find(name) else {
            guard let found = UnsupportedDirectives.find(name) else {
                throw ConfigurationError("\(place): unknown directive '\(name)'")
            }
            return note(found.name, words, place, found.lack)
        }
        if case .off(let lack) = directive.kind {
            note(directive.name, words, place, lack)
            guard lack.isIdle(words) else { return }
        }
        do throws(Directive.Unacceptable) {
            let value = try directive.value(of: words)
            if directive.isRepeatable, case .lines(let earlier)? = values[directive.name],
                case .lines(let more) = value
            {
                values[directive.name] = .lines(earlier + more)
            } else {
                values[directive.name] = directive.replacing(values[directive.name], with: value)
            }
        } catch {
            throw ConfigurationError("\(place): \(directive.name): \(error.reason)")
        }
    }

    private mutating func note(_ name: String, _ words: [String], _ place: String, _ lack: Lack) {
        add(Unsupported(name: name, place: place, lack: lack, isIdle: lack.isIdle(words)))
    }

    private mutating func add(_ line: Unsupported) {
        unsupported.removeAll { $0.name == line.name }
        unsupported.append(line)
    }

    /// Adds what a higher layer says.
    mutating func add(_ above: ConfigurationLayer) {
        values = above.values(over: values)
        for line in above.unsupported { add(line) }
    }

    /// The values of this layer over `lower` ones.
    func values(over lower: [String: Directive.Value]) -> [String: Directive.Value] {
        var all = lower
        for (name, value) in values {
            all[name] = Directive.find(name)?.replacing(lower[name], with: value) ?? value
        }
        return all
    }

    // MARK: - The file

    /// Reads a file in the format of redis.conf; `include` names more files.
    mutating func read(file path: String, depth: Int = 0) throws(ConfigurationError) {
        let content: [UInt8]
        do throws(TextFile.Failure) { content = try TextFile.read(path) } catch {
            throw ConfigurationError("\(path): \(error.reason)")
        }
        for (index, line) in content.split(separator: 10, omittingEmptySubsequences: false)
            .enumerated()
        {
            let place = "\(path):\(index + 1)"
            // Why before the words: a comment may have quotes and apostrophes.
            guard line.first(where: { !ASCII.isSpace($0) }) != UInt8(ascii: "#") else { continue }
            guard let words = ConfigurationText.words(line) else {
                throw ConfigurationError("\(place): a quote is not closed")
            }
            guard let name = words.first else { continue }
            if name.utf8.map(ASCII.lower) == Array("include".utf8) {
                guard words.count == 2, depth < ConfigurationLayer.includeDepthMax else {
                    throw ConfigurationError("\(place): include takes one file, 16 deep at most")
                }
                for file in ConfigurationLayer.files(words[1]) {
                    try read(file: file, depth: depth + 1)
                }
            } else {
                try add(name, Array(words.dropFirst()), place: place)
            }
        }
    }

    /// The files that `include` names: those that a pattern matches, sorted, as in Redis.
    private static func files(_ name: String) -> [String] {
        guard name.utf8.contains(where: Array("*?[".utf8).contains) else { return [name] }
        var found = glob_t()
        defer { globfree(&found) }
        guard glob(name, 0, nil, &found) == 0 else { return [] }
        return (0..<Int(found.gl_pathc)).compactMap { index in
            // Safety: glob has stored gl_pathc paths.
            found.gl_pathv[index].map { String(cString: $0) }
        }
    }

    // MARK: - The environment

    /// Reads `MARTLET_DIRECTIVE_NAME` variables. Line breaks separate the lines of a repeatable
    /// directive.
    mutating func read(environment: [String: String]) throws(ConfigurationError) {
        for (variable, text) in environment.sorted(by: { $0.key < $1.key })
        where variable.hasPrefix("MARTLET_") {
            let name = String(
                decoding: variable.utf8.dropFirst("MARTLET_".utf8.count).map {
                    $0 == UInt8(ascii: "_") ? UInt8(ascii: "-") : ASCII.lower($0)
                }, as: UTF8.self)
            guard let directive = Directive.find(name), directive.isRepeatable else {
                try add(name, split(text, for: name, place: variable), place: variable)
                continue
            }
            for line in text.utf8.split(separator: 10) {
                let words = try split(
                    String(decoding: line, as: UTF8.self), for: name, place: variable)
                if !words.isEmpty { try add(name, words, place: variable) }
            }
        }
    }

    // MARK: - The command line

    /// Reads `[FILE] [--directive value …]`; returns FILE.
    mutating func read(arguments: [String]) throws(ConfigurationError) -> String? {
        var file: String?
        var rest = arguments[...]
        if let first = rest.first, !first.hasPrefix("--") {
            file = first
            rest = rest.dropFirst()
        }
        while let option = rest.popFirst() {
            guard option.hasPrefix("--"), option.utf8.count > 2 else {
                throw ConfigurationError("\(option): an option begins with --")
            }
            let words = Array(rest.prefix { !$0.hasPrefix("--") })
            rest = rest.dropFirst(words.count)
            let name = String(option.dropFirst(2))
            let isOneText = words.count == 1
            try add(
                name, isOneText ? split(words[0], for: name, place: option) : words, place: option)
        }
        return file
    }

    /// Splits `text` into words if the directive `name` takes several, else returns it as one word.
    private func split(
        _ text: String, for name: String, place: String
    ) throws(ConfigurationError) -> [String] {
        guard let directive = Directive.find(name), directive.takesWords else { return [text] }
        guard let words = ConfigurationText.words(text) else {
            throw ConfigurationError("\(place): a quote is not closed")
        }
        return words
    }
}
