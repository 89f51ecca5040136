// SPDX-License-Identifier: Apache-2.0
import Base

/// Words and quotes in configuration lines, by redis.conf's rules.
///
/// Blanks separate words. "…" understands \n \r \t \b \a \xHH and \ before any other byte; '…' only
/// \'. A blank or the end must follow a closing quote.
enum ConfigurationText {
    /// The words of a line, or nil if a quote is not closed.
    static func words(_ line: some Sequence<UInt8>) -> [String]? {
        let bytes = Array(line)
        var words: [String] = []
        var index = 0
        while true {  // Bound: each turn moves past a word.
            while index < bytes.count, ASCII.isSpace(bytes[index]) { index += 1 }
            guard index < bytes.count else { return words }
            guard let word = word(bytes, &index) else { return nil }
            words.append(String(decoding: word, as: UTF8.self))
        }
    }

    static func words(_ line: String) -> [String]? { words(line.utf8) }

    private static func word(_ bytes: [UInt8], _ index: inout Int) -> [UInt8]? {
        var word: [UInt8] = []
        while index < bytes.count, !ASCII.isSpace(bytes[index]) {
            let byte = bytes[index]
            index += 1
            guard byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "'") else {
                word.append(byte)
                continue
            }
            guard quoted(bytes, &index, quote: byte, &word) else { return nil }
            if index < bytes.count, !ASCII.isSpace(bytes[index]) { return nil }
        }
        return word
    }

    /// Reads up to the closing quote. Returns false if there is none.
    private static func quoted(
        _ bytes: [UInt8], _ index: inout Int, quote: UInt8, _ word: inout [UInt8]
    ) -> Bool {
        while index < bytes.count {
            let byte = bytes[index]
            index += 1
            if byte == quote { return true }
            guard byte == UInt8(ascii: "\\"), index < bytes.count else {
                word.append(byte)
                continue
            }
            let escaped = bytes[index]
            if quote == UInt8(ascii: "'") {
                if escaped == quote { index += 1 }
                word.append(escaped == quote ? quote : byte)
                continue
            }
            index += 1
            if escaped == UInt8(ascii: "x"), index + 1 < bytes.count,
                let high = ASCII.hexadecimal(bytes[index]),
                let low = ASCII.hexadecimal(bytes[index + 1])
            {
                word.append(high << 4 | low)
                index += 2
            } else {
                word.append(ASCII.unescaped(escaped))
            }
        }
        return false
    }

    static func hexadecimal(_ bytes: [UInt8]) -> String {
        let digits = Array("0123456789abcdef".utf8)
        var text: [UInt8] = []
        for byte in bytes {
            text.append(digits[Int(byte >> 4)])
            text.append(digits[Int(byte & 15)])
        }
        return String(decoding: text, as: UTF8.self)
    }

    /// The word in the form that `words` reads back: quoted if it is empty or has special bytes.
    static func quote(_ word: String) -> String {
        let isPlain = word.utf8.allSatisfy {
            $0 > 32 && $0 != 127 && $0 != UInt8(ascii: "\"") && $0 != UInt8(ascii: "'")
        }
        if isPlain && !word.isEmpty && !word.hasPrefix("#") { return word }
        var bytes: [UInt8] = [UInt8(ascii: "\"")]
        for byte in word.utf8 {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"): bytes += [UInt8(ascii: "\\"), byte]
            case 10: bytes += Array("\\n".utf8)
            case 13: bytes += Array("\\r".utf8)
            case 9: bytes += Array("\\t".utf8)
            case 0..<32, 127: bytes += Array("\\x\(hexadecimal([byte]))".utf8)
            default: bytes.append(byte)
            }
        }
        bytes.append(UInt8(ascii: "\""))
        return String(decoding: bytes, as: UTF8.self)
    }

    static func line(_ words: [String]) -> String {
        words.map(quote).joined(separator: " ")
    }
}

/// What is wrong with the configuration, and where: one line for the person who starts the server.
public struct ConfigurationError: Error, Equatable, Sendable, CustomStringConvertible {
    public let description: String
    public init(_ description: String) { self.description = description }
}
