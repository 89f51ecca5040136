// SPDX-License-Identifier: Apache-2.0
import Base
import Storage
import Wire

/// The options of SCAN, HSCAN, SSCAN and ZSCAN.
///
/// The order of errors is Redis's: first the cursor (`ScanOptions.cursor`), then the key's type,
/// only then these options. So a missing key replies an empty page even if the options are wrong.
struct ScanOptions {
    enum Target { case keys, hash, set }

    /// MATCH; nil if everything matches, as for `*`.
    var pattern: Glob?
    /// COUNT: about how many elements a step visits.
    var count = 10
    /// TYPE, which only SCAN has.
    var type: Bytes?
    /// NOVALUES, which only HSCAN has: fields without their values.
    var withoutValues = false

    /// Reads the options, from argument `first` on; nil after an error reply.
    init?(
        _ arguments: Arguments, from first: Int, _ target: Target, _ reply: inout ReplyWriter
    ) {
        var options = OptionReader(arguments, from: first)
        while let option = options.next() {
            if option.isKeyword("COUNT"), let value = options.value() {
                guard let number = ASCIIInteger.parse(value) else {
                    reply.error(.notInteger)
                    return nil
                }
                guard number >= 1 else {
                    reply.error(.syntax)
                    return nil
                }
                count = Int(number)
            } else if option.isKeyword("MATCH"), let value = options.value() {
                guard let glob = Glob(value) else {
                    reply.error(.patternTooLong)
                    return nil
                }
                pattern = Glob.isEverything(value) ? nil : glob
            } else if target == .keys, option.isKeyword("TYPE"), let value = options.value() {
                type = value
            } else if option.isKeyword("NOVALUES") {
                guard target == .hash else {
                    reply.error("ERR NOVALUES option can only be used in HSCAN")
                    return nil
                }
                withoutValues = true
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
        return pattern.matches(element)
    }

    /// The cursor in `bytes`, parsed by the rules of C's `strtoul`, as in Redis: a sign is allowed,
    /// and no bytes at all mean 0. Nil after an error reply.
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
        // A zero byte ends a C string, so the rest is ignored.
        let isEnd = index == bytes.count || bytes[index] == 0
        guard isEnd, index > firstDigit || firstDigit == 0 else { return nil }
        return isNegative ? 0 &- value : value
    }

    /// Writes the head of a scan's reply: an array of two, and in it the next cursor, 0 at the end.
    /// The caller writes the second element, the array of the page.
    static func writeHead(_ cursor: UInt64, _ reply: inout ReplyWriter) {
        reply.array(2)
        ASCIIInteger.withDigits(ofUnsigned: cursor) { reply.bulk($0) }
    }

    /// Writes the reply for a missing key: no elements, and no next page.
    static func writeEmpty(_ reply: inout ReplyWriter) {
        writeHead(0, &reply)
        reply.array(0)
    }
}

/// The cursor of a scan over one table of members: the position in the order of hashes.
///
/// Why that is enough: `Table.scan` begins at position 0 and never returns 0, so 0 can mean the
/// end.
enum MemberCursor {
    /// Where `Table.scan` begins.
    static func position(_ cursor: UInt64) -> UInt64 { cursor }

    /// The cursor for the position that `Table.scan` returned.
    static func cursor(_ next: UInt64?) -> UInt64 { next ?? 0 }

    /// How many buckets one step may visit. As in Redis ten for each element of `count`, so that a
    /// step over a sparse table ends soon.
    static func bucketLimit(_ count: Int) -> Int { min(count, 1 << 20) * 10 }
}
