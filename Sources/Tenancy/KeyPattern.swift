// SPDX-License-Identifier: Apache-2.0
import Base

/// A key pattern that names the tenant: `tenant:{tenant}:*`, `rate_limit:{tenant}:{connector}`.
///
/// Literal bytes stand for themselves, `{tenant}` and other names in braces for one or more bytes
/// up to the literal that follows, `*` at the end for anything. Exactly one `{tenant}`.
///
/// Why not a glob: every key of every command is held against every pattern, so a match is one
/// compare of the prefix, one search for the byte behind the tenant and, rarely, a walk over the
/// rest.
public struct KeyPattern: Sendable, Equatable {
    /// The pattern as it was written.
    public let text: String
    let prefix: [UInt8]
    let tail: [Part]

    enum Part: Equatable, Sendable {
        case literal([UInt8])
        case field
        case rest
    }

    /// The longest tenant id that a key can name.
    public static let tenantSizeMax = 128

    /// Why a pattern was not accepted, in words for the person who wrote it.
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
                    guard !tenantSeen else { throw Malformed(reason: "{tenant} stands twice") }
                    tenantSeen = true
                } else {
                    guard tenantSeen else {
                        throw Malformed(reason: "only literal text may stand before {tenant}")
                    }
                    parts.append(.field)
                }
                continue
            }
            bytes = bytes.dropFirst()
            if byte == UInt8(ascii: "*") {
                guard tenantSeen, bytes.isEmpty else {
                    throw Malformed(reason: "* may only stand at the end, behind {tenant}")
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
        if case .some(.field) = parts.first {
            throw Malformed(reason: "nothing parts {tenant} from what follows")
        }
        for (left, right) in zip(parts, parts.dropFirst()) where left == .field && right != .rest {
            guard case .literal = right else {
                throw Malformed(reason: "nothing parts two names in braces")
            }
        }
        self.prefix = prefix
        tail = parts
    }

    /// The bytes of `key` that name the tenant, or nil where the key does not match.
    public func tenant(in key: Bytes) -> Bytes? {
        let start = prefix.count
        guard key.count > start, prefix.withBytes({ key.hasPrefix($0) }) else { return nil }
        let end = fieldEnd(key, from: start, tail[...])
        guard let end, end > start, end - start <= KeyPattern.tenantSizeMax else { return nil }
        guard matches(key, from: end, tail[...]) else { return nil }
        return key[start..<end]
    }

    /// Where a field that begins at `start` ends: before the first byte of the literal that follows
    /// it.
    private func fieldEnd(_ key: Bytes, from start: Int, _ rest: ArraySlice<Part>) -> Int? {
        switch rest.first {
        case .literal(let literal):
            guard let offset = key.suffix(from: start).firstIndex(of: literal[0]) else {
                return nil
            }
            return start + offset
        case .rest, .field, nil:
            return key.count
        }
    }

    private func matches(_ key: Bytes, from start: Int, _ parts: ArraySlice<Part>) -> Bool {
        var position = start
        var parts = parts
        while let part = parts.first {  // Bound: one turn for each part of the pattern.
            parts = parts.dropFirst()
            switch part {
            case .rest:
                return true
            case .literal(let literal):
                guard literal.withBytes({ key.suffix(from: position).hasPrefix($0) }) else {
                    return false
                }
                position += literal.count
            case .field:
                guard let end = fieldEnd(key, from: position, parts), end > position else {
                    return false
                }
                position = end
            }
        }
        return position == key.count
    }
}
