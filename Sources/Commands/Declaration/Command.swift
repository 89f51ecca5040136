// SPDX-License-Identifier: Apache-2.0
import Base
import Storage
import Wire

/// A command. What its `run` may touch is said by which of the protocols below it conforms to.
public protocol Command: SendableMetatype {
    static var spec: CommandSpec { get }
}

/// A command on keys that its arguments name. It runs under the locks of those keys' shards and
/// reaches nothing else: no session, no socket, no other tenant.
public protocol KeyCommand: Command {
    static func run(_ arguments: Arguments, _ keys: borrowing Hold, _ reply: inout ReplyWriter)
}

/// A command on keys that moves an entry from the selected database into another one: COPY and
/// MOVE. Flagged `otherDatabase`, so that no other command pays for the question.
///
/// Its keys are the source (argument 1) and then the target, whatever the spec says.
public protocol CrossDatabaseCommand: KeyCommand {
    /// The key that is written, and the number of its database; nil where the arguments are wrong,
    /// which `run` tells.
    static func target(
        _ arguments: Arguments, selected: Int, databaseCount: Int
    ) -> (key: Bytes, database: Int)?
}

/// A command on the session, on a whole database or on the server. No shard is locked when it runs
/// (inside EXEC those of the transaction are).
public protocol SessionCommand: Command {
    static func run(
        _ arguments: Arguments, _ context: inout CommandContext, _ reply: inout ReplyWriter)
}

/// A line of a family's menu.
public enum MenuEntry: Sendable {
    case key(any KeyCommand.Type)
    case session(any SessionCommand.Type)
    /// A command that is named by two words; the table finds the second.
    case container(any Command.Type, [MenuEntry])

    public var spec: CommandSpec {
        switch self {
        case .key(let command): command.spec
        case .session(let command): command.spec
        case .container(let command, _): command.spec
        }
    }
}

/// The commands of one group, as COMMAND DOCS names groups.
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
