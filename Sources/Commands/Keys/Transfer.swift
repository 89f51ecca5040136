// SPDX-License-Identifier: Apache-2.0
import Base
import Storage
import Wire

/// RENAME key newkey: the value goes to the new name with its expiry; what the new name held goes.
public enum RENAME: KeyCommand {
    public static let spec = CommandSpec(
        "rename", arity: 3, [.write],
        keys: [.one(at: 1, [.readWrite, .access, .delete]), .one(at: 2, [.overwrite, .update])],
        usage: "key:key newkey:key", since: "1.0.0", complexity: "O(1)",
        summary: "Renames a key and overwrites the destination.")

    public static func run(
        _ arguments: Arguments, _ keys: inout Keys, _ reply: inout ReplyWriter
    ) {
        guard keys.find(at: 0) != nil else { return reply.error(.noSuchKey) }
        if !keys.isSameKey(0, 1) { _ = keys.move(from: 0, to: 1) }
        reply.ok()
    }
}

/// RENAMENX key newkey: RENAME where the new name is free; 1 where it was.
public enum RENAMENX: KeyCommand {
    public static let spec = CommandSpec(
        "renamenx", arity: 3, [.write, .fast],
        keys: [.one(at: 1, [.readWrite, .access, .delete]), .one(at: 2, [.overwrite, .insert])],
        usage: "key:key newkey:key", since: "1.0.0", complexity: "O(1)",
        summary: "Renames a key only if the new name does not exist.")

    public static func run(
        _ arguments: Arguments, _ keys: inout Keys, _ reply: inout ReplyWriter
    ) {
        guard keys.find(at: 0) != nil else { return reply.error(.noSuchKey) }
        guard !keys.isSameKey(0, 1), keys.find(at: 1) == nil else { return reply.integer(0) }
        reply.integer(keys.move(from: 0, to: 1) ? 1 : 0)
    }
}

/// Reads a database's number as Redis reads an int.
enum DatabaseNumber {
    enum Outcome {
        case number(Int)
        case error(String)
    }

    /// A number below `count`.
    static func parse(_ bytes: Bytes, below count: Int) -> Outcome {
        guard let value = ASCIIInteger.parse(bytes) else {
            return .error("ERR value is not an integer or out of range")
        }
        guard Int32(exactly: value) != nil else {
            return .error(
                "ERR value is out of range, value must between -2147483648 and 2147483647")
        }
        guard value >= 0, value < Int64(count) else {
            return .error("ERR DB index is out of range")
        }
        return .number(Int(value))
    }
}

/// COPY source destination [DB destination-db] [REPLACE]: 1 where a copy was made.
public enum COPY: CrossDatabaseCommand {
    public static let spec = CommandSpec(
        "copy", arity: -3, [.write, .denyOOM, .otherDatabase],
        keys: [.one(at: 1, [.readOnly, .access]), .one(at: 2, [.overwrite, .update])],
        usage: "source:key destination:key [DB destination-db:integer] [REPLACE]", since: "6.2.0",
        complexity: "O(N) in the number of members of a collection.",
        summary: "Copies the value of a key to a new key.")

    private enum Options {
        case parsed(database: Int?, replaces: Bool)
        case wrong(String)
    }

    private static func options(_ arguments: Arguments, _ databases: Int) -> Options {
        var database: Int?
        var replaces = false
        var index = 3
        while index < arguments.count {
            if arguments[index].isKeyword("REPLACE") {
                replaces = true
                index += 1
            } else if arguments[index].isKeyword("DB"), index + 1 < arguments.count {
                switch DatabaseNumber.parse(arguments[index + 1], below: databases) {
                case .number(let number): database = number
                case .error(let text): return .wrong(text)
                }
                index += 2
            } else {
                return .wrong("ERR syntax error")
            }
        }
        return .parsed(database: database, replaces: replaces)
    }

    public static func target(
        _ arguments: Arguments, selected: Int, of count: Int
    ) -> (key: Bytes, database: Int)? {
        guard case .parsed(let database, _) = options(arguments, count) else { return nil }
        return (arguments[2], database ?? selected)
    }

    public static func run(
        _ arguments: Arguments, _ keys: inout Keys, _ reply: inout ReplyWriter
    ) {
        let replaces: Bool
        switch options(arguments, keys.settings.values.pointee.databaseCount.value) {
        case .wrong(let text): return reply.error(text)
        case .parsed(_, let flag): replaces = flag
        }
        guard !keys.isSameKey(0, 1) else { return reply.error(.sameObject) }
        guard keys.read(at: 0) != nil, replaces || keys.find(at: 1) == nil else {
            return reply.integer(0)
        }
        reply.integer(keys.copy(from: 0, to: 1) ? 1 : 0)
    }
}

/// MOVE key db: the entry goes to another database where it does not exist; 1 where it did.
public enum MOVE: CrossDatabaseCommand {
    public static let spec = CommandSpec(
        "move", arity: 3, [.write, .fast, .otherDatabase],
        keys: [.one(at: 1, [.readWrite, .access, .update])], usage: "key:key db:integer",
        since: "1.0.0", complexity: "O(1)", summary: "Moves a key to another database.")

    public static func target(
        _ arguments: Arguments, selected: Int, of count: Int
    ) -> (key: Bytes, database: Int)? {
        switch DatabaseNumber.parse(arguments[2], below: count) {
        case .number(let number): return (arguments[1], number)
        case .error: return nil
        }
    }

    public static func run(
        _ arguments: Arguments, _ keys: inout Keys, _ reply: inout ReplyWriter
    ) {
        let count = keys.settings.values.pointee.databaseCount.value
        if case .error(let text) = DatabaseNumber.parse(arguments[2], below: count) {
            return reply.error(text)
        }
        guard !keys.isSameKey(0, 1) else { return reply.error(.sameObject) }
        guard keys.find(at: 0) != nil, keys.find(at: 1) == nil else { return reply.integer(0) }
        reply.integer(keys.move(from: 0, to: 1) ? 1 : 0)
    }
}
