// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import Server

/// README's table of directives must agree with `Directive.all`.
@Suite struct ReadmeTests {
    private static let first = "<!-- directives"
    private static let last = "<!-- end of directives -->"

    /// The table as README should have it.
    private static var table: [String] {
        let head = [
            "| Directive | Default | `CONFIG SET` | Meaning |", "| --- | --- | --- | --- |",
        ]
        return head
            + Directive.all.map { directive in
                let initial = directive.initial.isEmpty ? "" : "`\(directive.initial)`"
                let summary = directive.summary.split(
                    separator: "|", omittingEmptySubsequences: false
                ).joined(separator: "\\|")
                let change = directive.isChangeable ? "yes" : ""
                return "| `\(directive.name)` | \(initial) | \(change) | \(summary) |"
            }
    }

    @Test func tableOfDirectives() throws {
        let path = "\(#filePath)".split(separator: "/").dropLast(3).joined(separator: "/")
        let text = String(decoding: try TextFile.read("/\(path)/README.md"), as: UTF8.self)
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        let begin = try #require(lines.firstIndex { $0.hasPrefix(ReadmeTests.first) })
        let end = try #require(lines.firstIndex(of: ReadmeTests.last))
        let written = Array(lines[(begin + 1)..<end])
        let whole = ReadmeTests.table.joined(separator: "\n")
        #expect(written == ReadmeTests.table, "README's table should be:\n\(whole)")
    }
}
