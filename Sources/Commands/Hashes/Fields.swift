// SPDX-License-Identifier: Apache-2.0
import Base
import Storage
import Wire

// Commands on single fields: set, read, count, remove.

/// HSET key field value [field value ...]: sets fields and replies how many of them are new.
public enum HSET: KeyCommand {
    public static let spec = CommandSpec(
        "hset", arity: -4, [.write, .denyOOM, .fast], keys: [.one(at: 1, [.readWrite, .update])],
        usage: "key:key (field value) ...", since: "2.0.0",
        complexity: "O(1) for each field, so O(N) for N fields.",
        summary: "Sets the values of fields of a hash, which is made if it does not exist.")

    public static func run(
        _ arguments: Arguments, _ keys: borrowing Hold, _ reply: inout ReplyWriter
    ) {
        guard let added = keys.setFields(arguments, Self.self, &reply) else { return }
        reply.integer(added)
    }
}

/// HMSET key field value [field value ...]: HSET that replies OK.
public enum HMSET: KeyCommand {
    public static let spec = CommandSpec(
        "hmset", arity: -4, [.write, .denyOOM, .fast], keys: [.one(at: 1, [.readWrite, .update])],
        usage: "key:key (field value) ...", since: "2.0.0",
        complexity: "O(N) for N fields.",
        summary: "Sets the values of fields of a hash; HSET does the same and counts.")

    public static func run(
        _ arguments: Arguments, _ keys: borrowing Hold, _ reply: inout ReplyWriter
    ) {
        guard keys.setFields(arguments, Self.self, &reply) != nil else { return }
        reply.ok()
    }
}

extension Hold {
    /// Sets the fields that the arguments from 2 on name, each followed by its value. Returns how
    /// many are new, or nil after an error reply.
    fileprivate func setFields(
        _ arguments: Arguments, _ command: any Command.Type, _ reply: inout ReplyWriter
    ) -> Int? {
        guard arguments.count % 2 == 0 else {
            reply.wrongArity(command)
            return nil
        }
        let found: Found
        switch find(0, as: .hash) {
        case .wrongType:
            reply.error(.wrongType)
            return nil
        case .found(let existing):
            found = existing
        case .missing:
            var byteCount = 0
            for index in 2..<arguments.count { byteCount += arguments[index].count }
            found = makeHash(0, fieldCount: arguments.count / 2 - 1, byteCount: byteCount)
        }
        var added = 0
        var index = 2
        while index < arguments.count {  // Bound: each turn takes two arguments.
            if setField(found, arguments[index], arguments[index + 1]) { added += 1 }
            index += 2
        }
        return added
    }

    /// Sets one field of the hash `found`, or of a new one at the command's key.
    func setField(_ found: Found?, _ field: Bytes, _ value: Bytes) {
        let hash =
            found ?? makeHash(0, fieldCount: 1, byteCount: field.count + value.count)
        setField(hash, field, value)
    }
}

/// HSETNX key field value: sets a missing field and replies 1, or replies 0 if the field exists.
public enum HSETNX: KeyCommand {
    public static let spec = CommandSpec(
        "hsetnx", arity: 4, [.write, .denyOOM, .fast], keys: [.one(at: 1, [.readWrite, .insert])],
        usage: "key:key field value", since: "2.0.0", complexity: "O(1)",
        summary: "Sets the value of a field of a hash if the field does not exist.")

    public static func run(
        _ arguments: Arguments, _ keys: borrowing Hold, _ reply: inout ReplyWriter
    ) {
        let found = keys.find(0)
        if let found {
            guard found.entry.type == .hash else { return reply.error(.wrongType) }
            guard HashValue(found).find(arguments[2]) == nil else { return reply.integer(0) }
        }
        keys.setField(found, arguments[2], arguments[3])
        reply.integer(1)
    }
}

/// HGET key field: the value, or null.
public enum HGET: KeyCommand {
    public static let spec = CommandSpec(
        "hget", arity: 3, [.readOnly, .fast, .loadsRecords],
        keys: [.one(at: 1, [.readOnly, .access])], usage: "key:key field", since: "2.0.0",
        complexity: "O(1)", summary: "Returns the value of a field of a hash.")

