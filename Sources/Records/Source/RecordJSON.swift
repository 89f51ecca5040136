// SPDX-License-Identifier: Apache-2.0
import Base

/// Reads the two JSON forms used here: a notification, which is an object of arrays of strings, and
/// a row's object, whose nested values stay text.
///
/// Why no general reader: PostgreSQL's own functions make both texts in one known form. Any other
/// form is rejected with nil.
struct RecordJSON {
    private let bytes: [UInt8]
    private var position = 0

    private init(_ bytes: [UInt8]) { self.bytes = bytes }

    /// The members of a notification: each column with its values (null means none).
    static func lists(_ bytes: [UInt8]) -> [(column: String, values: [[UInt8]])]? {
        var reader = RecordJSON(bytes)
        var members: [(column: String, values: [[UInt8]])] = []
        let isRead = reader.object { name, reader in
            guard let values = reader.list() else { return false }
            members.append((String(decoding: name, as: UTF8.self), values))
            return true
        }
        return isRead && reader.isAtEnd() ? members : nil
    }

    /// The members of a row as fields: strings without quotes, nulls omitted, other values as
    /// written.
    static func fields(_ bytes: [UInt8]) -> [RecordField]? {
        var reader = RecordJSON(bytes)
        var fields: [RecordField] = []
        let isRead = reader.object { name, reader in
            if reader.peek() == UInt8(ascii: "\"") {
                guard let value = reader.string() else { return false }
                fields.append(RecordField(name: name, value: value))
                return true
            }
            guard let value = reader.rawValue() else { return false }
            if value != Array("null".utf8) { fields.append(RecordField(name: name, value: value)) }
            return true
        }
        return isRead && reader.isAtEnd() ? fields : nil
    }

    private mutating func object(_ member: ([UInt8], inout RecordJSON) -> Bool) -> Bool {
        guard take(UInt8(ascii: "{")) else { return false }
        if take(UInt8(ascii: "}")) { return true }
        repeat {
            skipSpaces()
            guard let name = string(), take(UInt8(ascii: ":")) else { return false }
            skipSpaces()
            guard member(name, &self) else { return false }
        } while take(UInt8(ascii: ","))
        return take(UInt8(ascii: "}"))
    }

    private mutating func list() -> [[UInt8]]? {
        if peek() == UInt8(ascii: "n") { return rawValue() == Array("null".utf8) ? [] : nil }
        guard take(UInt8(ascii: "[")) else { return nil }
        if take(UInt8(ascii: "]")) { return [] }
        var values: [[UInt8]] = []
        repeat {
            skipSpaces()
            guard let value = string() else { return nil }
            values.append(value)
        } while take(UInt8(ascii: ","))
        return take(UInt8(ascii: "]")) ? values : nil
    }

    /// A value that is not a string, as written; nested values whole.
    private mutating func rawValue() -> [UInt8]? {
        let start = position
        var depth = 0
        while let byte = peek() {
            switch byte {
            case UInt8(ascii: "\""):
                guard string() != nil else { return nil }
                continue
            case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                if depth == 0 { return trimmed(start) }
                depth -= 1
            case UInt8(ascii: ",") where depth == 0: return trimmed(start)
            default: break
            }
            position += 1
        }
        return depth == 0 ? trimmed(start) : nil
    }

    private func trimmed(_ start: Int) -> [UInt8]? {
        var end = position
        while end > start, ASCII.isSpace(bytes[end - 1]) { end -= 1 }
        return end > start ? Array(bytes[start..<end]) : nil
    }

    private mutating func string() -> [UInt8]? {
        guard peek() == UInt8(ascii: "\"") else { return nil }
        position += 1
        var text: [UInt8] = []
        while let byte = peek() {
            position += 1
            if byte == UInt8(ascii: "\"") { return text }
            guard byte == UInt8(ascii: "\\") else {
                text.append(byte)
                continue
            }
            guard let escape = peek() else { return nil }
            position += 1
            switch escape {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): text.append(escape)
            case UInt8(ascii: "b"): text.append(8)
            case UInt8(ascii: "f"): text.append(12)
            case UInt8(ascii: "n"): text.append(10)
            case UInt8(ascii: "r"): text.append(13)
            case UInt8(ascii: "t"): text.append(9)
            case UInt8(ascii: "u"):
                guard let scalar = unicode() else { return nil }
                text += Array(String(Character(scalar)).utf8)
            default: return nil
            }
        }
        return nil
    }

    /// Four hexadecimal digits, and the second half of a surrogate pair if they are the first.
    private mutating func unicode() -> Unicode.Scalar? {
        guard let high = hexadecimal() else { return nil }
        guard (0xd800...0xdbff).contains(high) else { return Unicode.Scalar(high) }
        guard take(UInt8(ascii: "\\")), take(UInt8(ascii: "u")), let low = hexadecimal(),
            (0xdc00...0xdfff).contains(low)
        else { return nil }
        return Unicode.Scalar(0x10000 + (high - 0xd800) << 10 + (low - 0xdc00))
    }

    private mutating func hexadecimal() -> UInt32? {
        guard position + 4 <= bytes.count else { return nil }
        var value: UInt32 = 0
        for byte in bytes[position..<position + 4] {
            guard let digit = ASCII.hexadecimal(byte) else { return nil }
            value = value << 4 | UInt32(digit)
        }
        position += 4
        return value
    }

    private func peek() -> UInt8? { position < bytes.count ? bytes[position] : nil }

    private mutating func skipSpaces() {
        while let byte = peek(), ASCII.isSpace(byte) { position += 1 }
    }

    private mutating func take(_ byte: UInt8) -> Bool {
        skipSpaces()
        guard peek() == byte else { return false }
        position += 1
        return true
    }

    private mutating func isAtEnd() -> Bool {
        skipSpaces()
        return position == bytes.count
    }
}

/// A parsed notification.
enum RecordNotification: Equatable {
    case probe([UInt8])
    /// Keys of a source: the changed values of each column.
    case keys(source: Int, columns: [String: [[UInt8]]])
    /// All keys of a source: either announced, or because the text could not be parsed.
    case source(Int, isUnderstood: Bool)
    /// Another server's source.
    case foreign
    /// Could not be parsed at all, so anything may have changed.
    case unintelligible

    init(_ payload: [UInt8], catalog: RecordCatalog) {
        guard let colon = payload.firstIndex(of: UInt8(ascii: ":")) else {
            self = .unintelligible
            return
        }
        let name = String(decoding: payload[..<colon], as: UTF8.self)
        let rest = Array(payload[(colon + 1)...])
        if name == RecordSource.probeName {
            self = .probe(rest)
        } else if let source = catalog.index(named: name) {
            self = RecordNotification.read(rest, source: source)
        } else {
            self = .foreign
        }
    }

    private static func read(_ text: [UInt8], source: Int) -> RecordNotification {
        if text == [UInt8(ascii: "*")] { return .source(source, isUnderstood: true) }
        guard let lists = RecordJSON.lists(text) else {
            return .source(source, isUnderstood: false)
        }
        var columns: [String: [[UInt8]]] = [:]
        for list in lists { columns[list.column, default: []] += list.values }
        return .keys(source: source, columns: columns)
    }
}
