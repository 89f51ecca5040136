// SPDX-License-Identifier: Apache-2.0
import Base
import Wire

/// SLOWLOG: the container of commands on the slow log.
public enum SLOWLOG: Command {
    public static let spec = CommandSpec(
        "slowlog", arity: -2, [], since: "2.2.12", complexity: "Depends on subcommand.",
        summary: "A container for slow log commands.")

    static let flags: CommandFlags = [.admin, .loading, .stale]
}

/// SLOWLOG GET [count]: the newest entries, newest first.
public enum SLOWLOG_GET: SessionCommand {
    public static let spec = CommandSpec(
        "slowlog|get", arity: -2, SLOWLOG.flags, usage: "[count:integer]", since: "2.2.12",
        complexity: "O(N) where N is the number of entries returned",
        summary: "Returns the slow log's entries.",
        tips: ["request_policy:all_nodes", "nondeterministic_output"])

    private static let usualCount = 10

    public static func run(
        _ arguments: Arguments, _ context: inout CommandContext, _ reply: inout ReplyWriter
    ) {
        guard arguments.count <= 3 else {
            return reply.error(
                "ERR unknown subcommand or wrong number of arguments for '", quoting: arguments[1],
                "'. Try SLOWLOG HELP.")
        }
        var count = usualCount
        if arguments.count == 3 {
            guard let asked = ASCIIInteger.parse(arguments[2]), asked >= -1 else {
                return reply.error("ERR count should be greater than or equal to -1")
            }
            count = asked == -1 ? Int.max : Int(asked)
        }
        let entries = context.server.slowLog.newest(count)
        reply.array(entries.count)
        for entry in entries {
            reply.array(6)
            reply.integer(entry.id)
            reply.integer(entry.time)
            reply.integer(entry.microseconds)
            reply.array(entry.arguments.count)
            for argument in entry.arguments { reply.bulk(argument) }
            reply.bulk(entry.address)
            reply.bulk(entry.name)
        }
    }
}

/// SLOWLOG LEN: the number of entries.
public enum SLOWLOG_LEN: SessionCommand {
    public static let spec = CommandSpec(
        "slowlog|len", arity: 2, SLOWLOG.flags, since: "2.2.12", complexity: "O(1)",
        summary: "Returns the number of entries in the slow log.",
        tips: ["request_policy:all_nodes", "response_policy:agg_sum", "nondeterministic_output"])

    public static func run(
        _ arguments: Arguments, _ context: inout CommandContext, _ reply: inout ReplyWriter
    ) {
        reply.integer(context.server.slowLog.count)
    }
}

/// SLOWLOG RESET: removes all entries.
public enum SLOWLOG_RESET: SessionCommand {
    public static let spec = CommandSpec(
        "slowlog|reset", arity: 2, SLOWLOG.flags, since: "2.2.12",
        complexity: "O(N) where N is the number of entries in the slowlog",
        summary: "Clears all entries from the slow log.",
        tips: ["request_policy:all_nodes", "response_policy:all_succeeded"])

    public static func run(
        _ arguments: Arguments, _ context: inout CommandContext, _ reply: inout ReplyWriter
    ) {
        context.server.slowLog.reset()
        reply.ok()
    }
}

/// SLOWLOG HELP.
public enum SLOWLOG_HELP: SessionCommand {
    public static let spec = CommandSpec(
        "slowlog|help", arity: 2, [.loading, .stale], since: "6.2.0", complexity: "O(1)",
        summary: "Returns helpful text about the different subcommands.")

    public static func run(
        _ arguments: Arguments, _ context: inout CommandContext, _ reply: inout ReplyWriter
    ) {
        reply.help(
            "SLOWLOG",
            [
                "GET [<count>]",
                "    Return top <count> entries from the slowlog (default: 10, -1 mean all).",
                "    Entries are made of:",
                "    id, timestamp, time in microseconds, arguments array, client IP and port,",
                "    client name", "LEN", "    Return the length of the slowlog.", "RESET",
                "    Reset the slowlog.",
            ])
    }
}
