// SPDX-License-Identifier: Apache-2.0
import Base
import Storage
import Wire

/// CLIENT: the container of commands on sessions.
public enum CLIENT: Command {
    public static let spec = CommandSpec(
        "client", arity: -2, [], since: "2.4.0", complexity: "Depends on subcommand.",
        summary: "A container for client connection commands.", categories: [])

    static let own: CommandFlags = [.noScript, .loading, .stale]
    static let administration: CommandFlags = [.admin, .noScript, .loading, .stale]
}

/// CLIENT ID: the session's id.
public enum CLIENT_ID: SessionCommand {
    public static let spec = CommandSpec(
        "client|id", arity: 2, CLIENT.own, since: "5.0.0", complexity: "O(1)",
        summary: "Returns the unique client ID of the connection.")

    public static func run(
        _ arguments: Arguments, _ context: inout CommandContext, _ reply: inout ReplyWriter
    ) {
        reply.integer(Int(context.session.pointee.id))
    }
}

/// CLIENT SETNAME name: sets the session's name, which CLIENT LIST shows.
public enum CLIENT_SETNAME: SessionCommand {
    public static let spec = CommandSpec(
        "client|setname", arity: 3, CLIENT.own, usage: "connection-name", since: "2.6.9",
        complexity: "O(1)", summary: "Sets the connection name.",
        tips: ["request_policy:all_nodes", "response_policy:all_succeeded"])

    public static func run(
        _ arguments: Arguments, _ context: inout CommandContext, _ reply: inout ReplyWriter
    ) {
        guard ClientAttribute.isValid(arguments[2]) else {
            return reply.error(ClientAttribute.refusal("Client names"))
        }
        context.session.pointee.name = arguments[2].array
        reply.ok()
    }
}

/// CLIENT GETNAME: the name, or null.
public enum CLIENT_GETNAME: SessionCommand {
    public static let spec = CommandSpec(
        "client|getname", arity: 2, CLIENT.own, since: "2.6.9", complexity: "O(1)",
        summary: "Returns the name of the connection.")

    public static func run(
        _ arguments: Arguments, _ context: inout CommandContext, _ reply: inout ReplyWriter
    ) {
        let name = context.session.pointee.name
        if name.isEmpty { reply.null() } else { reply.bulk(name) }
    }
}

/// CLIENT SETINFO LIB-NAME | LIB-VER value: the client's library and its version.
public enum CLIENT_SETINFO: SessionCommand {
    public static let spec = CommandSpec(
        "client|setinfo", arity: 4, CLIENT.own, usage: "(LIB-NAME libname | LIB-VER libver)",
        since: "7.2.0", complexity: "O(1)", summary: "Sets information specific to the client.",
        tips: ["request_policy:all_nodes", "response_policy:all_succeeded"])

    public static func run(
        _ arguments: Arguments, _ context: inout CommandContext, _ reply: inout ReplyWriter
    ) {
        let isName = arguments[2].isKeyword("LIB-NAME")
        guard isName || arguments[2].isKeyword("LIB-VER") else {
            return reply.error("ERR Unrecognized option '\(arguments[2].string)'")
        }
        guard ClientAttribute.isValid(arguments[3]) else {
            return reply.error(ClientAttribute.refusal(arguments[2].string))
        }
        if isName {
            context.session.pointee.clientLibraryName = arguments[3].array
        } else {
            context.session.pointee.clientLibraryVersion = arguments[3].array
        }
        reply.ok()
    }
}

/// CLIENT REPLY ON | OFF | SKIP: whether the session gets replies.
///
/// Why not inside MULTI: the array that EXEC replies would have fewer elements than it announces.
public enum CLIENT_REPLY: SessionCommand {
    public static let spec = CommandSpec(
        "client|reply", arity: 3, CLIENT.own.union(.noMulti), usage: "(ON | OFF | SKIP)",
        since: "3.2.0",
        complexity: "O(1)", summary: "Instructs the server whether to reply to commands.")

    public static func run(
        _ arguments: Arguments, _ context: inout CommandContext, _ reply: inout ReplyWriter
    ) {
        if arguments[2].isKeyword("ON") {
            context.session.pointee.replyMode = .on
            reply.ok()
        } else if arguments[2].isKeyword("OFF") {
            context.session.pointee.replyMode = .off
        } else if arguments[2].isKeyword("SKIP") {
            if context.session.pointee.replyMode != .off {
                context.session.pointee.replyMode = .skipNext
            }
        } else {
            reply.error(.syntax)
        }
    }
}

/// CLIENT PAUSE timeout [WRITE | ALL]: suspends the commands of all sessions, or those that may
/// write. With ALL, the default, CLIENT UNPAUSE waits too.
public enum CLIENT_PAUSE: SessionCommand {
    public static let spec = CommandSpec(
        "client|pause", arity: -3, CLIENT.administration,
        usage: "timeout:integer [WRITE | ALL]", since: "3.0.0", complexity: "O(1)",
        summary: "Suspends commands processing.")

