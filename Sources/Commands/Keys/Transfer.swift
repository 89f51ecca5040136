// SPDX-License-Identifier: Apache-2.0
import Base
import Storage
import Wire

/// RENAME key newkey: moves the value and its expiry to the new key, which it overwrites.
public enum RENAME: KeyCommand {
    public static let spec = CommandSpec(
        "rename", arity: 3, [.write],
        keys: [.one(at: 1, [.readWrite, .access, .delete]), .one(at: 2, [.overwrite, .update])],
        usage: "key:key newkey:key", since: "1.0.0", complexity: "O(1)",
        summary: "Renames a key and overwrites the destination.")

    public static func run(
        _ arguments: Arguments, _ keys: borrowing Hold, _ reply: inout ReplyWriter
    ) {
        guard keys.find(0) != nil else { return reply.error(.noSuchKey) }
        if !keys.isSameKey(0, 1) {
            if let refusal = keys.refusalOfMove(from: 0, to: 1) { return reply.error(refusal) }
            // Why again: making room may have evicted it.
            guard keys.find(0) != nil else { return reply.error(.noSuchKey) }
            _ = keys.move(from: 0, to: 1)
        }
        reply.ok()
    }
}

/// RENAMENX key newkey: RENAME only to a missing key. Replies 1 if it renamed, else 0.
public enum RENAMENX: KeyCommand {
    public static let spec = CommandSpec(
        "renamenx", arity: 3, [.write, .fast],
        keys: [.one(at: 1, [.readWrite, .access, .delete]), .one(at: 2, [.overwrite, .insert])],
        usage: "key:key newkey:key", since: "1.0.0", complexity: "O(1)",
        summary: "Renames a key only if the new name does not exist.")

    public static func run(
        _ arguments: Arguments, _ keys: borrowing Hold, _ reply: inout ReplyWriter
    ) {
        guard keys.find(0) != nil else { return reply.error(.noSuchKey) }
        guard !keys.isSameKey(0, 1), keys.find(1) == nil else { return reply.integer(0) }
        if let refusal = keys.refusalOfMove(from: 0, to: 1) { return reply.error(refusal) }
        reply.integer(keys.move(from: 0, to: 1) ? 1 : 0)
    }
}

/// COPY source destination [DB destination-db] [REPLACE]: replies 1 if it made a copy, else 0.
public enum COPY: CrossDatabaseCommand {
    public static let spec = CommandSpec(
        "copy", arity: -3, [.write, .denyOOM, .otherDatabase],
        keys: [.one(at: 1, [.readOnly, .access]), .one(at: 2, [.overwrite, .update])],
        usage: "source:key destination:key [DB destination-db:integer] [REPLACE]", since: "6.2.0",
        complexity: "O(N) in the number of members of a collection.",
        summary: "Copies the value of a key to a new key.")

    private enum Options {
        case parsed(database: Int?, replaces: Bool)
        case wrong(ReplyError)
    }

    private static func options(_ arguments: Arguments, _ databaseCount: Int) -> Options {
        var database: Int?
        var replaces = false
        var options = OptionReader(arguments, from: 3)
        while let option = options.next() {
            if option.isKeyword("REPLACE") {
                replaces = true
            } else if option.isKeyword("DB"), let value = options.value() {
                switch DatabaseNumber(value, count: databaseCount) {
                case .number(let number): database = number
                case .wrong(let error): return .wrong(error)
                }
            } else {
                return .wrong(.syntax)
            }
        }
        return .parsed(database: database, replaces: replaces)
    }

    public static func target(
        _ arguments: Arguments, selected: Int, databaseCount: Int
    ) -> (key: Bytes, database: Int)? {
        guard case .parsed(let database, _) = options(arguments, databaseCount) else { return nil }
        return (arguments[2], database ?? selected)
    }

    public static func run(
        _ arguments: Arguments, _ keys: borrowing Hold, _ reply: inout ReplyWriter
    ) {
        let replaces: Bool
        switch options(arguments, keys.databaseCount) {
        case .wrong(let error): return reply.error(error)
        case .parsed(_, let flag): replaces = flag
        }
        guard !keys.isSameKey(0, 1) else { return reply.error(.sameObject) }
        guard keys.read(0) != nil, replaces || keys.find(1) == nil else {
            return reply.integer(0)
        }
        if let refusal = keys.refusal(ofGrowth: keys.size(0), at: 1) { return reply.error(refusal) }
        reply.integer(keys.copy(from: 0, to: 1) ? 1 : 0)
    }
}

/// MOVE key db: moves a key to another database that lacks it. Replies 1 if it moved, else 0.
public enum MOVE: CrossDatabaseCommand {
    public static let spec = CommandSpec(
        "move", arity: 3, [.write, .fast, .otherDatabase],
        keys: [.one(at: 1, [.readWrite, .access, .update])], usage: "key:key db:integer",
        since: "1.0.0", complexity: "O(1)", summary: "Moves a key to another database.")

    public static func target(
        _ arguments: Arguments, selected: Int, databaseCount: Int
    ) -> (key: Bytes, database: Int)? {
        guard case .number(let number) = DatabaseNumber(arguments[2], count: databaseCount) else {
            return nil
        }
        return (arguments[1], number)
    }

    public static func run(
        _ arguments: Arguments, _ keys: borrowing Hold, _ reply: inout ReplyWriter
    ) {
        if case .wrong(let error) = DatabaseNumber(arguments[2], count: keys.databaseCount) {
            return reply.error(error)
        }
        guard !keys.isSameKey(0, 1) else { return reply.error(.sameObject) }
        guard keys.find(0) != nil, keys.find(1) == nil else { return reply.integer(0) }
        reply.integer(keys.move(from: 0, to: 1) ? 1 : 0)
    }
}
