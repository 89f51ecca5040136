// SPDX-License-Identifier: Apache-2.0
/// A pattern of KEYS, SCAN, CONFIG GET and similar commands: `*`, `?`, `[abc]`, `[^a-z]`, and `\`,
/// which makes the next byte literal. It is read once, and then compared with any number of texts.
///
///     user:*[0-9]?:*x        elements before the first star   `user:`     compared in place
///                            segments between two stars       `[0-9]?:`   searched from left
///                            elements behind the last star    `x`         compared in place
///
/// Why no backtracking: every element takes exactly one byte, and of a segment between two stars
/// the first match is as good as any later one. All its elements are searched at once, as the bits
/// of a few words (Baeza-Yates and Gonnet's shift-and).
///
/// Cost: for each byte of the text at most `searchedCountMax / 64` words, whatever the pattern;
/// 32 bytes of memory for each element between stars.
///
/// Odd cases follow Redis: only the empty pattern matches an empty text, an unclosed class ends
/// with the pattern, a range compares bytes as signed, and a byte behind `\` in a class keeps its
/// case.
public struct Glob: Sendable {
    /// A pattern with more stars than this, not counting one at its end, matches nothing, as in
    /// Redis.
    public static let starCountMax = 1000
    /// Limits that keep a match cheap: bytes of a pattern, and elements between its first and its
    /// last star.
    public static let sizeMax = 128 * 1024
    public static let searchedCountMax = 1024

    private let isEmpty: Bool
    private let hasStar: Bool
    private let matchesNothing: Bool
    private let head: [GlobElement]
    private let tail: [GlobElement]
    private let classes: [ByteSet]
    /// Where each segment ends, as a position among the elements of all segments.
    private let segmentEnds: [Int]
    /// For each byte `wordCount` words: the elements of segments that the byte matches, as bits.
    private let masks: [UInt64]
    private let wordCount: Int

    /// Nil if the pattern exceeds a limit.
    public init?(_ pattern: Bytes, ignoringCase: Bool = false) {
        guard pattern.count <= Glob.sizeMax else { return nil }
        var reader = GlobReader(pattern, ignoringCase: ignoringCase)
        reader.read()
        let searched = reader.matchesNothing ? [] : reader.searched
        guard searched.count <= Glob.searchedCountMax else { return nil }
        isEmpty = pattern.isEmpty
        hasStar = reader.hasStar
        matchesNothing = reader.matchesNothing
        head = reader.head
        tail = reader.tail
        classes = reader.classes
        segmentEnds = reader.segmentEnds
        wordCount = (searched.count + 63) / 64
        masks = Glob.masks(searched, reader.classes, wordCount)
    }

    private static func masks(
        _ elements: [GlobElement], _ classes: [ByteSet], _ wordCount: Int
    ) -> [UInt64] {
        var masks = [UInt64](repeating: 0, count: 256 * wordCount)
        for (position, element) in elements.enumerated() {
            let bit: UInt64 = 1 << UInt64(position & 63)
            let word = position >> 6
            if let byte = element.literal {
                masks[Int(byte) * wordCount + word] |= bit
                continue
            }
            for byte in UInt8.min...UInt8.max where element.matches(byte, classes) {
                masks[Int(byte) * wordCount + word] |= bit
            }
        }
        return masks
    }

    /// Whether the pattern matches all of `text`.
    public func matches(_ text: Bytes) -> Bool {
        var steps = 0
        return matches(text, countingIn: &steps)
    }

    /// Whether the pattern is a single star. Callers treat it as "no pattern", which matches the
    /// empty text too.
    @inlinable
    public static func isEverything(_ pattern: Bytes) -> Bool {
        pattern.count == 1 && pattern[0] == UInt8(ascii: "*")
    }

    /// The same as `matches`; adds to `steps` what it cost: elements compared in place, and words
    /// of segments.
    @inline(__always)
    func matches(_ text: Bytes, countingIn steps: inout Int) -> Bool {
        guard !text.isEmpty else { return isEmpty }
        if matchesNothing { return false }
        guard hasStar else { return text.count == head.count && fits(head, text, 0, &steps) }
        let end = text.count - tail.count
        let searchedCount = segmentEnds.last ?? 0
        guard head.count + searchedCount <= end, fits(head, text, 0, &steps),
            fits(tail, text, end, &steps)
        else { return false }
        var index = head.count
        var first = 0
        for segmentEnd in segmentEnds {
            guard let next = find(first..<segmentEnd, text, index..<end, &steps) else {
                return false
            }
            index = next
            first = segmentEnd
        }
        return true
    }

