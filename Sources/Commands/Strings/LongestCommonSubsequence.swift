// SPDX-License-Identifier: Apache-2.0
import Base
import Glibc
import Storage
import Wire

/// LCS key1 key2 [LEN] [IDX] [MINMATCHLEN n] [WITHMATCHLEN]: the longest common subsequence of two
/// strings; with LEN its length, with IDX the positions of its parts.
public enum LCS: KeyCommand {
    public static let spec = CommandSpec(
        "lcs", arity: -3, [.readOnly, .loadsRecords], keys: [.range(1, 2, [.readOnly, .access])],
        usage: "key1:key key2:key [LEN] [IDX] [MINMATCHLEN min-match-len:integer] [WITHMATCHLEN]",
        since: "7.0.0", complexity: "O(N*M) where N and M are the lengths of the two strings",
        summary: "Finds the longest common substring.")

    private struct Options {
        var wantsLength = false
        var wantsMatches = false
        var matchLengthMin: Int64 = 0
        var wantsMatchLengths = false
    }

    public static func run(
        _ arguments: Arguments, _ keys: borrowing Hold, _ reply: inout ReplyWriter
    ) {
        // Why copies: reading the second key may remove it as expired, which moves the first one's
        // slot.
        guard let left = text(0, keys), let right = text(1, keys) else {
            return reply.error("ERR The specified keys must contain string values")
        }
        guard let options = parse(arguments, &reply) else { return }
        let sizeMax = keys.settings.bulkSizeMax
        let cells = (left.count + 1).multipliedReportingOverflow(by: right.count + 1)
        guard !cells.overflow, cells.partialValue <= sizeMax / MemoryLayout<UInt32>.stride else {
            return reply.error(
                "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len")
        }
        let table = LengthTable(left, right, keepsWay: !options.wantsLength)
        if options.wantsLength { return reply.integer(table.total) }
        var common = [UInt8](repeating: 0, count: table.total)
        var matches: [Match] = []
        table.forEachMatch(left, right) { match, rest in
            for offset in 0..<match.count { common[rest + offset] = left[match.left + offset] }
            if Int64(match.count) >= options.matchLengthMin { matches.append(match) }
        }
        guard options.wantsMatches else { return reply.bulk(common) }
        write(matches, total: table.total, withLengths: options.wantsMatchLengths, reply)
    }

    /// The string of the key at `ordinal`, empty if the key is missing; nil if it holds another
    /// type.
    private static func text(_ ordinal: Int, _ keys: borrowing Hold) -> [UInt8]? {
        switch keys.read(ordinal, as: .string) {
        case .missing: []
        case .wrongType: nil
        case .found(let found): keys.content(found).withBytes { $0.array }
        }
    }

    /// Reads the options, from argument 3 on; nil after an error reply.
    private static func parse(_ arguments: Arguments, _ reply: inout ReplyWriter) -> Options? {
        var parsed = Options()
        var options = OptionReader(arguments, from: 3)
        while let option = options.next() {
            if option.isKeyword("IDX") {
                parsed.wantsMatches = true
            } else if option.isKeyword("LEN") {
                parsed.wantsLength = true
            } else if option.isKeyword("WITHMATCHLEN") {
                parsed.wantsMatchLengths = true
            } else if option.isKeyword("MINMATCHLEN"), let value = options.value() {
                guard let minimum = ASCIIInteger.parse(value) else {
                    reply.error(.notInteger)
                    return nil
                }
                parsed.matchLengthMin = minimum
            } else {
                reply.error(.syntax)
                return nil
            }
        }
        if parsed.wantsMatches && parsed.wantsLength {
            reply.error("ERR If you want both the length and indexes, please just use IDX.")
            return nil
        }
        return parsed
    }

    private static func write(
        _ matches: [Match], total: Int, withLengths: Bool, _ reply: ReplyWriter
    ) {
        reply.map(2)
        reply.bulk("matches")
        reply.array(matches.count)
        for match in matches {
            reply.array(withLengths ? 3 : 2)
            for start in [match.left, match.right] {
                reply.array(2)
                reply.integer(start)
                reply.integer(start + match.count - 1)
            }
            if withLengths { reply.integer(match.count) }
        }
        reply.bulk("len")
        reply.integer(total)
    }
}

/// A run of `count` equal bytes, at `left` in one string and at `right` in the other.
private struct Match {
    let left: Int
    let right: Int
    let count: Int
}

/// The lengths of the longest common subsequences of all pairs of prefixes: row i, column j is for
/// the first i bytes of the left string and the first j of the right one.
///
/// Two rows are kept, which take turns. Where the way back matters, a bit for each pair of bytes
/// tells whether it goes up or to the left. Why bits: two strings of 11 KB take 15 MB, and their
/// lengths would take 484 MB.
private struct LengthTable {
    /// `stride` words for each byte of the left string, if the way is kept.
    private var isUp: [UInt64] = []
    private let stride: Int
    let total: Int

    /// Without `keepsWay` only `total` is known.
    init(_ left: [UInt8], _ right: [UInt8], keepsWay: Bool) {
        stride = (right.count + 63) / 64
        if keepsWay { isUp = [UInt64](repeating: 0, count: left.count * stride) }
        var above = [UInt32](repeating: 0, count: right.count + 1)
        var current = above
        for row in 0..<left.count {
            let byte = left[row]
            for column in 0..<right.count {
                let up = above[column + 1]
                let beside = current[column]
                if byte == right[column] {
                    current[column + 1] = above[column] + 1
                } else if up > beside {
                    current[column + 1] = up
                    if keepsWay {
                        isUp[row * stride + column >> 6] |= 1 << UInt64(column & 63)
                    }
                } else {
                    current[column + 1] = beside
                }
            }
            swap(&above, &current)
        }
        total = Int(above[right.count])
    }

    /// Calls `body` with every match, from the last to the first, and with the number of common
    /// bytes before it. The way must have been kept.
    func forEachMatch(
        _ left: [UInt8], _ right: [UInt8], _ body: (_ match: Match, _ rest: Int) -> Void
    ) {
        precondition(!isUp.isEmpty || total == 0, "the way was not kept")
        var row = left.count
        var column = right.count
        var rest = total
        while row > 0 && column > 0 {  // Bound: a row or a column less in each turn.
            var count = 0
            while row > 0 && column > 0 && left[row - 1] == right[column - 1] {
                row -= 1
                column -= 1
                count += 1
            }
            if count > 0 {
                rest -= count
                body(Match(left: row, right: column, count: count), rest)
                continue
            }
            let word = isUp[(row - 1) * stride + (column - 1) >> 6]
            if word >> UInt64((column - 1) & 63) & 1 != 0 { row -= 1 } else { column -= 1 }
        }
    }
}