    public static func run(
        _ arguments: Arguments, _ keys: borrowing Hold, _ reply: inout ReplyWriter
    ) {
        guard let found = keys.read(0, as: .hash, else: .null, &reply) else { return }
        reply.value(HashValue(found).find(arguments[2]))
    }
}

/// HMGET key field [field ...]: the values in the order of the fields, null for a missing field.
public enum HMGET: KeyCommand {
    public static let spec = CommandSpec(
        "hmget", arity: -3, [.readOnly, .fast, .loadsRecords],
        keys: [.one(at: 1, [.readOnly, .access])], usage: "key:key field ...", since: "2.0.0",
        complexity: "O(N) for N fields.", summary: "Returns the values of fields of a hash.")

    public static func run(
        _ arguments: Arguments, _ keys: borrowing Hold, _ reply: inout ReplyWriter
    ) {
        let found = keys.read(0)
        if let found, found.entry.type != .hash { return reply.error(.wrongType) }
        let hash = found.map { HashValue($0) }
        reply.array(arguments.count - 2)
        for index in 2..<arguments.count { reply.value(hash?.find(arguments[index])) }
    }
}

extension ReplyWriter {
    /// A value as a bulk string, null for a missing one.
    @inline(__always)
    fileprivate func value(_ value: Bytes?) {
        if let value { bulk(value) } else { null() }
    }
}

/// HDEL key field [field ...]: removes fields and replies how many existed.
public enum HDEL: KeyCommand {
    public static let spec = CommandSpec(
        "hdel", arity: -3, [.write, .fast], keys: [.one(at: 1, [.readWrite, .delete])],
        usage: "key:key field ...", since: "2.0.0", complexity: "O(N) for N fields.",
        summary: "Removes fields of a hash, and the hash with its last field.")

    public static func run(
        _ arguments: Arguments, _ keys: borrowing Hold, _ reply: inout ReplyWriter
    ) {
        guard let found = keys.find(0, as: .hash, else: .zero, &reply) else { return }
        var removed = 0
        for index in 2..<arguments.count where keys.removeField(found, arguments[index]) {
            removed += 1
            guard HashValue(found).count > 0 else {
                keys.remove(found)
                break
            }
        }
        reply.integer(removed)
    }
}

/// HEXISTS key field: 1 if the field exists, else 0.
public enum HEXISTS: KeyCommand {
    public static let spec = CommandSpec(
        "hexists", arity: 3, [.readOnly, .fast, .loadsRecords], keys: [.one(at: 1, [.readOnly])],
        usage: "key:key field", since: "2.0.0", complexity: "O(1)",
        summary: "Says whether a hash has a field.")

    public static func run(
        _ arguments: Arguments, _ keys: borrowing Hold, _ reply: inout ReplyWriter
    ) {
        guard let found = keys.read(0, as: .hash, else: .zero, &reply) else { return }
        reply.integer(HashValue(found).find(arguments[2]) == nil ? 0 : 1)
    }
}

/// HLEN key: the number of fields.
public enum HLEN: KeyCommand {
    public static let spec = CommandSpec(
        "hlen", arity: 2, [.readOnly, .fast, .loadsRecords], keys: [.one(at: 1, [.readOnly])],
        usage: "key:key",
        since: "2.0.0", complexity: "O(1)", summary: "Returns the number of fields of a hash.")

    public static func run(
        _ arguments: Arguments, _ keys: borrowing Hold, _ reply: inout ReplyWriter
    ) {
        guard let found = keys.read(0, as: .hash, else: .zero, &reply) else { return }
        reply.integer(HashValue(found).count)
    }
}

/// HSTRLEN key field: the size of the value in bytes, 0 if the field is missing.
public enum HSTRLEN: KeyCommand {
    public static let spec = CommandSpec(
        "hstrlen", arity: 3, [.readOnly, .fast, .loadsRecords], keys: [.one(at: 1, [.readOnly])],
        usage: "key:key field", since: "3.2.0", complexity: "O(1)",
        summary: "Returns the size of the value of a field of a hash.")

    public static func run(
        _ arguments: Arguments, _ keys: borrowing Hold, _ reply: inout ReplyWriter
    ) {
        guard let found = keys.read(0, as: .hash, else: .zero, &reply) else { return }
        reply.integer(HashValue(found).find(arguments[2])?.count ?? 0)
    }
}
