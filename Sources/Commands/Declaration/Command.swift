// SPDX-License-Identifier: Apache-2.0
import Base
import Storage
import Wire

/// A command. The protocols below say what its `run` may access.
public protocol Command: SendableMetatype {
    static var spec: CommandSpec { get }
}

/// A command on keys that its arguments name. It runs under the locks of those keys' shards and
/// accesses nothing else: no session, no socket, no other tenant.
public protocol KeyCommand: Command {
    static func run(_ arguments: Arguments, _ keys: borrowing Hold, _ reply: inout ReplyWriter)
}

/// A command on keys that takes an entry from the selected database to another one: COPY and MOVE.
/// The flag `otherDatabase` marks these, so other commands pay nothing for them.
///
/// Its keys are the source (argument 1) and the target, in this order, whatever the spec says.
public protocol CrossDatabaseCommand: KeyCommand {
    /// The target key and the number of its database; nil if the arguments are wrong. `run` replies
    /// that error.
    static func target(
        _ arguments: Arguments, selected: Int, databaseCount: Int
    ) -> (key: Bytes, database: Int)?
}

/// A command on the session, on a whole database or on the server. It runs with no shard locked,
/// except inside EXEC, where those of the transaction are.
public protocol SessionCommand: Command {
    static func run(
        _ arguments: Arguments, _ context: inout CommandContext, _ reply: inout ReplyWriter)
}

/// A line in a family's menu.
public enum MenuEntry: Sendable {
    case key(any KeyCommand.Type)
    case session(any SessionCommand.Type)
    /// A command with a two-word name; the table finds the second word.
    case container(any Command.Type, [MenuEntry])

    public var spec: CommandSpec {
        switch self {
        case .key(let command): command.spec
        case .session(let command): command.spec
        case .container(let command, _): command.spec
        }
    }
}

/// The commands of one group of COMMAND DOCS.
public struct Family: Sendable {
    public let group: String
    public let menu: [MenuEntry]

    public init(group: String, _ menu: [MenuEntry]) {
        self.group = group
        self.menu = menu
    }
}

/// All families: the whole command set.
public enum Families {
    public static let all: [Family] = [
        strings,
        sets,
        hashes,
        keys,
        databases,
        connection,
        transactions,
        server,
        tenants,
    ]
}
