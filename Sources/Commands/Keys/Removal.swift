// SPDX-License-Identifier: Apache-2.0
import Base
import Storage
import Wire

/// DEL key [key ...]: removes keys and replies how many existed. Another thread frees large
/// collections, as for UNLINK.
public enum DEL: KeyCommand {
    public static let spec = CommandSpec(
        "del", arity: -2, [.write], keys: [.range(1, -1, [.remove, .delete])],
        usage: "key:key ...", since: "1.0.0", complexity: "O(N) in the number of keys.",
        summary: "Deletes one or more keys.",
        tips: ["request_policy:multi_shard", "response_policy:agg_sum"])

    public static func run(
        _ arguments: Arguments, _ keys: borrowing Hold, _ reply: inout ReplyWriter
    ) {
        var removed = 0
        for ordinal in 0..<keys.count {
            if let found = keys.find(ordinal) {
                keys.remove(found)
                removed += 1
            }
        }
        reply.integer(removed)
    }
}

/// UNLINK key [key ...]: the same as DEL, which never waits for memory to be freed.
public enum UNLINK: KeyCommand {
    public static let spec = CommandSpec(
        "unlink", arity: -2, [.write, .fast], keys: [.range(1, -1, [.remove, .delete])],
        usage: "key:key ...", since: "4.0.0",
        complexity: "O(1) for each key; the memory is freed by another thread.",
        summary: "Deletes one or more keys and frees them in the background.",
        tips: ["request_policy:multi_shard", "response_policy:agg_sum"])

    public static func run(
        _ arguments: Arguments, _ keys: borrowing Hold, _ reply: inout ReplyWriter
    ) {
        DEL.run(arguments, keys, &reply)
    }
}

/// EXISTS key [key ...]: how many of the keys exist. A key that is named twice counts twice.
public enum EXISTS: KeyCommand {
    public static let spec = CommandSpec(
        "exists", arity: -2, [.readOnly, .fast, .loadsRecords],
        keys: [.range(1, -1, [.readOnly])], usage: "key:key ...", since: "1.0.0",
        complexity: "O(N) in the number of keys.", summary: "Tells how many of the keys exist.",
        tips: ["request_policy:multi_shard", "response_policy:agg_sum"])

    public static func run(
        _ arguments: Arguments, _ keys: borrowing Hold, _ reply: inout ReplyWriter
    ) {
        var count = 0
        for ordinal in 0..<keys.count where keys.peek(ordinal) != nil { count += 1 }
        reply.integer(count)
    }
}

/// TOUCH key [key ...]: notes an access to each key and replies how many exist.
public enum TOUCH: KeyCommand {
    public static let spec = CommandSpec(
        "touch", arity: -2, [.readOnly, .fast], keys: [.range(1, -1, [.readOnly])],
        usage: "key:key ...", since: "3.2.1", complexity: "O(N) in the number of keys.",
        summary: "Notes an access to each key and tells how many exist.",
        tips: ["request_policy:multi_shard", "response_policy:agg_sum"])

    public static func run(
        _ arguments: Arguments, _ keys: borrowing Hold, _ reply: inout ReplyWriter
    ) {
        var count = 0
        for ordinal in 0..<keys.count {
            guard let found = keys.peek(ordinal) else { continue }
            // TOUCH changes the access time even after CLIENT NO-TOUCH ON.
            keys.noteAccess(found)
            count += 1
        }
        reply.integer(count)
    }
}

/// TYPE key: the name of the value's type, "none" if the key is missing.
public enum TYPE: KeyCommand {
    public static let spec = CommandSpec(
        "type", arity: 2, [.readOnly, .fast, .loadsRecords], keys: [.one(at: 1, [.readOnly])],
        usage: "key:key", since: "1.0.0", complexity: "O(1)",
        summary: "Tells the type of the value at a key.")

    public static func run(
        _ arguments: Arguments, _ keys: borrowing Hold, _ reply: inout ReplyWriter
    ) {
        reply.simple(keys.peek(0)?.entry.type.name ?? "none")
    }
}
