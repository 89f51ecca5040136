// SPDX-License-Identifier: Apache-2.0

/// What a load generator needs to know of one complete reply.
public struct Reply: Equatable, Sendable {
    /// Leaves that are null, and leaves that are not; a plain reply is one leaf.
    public var nulls = 0
    public var values = 0
    /// The reply is the integer 0.
    public var isZero = false
    /// The text of the first error in the reply, without its type byte.
    public var errorText: String?

    public init() {}
}

/// Finds where RESP2 and RESP3 replies end, without building them.
///
/// Why this shape: replies arrive cut anywhere, and counting them must cost a small part of the
/// server's own cost. An array of n adds n elements to those expected, so nesting needs a count and
/// no stack. The body of a bulk is skipped, so a value of any size needs no buffer. Only an
/// incomplete line stays unread; the caller presents it again with what follows it.
///
/// Invariants: 1. `remainingElements` is 0 exactly between replies; 2. after `.incomplete` the
/// bytes from `position` on are the start of one line of at most `lineLimit` bytes, or none; 3.
/// attributes and pushes are skipped whole and never count as a reply.
///
/// RESP3's streamed strings and aggregates (`$?`, `*?`) are malformed here: no server sends them.
public struct ReplyScanner: Sendable {
    public enum Step: Equatable, Sendable {
        case reply(Reply)
        /// A RESP3 push, which answers no request.
        case push
        case incomplete
        case malformed
    }

    private enum Element {
        case leaf(isNull: Bool)
        case aggregate(children: Int)
        /// Describes the element after it and is not an element itself.
        case attribute(children: Int)
        case incomplete
        case malformed
    }

    static let lineLimit = 64 * 1024
    static let bodyLimit = 1 << 32
    /// Bytes of a bulk error that must have arrived before it is read.
    static let errorTextLimit = 256

    private var remainingElements = 0
    private var remainingBodyBytes = 0
    /// The remaining elements that belong to an attribute.
    private var ignoredElements = 0
    private var isPush = false
    private var current = Reply()

    public init() {}

    /// Reads on from `position` until one reply is complete, and moves `position` behind it.
    public mutating func next(_ bytes: Span<UInt8>, at position: inout Int) -> Step {
        while true {
            if remainingBodyBytes > 0 {
                let skipped = min(remainingBodyBytes, bytes.count - position)
                position += skipped
                remainingBodyBytes -= skipped
                if remainingBodyBytes > 0 { return .incomplete }
            }
            if remainingElements == 0, ignoredElements == 0, isStarted { return finish() }
            guard position < bytes.count else { return .incomplete }
            if !isStarted {
                isStarted = true
                remainingElements = 1
                isPush = bytes[position] == UInt8(ascii: ">")
                current = Reply()
            }
            switch element(bytes, at: &position) {
            case .leaf(let isNull):
                if ignoredElements > 0 {
                    ignoredElements -= 1
                } else if isNull {
                    current.nulls += 1
                } else {
                    current.values += 1
                }
                remainingElements -= 1
            case .aggregate(let children):
                if ignoredElements > 0 { ignoredElements += children - 1 }
                remainingElements += children - 1
            case .attribute(let children):
                ignoredElements += children
                remainingElements += children
            case .incomplete:
                return .incomplete
            case .malformed:
                return .malformed
            }
        }
    }

    private var isStarted = false

    private mutating func finish() -> Step {
        isStarted = false
        return isPush ? .push : .reply(current)
    }

