// SPDX-License-Identifier: Apache-2.0
import Base
import Testing

@Suite struct GlobTests {
    private func matches(_ pattern: String, _ text: String, ignoringCase: Bool = false) -> Bool {
        Array(pattern.utf8).withBytes { pattern in
            Array(text.utf8).withBytes { Glob.matches(pattern, $0, ignoringCase: ignoringCase) }
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
            #expect(inside.withBytes { Glob.matches(pattern, $0) })
            #expect(!outside.withBytes { Glob.matches(pattern, $0) })
        }
    }

    @Test func manyStarsCostNoMoreThanProduct() {
        let pattern = String(repeating: "a*", count: 2000) + "b"
        let text = String(repeating: "a", count: 30_000)
        let start = Clock.monotonicNanoseconds
        #expect(!matches(pattern, text))
        #expect(Clock.monotonicNanoseconds - start < 5_000_000_000)
    }
}
