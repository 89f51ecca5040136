// SPDX-License-Identifier: Apache-2.0
import Base
import Wire

/// All facts about a command besides its code. A command is declared once, as an enum with its name
/// on the wire, a `spec` and a `run`. COMMAND, COMMAND DOCS, ACL categories, key routing, refusals
/// and statistics all derive from the spec.
public struct CommandSpec: Sendable {
    /// In lower case, as in COMMAND; "config|get" for a subcommand.
    public let name: String
    /// Redis's arity: counts the name; negative means "at least".
    public let arity: Int
    public let flags: CommandFlags
    public let keys: [KeySpec]
    /// The arguments in words: lower case is an argument, UPPER CASE a token, [x] optional, a | b a
    /// choice, x ... repeated, name:integer typed (key, integer, double, unix-time, pattern; string
    /// by default).
    public let usage: String
    public let since: String
    /// The cost in O notation.
    public let complexity: String
    public let summary: String
    /// What a request does to its keys, if that depends on its options; nil if `keys` says it.
    public let accessOf: (@Sendable (Arguments) -> KeyAccess)?
    /// Tips for clients, as in COMMAND INFO.
    public let tips: [String]
    /// ACL categories besides those implied by flags; nil means that of the command's group.
    public let categories: [String]?

    public init(
        _ name: String, arity: Int, _ flags: CommandFlags, keys: [KeySpec] = [], usage: String = "",
        since: String, complexity: String, summary: String, tips: [String] = [],
        categories: [String]? = nil, accessOf: (@Sendable (Arguments) -> KeyAccess)? = nil
    ) {
        self.name = name
        self.arity = arity
        self.flags = flags
        self.keys = keys
        self.accessOf = accessOf
        self.usage = usage
        self.since = since
        self.complexity = complexity
        self.summary = summary
        self.tips = tips
        self.categories = categories
    }

    /// The error for too few or too many arguments.
    public var wrongArity: String { "ERR wrong number of arguments for '\(name)' command" }

    /// The error for a session that may not run the command.
    public var noPermission: String {
        "NOPERM this user has no permissions to run the '\(name)' command"
    }

    /// Whether the command takes `count` arguments, the name included.
    public func accepts(argumentCount count: Int) -> Bool {
        arity >= 0 ? count == arity : count >= -arity
    }
}

extension ReplyWriter {
    /// An arity error that only the command itself can detect, for example that arguments must come
    /// in pairs.
    ///
    /// Why never inlined: so a command that runs makes and releases no text.
    @inline(never)
    mutating func wrongArity(_ command: any Command.Type) { error(command.spec.wrongArity) }
}

