// SPDX-License-Identifier: Apache-2.0
import Base
import Storage
import Wire

/// GET key: the value, or null.
public enum GET: KeyCommand {
    public static let spec = CommandSpec(
        "get", arity: 2, [.readOnly, .fast, .loadsRecords], keys: [.one(at: 1, [.readOnly, .access])],
        usage: "key:key", since: "1.0.0", complexity: "O(1)",
        summary: "Returns the string value of a key.")

    public static func run(
        _ arguments: Arguments, _ keys: inout Keys, _ reply: inout ReplyWriter
    ) {
        switch keys.read(arguments[1], as: .string) {
        case .missing: reply.null()
        case .wrongType: reply.error(.wrongType)
        case .found(let found): reply.string(keys.content(found))
        }
    }
}

extension ReplyWriter {
    /// A string's content as a bulk string.
    @inline(__always)
    func string(_ content: Keys.StringContent) {
        switch content {
        case .bytes(let bytes): bulk(bytes)
        case .integer(let value): bulk(value)
        }
    }
}
