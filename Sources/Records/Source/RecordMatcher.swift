// SPDX-License-Identifier: Apache-2.0
import Glibc

/// Finds the source and lookup that a key belongs to, if any.
///
/// Why this shape: every missed key is matched, and nearly all belong to no source. A bitmap of
/// first bytes rejects most of those with one load. The others are compared with the literal prefix
/// and suffix of each pattern. The longest prefix comes first, so `tenant:id:{id}` wins over
/// `tenant:{id}`. The first pattern that matches owns the key.
///
/// Cost: no allocation; per pattern whose first byte matches, one comparison of a few bytes.
public struct RecordMatcher: Sendable {
    private struct Pattern: Sendable {
        let source: Int
        let lookup: Int
        let literalStart: Int
        let prefixSize: Int
        let suffixSize: Int
    }

    private let firstBytes: InlineArray<4, UInt64>
    private let patterns: [Pattern]
    /// Prefix then suffix of each pattern, one after the other.
    private let literals: [UInt8]

    init(_ sources: [RecordSource]) {
        var bitmap = InlineArray<4, UInt64>(repeating: 0)
        var patterns: [Pattern] = []
        var literals: [UInt8] = []
        for (sourceIndex, source) in sources.enumerated() {
            for (lookupIndex, lookup) in source.lookups.enumerated() {
                let first = lookup.prefix[0]
                bitmap[Int(first >> 6)] |= 1 << UInt64(first & 63)
                patterns.append(
                    Pattern(
                        source: sourceIndex, lookup: lookupIndex, literalStart: literals.count,
                        prefixSize: lookup.prefix.count, suffixSize: lookup.suffix.count))
                literals += lookup.prefix
                literals += lookup.suffix
            }
        }
        self.firstBytes = bitmap
        self.patterns = patterns.sorted { left, right in
            (left.prefixSize, left.suffixSize) > (right.prefixSize, right.suffixSize)
        }
        self.literals = literals
    }

    /// The owner of a key, and the position of the column's value in the key.
    public func match(_ key: UnsafeRawBufferPointer) -> RecordMatch? {
        guard let first = key.first else { return nil }
        guard firstBytes[Int(first >> 6)] & (1 << UInt64(first & 63)) != 0 else { return nil }
        return matchPatterns(key)
    }

    /// The same for bytes in an array.
    public func match(_ key: [UInt8]) -> RecordMatch? { key.withUnsafeBytes { match($0) } }

    private func matchPatterns(_ key: UnsafeRawBufferPointer) -> RecordMatch? {
        guard let start = key.baseAddress else { return nil }
        return literals.withUnsafeBytes { literals -> RecordMatch? in
            guard let literalsStart = literals.baseAddress else { return nil }
            for pattern in patterns {
                let end = key.count - pattern.suffixSize
                guard end > pattern.prefixSize else { continue }
                // Safety: prefix and suffix lie inside the literals, and both fit into the key.
                let prefix = literalsStart + pattern.literalStart
                let suffix = prefix + pattern.prefixSize
                guard memcmp(start, prefix, pattern.prefixSize) == 0,
                    memcmp(start + end, suffix, pattern.suffixSize) == 0
                else { continue }
                return RecordMatch(
                    source: pattern.source, lookup: pattern.lookup, start: pattern.prefixSize,
                    end: end)
            }
            return nil
        }
    }
}

/// A key's source and lookup, and the position of the column's value in the key.
public struct RecordMatch: Sendable, Equatable {
    public let source: Int
    public let lookup: Int
    public let start: Int
    public let end: Int
}
