// SPDX-License-Identifier: Apache-2.0
import Base
import Storage
import Wire

// Fields whose values are numbers.

/// HINCRBY key field increment: adds to the field's value and replies the sum.
public enum HINCRBY: KeyCommand {
    public static let spec = CommandSpec(
        "hincrby", arity: 4, [.write, .denyOOM, .fast],
        keys: [.one(at: 1, [.readWrite, .access, .update])],
        usage: "key:key field increment:integer", since: "2.0.0", complexity: "O(1)",
        summary: "Adds to the integer value of a field of a hash; a missing one counts as 0.")

    public static func run(
        _ arguments: Arguments, _ keys: borrowing Hold, _ reply: inout ReplyWriter
    ) {
        guard let increment = ASCIIInteger.parse(arguments[3]) else {
            return reply.error(.notInteger)
        }
        let found = keys.find(0)
        if let found, found.entry.type != .hash { return reply.error(.wrongType) }
        var current: Int64 = 0
        if let found, let value = HashValue(found).find(arguments[2]) {
            guard let number = ASCIIInteger.parse(value) else {
                return reply.error(.hashValueNotInteger)
            }
            current = number
        }
        let (sum, overflowed) = current.addingReportingOverflow(increment)
        guard !overflowed else { return reply.error(.overflow) }
        ASCIIInteger.withDigits(of: sum) { keys.setField(found, arguments[2], $0) }
        reply.integer(sum)
    }
}

/// HINCRBYFLOAT key field increment: adds to the field's value and replies the sum.
public enum HINCRBYFLOAT: KeyCommand {
    public static let spec = CommandSpec(
        "hincrbyfloat", arity: 4, [.write, .denyOOM, .fast],
        keys: [.one(at: 1, [.readWrite, .access, .update])],
        usage: "key:key field increment:double", since: "2.6.0", complexity: "O(1)",
        summary: "Adds to the float value of a field of a hash; a missing one counts as 0.")

    public static func run(
        _ arguments: Arguments, _ keys: borrowing Hold, _ reply: inout ReplyWriter
    ) {
        guard let increment = LongDouble.parse(arguments[3]) else { return reply.error(.notFloat) }
        guard increment.isFinite else { return reply.error("ERR value is NaN or Infinity") }
        let found = keys.find(0)
        if let found, found.entry.type != .hash { return reply.error(.wrongType) }
        var sum = increment
        if let found, let value = HashValue(found).find(arguments[2]) {
            guard let number = LongDouble.parse(value) else {
                return reply.error(.hashValueNotFloat)
            }
            sum = number + increment
        }
        guard sum.isFinite else { return reply.error(.incrementNaN) }
        let text = sum.text
        text.withBytes { keys.setField(found, arguments[2], $0) }
        reply.bulk(text)
    }
}
