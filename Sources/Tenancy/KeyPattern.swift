// SPDX-License-Identifier: Apache-2.0
import Base

/// A key pattern that names the tenant: `tenant:{tenant}:*`, `rate_limit:{tenant}:{connector}`.
///
/// Literal bytes match themselves. `{tenant}` and other names in braces match one or more bytes, up
/// to the first byte of the literal behind them. `*`, at the end only, matches anything. `{tenant}`
/// occurs exactly once.
///
/// Why not a glob: every key of every command is matched against every pattern, so a match costs
/// one compare of the prefix, one search for the byte behind the tenant and, rarely, a walk over
/// the rest.
public struct KeyPattern: Sendable, Equatable {
    /// The pattern as it was written.
    public let text: String
    public let matcher: KeyMatcher

    /// An element of the pattern behind `{tenant}`.
    enum Part {
        case literal([UInt8])
        case field
        case rest

        var isField: Bool { if case .field = self { true } else { false } }
    }

    public static func == (left: KeyPattern, right: KeyPattern) -> Bool { left.text == right.text }

    /// The longest tenant id that a key can name.
    public static let tenantSizeMax = 128

    /// Why a pattern is malformed, in words for the person who wrote it.
    public struct Malformed: Error, Equatable {
        public let reason: String
    }

    public init(_ text: String) throws(Malformed) {
        self.text = text
        var parts: [Part] = []
        var prefix: [UInt8] = []
        var tenantSeen = false
        var bytes = Array(text.utf8)[...]
        while let byte = bytes.first {
            if byte == UInt8(ascii: "{") {
                guard let end = bytes.firstIndex(of: UInt8(ascii: "}")) else {
                    throw Malformed(reason: "a brace is not closed")
                }
                let name = bytes[(bytes.startIndex + 1)..<end]
                bytes = bytes[(end + 1)...]
                if name.elementsEqual("tenant".utf8) {
                    guard !tenantSeen else { throw Malformed(reason: "{tenant} occurs twice") }
                    tenantSeen = true
                } else {
                    guard tenantSeen else {
                        throw Malformed(reason: "only literal text may come before {tenant}")
                    }
                    parts.append(.field)
                }
                continue
            }
            bytes = bytes.dropFirst()
            if byte == UInt8(ascii: "*") {
                guard tenantSeen, bytes.isEmpty else {
                    throw Malformed(reason: "* may only come at the end, behind {tenant}")
                }
                parts.append(.rest)
            } else if !tenantSeen {
                prefix.append(byte)
            } else if case .literal(let literal)? = parts.last {
                parts[parts.count - 1] = .literal(literal + [byte])
            } else {
                parts.append(.literal([byte]))
            }
        }
        guard tenantSeen else { throw Malformed(reason: "{tenant} is missing") }
        if parts.first?.isField == true {
            throw Malformed(reason: "nothing parts {tenant} from what follows")
        }
        for (left, right) in zip(parts, parts.dropFirst()) where left.isField && right.isField {
            throw Malformed(reason: "nothing parts two names in braces")
        }
        matcher = KeyMatcher(prefix: prefix, tail: parts)
    }

    /// The bytes of `key` that name the tenant, or nil if the key does not match.
    public func tenant(in key: Bytes) -> Bytes? { matcher.tenant(in: key) }
}

/// A key pattern, compiled for matching.
///
/// Why raw memory: an array would be retained and released for every key of every command. Patterns
/// come from directives at start and live as long as the process.
@safe
public struct KeyMatcher: @unchecked Sendable {
    private enum Step {
        case literal(Bytes)
        case field
        case rest
    }

    // Safety: written once in init, then only read, and never freed.
    private let prefix: Bytes
    private let steps: UnsafePointer<Step>
    private let stepCount: Int

    init(prefix: [UInt8], tail: [KeyPattern.Part]) {
        self.prefix = KeyMatcher.immortal(prefix)
        // Safety: room for all parts; each is written below.
        let steps = UnsafeMutablePointer<Step>.allocate(capacity: max(1, tail.count))
        for (index, part) in tail.enumerated() {
            let step: Step =
                switch part {
                case .literal(let literal): .literal(KeyMatcher.immortal(literal))
                case .field: .field
                case .rest: .rest
                }
            unsafe (steps + index).initialize(to: step)
        }
        unsafe self.steps = UnsafePointer(steps)
        stepCount = tail.count
    }

    private static func immortal(_ bytes: [UInt8]) -> Bytes {
        let copy = UnsafeMutablePointer<UInt8>.allocate(capacity: max(1, bytes.count))
        // Safety: room for all bytes, never freed.
        unsafe copy.initialize(from: bytes, count: bytes.count)
        return unsafe Bytes(UnsafePointer(copy), bytes.count)
    }

    /// The bytes of `key` that name the tenant, or nil if the key does not match.
    public func tenant(in key: Bytes) -> Bytes? {
        let start = prefix.count
        guard key.count > start, key.hasPrefix(prefix) else { return nil }
        guard let end = fieldEnd(key, from: start, step: 0), end > start,
            end - start <= KeyPattern.tenantSizeMax, matches(key, from: end)
        else { return nil }
        return key[start..<end]
    }

    /// The end of a field that begins at `start`: before the first byte of the literal that follows
    /// it, which is step `step`.
    @inline(__always)
    private func fieldEnd(_ key: Bytes, from start: Int, step: Int) -> Int? {
        // Safety: below `stepCount`.
        guard step < stepCount, case .literal(let literal) = unsafe steps[step] else {
            return key.count
        }
        // Bound: a literal has at least one byte.
        guard let offset = key.suffix(from: start).firstIndex(of: literal[0]) else { return nil }
        return start + offset
    }

    private func matches(_ key: Bytes, from start: Int) -> Bool {
        var position = start
        for step in 0..<stepCount {
            // Safety: below `stepCount`.
            switch unsafe steps[step] {
            case .rest:
                return true
            case .literal(let literal):
                guard key.suffix(from: position).hasPrefix(literal) else { return false }
                position += literal.count
            case .field:
                guard let end = fieldEnd(key, from: position, step: step + 1), end > position
                else { return false }
                position = end
            }
        }
        return position == key.count
    }
}
