// SPDX-License-Identifier: Apache-2.0
import Base
import Wire

/// What HRANDFIELD and SRANDMEMBER share: a count, which if negative allows repetitions.
enum RandomDraw {
    /// The count; nil after an error reply. It can be negated without overflow.
    static func count(_ bytes: Bytes, _ reply: inout ReplyWriter) -> Int? {
        guard let count = ASCIIInteger.parse(bytes) else {
            reply.error(.notInteger)
            return nil
        }
        guard count != Int64.min else {
            reply.error(
                "ERR value is out of range, value must between "
                    + "-9223372036854775807 and 9223372036854775807")
            return nil
        }
        return Int(count)
    }

    /// The smallest element, "$0\r\n\r\n".
    private static let elementSizeMin = 6

    /// Replies an array of `count` elements. `draw` writes them, and after each asks `mayGoOn`
    /// whether to continue. A count whose reply certainly passes the client's limit is refused.
    static func writeRepeating(
        _ count: Int, _ reply: inout ReplyWriter, _ draw: (_ mayGoOn: () -> Bool) -> Void
    ) {
        guard count <= reply.room / elementSizeMin else {
            return reply.error("ERR value is out of range")
        }
        reply.array(count)
        let writer = reply
        draw { !writer.isOverfull }
    }
}
