// SPDX-License-Identifier: Apache-2.0
import Base
import Storage
import Wire

/// MGET key [key ...]: the values in order, null for what is missing or no string.
public enum MGET: KeyCommand {
    public static let spec = CommandSpec(
        "mget", arity: -2, [.readOnly, .fast, .loadsRecords],
        keys: [.range(1, -1, [.readOnly, .access])], usage: "key:key ...", since: "1.0.0",
        complexity: "O(N) where N is the number of keys to retrieve.",
        summary: "Atomically returns the string values of one or more keys.",
        tips: ["request_policy:multi_shard"])

    public static func run(
        _ arguments: Arguments, _ keys: borrowing Hold, _ reply: inout ReplyWriter
    ) {
        reply.array(keys.count)
        for ordinal in 0..<keys.count {
            switch keys.readString(ordinal) {
            case .missing, .wrongType: reply.null()
            case .found(let content): reply.string(content)
            }
        }
    }
}

/// MSET key value [key value ...]: sets all, and never fails but for its syntax.
public enum MSET: KeyCommand {
    public static let spec = CommandSpec(
        "mset", arity: -3, [.write, .denyOOM],
        keys: [.range(1, -1, step: 2, [.overwrite, .update])],
        usage: "(key:key value) ...",
        since: "1.0.1", complexity: "O(N) where N is the number of keys to set.",
        summary: "Atomically creates or modifies the string values of one or more keys.",
        tips: ["request_policy:multi_shard", "response_policy:all_succeeded"])

    public static func run(
        _ arguments: Arguments, _ keys: borrowing Hold, _ reply: inout ReplyWriter
    ) {
        guard arguments.count % 2 == 1 else {
            return reply.wrongArity(Self.self)
        }
        setAll(arguments, keys)
        reply.ok()
    }

    fileprivate static func setAll(_ arguments: Arguments, _ keys: borrowing Hold) {
        for ordinal in 0..<keys.count {
            keys.setString(
                ordinal, arguments[2 * ordinal + 2], replacing: keys.find(ordinal), .remove)
        }
    }
}

/// MSETNX key value [key value ...]: sets all and replies 1, or nothing and 0 where one of the keys
/// is there.
public enum MSETNX: KeyCommand {
    public static let spec = CommandSpec(
        "msetnx", arity: -3, [.write, .denyOOM],
        keys: [.range(1, -1, step: 2, [.overwrite, .insert])],
        usage: "(key:key value) ...",
        since: "1.0.1", complexity: "O(N) where N is the number of keys to set.",
        summary:
            "Atomically modifies the string values of one or more keys only when all keys don't "
            + "exist.")

    public static func run(
        _ arguments: Arguments, _ keys: borrowing Hold, _ reply: inout ReplyWriter
    ) {
        guard arguments.count % 2 == 1 else {
            return reply.wrongArity(Self.self)
        }
        for ordinal in 0..<keys.count where keys.find(ordinal) != nil {
            return reply.integer(0)
        }
        MSET.setAll(arguments, keys)
        reply.integer(1)
    }
}
