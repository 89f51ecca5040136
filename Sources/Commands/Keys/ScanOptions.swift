// SPDX-License-Identifier: Apache-2.0
import Base
import Storage
import Wire

/// The options of SCAN, HSCAN, SSCAN and ZSCAN.
///
/// The order of errors is Redis's: first the cursor (`ScanOptions.cursor`), then whether the key
/// exists and is of the type, and only then these options. A missing key therefore answers an empty
/// page whatever follows its name.
struct ScanOptions {
    enum Target { case keys, hash, set, sortedSet }

    /// MATCH; nil for everything, a lone star included.
    var pattern: Bytes?
    /// COUNT: about how many elements a step looks at.
    var count = 10
    /// TYPE, of SCAN alone.
    var type: Bytes?
    /// NOVALUES, of HSCAN alone: fields without their values.
    var withoutValues = false

    /// Reads the options from argument `first` on; nil, with the error replied, where they are
    /// wrong.
    init?(
        _ arguments: Arguments, from first: Int, _ target: Target, _ reply: inout ReplyWriter
    ) {
        var index = first
        while index < arguments.count {  // Bound: each turn takes an argument at least.
            let option = arguments[index]
            let hasValue = index + 1 < arguments.count
            if hasValue, option.isKeyword("COUNT") {
                guard let number = ASCIIInteger.parse(arguments[index + 1]) else {
                    reply.error(.notInteger)
                    return nil
                }
                guard number >= 1 else {
                    reply.error(.syntax)
                    return nil
                }
                count = Int(number)
                index += 2
            } else if hasValue, option.isKeyword("MATCH") {
                let pattern = arguments[index + 1]
                self.pattern = Glob.isEverything(pattern) ? nil : pattern
                index += 2
            } else if hasValue, target == .keys, option.isKeyword("TYPE") {
                type = arguments[index + 1]
                index += 2
            } else if option.isKeyword("NOVALUES") {
                guard target == .hash else {
                    reply.error("ERR NOVALUES option can only be used in HSCAN")
                    return nil
                }
                withoutValues = true
                index += 1
            } else {
                reply.error(.syntax)
                return nil
            }
        }
    }

    /// Whether an element passes MATCH.
    @inline(__always)
    func matches(_ element: Bytes) -> Bool {
        guard let pattern else { return true }
        return Glob.matches(pattern, element)
    }

    /// The cursor that `bytes` stand for, by the rules of C's `strtoul` that Redis reads it with: a
    /// sign is taken, and no bytes at all are 0. Nil, with the error replied, where it is none.
    static func cursor(_ bytes: Bytes, _ reply: inout ReplyWriter) -> UInt64? {
        guard let cursor = parseCursor(bytes) else {
            reply.error(.invalidCursor)
            return nil
        }
        return cursor
    }

    private static func parseCursor(_ bytes: Bytes) -> UInt64? {
        guard !bytes.isEmpty else { return 0 }
        let isNegative = bytes[0] == UInt8(ascii: "-")
        let firstDigit = isNegative || bytes[0] == UInt8(ascii: "+") ? 1 : 0
        var index = firstDigit
        var value: UInt64 = 0
        while index < bytes.count, ASCII.isDigit(bytes[index]) {
            let (product, overflowed) = value.multipliedReportingOverflow(by: 10)
            let (sum, carried) = product.addingReportingOverflow(UInt64(bytes[index] &- 48))
            guard !overflowed, !carried else { return nil }
            value = sum
            index += 1
        }
        // A zero byte ends the text for C; what stands behind it is not looked at.
        let isEnd = index == bytes.count || bytes[index] == 0
        guard isEnd, index > firstDigit || firstDigit == 0 else { return nil }
        return isNegative ? 0 &- value : value
    }

    /// Writes the head of the page that all scans answer: two elements, the first of them the
    /// cursor of the next step (0 at the end). The array of what was found is the caller's to
    /// write.
    static func writeHead(_ cursor: UInt64, _ reply: inout ReplyWriter) {
        reply.array(2)
        ASCIIInteger.withDigits(ofUnsigned: cursor) { reply.bulk($0) }
    }

    /// The page of a key that does not exist.
    static func writeEmpty(_ reply: inout ReplyWriter) {
        writeHead(0, &reply)
        reply.array(0)
    }
}

/// The cursor of a scan over one table of members: the position in the order of hashes itself.
///
/// Why it needs no more: `Table.scan` begins at position 0 and never hands out 0 again, so 0 is
/// free to mean the end.
enum MemberCursor {
    /// Where `Table.scan` shall begin.
    static func position(_ cursor: UInt64) -> UInt64 { cursor }

    /// The cursor for what `Table.scan` returned.
    static func cursor(_ next: UInt64?) -> UInt64 { next ?? 0 }

    /// Buckets that one step may walk for `count`: as Redis, ten for each element asked for, so
    /// that a table with many gaps still answers soon.
    static func bucketLimit(_ count: Int) -> Int { min(count, 1 << 20) * 10 }
}
