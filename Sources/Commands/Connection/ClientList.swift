// SPDX-License-Identifier: Apache-2.0
import Base
import Storage
import Wire

/// CLIENT INFO: the session as CLIENT LIST shows it.
public enum CLIENT_INFO: SessionCommand {
    public static let spec = CommandSpec(
        "client|info", arity: 2, CLIENT.own, since: "6.2.0", complexity: "O(1)",
        summary: "Returns information about the connection.", tips: ["nondeterministic_output"])

    public static func run(
        _ arguments: Arguments, _ context: inout CommandContext, _ reply: inout ReplyWriter
    ) {
        let line = ClientLine.text(
            of: context.session.pointee, now: context.monotonicNow,
            command: context.isInsideTransaction ? "exec" : "client|info",
            runsTransaction: context.isInsideTransaction)
        reply.verbatim(line + "\n")
    }
}

/// CLIENT LIST [TYPE type] [ID id …]: a line for each session.
public enum CLIENT_LIST: SessionCommand {
    public static let spec = CommandSpec(
        "client|list", arity: -2, CLIENT.administration,
        usage: "[TYPE (NORMAL | MASTER | REPLICA | PUBSUB)] [ID client-id:integer ...]",
        since: "2.4.0", complexity: "O(N) where N is the number of client connections",
        summary: "Lists open connections.", tips: ["nondeterministic_output"])

    public static func run(
        _ arguments: Arguments, _ context: inout CommandContext, _ reply: inout ReplyWriter
    ) {
        var filter = ClientFilter()
        var options = OptionReader(arguments, from: 2)
        if let option = options.next() {
            if option.isKeyword("TYPE"), let name = options.value(), options.isAtEnd {
                guard let kind = ClientFilter.Kind(name) else {
                    return reply.error("ERR Unknown client type '\(name.string)'")
                }
                filter.kind = kind
            } else if option.isKeyword("ID"), !options.isAtEnd {
                var ids: Set<UInt64> = []
                while let value = options.value() {
                    guard let id = ASCIIInteger.parse(value) else {
                        return reply.error("ERR Invalid client ID")
                    }
                    if id > 0 { ids.insert(UInt64(id)) }
                }
                filter.ids = ids
            } else {
                return reply.error(.syntax)
            }
        }
        let now = context.monotonicNow
        let own = context.session.pointee.id
        let runsTransaction = context.isInsideTransaction
        let ownCommand = runsTransaction ? "exec" : "client|list"
        let names = ClientLine.commandNames(context.server.commands)
        var lines: [(id: UInt64, text: String)] = []
        context.server.forEachSession { session in
            if filter.matches(session, now: now) {
                let isOwn = session.id == own
                let text = ClientLine.text(
                    of: session, now: now,
                    command: isOwn ? ownCommand : names[session.lastCommand] ?? "NULL",
                    runsTransaction: isOwn && runsTransaction)
                lines.append((session.id, text))
            }
            return false
        }
        lines.sort { $0.id < $1.id }
        reply.verbatim(lines.map { $0.text + "\n" }.joined())
    }
}

/// CLIENT KILL address, or CLIENT KILL filter value …: closes sessions.
public enum CLIENT_KILL: SessionCommand {
    public static let spec = CommandSpec(
        "client|kill", arity: -3, CLIENT.administration,
        usage:
            "(ip:port | [ID client-id:integer] [TYPE (NORMAL | MASTER | REPLICA | PUBSUB)] "
            + "[USER username] "
            + "[ADDR addr] [LADDR laddr] [SKIPME (YES | NO)] [MAXAGE maxage:integer])",
        since: "2.4.0", complexity: "O(N) where N is the number of client connections",
        summary: "Terminates open connections.")

    public static func run(
        _ arguments: Arguments, _ context: inout CommandContext, _ reply: inout ReplyWriter
    ) {
        var filter = ClientFilter()
        var skipsOwn = true
        if arguments.count == 3 {
            filter.address = arguments[2].string
            skipsOwn = false
        } else {
            if let refusal = parse(arguments, &filter, &skipsOwn, context) {
                return reply.error(refusal)
            }
        }
        let own = context.session.pointee.id
        let now = context.monotonicNow
        var killed = 0
        var killsOwn = false
        context.server.forEachSession { session in
            guard filter.matches(session, now: now) else { return false }
            if session.id == own {
                if skipsOwn { return false }
                killsOwn = true
                killed += 1
                return false
            }
            killed += 1
            return true
        }
        if killsOwn { context.action = .close }
        if arguments.count > 3 { return reply.integer(killed) }
        if killed > 0 { reply.ok() } else { reply.error("ERR No such client") }
    }

