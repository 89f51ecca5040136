// SPDX-License-Identifier: Apache-2.0
import Base
import Wire

/// What HRANDFIELD and SRANDMEMBER share: a count, which if negative allows repetitions.
enum RandomDraw {
    /// A negative count may ask for more than the key holds; a larger reply than this is refused.
    private static let replySizeMax = 256 << 20

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

    /// Replies an array of `count` elements. `draw` writes them, and after each asks `mayGoOn`
    /// whether to continue. If the reply grows too large, an error replaces it.
    static func writeRepeating(
        _ count: Int, _ reply: inout ReplyWriter, _ draw: (_ mayGoOn: () -> Bool) -> Void
    ) {
        let mark = reply.count
        var isTooLarge = false
        reply.array(count)
        let writer = reply
        draw {
            isTooLarge = writer.count - mark > replySizeMax
            return !isTooLarge
        }
        guard isTooLarge else { return }
        reply.truncate(to: mark)
        reply.error("ERR value is out of range")
    }
}
