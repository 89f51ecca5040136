// SPDX-License-Identifier: Apache-2.0
import Base
import Testing

/// The notation of conversations in tests: on each line a request, `=>`, and the reply with its
/// line ends as blanks. A line that begins with blanks continues the one before. Single quotes keep
/// a word together; `#` begins a comment.
extension Client {
    func converse(_ text: String, _ location: SourceLocation = #_sourceLocation) {
        for line in Client.joined(text) {
            let parts = line.split(separator: " =>", maxSplits: 1, omittingEmptySubsequences: false)
            guard parts.count == 2 else {
                Issue.record("no reply in \(line)", sourceLocation: location)
                continue
            }
            send(RESP.request(Client.words(of: parts[0])))
            let expected = Client.trimmed(parts[1])
            #expect(flatReply() == expected, "\(parts[0])", sourceLocation: location)
        }
    }

    /// The reply, with blanks for line ends.
    func flatReply() -> String {
        let lines = takeReplies().split(separator: "\r\n", omittingEmptySubsequences: false)
        return Client.trimmed(Substring(lines.joined(separator: " ")))
    }

    private static func trimmed(_ text: Substring) -> String {
        var text = text.drop { $0 == " " }
        while text.last == " " { text.removeLast() }
        return String(text)
    }

    private static func joined(_ text: String) -> [String] {
        var lines: [String] = []
        for line in text.split(separator: "\n") where !line.hasPrefix("#") {
            if line.hasPrefix(" "), let last = lines.popLast() {
                lines.append(last + " " + trimmed(line))
            } else {
                lines.append(String(line))
            }
        }
        return lines
    }

    private static func words(of request: Substring) -> [String] {
        var words: [String] = []
        var word: String?
        var isQuoted = false
        for letter in request {
            if letter == "'" {
                isQuoted.toggle()
                word = word ?? ""
            } else if letter == " " && !isQuoted {
                if let word { words.append(word) }
                word = nil
            } else {
                word = (word ?? "") + String(letter)
            }
        }
        return words + (word.map { [$0] } ?? [])
    }
}
