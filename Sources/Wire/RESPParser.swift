// SPDX-License-Identifier: Apache-2.0
import Base

/// Requests out of bytes: RESP arrays of bulk strings, and inline commands as a person types them.
///
/// Why it keeps a state: a request may arrive in a thousand pieces. The arguments that have been
/// parsed are kept as offsets, so that none is looked at twice however the request is cut;
/// otherwise a client that sends a long one byte by byte would cost the square of its length. Only
/// a line that has not ended is searched anew, and it has 64 KB at most.
///
/// Invariants: offsets are relative to the start of the unconsumed bytes; `scanned` is at most
/// their number.
public struct RESPParser: ~Copyable {
    public enum Outcome {
        /// A request of `argumentCount` arguments, which were appended to the list; it took
        /// `consumed` bytes. A count of 0 is an empty line or array, which is answered by nothing.
        case request(argumentCount: Int, consumed: Int)
        case needMore
        /// The connection must be closed after this error.
        case malformed(ParseError)
    }

    public enum ParseError: Equatable, Sendable {
        case invalidMultibulkLength, invalidBulkLength, expectedDollar(UInt8)
        case tooBigMultibulkCount, tooBigBulkCount, tooBigInline, unbalancedQuotes
        case unauthenticatedMultibulk, unauthenticatedBulk
        /// An argument is larger than all that the tenant's plan lets it store.
        case largerThanPlan(size: Int, limit: Int)

        /// Redis's text, without the leading minus. Bytes, as it may show one that the client sent.
        public var message: [UInt8] {
            if case .expectedDollar(let byte) = self {
                return Array("ERR Protocol error: expected '$', got '".utf8) + [byte, 39]
            }
            if case .largerThanPlan(let size, let limit) = self {
                let text = "ERR max request size exceeded. Limit: \(limit) bytes, "
                return Array((text + "Actual: \(size) bytes").utf8)
            }
            return Array("ERR Protocol error: \(reason)".utf8)
        }

        private var reason: String {
            switch self {
            case .invalidMultibulkLength: "invalid multibulk length"
            case .invalidBulkLength: "invalid bulk length"
            case .expectedDollar: "expected '$'"
            case .tooBigMultibulkCount: "too big mbulk count string"
            case .tooBigBulkCount: "too big bulk count string"
            case .tooBigInline: "too big inline request"
            case .unbalancedQuotes: "unbalanced quotes in request"
            case .unauthenticatedMultibulk: "unauthenticated multibulk length"
            case .unauthenticatedBulk: "unauthenticated bulk length"
            case .largerThanPlan: "too large"
            }
        }
    }

    /// The longest line: an inline command, or a length.
    public static let lineSizeMax = 64 * 1024
    static let multibulkCountMax = Int64(Int32.max)

    /// Arguments of the current request still to come; 0 between requests.
    private var remaining = 0
    /// Offset up to which the current request has been parsed.
    private var scanned = 0
    /// The length of the bulk whose bytes are awaited, or -1.
    private var bulkSize = -1
    /// Arguments of an unfinished request, as offset and length. Empty while requests arrive whole.
    private var pending: [(offset: Int, count: Int)] = []
    /// Bytes that unescaped inline arguments stand in until the next inline command.
    private var inlineArguments = ByteBuffer()

    /// The longest bulk, from `proto-max-bulk-len`.
    public var bulkSizeMax = 512 << 20
    /// What the tenant's plan lets it store; a longer bulk is refused before its bytes arrive.
    public var planSizeMax = Int.max
    /// Whether the client has authenticated: before that, requests are kept tiny.
    public var isAuthenticated = true

    public init() {}

    /// Bytes that it keeps for an unfinished request, and for the last inline command.
    public var heldSize: Int {
        pending.capacity * MemoryLayout<(offset: Int, count: Int)>.stride
            + inlineArguments.capacity
    }

    /// How many bytes must be there before another call can get further; a hint for reading large
    /// arguments.
    public var bytesAwaited: Int { bulkSize >= 0 ? scanned + bulkSize + 2 : 0 }

    /// Parses one request from the front of `bytes`, which begin where the last request ended.
    @inline(__always)
    public mutating func next(_ bytes: Bytes, into list: inout ArgumentList) -> Outcome {
        guard !bytes.isEmpty else { return .needMore }
        guard remaining == 0 else { return moreBulks(bytes, into: &list) }
        guard bytes[0] == UInt8(ascii: "*") else { return nextInline(bytes, into: &list) }
        switch header(bytes) {
        case .value(let value):
            if value <= 0 {
                let consumed = scanned
                scanned = 0
                return .request(argumentCount: 0, consumed: consumed)
            }
            remaining = value
        case .needMore: return .needMore
        case .malformed(let error): return .malformed(error)
        }
        return bulks(bytes, into: &list)
    }