    private func fits(
        _ elements: [GlobElement], _ text: Bytes, _ start: Int, _ steps: inout Int
    ) -> Bool {
        for (offset, element) in elements.enumerated() {
            steps += 1
            if !element.matches(text[start + offset], classes) { return false }
        }
        return true
    }

    /// The position behind the first place in `range` of the text where the segment matches.
    ///
    /// Bit `p` of the state says that the elements up to `p` match the bytes before `index`. A byte
    /// shifts the state by one and clears the bits of the elements that do not match it. Bits of
    /// earlier segments in the same word are never set, and of later ones not before the end.
    private func find(
        _ segment: Range<Int>, _ text: Bytes, _ range: Range<Int>, _ steps: inout Int
    ) -> Int? {
        let firstWord = segment.lowerBound >> 6
        let lastWord = (segment.upperBound - 1) >> 6
        let first: UInt64 = 1 << UInt64(segment.lowerBound & 63)
        let last: UInt64 = 1 << UInt64((segment.upperBound - 1) & 63)
        guard firstWord < lastWord else {
            var state: UInt64 = 0
            for index in range {
                steps += 1
                state = (state << 1 | first) & masks[Int(text[index]) * wordCount + firstWord]
                if state & last != 0 { return index + 1 }
            }
            return nil
        }
        var states = [UInt64](repeating: 0, count: lastWord - firstWord + 1)
        for index in range {
            let base = Int(text[index]) * wordCount + firstWord
            var carry = first
            for offset in 0..<states.count {
                steps += 1
                let state = states[offset]
                // Why `|` for the first word too: `first` is above the bit that a shift clears, or
                // is that bit.
                states[offset] = (state << 1 | carry) & masks[base + offset]
                carry = state >> 63
            }
            if states[states.count - 1] & last != 0 { return index + 1 }
        }
        return nil
    }
}

/// What one byte of a text is compared with: a byte, any byte, or a class.
private struct GlobElement {
    private static let anyCode: Int32 = 256
    private static let firstClassCode: Int32 = 257
    private let code: Int32

    static let any = GlobElement(code: anyCode)
    static func byte(_ byte: UInt8) -> GlobElement { GlobElement(code: Int32(byte)) }
    static func byteClass(_ number: Int) -> GlobElement {
        GlobElement(code: firstClassCode + Int32(number))
    }

    private init(code: Int32) { self.code = code }

    /// The byte, if the element matches no other.
    var literal: UInt8? { UInt8(exactly: code) }

    @inline(__always)
    func matches(_ byte: UInt8, _ classes: [ByteSet]) -> Bool {
        if code < GlobElement.anyCode { return code == Int32(byte) }
        return code == GlobElement.anyCode
            || classes[Int(code - GlobElement.firstClassCode)].contains(byte)
    }
}

/// A set of bytes: 256 bits.
private struct ByteSet {
    private var words: [4 of UInt64] = [0, 0, 0, 0]

    func contains(_ byte: UInt8) -> Bool { words[Int(byte >> 6)] >> UInt64(byte & 63) & 1 != 0 }

    mutating func insert(_ byte: UInt8) { words[Int(byte >> 6)] |= 1 << UInt64(byte & 63) }

    /// Inserts the bytes from `low` to `high`, both as signed numbers.
    mutating func insert(signed low: Int8, _ high: Int8) {
        guard low <= high else { return }
        if low < 0 { insert(UInt8(bitPattern: low), UInt8(bitPattern: min(high, -1))) }
        if high >= 0 { insert(UInt8(max(low, 0)), UInt8(high)) }
    }

    private mutating func insert(_ low: UInt8, _ high: UInt8) {
        for word in Int(low >> 6)...Int(high >> 6) {
            let first = max(Int(low) - word * 64, 0)
            let last = min(Int(high) - word * 64, 63)
            words[word] |= (UInt64.max >> UInt64(63 - (last - first))) << UInt64(first)
        }
    }