/// Properties of a command. Other code tests these and never a command's name.
public struct CommandFlags: OptionSet, Sendable {
    public let rawValue: UInt32
    @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }

    // Why computed: reading a stored constant of another module takes a call.

    // Redis's flags, as in COMMAND INFO.
    /// May change data.
    @inlinable public static var write: CommandFlags { CommandFlags(rawValue: 1 << 0) }
    /// Reads data and never changes it.
    @inlinable public static var readOnly: CommandFlags { CommandFlags(rawValue: 1 << 1) }
    /// May need more memory: refused if memory is full.
    @inlinable public static var denyOOM: CommandFlags { CommandFlags(rawValue: 1 << 2) }
    @inlinable public static var admin: CommandFlags { CommandFlags(rawValue: 1 << 3) }
    @inlinable public static var noScript: CommandFlags { CommandFlags(rawValue: 1 << 4) }
    @inlinable public static var blocking: CommandFlags { CommandFlags(rawValue: 1 << 5) }
    @inlinable public static var loading: CommandFlags { CommandFlags(rawValue: 1 << 6) }
    @inlinable public static var stale: CommandFlags { CommandFlags(rawValue: 1 << 7) }
    @inlinable public static var skipMonitor: CommandFlags { CommandFlags(rawValue: 1 << 8) }
    @inlinable public static var skipSlowLog: CommandFlags { CommandFlags(rawValue: 1 << 9) }
    @inlinable public static var fast: CommandFlags { CommandFlags(rawValue: 1 << 10) }
    /// Allowed before AUTH.
    @inlinable public static var noAuth: CommandFlags { CommandFlags(rawValue: 1 << 11) }
    @inlinable public static var mayReplicate: CommandFlags { CommandFlags(rawValue: 1 << 12) }
    @inlinable public static var noMulti: CommandFlags { CommandFlags(rawValue: 1 << 13) }
    @inlinable public static var movableKeys: CommandFlags { CommandFlags(rawValue: 1 << 14) }
    @inlinable public static var allowBusy: CommandFlags { CommandFlags(rawValue: 1 << 15) }
    @inlinable public static var noMandatoryKeys: CommandFlags { CommandFlags(rawValue: 1 << 16) }

    // Martlet's flags.
    /// A miss on a record key loads the record.
    @inlinable public static var loadsRecords: CommandFlags { CommandFlags(rawValue: 1 << 20) }
    /// Runs at once even if MULTI is open: EXEC, DISCARD, MULTI, WATCH, QUIT, RESET.
    @inlinable public static var runsInsideMulti: CommandFlags { CommandFlags(rawValue: 1 << 21) }
    /// Accesses a whole database: EXEC holds all its shards.
    @inlinable public static var wholeDatabase: CommandFlags { CommandFlags(rawValue: 1 << 22) }
    /// A tenant's session may run it although it is administrative.
    @inlinable public static var tenantMayRun: CommandFlags { CommandFlags(rawValue: 1 << 24) }
    /// Allowed only by `enable-debug-command`.
    @inlinable public static var debug: CommandFlags { CommandFlags(rawValue: 1 << 25) }
    /// Conforms to `CrossDatabaseCommand`.
    @inlinable public static var otherDatabase: CommandFlags { CommandFlags(rawValue: 1 << 27) }
    /// Runs what MULTI has queued: EXEC.
    @inlinable public static var executes: CommandFlags { CommandFlags(rawValue: 1 << 26) }
    /// Moves the session to another database, where later queued keys are looked for: SELECT.
    @inlinable public static var selectsDatabase: CommandFlags { CommandFlags(rawValue: 1 << 23) }
    /// Swaps two databases, which must both exist before their shards are locked: SWAPDB.
    @inlinable public static var swapsDatabases: CommandFlags { CommandFlags(rawValue: 1 << 17) }
    /// Its arguments may be secrets, which the slow log must not show.
    @inlinable public static var secretArguments: CommandFlags { CommandFlags(rawValue: 1 << 18) }
    /// Not refused at a tenant's rate limit: DISCARD, because a client must be able to leave a
    /// transaction.
    @inlinable public static var runsAtAnyLimit: CommandFlags { CommandFlags(rawValue: 1 << 29) }
    /// Neither shows nor changes a tenant's settings or usage, so it may be counted together with
    /// the commands around it. Only for commands without keys.
    @inlinable public static var countedLater: CommandFlags { CommandFlags(rawValue: 1 << 28) }
}

/// The places of a command's keys among its arguments, and what it does to them.
public struct KeySpec: Sendable {
    public enum Position: Sendable, Equatable {
        /// Every `step`-th argument from `first` to `last`. A negative last counts from the end; -1
        /// is the last argument.
        case range(first: Int, last: Int, step: Int)
        /// Argument `count` is the number of keys that follow it; the first key is at `first`.
        case counted(count: Int, first: Int)
    }

    public let position: Position
    public let access: KeyAccess

    public init(_ position: Position, _ access: KeyAccess) {
        self.position = position
        self.access = access
    }

    public static func one(at index: Int, _ access: KeyAccess) -> KeySpec {
        KeySpec(.range(first: index, last: index, step: 1), access)
    }

    public static func range(
        _ first: Int, _ last: Int, step: Int = 1, _ access: KeyAccess
    ) -> KeySpec {
        KeySpec(.range(first: first, last: last, step: step), access)
    }

    public static func counted(at count: Int, _ access: KeyAccess) -> KeySpec {
        KeySpec(.counted(count: count, first: count + 1), access)
    }
}

/// What a command does to a key: one of the first four, and any of the others, as in COMMAND INFO.
public struct KeyAccess: OptionSet, Sendable {
    public let rawValue: UInt16
    public init(rawValue: UInt16) { self.rawValue = rawValue }

    public static let readOnly = KeyAccess(rawValue: 1)
    public static let readWrite = KeyAccess(rawValue: 2)
    public static let overwrite = KeyAccess(rawValue: 4)
    public static let remove = KeyAccess(rawValue: 8)
    public static let access = KeyAccess(rawValue: 16)
    // The command may create the key: its tenant is then made, and the limit of keys is checked.
    public static let update = KeyAccess(rawValue: 32)
    public static let insert = KeyAccess(rawValue: 64)
    public static let delete = KeyAccess(rawValue: 128)
    public static let variableFlags = KeyAccess(rawValue: 256)

    /// Whether the command may create the key.
    public var mayCreate: Bool { !isDisjoint(with: [.update, .insert]) }
}