    private static func parse(
        _ arguments: Arguments, _ filter: inout ClientFilter, _ skipsOwn: inout Bool,
        _ context: CommandContext
    ) -> String? {
        let syntax = "ERR syntax error"
        var options = OptionReader(arguments, from: 2)
        while let option = options.next() {
            guard let value = options.value() else { return syntax }
            if option.isKeyword("ID") {
                guard let id = ASCIIInteger.parse(value), id > 0 else {
                    return "ERR client-id should be greater than 0"
                }
                filter.ids = [UInt64(id)]
            } else if option.isKeyword("MAXAGE") {
                guard let age = ASCIIInteger.parse(value), age > 0 else {
                    return "ERR maxage is not an integer or out of range"
                }
                filter.ageMin = age
            } else if option.isKeyword("TYPE") {
                guard let kind = ClientFilter.Kind(value) else {
                    return "ERR Unknown client type '\(value.string)'"
                }
                filter.kind = kind
            } else if option.isKeyword("ADDR") {
                filter.address = value.string
            } else if option.isKeyword("LADDR") {
                filter.localAddress = value.string
            } else if option.isKeyword("USER") {
                let isKnown =
                    value == Bytes("default" as StaticString)
                    || context.registry.find(value) != nil
                guard isKnown else { return "ERR No such user '\(value.string)'" }
                filter.user = value.array
            } else if option.isKeyword("SKIPME") {
                guard value.isKeyword("YES") || value.isKeyword("NO") else { return syntax }
                skipsOwn = value.isKeyword("YES")
            } else {
                return syntax
            }
        }
        return nil
    }
}

/// The filters of CLIENT LIST and CLIENT KILL. A session must pass all that are set.
struct ClientFilter {
    enum Kind {
        case normal, master, replica, pubSub

        init?(_ name: Bytes) {
            if name.isKeyword("NORMAL") {
                self = .normal
            } else if name.isKeyword("MASTER") {
                self = .master
            } else if name.isKeyword("REPLICA") || name.isKeyword("SLAVE") {
                self = .replica
            } else if name.isKeyword("PUBSUB") {
                self = .pubSub
            } else {
                return nil
            }
        }
    }

    var ids: Set<UInt64>?
    var kind: Kind?
    var address: String?
    var localAddress: String?
    var user: [UInt8]?
    /// In seconds.
    var ageMin: Int64?

    func matches(_ session: borrowing SessionState, now: Milliseconds) -> Bool {
        if let ids, !ids.contains(session.id) { return false }
        // Every session is a normal client: none is a replica, none subscribes.
        if let kind, kind != .normal { return false }
        if let address, address != session.address { return false }
        if let localAddress, localAddress != session.localAddress { return false }
        if let user, user != session.user { return false }
        if let ageMin, (now - session.createdAt) / 1000 < ageMin { return false }
        return true
    }
}

/// A session as one line of CLIENT LIST.
enum ClientLine {
    /// `runsTransaction`: EXEC runs the session's queue, and the command is part of it.
    static func text(
        of session: borrowing SessionState, now: Milliseconds, command: String,
        runsTransaction: Bool
    ) -> String {
        let isInTransaction = session.transaction.isOpen || runsTransaction
        var flags = ""
        if isInTransaction { flags += "x" }
        if session.isBlocked { flags += "b" }
        if session.watched.isDirty { flags += "d" }
        if session.closesAfterReply { flags += "c" }
        if session.isUnixSocket { flags += "U" }
        if session.isNoEvict { flags += "e" }
        if session.leavesAccessTime { flags += "T" }
        let multi = isInTransaction ? session.transaction.count : -1
        let memory =
            session.queryBufferSize + session.queryBufferFree + session.outputSize
            + session.transaction.requests.capacity + MemoryLayout<SessionState>.size
        let fields: [(String, String)] = [
            ("id", "\(session.id)"), ("addr", session.address), ("laddr", session.localAddress),
            ("fd", "\(session.descriptor)"),
            ("name", String(decoding: session.name, as: UTF8.self)),
            ("age", "\(max(0, now - session.createdAt) / 1000)"),
            ("idle", "\(max(0, now - session.lastActiveAt) / 1000)"),
            ("flags", flags.isEmpty ? "N" : flags), ("db", "\(session.database)"), ("sub", "0"),
            ("psub", "0"), ("ssub", "0"), ("multi", "\(multi)"),
            ("qbuf", "\(session.queryBufferSize)"), ("qbuf-free", "\(session.queryBufferFree)"),
            ("argv-mem", "0"), ("multi-mem", "\(session.transaction.requests.capacity)"),
            ("rbs", "0"), ("rbp", "0"), ("obl", "\(session.outputSize)"), ("oll", "0"),
            ("omem", "0"), ("tot-mem", "\(memory)"),
            ("events", session.outputSize > 0 ? "rw" : "r"), ("cmd", command),
            ("user", String(decoding: session.user, as: UTF8.self)), ("redir", "-1"),
            ("resp", "\(session.protocolVersion)"),
            ("lib-name", String(decoding: session.clientLibraryName, as: UTF8.self)),
            ("lib-ver", String(decoding: session.clientLibraryVersion, as: UTF8.self)),
        ]
        return fields.map { "\($0.0)=\($0.1)" }.joined(separator: " ")
    }

    /// The name of each command by its number (`CommandTable.Entry.number`).
    static func commandNames(_ table: CommandTable) -> [Int: String] {
        var names: [Int: String] = [:]
        for entry in table.all {
            names[entry.number] = entry.spec.name
            for subcommand in entry.subcommands {
                names[subcommand.pointee.number] = subcommand.pointee.spec.name
            }
        }
        return names
    }
}
