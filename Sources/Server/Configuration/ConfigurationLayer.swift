// SPDX-License-Identifier: Apache-2.0
import Base

/// The directives set in one place: a file with the files that it includes, the environment, or the
/// command line.
///
/// Within a layer the last value wins, and repeatable directives add up. A higher layer replaces
/// all lines that lower layers have for a directive.
struct ConfigurationLayer {
    private(set) var values: [String: Directive.Value] = [:]

    private static let includeDepthMax = 16

    /// Adds one line; `place` names it in errors.
    mutating func add(
        _ name: String, _ words: [String], place: String
    ) throws(ConfigurationError) {
        guard let directive = Directive.find(name) else {
            throw ConfigurationError("\(place): unknown directive '\(name)'")
        }
        do throws(Directive.Unacceptable) {
            let value = try directive.value(of: words)
            if directive.isRepeatable, case .lines(let earlier)? = values[directive.name],
                case .lines(let more) = value
            {
                values[directive.name] = .lines(earlier + more)
            } else {
                values[directive.name] = value
            }
        } catch {
            throw ConfigurationError("\(place): \(directive.name): \(error.reason)")
        }
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
            guard let words = ConfigurationText.words(line) else {
                throw ConfigurationError("\(place): a quote is not closed")
            }
            guard let name = words.first, !name.hasPrefix("#") else { continue }
            if name.utf8.map(ASCII.lower) == Array("include".utf8) {
                guard words.count == 2, depth < ConfigurationLayer.includeDepthMax else {
                    throw ConfigurationError("\(place): include takes one file, 16 deep at most")
                }
                try read(file: words[1], depth: depth + 1)
            } else {
                try add(name, Array(words.dropFirst()), place: place)
            }
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
