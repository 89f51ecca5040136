// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import Base

@Suite struct GlobTests {
    private func matches(_ pattern: String, _ text: String, ignoringCase: Bool = false) -> Bool {
        Array(pattern.utf8).withBytes { pattern in
            Array(text.utf8).withBytes { text in
                Glob(pattern, ignoringCase: ignoringCase)?.matches(text) ?? false
            }
        }
    }

    @Test(arguments: [
        ("*", "a"), ("a*", "a"), ("a*", "abc"), ("*c", "abc"), ("a*c", "abbbc"), ("a**c", "ac"),
        ("h?llo", "hello"), ("h[ae]llo", "hallo"), ("h[^e]llo", "hallo"), ("h[a-b]llo", "hbllo"),
        ("h[b-a]llo", "hbllo"), ("h\\*llo", "h*llo"), ("*a*b*c*", "xxaxxbxxcxx"), ("a\\", "a\\"),
        ("[\\]]", "]"), ("[a-]", "_"), ("[^", "x"), ("[^a", "b"),
        ("[a", "a"), ("[\\", "\\"), ("*aab", "aaab"), ("a*?", "ab"), ("", ""), ("[^]x", "zx"),
    ])
    func matching(_ pattern: String, _ text: String) {
        #expect(matches(pattern, text), "\(pattern) \(text)")
    }

    @Test(arguments: [
        ("*", ""), ("a", ""), ("", "a"), ("h?llo", "hllo"), ("h[^e]llo", "hello"),
        ("h[ae]llo", "hillo"),
        ("a*c", "abcd"), ("h\\*llo", "hello"), ("[", "["), ("a", "A"), ("a?", "a"), ("*a", "ab"),
        ("[a", "b"), ("[]a]", "a"), ("a*?", "a"),
    ])
    func notMatching(_ pattern: String, _ text: String) {
        #expect(!matches(pattern, text), "\(pattern) \(text)")
    }

    @Test func caseIsIgnoredOnRequest() {
        #expect(matches("HeL?[A-C]*", "hElLbX", ignoringCase: true))
        #expect(!matches("[\\A]", "a", ignoringCase: true))
        #expect(!matches("HEL", "hel"))
    }

    @Test func tooManyStarsMatchNothing() {
        let text = String(repeating: "a", count: Glob.starCountMax + 1)
        let allowed = String(repeating: "*?", count: Glob.starCountMax)
        #expect(matches(allowed, text))
        #expect(matches(allowed + "*", text))
        #expect(!matches(allowed + "*?", text))
    }

    @Test func rangesCompareSignedBytes() {
        let pattern: [UInt8] = [91, 97, 45, 255, 93]
        let inside: [UInt8] = [48]
        let outside: [UInt8] = [200]
        pattern.withBytes { pattern in
            let glob = Glob(pattern)
            #expect(inside.withBytes { glob?.matches($0) } == true)
            #expect(outside.withBytes { glob?.matches($0) } == false)
        }
    }

    /// The cost of matching `text`, whether or not it matches.
    private func steps(_ pattern: String, _ text: String) -> Int {
        var steps = 0
        Array(pattern.utf8).withBytes { pattern in
            guard let glob = Glob(pattern) else { return }
            Array(text.utf8).withBytes { _ = glob.matches($0, countingIn: &steps) }
        }
        return steps
    }

    @Test(arguments: [
        "*[" + String(repeating: "z", count: 20_000) + "]",
        String(repeating: "a*", count: 500) + "b",
        "*" + String(repeating: "a", count: Glob.searchedCountMax) + "*",
        "*" + String(repeating: "?", count: Glob.searchedCountMax - 1) + "b*",
        String(repeating: "*aaab", count: 200) + "*c",
        String(repeating: "a", count: 100_000) + "*b",
        "a" + String(repeating: "*[a-y]?[^b]\\a", count: 250) + "*",
    ])
    func costIsLinear(_ pattern: String) {
        for count in [500, 5000, 20_000] {
            let found = steps(pattern, String(repeating: "a", count: count))
            let bound = pattern.utf8.count + count * Glob.searchedCountMax / 64
            #expect(found <= bound, "\(found) steps of \(bound) for \(count) bytes")
        }
    }

    @Test func starsWithSimpleSegmentsCostOneStepPerByte() {
        let text = String(repeating: "a", count: 100_000)
        #expect(steps("*aaaab*aaab*", text) <= 100_000)
        #expect(steps("aaaa*", text) == 4)
    }

    @Test func tooLongPatternsAreRefused() {
        func isAccepted(_ pattern: String) -> Bool {
            Array(pattern.utf8).withBytes { Glob($0) } != nil
        }
        let letters = String(repeating: "a", count: Glob.searchedCountMax)
        #expect(isAccepted(letters + "b*" + letters + "*c" + letters))
        #expect(!isAccepted("*" + letters + "b*"))
        #expect(!isAccepted("*" + letters + "*b*"))
        #expect(isAccepted(String(repeating: "*?", count: 50_000)))
        #expect(isAccepted(String(repeating: "a", count: Glob.sizeMax)))
        #expect(!isAccepted(String(repeating: "a", count: Glob.sizeMax + 1)))
    }