    public static func run(
        _ arguments: Arguments, _ context: inout CommandContext, _ reply: inout ReplyWriter
    ) {
        var onlyWrites = false
        if arguments.count == 4 {
            onlyWrites = arguments[3].isKeyword("WRITE")
            guard onlyWrites || arguments[3].isKeyword("ALL") else {
                return reply.error("ERR CLIENT PAUSE mode must be WRITE or ALL")
            }
        } else if arguments.count > 4 {
            return reply.error(
                "ERR unknown subcommand or wrong number of arguments for '", quoting: arguments[1],
                "'. Try CLIENT HELP.")
        }
        guard let timeout = ASCIIInteger.parse(arguments[2]) else {
            return reply.error(.timeoutNotInteger)
        }
        guard timeout >= 0 else { return reply.error(.timeoutNegative) }
        let (deadline, overflowed) = Clock.nowMilliseconds.addingReportingOverflow(timeout)
        guard !overflowed else { return reply.error("ERR timeout is out of range") }
        context.server.pause(until: deadline, onlyWrites: onlyWrites)
        reply.ok()
    }
}

/// CLIENT UNPAUSE: ends CLIENT PAUSE.
public enum CLIENT_UNPAUSE: SessionCommand {
    public static let spec = CommandSpec(
        "client|unpause", arity: 2, CLIENT.administration, since: "6.2.0",
        complexity: "O(N) Where N is the number of paused clients",
        summary: "Resumes processing commands from paused clients.")

    public static func run(
        _ arguments: Arguments, _ context: inout CommandContext, _ reply: inout ReplyWriter
    ) {
        context.server.unpause()
        reply.ok()
    }
}

/// CLIENT NO-EVICT ON | OFF: whether the session is exempt when clients are disconnected to free
/// memory.
public enum CLIENT_NO_EVICT: SessionCommand {
    public static let spec = CommandSpec(
        "client|no-evict", arity: 3, CLIENT.administration, usage: "(ON | OFF)", since: "7.0.0",
        complexity: "O(1)", summary: "Sets the client eviction mode of the connection.")

    public static func run(
        _ arguments: Arguments, _ context: inout CommandContext, _ reply: inout ReplyWriter
    ) {
        guard let isOn = arguments[2].onOrOff else { return reply.error(.syntax) }
        context.session.pointee.isNoEvict = isOn
        reply.ok()
    }
}

/// CLIENT NO-TOUCH ON | OFF: whether the session's reads keep access times as they are.
public enum CLIENT_NO_TOUCH: SessionCommand {
    public static let spec = CommandSpec(
        "client|no-touch", arity: 3, CLIENT.own, usage: "(ON | OFF)", since: "7.2.0",
        complexity: "O(1)",
        summary: "Controls whether commands sent by the client affect the LRU/LFU of accessed keys."
    )

    public static func run(
        _ arguments: Arguments, _ context: inout CommandContext, _ reply: inout ReplyWriter
    ) {
        guard let isOn = arguments[2].onOrOff else { return reply.error(.syntax) }
        context.session.pointee.leavesAccessTime = isOn
        reply.ok()
    }
}

extension Bytes {
    /// True for ON, false for OFF, nil for anything else.
    fileprivate var onOrOff: Bool? {
        isKeyword("ON") ? true : isKeyword("OFF") ? false : nil
    }
}

/// CLIENT HELP.
public enum CLIENT_HELP: SessionCommand {
    public static let spec = CommandSpec(
        "client|help", arity: 2, [.loading, .stale], since: "5.0.0", complexity: "O(1)",
        summary: "Returns helpful text about the different subcommands.")

    public static func run(
        _ arguments: Arguments, _ context: inout CommandContext, _ reply: inout ReplyWriter
    ) {
        reply.help(
            "CLIENT",
            [
                "GETNAME", "    Return the name of the current connection.",
                "ID", "    Return the ID of the current connection.",
                "INFO", "    Return information about the current client connection.",
                "KILL <ip:port>", "    Kill connection made from <ip:port>.",
                "KILL <option> <value> [<option> <value> [...]]",
                "    Kill connections. Options are:", "    * ADDR (<ip:port>|<unixsocket>:0)",
                "      Kill connections made from the specified address",
                "    * LADDR (<ip:port>|<unixsocket>:0)",
                "      Kill connections made to specified local address",
                "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)", "      Kill connections by type.",
                "    * USER <username>", "      Kill connections authenticated by <username>.",
                "    * SKIPME (YES|NO)", "      Skip killing current connection (default: yes).",
                "    * MAXAGE <maxage>", "      Kill connections older than the specified age.",
                "LIST [options ...]",
                "    Return information about client connections. Options:",
                "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
                "      Return clients of specified type.", "    * ID <id> [<id> ...]",
                "      Return clients of the specified IDs.", "UNPAUSE",
                "    Stop the current client pause, resuming traffic.",
                "PAUSE <timeout> [WRITE|ALL]",
                "    Suspend all, or just write, clients for <timeout> milliseconds.",
                "REPLY (ON|OFF|SKIP)", "    Control the replies sent to the current connection.",
                "SETNAME <name>", "    Assign the name <name> to the current connection.",
                "SETINFO <option> <value>",
                "    Set client meta attr. Options are LIB-NAME and LIB-VER.",
                "NO-EVICT (ON|OFF)", "    Protect current client connection from eviction.",
                "NO-TOUCH (ON|OFF)", "    Will not touch LRU/LFU stats when this mode is on.",
            ])
    }
}
