// SPDX-License-Identifier: Apache-2.0
import Base
import Wire

/// What HRANDFIELD and SRANDMEMBER have in common: a count, which allows repetitions where it is
/// negative.
enum RandomDraw {
    /// A negative count multiplies what is stored, so the reply is refused beyond this many bytes.
    private static let replySizeMax = 256 << 20

    /// The count; nil where an error was replied. Its negative is an integer too.
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

    /// Replies an array of `count` elements, which `draw` writes one by one, each by a call of what
    /// it is given: that says whether to go on. A reply that becomes too large is taken back.
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