    /// Forgets an unfinished request, whose bytes will be shown again from its first.
    public mutating func reset() {
        remaining = 0
        scanned = 0
        bulkSize = -1
        pending.removeAll()
    }

    private enum Length {
        case value(Int)
        case needMore
        case malformed(ParseError)
    }

    @inline(__always)
    private mutating func header(_ bytes: Bytes) -> Length {
        // Why first: nearly every request has one to nine arguments.
        if bytes.count >= 4, ASCII.isDigit(bytes[1]), bytes[2] == 13, bytes[1] != 48 {
            scanned = 4
            return .value(Int(bytes[1] &- 48))
        }
        return longHeader(bytes)
    }

    @inline(never)
    private mutating func longHeader(_ bytes: Bytes) -> Length {
        guard let end = lineEnd(bytes, from: 1) else {
            return bytes.count > RESPParser.lineSizeMax
                ? .malformed(.tooBigMultibulkCount) : .needMore
        }
        guard let value = ASCIIInteger.parse(bytes[1..<end]),
            value <= RESPParser.multibulkCountMax
        else { return .malformed(.invalidMultibulkLength) }
        if value > 10 && !isAuthenticated { return .malformed(.unauthenticatedMultibulk) }
        scanned = end + 2
        return .value(max(0, Int(value)))
    }

    /// The offset of the CR that ends the line, where the byte behind it has arrived too.
    private func lineEnd(_ bytes: Bytes, from start: Int) -> Int? {
        guard let offset = bytes.suffix(from: start).firstIndex(of: 13) else { return nil }
        let end = start + offset
        return end + 1 < bytes.count ? end : nil
    }

    @inline(__always)
    private mutating func bulks(_ bytes: Bytes, into list: inout ArgumentList) -> Outcome {
        let listed = list.count
        var scanned = self.scanned
        // Bound: at most 2^31 arguments, and each takes bytes that must have arrived.
        while remaining > 0 {
            if bulkSize < 0 {
                // Why first: nearly every argument is shorter than a hundred bytes.
                if scanned + 4 < bytes.count, bytes[scanned] == 36,
                    ASCII.isDigit(bytes[scanned + 1])
                {
                    if bytes[scanned + 2] == 13 {
                        bulkSize = Int(bytes[scanned + 1] &- 48)
                        scanned += 4
                    } else if bytes[scanned + 3] == 13, ASCII.isDigit(bytes[scanned + 2]),
                        bytes[scanned + 1] != 48
                    {
                        bulkSize =
                            Int(bytes[scanned + 1] &- 48) &* 10 &+ Int(bytes[scanned + 2] &- 48)
                        scanned += 5
                    }
                }
                if bulkSize < 0 {
                    self.scanned = scanned
                    switch bulkHeader(bytes) {
                    case .value(let size):
                        bulkSize = size
                        scanned = self.scanned
                    case .needMore: return suspend(scanned, bytes, &list, listed)
                    case .malformed(let error): return .malformed(error)
                    }
                }
            }
            guard scanned + bulkSize + 2 <= bytes.count else {
                return suspend(scanned, bytes, &list, listed)
            }
            list.append(bytes[scanned..<scanned + bulkSize])
            scanned += bulkSize + 2
            bulkSize = -1
            remaining &-= 1  // Bound: above 0 by the loop's condition.
        }
        self.scanned = 0
        return .request(argumentCount: list.count - listed, consumed: scanned)
    }

    /// Goes on with a request that did not arrive whole. What is known of it stays in `pending`
    /// until it is complete, so that a piece costs what is new in it, however many arguments came
    /// before.
    @inline(never)
    private mutating func moreBulks(_ bytes: Bytes, into list: inout ArgumentList) -> Outcome {
        while remaining > 0 {  // Bound: as in `bulks`.
            if bulkSize < 0 {
                switch bulkHeader(bytes) {
                case .value(let size): bulkSize = size
                case .needMore: return .needMore
                case .malformed(let error): return .malformed(error)
                }
            }
            guard scanned + bulkSize + 2 <= bytes.count else { return .needMore }
            pending.append((scanned, bulkSize))
            scanned += bulkSize + 2
            bulkSize = -1
            remaining -= 1
        }
        for argument in pending {
            list.append(bytes[argument.offset..<argument.offset + argument.count])
        }
        let consumed = scanned
        let count = pending.count
        scanned = 0
        pending.removeAll()
        return .request(argumentCount: count, consumed: consumed)
    }

    @inline(never)
    private mutating func bulkHeader(_ bytes: Bytes) -> Length {
        guard scanned < bytes.count else { return .needMore }
        guard let end = lineEnd(bytes, from: scanned) else {
            return bytes.count - scanned > RESPParser.lineSizeMax
                ? .malformed(.tooBigBulkCount) : .needMore
        }
        guard bytes[scanned] == 36 else { return .malformed(.expectedDollar(bytes[scanned])) }
        guard let size = ASCIIInteger.parse(bytes[scanned + 1..<end]), size >= 0,
            size <= Int64(bulkSizeMax)
        else { return .malformed(.invalidBulkLength) }
        if size > 16_384 && !isAuthenticated { return .malformed(.unauthenticatedBulk) }
        if Int(size) > planSizeMax {
            return .malformed(.largerThanPlan(size: Int(size), limit: planSizeMax))
        }
        scanned = end + 2
        return .value(Int(size))
    }