    /// Reads one line and what it announces. On `.incomplete` nothing is consumed.
    private mutating func element(_ bytes: Span<UInt8>, at position: inout Int) -> Element {
        let type = bytes[position]
        switch type {
        case UInt8(ascii: "$"), UInt8(ascii: "="), UInt8(ascii: "!"):
            return bulk(type, bytes, at: &position)
        case UInt8(ascii: "*"), UInt8(ascii: "~"), UInt8(ascii: ">"):
            return aggregate(1, bytes, at: &position)
        case UInt8(ascii: "%"):
            return aggregate(2, bytes, at: &position)
        case UInt8(ascii: "|"):
            let element = aggregate(2, bytes, at: &position)
            if case .aggregate(let children) = element { return .attribute(children: children) }
            return element
        case UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: ":"), UInt8(ascii: "_"),
            UInt8(ascii: "#"), UInt8(ascii: ","), UInt8(ascii: "("):
            return line(type, bytes, at: &position)
        default:
            return .malformed
        }
    }

    private mutating func line(
        _ type: UInt8, _ bytes: Span<UInt8>, at position: inout Int
    ) -> Element {
        var end = position + 1
        while end < bytes.count, bytes[end] != UInt8(ascii: "\n") { end += 1 }
        guard end < bytes.count else {
            return bytes.count - position > ReplyScanner.lineLimit ? .malformed : .incomplete
        }
        guard bytes[end - 1] == UInt8(ascii: "\r") else { return .malformed }
        if type == UInt8(ascii: "-") {
            noteError(bytes, (position + 1)..<(end - 1))
        } else if type == UInt8(ascii: ":") {
            current.isZero = end - position == 3 && bytes[position + 1] == UInt8(ascii: "0")
        }
        position = end + 1
        return .leaf(isNull: type == UInt8(ascii: "_"))
    }

    private mutating func bulk(
        _ type: UInt8, _ bytes: Span<UInt8>, at position: inout Int
    ) -> Element {
        var next = position
        switch ReplyScanner.length(bytes, at: &next) {
        case .incomplete: return .incomplete
        case .malformed: return .malformed
        case .null:
            guard type == UInt8(ascii: "$") else { return .malformed }
            position = next
            return .leaf(isNull: true)
        case .value(let size):
            if type == UInt8(ascii: "!") {
                let shown = min(size, ReplyScanner.errorTextLimit)
                guard bytes.count - next >= shown else { return .incomplete }
                noteError(bytes, next..<(next + shown))
            }
            remainingBodyBytes = size + 2
            position = next
            return .leaf(isNull: false)
        }
    }

    private func aggregate(
        _ elementsPerCount: Int, _ bytes: Span<UInt8>, at position: inout Int
    ) -> Element {
        var next = position
        switch ReplyScanner.length(bytes, at: &next) {
        case .incomplete: return .incomplete
        case .malformed: return .malformed
        case .null:
            guard bytes[position] == UInt8(ascii: "*") else { return .malformed }
            position = next
            return .leaf(isNull: true)
        case .value(let count):
            position = next
            return .aggregate(children: count * elementsPerCount)
        }
    }

    private enum Length {
        case value(Int)
        case null
        case incomplete
        case malformed
    }

    /// Reads the number after the type byte at `position`, and moves behind its line.
    private static func length(_ bytes: Span<UInt8>, at position: inout Int) -> Length {
        var index = position + 1
        var value = 0
        let isNegative = index < bytes.count && bytes[index] == UInt8(ascii: "-")
        if isNegative { index += 1 }
        let firstDigit = index
        while index < bytes.count, bytes[index] != UInt8(ascii: "\r") {
            let digit = bytes[index] &- UInt8(ascii: "0")
            guard digit < 10 else { return .malformed }
            value = value * 10 + Int(digit)
            // Bound: the limit also keeps the next multiplication from overflowing.
            guard value <= bodyLimit else { return .malformed }
            index += 1
        }
        guard index + 1 < bytes.count else {
            return index - firstDigit > 20 ? .malformed : .incomplete
        }
        guard index > firstDigit, bytes[index + 1] == UInt8(ascii: "\n") else { return .malformed }
        if isNegative, value != 1 { return .malformed }
        position = index + 2
        return isNegative ? .null : .value(value)
    }

    private mutating func noteError(_ bytes: Span<UInt8>, _ range: Range<Int>) {
        guard current.errorText == nil, ignoredElements == 0 else { return }
        var text: [UInt8] = []
        text.reserveCapacity(range.count)
        for index in range { text.append(bytes[index]) }
        current.errorText = String(decoding: text, as: UTF8.self)
    }
}