    @Test(arguments: [false, true])
    func equalsTheNaiveAlgorithm(ignoringCase: Bool) {
        var random = Random(seed: 20_260_511)
        let letters = Array("aabbAB*?[]^-\\-[".utf8) + [0, 127, 128, 255]
        func draw(_ sizeMax: UInt64, _ letters: [UInt8]) -> [UInt8] {
            (0..<random.next(below: sizeMax)).map { _ in
                letters[Int(random.next(below: UInt64(letters.count)))]
            }
        }
        var matchCount = 0
        for _ in 0..<20_000 {
            let pattern = draw(10, letters)
            let text = draw(7, letters)
            let naive = NaiveGlob.matches(pattern[...], text[...], ignoringCase)
            let found = pattern.withBytes { pattern in
                text.withBytes { Glob(pattern, ignoringCase: ignoringCase)?.matches($0) }
            }
            #expect(found == naive, "\(pattern) \(text)")
            if naive { matchCount += 1 }
        }
        #expect(matchCount > 500)
    }

    /// Segments that lie in several words and begin in the middle of one.
    @Test func longSegmentsEqualTheNaiveAlgorithm() {
        var random = Random(seed: 20_260_512)
        var matchCount = 0
        for _ in 0..<500 {
            var pattern: [UInt8] = []
            var text: [UInt8] = []
            for _ in 0...random.next(below: 4) {
                pattern.append(UInt8(ascii: "*"))
                for _ in 0..<random.next(below: 3) { text.append(UInt8(ascii: "x")) }
                for _ in 0..<random.next(below: 150) {
                    let byte = UInt8(ascii: "a") + UInt8(random.next(below: 2))
                    text.append(byte)
                    switch random.next(below: 4) {
                    case 0: pattern.append(UInt8(ascii: "?"))
                    case 1: pattern += Array("[a-b]".utf8)
                    default: pattern.append(byte)
                    }
                }
            }
            if random.next(below: 3) == 0 { text.append(UInt8(ascii: "x")) }
            if random.next(below: 3) == 0 { pattern.append(UInt8(ascii: "*")) }
            let naive = NaiveGlob.matches(pattern[...], text[...], false)
            let found = pattern.withBytes { pattern in
                text.withBytes { Glob(pattern)?.matches($0) }
            }
            #expect(found == naive)
            if naive { matchCount += 1 }
        }
        #expect(matchCount > 50)
    }
}

/// Redis's `stringmatchlen`, without what it does against slow patterns.
private enum NaiveGlob {
    static func matches(
        _ pattern: ArraySlice<UInt8>, _ text: ArraySlice<UInt8>, _ ignoringCase: Bool
    ) -> Bool {
        func fold(_ byte: UInt8) -> UInt8 { ignoringCase ? ASCII.lower(byte) : byte }
        var pattern = pattern
        var text = text
        while let first = pattern.first, let byte = text.first {
            if first == UInt8(ascii: "*") {
                while pattern.dropFirst().first == first { pattern = pattern.dropFirst() }
                if pattern.count == 1 { return true }
                return text.indices.contains {
                    matches(pattern.dropFirst(), text[$0...], ignoringCase)
                }
            }
            if first == UInt8(ascii: "[") {
                guard classMatches(&pattern, byte, ignoringCase) else { return false }
            } else if first != UInt8(ascii: "?") {
                if first == UInt8(ascii: "\\"), pattern.count >= 2 { pattern = pattern.dropFirst() }
                guard let literal = pattern.first, fold(literal) == fold(byte) else { return false }
            }
            pattern = pattern.dropFirst()
            text = text.dropFirst()
            if text.isEmpty {
                pattern = pattern.drop { $0 == UInt8(ascii: "*") }
            }
        }
        return pattern.isEmpty && text.isEmpty
    }

    /// Leaves the pattern at the last byte of the class.
    private static func classMatches(
        _ pattern: inout ArraySlice<UInt8>, _ byte: UInt8, _ ignoringCase: Bool
    ) -> Bool {
        func fold(_ byte: UInt8) -> UInt8 { ignoringCase ? ASCII.lower(byte) : byte }
        func order(_ byte: UInt8) -> Int { Int(Int8(bitPattern: byte)) }
        var rest = pattern.dropFirst()
        let isNegated = rest.first == UInt8(ascii: "^")
        if isNegated { rest = rest.dropFirst() }
        var isMember = false
        while true {
            guard let first = rest.first else {
                pattern = pattern.suffix(1)
                break
            }
            if first == UInt8(ascii: "\\"), rest.count >= 2 {
                rest = rest.dropFirst()
                if rest.first == byte { isMember = true }
            } else if first == UInt8(ascii: "]") {
                pattern = rest
                break
            } else if rest.count >= 3, rest[rest.startIndex + 1] == UInt8(ascii: "-") {
                let ends = [order(first), order(rest[rest.startIndex + 2])].sorted()
                let low = order(fold(UInt8(bitPattern: Int8(ends[0]))))
                let high = order(fold(UInt8(bitPattern: Int8(ends[1]))))
                rest = rest.dropFirst(2)
                let value = order(fold(byte))
                if value >= low && value <= high { isMember = true }
            } else if fold(first) == fold(byte) {
                isMember = true
            }
            rest = rest.dropFirst()
        }
        return isMember != isNegated
    }
}
