// SPDX-License-Identifier: Apache-2.0
import Base
import Testing

@Suite struct LongDoubleTests {
    private func parse(_ text: String) -> LongDouble? {
        Array(text.utf8).withBytes { LongDouble.parse($0) }
    }

    private func text(_ text: String) -> String? {
        parse(text).map { String(decoding: $0.text, as: UTF8.self) }
    }

    @Test func textIsShortest() {
        #expect(text("10") == "10")
        #expect(text("10.50") == "10.5")
        #expect(text("-0") == "0")
        #expect(text("-0.0000000000000000001") == "0")
        #expect(text("5.0e3") == "5000")
        #expect(text("100") == "100")
        #expect(text("1e20") == "100000000000000000000")
        #expect(text("0x10") == "16")
        #expect(text("inf") == "inf")
        #expect(text("-infinity") == "-inf")
        #expect(text("1e4931")?.count == 4932)
    }

    @Test func whatIsNoNumber() {
        for wrong in ["", " 1", "1 ", "a", "1a", "nan", "--1", "1e5000", "1e-5000", "1\u{0}"] {
            #expect(parse(wrong) == nil, "\(wrong)")
        }
        #expect([UInt8](repeating: 49, count: 5120).withBytes { LongDouble.parse($0) } == nil)
    }

    @Test func sumsHaveEightyBits() {
        #if arch(x86_64)
            guard let left = parse("0.1"), let right = parse("0.2") else {
                Issue.record("no numbers")
                return
            }
            #expect(String(decoding: (left + right).text, as: UTF8.self) == "0.3")
        #endif
    }
}