    mutating func formUnion(_ other: ByteSet) {
        for word in 0..<4 { words[word] |= other.words[word] }
    }

    mutating func invert() { for word in 0..<4 { words[word] = ~words[word] } }

    /// The bytes whose lower case is in the set.
    var withBothCases: ByteSet {
        var result = ByteSet()
        for byte in UInt8.min...UInt8.max where contains(ASCII.lower(byte)) { result.insert(byte) }
        return result
    }
}

/// Reads a pattern into elements.
private struct GlobReader {
    let pattern: Bytes
    let ignoringCase: Bool
    var position = 0
    var hasStar = false
    var matchesNothing = false
    /// The elements before the first star, those between stars, and those behind the last.
    var head: [GlobElement] = []
    var searched: [GlobElement] = []
    var tail: [GlobElement] = []
    var segmentEnds: [Int] = []
    var classes: [ByteSet] = []

    init(_ pattern: Bytes, ignoringCase: Bool) {
        self.pattern = pattern
        self.ignoringCase = ignoringCase
    }

    mutating func read() {
        var starCount = 0
        // The elements since the last star, or since the start.
        var segment: [GlobElement] = []
        while position < pattern.count {  // Bound: each turn moves on.
            guard pattern[position] == UInt8(ascii: "*") else {
                segment.append(element())
                continue
            }
            while position < pattern.count && pattern[position] == UInt8(ascii: "*") {
                position += 1
            }
            if hasStar {
                searched += segment
                segmentEnds.append(searched.count)
            } else {
                head = segment
            }
            hasStar = true
            segment.removeAll(keepingCapacity: true)
            if position < pattern.count { starCount += 1 }
            if starCount > Glob.starCountMax {
                matchesNothing = true
                return
            }
        }
        if hasStar { tail = segment } else { head = segment }
    }

    private mutating func element() -> GlobElement {
        let byte = pattern[position]
        position += 1
        switch byte {
        case UInt8(ascii: "?"): return .any
        case UInt8(ascii: "["): return add(classSet())
        case UInt8(ascii: "\\") where position < pattern.count:
            position += 1
            return literal(pattern[position - 1])
        default: return literal(byte)
        }
    }

    private mutating func literal(_ byte: UInt8) -> GlobElement {
        guard ignoringCase, ASCII.lower(byte) != ASCII.upper(byte) else { return .byte(byte) }
        var both = ByteSet()
        both.insert(ASCII.lower(byte))
        both.insert(ASCII.upper(byte))
        return add(both)
    }

    private mutating func add(_ set: ByteSet) -> GlobElement {
        classes.append(set)
        return .byteClass(classes.count - 1)
    }

    /// Reads the class whose first byte is at `position`, and moves behind it.
    private mutating func classSet() -> ByteSet {
        let isNegated = position < pattern.count && pattern[position] == UInt8(ascii: "^")
        if isNegated { position += 1 }
        // Bytes behind `\`, and all others: in lower case, where case is ignored.
        var escaped = ByteSet()
        var plain = ByteSet()
        while position < pattern.count && pattern[position] != UInt8(ascii: "]") {
            let rest = pattern.count - position
            if rest >= 2 && pattern[position] == UInt8(ascii: "\\") {
                escaped.insert(pattern[position + 1])
                position += 2
            } else if rest >= 3 && pattern[position + 1] == UInt8(ascii: "-") {
                let ends = [pattern[position], pattern[position + 2]]
                    .sorted { Int8(bitPattern: $0) < Int8(bitPattern: $1) }
                plain.insert(signed: order(ends[0]), order(ends[1]))
                position += 3
            } else {
                plain.insert(ignoringCase ? ASCII.lower(pattern[position]) : pattern[position])
                position += 1
            }
        }
        position = min(position + 1, pattern.count)
        var set = ignoringCase ? plain.withBothCases : plain
        set.formUnion(escaped)
        if isNegated { set.invert() }
        return set
    }

    private func order(_ byte: UInt8) -> Int8 {
        Int8(bitPattern: ignoringCase ? ASCII.lower(byte) : byte)
    }
}
