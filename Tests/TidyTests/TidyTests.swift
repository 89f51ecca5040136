// SPDX-License-Identifier: Apache-2.0
import Testing

/// The conventions that a machine can check, file by file. A failure names the place.
@Suite struct TidyTests {
    static let files = SourceFile.all()

    static let fileLineMax = 500
    static let functionLineMax = 70
    static let columnMax = 100

    /// Fails with all places at once, each on its own line.
    static func expectNone(_ rule: String, _ places: [String]) {
        let list = places.joined(separator: "\n")
        #expect(places.isEmpty, "\(rule):\n\(list)")
    }

    /// The places of lines for which `isBroken` is true.
    static func places(_ isBroken: (_ line: String, _ code: String) -> Bool) -> [String] {
        files.flatMap { file in
            file.lines.indices
                .filter { isBroken(file.lines[$0], file.code[$0]) }
                .map { file.place($0) + ": " + file.lines[$0].trimmed }
        }
    }

    @Test func thereAreFiles() {
        #expect(Self.files.count > 150)
        #expect(Self.files.allSatisfy { !$0.lines.isEmpty })
    }

    @Test func everyFileBeginsWithItsLicense() {
        let first = "// SPDX-License-Identifier: Apache-2.0"
        Self.expectNone("no license", Self.files.filter { $0.lines.first != first }.map(\.path))
    }

    @Test func filesAreShort() {
        let long = Self.files.filter { $0.lines.count > Self.fileLineMax }
        Self.expectNone("too many lines", long.map { "\($0.path): \($0.lines.count)" })
    }

    @Test func linesAreNarrow() {
        let wide = Self.places { line, _ in line.count > Self.columnMax }
        Self.expectNone("more than \(Self.columnMax) columns", wide)
    }

    @Test func functionsAreShort() {
        var long: [String] = []
        for file in Self.files {
            for function in Functions.find(in: file) where function.count > Self.functionLineMax {
                long.append("\(file.place(function.first)): \(function.count) lines")
            }
        }
        Self.expectNone("more than \(Self.functionLineMax) lines in a function", long)
    }

    @Test func nothingIsForced() {
        let forced = Self.places { _, code in code.contains("try!") || code.contains("as!") }
        Self.expectNone("forced", forced)
    }

    /// Every unsafe construct must have a justification nearby: what Swift has always let pass, and
    /// what strict memory safety has us mark with `unsafe`.
    @Test func whatIsUnsafeIsJustified() {
        let marks = [
            "@unchecked Sendable", "nonisolated(unsafe)", "unowned(unsafe)", "unsafelyUnwrapped",
            ".fromOpaque(", "unsafeBitCast",
        ]
        var bare: [String] = []
        for file in Self.files where !file.path.hasPrefix("Tests/") {
            for index in file.code.indices {
                let code = file.code[index]
                let isMarked = code.split { !($0.isLetter || $0 == "_") }.contains("unsafe")
                guard isMarked || marks.contains(where: code.contains) else { continue }
                let near = file.lines[max(0, index - 12)..<min(file.lines.count, index + 13)]
                let isJustified = near.contains {
                    $0.contains("Safety:") || $0.contains("Threads:")
                }
                if !isJustified { bare.append(file.place(index)) }
            }
        }
        Self.expectNone("unsafe without a reason", bare)
    }

    @Test func nothingIsLeftForLater() {
        let words = ["TO" + "DO", "FIX" + "ME", "XX" + "X"]
        let later = Self.places { line, _ in
            words.contains { word in
                line.split { !$0.isLetter }.contains { $0 == word }
            }
        }
        Self.expectNone("left for later", later)
    }

    @Test func noTabsAndNoSpacesAtTheEnd() {
        let loose = Self.places { line, _ in line.hasSuffix(" ") || line.contains("\t") }
        Self.expectNone("tabs or spaces at the end", loose)
    }

    /// The search for functions, on difficult input.
    @Test func everyFunctionIsFound() {
        let file = SourceFile(
            path: "a.swift",
            text: """
                func a() { "}".b() }
                struct A {
                    // func no() {
                    init(
                        a: Int = { 1 }()
                    ) {
                        func c() {
                        }
                    }
                    deinit { x("\\(y("{"))") }
                    var d: Int { 1 }
                }
                protocol P { func e() }
                """)
        let found = Functions.find(in: file).map { [$0.first, $0.count] }
        #expect(found == [[0, 1], [3, 6], [6, 2], [9, 1]])
    }
}

/// Functions, found by their braces: enough to measure their length.
enum Functions {
    struct Found: Equatable {
        /// Index of the line that declares it.
        let first: Int
        let count: Int
    }

    static func find(in file: SourceFile) -> [Found] {
        file.code.indices.compactMap { index in
            guard declares(file.code[index]) else { return nil }
            return end(file.code, from: index).map { Found(first: index, count: $0 - index + 1) }
        }
    }

    private static func declares(_ line: String) -> Bool {
        let words = line.split { !($0.isLetter || $0 == "_") }
        if words.contains("func") { return !line.contains("protocol ") }
        let trimmed = line.trimmed
        let name = words.first { !modifiers.contains(String($0)) }
        guard let name, ["init", "deinit", "subscript"].contains(name) else { return false }
        return !trimmed.hasPrefix(".") && !trimmed.hasPrefix("self.") && !line.contains(".init")
    }

    private static let modifiers: Set<String> = [
        "public", "private", "fileprivate", "open", "override", "required", "convenience",
        "inlinable", "inline", "__always", "never", "usableFromInline", "mutating", "static",
    ]

    /// The line on which the function's body ends; nil without a body.
    private static func end(_ code: [String], from first: Int) -> Int? {
        var parentheses = 0
        var braces = 0
        for index in first..<code.count {
            for letter in code[index] {
                switch letter {
                case "(": parentheses += 1
                case ")": parentheses -= 1
                case "{" where parentheses == 0 || braces > 0: braces += 1
                case "}" where braces > 0:
                    braces -= 1
                    if braces == 0 { return index }
                case "}" where parentheses == 0: return nil
                default: break
                }
            }
            // Why: a requirement of a protocol has no body; its line ends before any brace.
            let isOpen = parentheses > 0 || braces > 0
            let next = index + 1 < code.count ? code[index + 1].trimmed : ""
            let goesOn = ["{", "where", "->", "throws", "async"].contains { next.hasPrefix($0) }
            if !isOpen && !goesOn { return nil }
        }
        return nil
    }
}

extension String {
    var trimmed: String {
        var text = Substring(self)
        while text.first == " " { text.removeFirst() }
        while text.last == " " { text.removeLast() }
        return String(text)
    }
}