    /// Keeps what was parsed of an unfinished request as offsets, and takes its slices off the list
    /// again.
    @inline(never)
    private mutating func suspend(
        _ scanned: Int, _ bytes: Bytes, _ list: inout ArgumentList, _ listed: Int
    ) -> Outcome {
        self.scanned = scanned
        let total = list.count - listed
        let arguments = list.arguments(from: listed, count: total)
        for index in 0..<total {
            let argument = arguments[index]
            pending.append((argument.offset(in: bytes), argument.count))
        }
        list.removeLast(total)
        return .needMore
    }

    // MARK: - Inline commands

    @inline(never)
    private mutating func nextInline(_ bytes: Bytes, into list: inout ArgumentList) -> Outcome {
        guard let newline = bytes.firstIndex(of: 10) else {
            return bytes.count > RESPParser.lineSizeMax ? .malformed(.tooBigInline) : .needMore
        }
        let end = newline > 0 && bytes[newline - 1] == 13 ? newline - 1 : newline
        guard let arguments = InlineCommand.split(bytes[0..<end]) else {
            return .malformed(.unbalancedQuotes)
        }
        inlineArguments.removeAll(keepingCapacity: inlineArguments.capacity <= 1024)
        for argument in arguments { inlineArguments.append(argument) }
        var offset = 0
        for argument in arguments {
            list.append(inlineArguments.bytes(offset..<offset + argument.count))
            offset += argument.count
        }
        return .request(argumentCount: arguments.count, consumed: newline + 1)
    }
}

/// Splits a line as a shell would: spaces part arguments, "…" knows escapes, '…' only \'.
public enum InlineCommand {
    /// The arguments, or nil where quotes are not closed or something follows a closing quote.
    public static func split(_ line: Bytes) -> [[UInt8]]? {
        var arguments: [[UInt8]] = []
        var index = 0
        while true {  // Bound: every turn moves on in the line.
            while index < line.count, ASCII.isSpace(line[index]) { index += 1 }
            guard index < line.count else { return arguments }
            var current: [UInt8] = []
            while index < line.count, !endsWord(line[index]) {
                let byte = line[index]
                if byte == UInt8(ascii: "\"") {
                    guard let end = doubleQuoted(line, from: index + 1, into: &current) else {
                        return nil
                    }
                    index = end
                    break
                }
                if byte == UInt8(ascii: "'") {
                    guard let end = singleQuoted(line, from: index + 1, into: &current) else {
                        return nil
                    }
                    index = end
                    break
                }
                current.append(byte)
                index += 1
            }
            arguments.append(current)
        }
    }

    /// The index behind the closing quote, which must end the argument.
    private static func doubleQuoted(
        _ line: Bytes, from start: Int, into current: inout [UInt8]
    ) -> Int? {
        var index = start
        while index < line.count {
            let byte = line[index]
            if byte == UInt8(ascii: "\"") {
                return endOfQuoted(line, index + 1)
            }
            if byte == UInt8(ascii: "\\"), index + 1 < line.count {
                if line[index + 1] == UInt8(ascii: "x"), index + 3 < line.count,
                    let high = ASCII.hexadecimal(line[index + 2]),
                    let low = ASCII.hexadecimal(line[index + 3])
                {
                    current.append(high << 4 | low)
                    index += 4
                    continue
                }
                current.append(ASCII.unescaped(line[index + 1]))
                index += 2
                continue
            }
            current.append(byte)
            index += 1
        }
        return nil
    }

    private static func singleQuoted(
        _ line: Bytes, from start: Int, into current: inout [UInt8]
    ) -> Int? {
        var index = start
        while index < line.count {
            let byte = line[index]
            if byte == UInt8(ascii: "\\"), index + 1 < line.count,
                line[index + 1] == UInt8(ascii: "'")
            {
                current.append(UInt8(ascii: "'"))
                index += 2
                continue
            }
            if byte == UInt8(ascii: "'") { return endOfQuoted(line, index + 1) }
            current.append(byte)
            index += 1
        }
        return nil
    }

    /// Whether the byte parts two words. Unlike what is skipped between words, vertical tabs and
    /// form feeds belong to the word that they stand in.
    private static func endsWord(_ byte: UInt8) -> Bool {
        byte == 32 || byte == 9 || byte == 10 || byte == 13
    }

    private static func endOfQuoted(_ line: Bytes, _ index: Int) -> Int? {
        index == line.count || ASCII.isSpace(line[index]) ? index : nil
    }
}
