// SPDX-License-Identifier: Apache-2.0
/// The patterns of KEYS, SCAN, CONFIG GET and similar commands: `*`, `?`, `[abc]`, `[^a-z]`, and
/// `\`, which makes the next byte literal.
///
/// Why no recursion: every element except `*` takes exactly one byte, so a mismatch only has to go
/// back to the last `*`. Any pattern costs at most its size times the size of the text.
///
/// Odd cases follow Redis: only the empty pattern matches an empty text, an unclosed class ends
/// with the pattern, a range compares bytes as signed, and a byte behind `\` in a class keeps its
/// case.
public enum Glob {
    /// A pattern with more stars than this, not counting one at its end, matches nothing, as in
    /// Redis. This limits what one client can make a scan of millions of keys cost.
    public static let starCountMax = 1000

    /// Whether `pattern` matches all of `text`.
    public static func matches(
        _ pattern: Bytes, _ text: Bytes, ignoringCase: Bool = false
    ) -> Bool {
        guard !text.isEmpty else { return pattern.isEmpty }
        var position = 0
        var index = 0
        // The position behind the last star, and where in the text its tail was last tried.
        var starTail: Int?
        var starIndex = 0
        var starCount = 0
        // Bound: each turn advances in the text or the pattern, or moves the star's tail forward.
        while index < text.count {
            if position < pattern.count && pattern[position] == UInt8(ascii: "*") {
                position = skipStars(pattern, position)
                if position == pattern.count { return true }
                starCount += 1
                if starCount > starCountMax { return false }
                starTail = position
                starIndex = index
                continue
            }
            if position < pattern.count,
                let next = element(pattern, position, text[index], ignoringCase)
            {
                position = next
                index += 1
                continue
            }
            guard let starTail else { return false }
            starIndex += 1
            index = starIndex
            position = starTail
        }
        return skipStars(pattern, position) == pattern.count
    }

    /// Whether the pattern is a single star. Callers treat it as "no pattern", which matches the
    /// empty text too.
    @inlinable
    public static func isEverything(_ pattern: Bytes) -> Bool {
        pattern.count == 1 && pattern[0] == UInt8(ascii: "*")
    }

    private static func skipStars(_ pattern: Bytes, _ start: Int) -> Int {
        var position = start
        while position < pattern.count && pattern[position] == UInt8(ascii: "*") { position += 1 }
        return position
    }

    /// The position behind the element at `position` if that element matches `byte`, else nil.
    @inline(__always)
    private static func element(
        _ pattern: Bytes, _ position: Int, _ byte: UInt8, _ ignoringCase: Bool
    ) -> Int? {
        switch pattern[position] {
        case UInt8(ascii: "?"):
            return position + 1
        case UInt8(ascii: "["):
            return classElement(pattern, position + 1, byte, ignoringCase)
        case UInt8(ascii: "\\") where position + 1 < pattern.count:
            return isSame(pattern[position + 1], byte, ignoringCase) ? position + 2 : nil
        default:
            return isSame(pattern[position], byte, ignoringCase) ? position + 1 : nil
        }
    }

    /// The position behind the class whose first byte is at `start` if the class matches `byte`,
    /// else nil.
    private static func classElement(
        _ pattern: Bytes, _ start: Int, _ byte: UInt8, _ ignoringCase: Bool
    ) -> Int? {
        var position = start
        var isNegated = false
        if position < pattern.count && pattern[position] == UInt8(ascii: "^") {
            isNegated = true
            position += 1
        }
        var isMember = false
        while position < pattern.count && pattern[position] != UInt8(ascii: "]") {
            let rest = pattern.count - position
            if rest >= 2 && pattern[position] == UInt8(ascii: "\\") {
                if pattern[position + 1] == byte { isMember = true }
                position += 2
            } else if rest >= 3 && pattern[position + 1] == UInt8(ascii: "-") {
                if isInRange(byte, pattern[position], pattern[position + 2], ignoringCase) {
                    isMember = true
                }
                position += 3
            } else {
                if isSame(pattern[position], byte, ignoringCase) { isMember = true }
                position += 1
            }
        }
        guard isMember != isNegated else { return nil }
        return min(position + 1, pattern.count)
    }

    private static func isInRange(
        _ byte: UInt8, _ first: UInt8, _ last: UInt8, _ ignoringCase: Bool
    ) -> Bool {
        func order(_ byte: UInt8) -> Int8 {
            Int8(bitPattern: ignoringCase ? ASCII.lower(byte) : byte)
        }
        let isTurned = Int8(bitPattern: first) > Int8(bitPattern: last)
        let low = order(isTurned ? last : first)
        let high = order(isTurned ? first : last)
        return order(byte) >= low && order(byte) <= high
    }

    @inline(__always)
    private static func isSame(_ left: UInt8, _ right: UInt8, _ ignoringCase: Bool) -> Bool {
        ignoringCase ? ASCII.lower(left) == ASCII.lower(right) : left == right
    }
}
