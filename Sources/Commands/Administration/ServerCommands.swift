// SPDX-License-Identifier: Apache-2.0
import Base
import Storage
import Wire

/// TIME: the wall time in seconds and microseconds.
public enum TIME: SessionCommand {
    public static let spec = CommandSpec(
        "time", arity: 1, [.loading, .stale, .fast, .countedLater],
        since: "2.6.0", complexity: "O(1)",
        summary: "Returns the server time.", tips: ["nondeterministic_output"])

    public static func run(
        _ arguments: Arguments, _ context: inout CommandContext, _ reply: inout ReplyWriter
    ) {
        let now = Clock.nowMicroseconds
        reply.array(2)
        reply.bulk(now / 1_000_000)
        reply.bulk(now % 1_000_000)
    }
}

/// LOLWUT [VERSION version]: a drawing of a swift, and the version.
public enum LOLWUT: SessionCommand {
    public static let spec = CommandSpec(
        "lolwut", arity: -1, [.readOnly, .fast], usage: "[VERSION version:integer]",
        since: "5.0.0", complexity: "O(1)", summary: "Displays computer art and the version.")

    private static let swift: [String] = [
        "        __                     __",
        "   .--\"\"  \"-.    .---.    .-\"  \"\"--.",
        "  '-._       \"--' o   '--\"       _.-'",
        "      \"--._       V        _.--\"",
        "           \"-.         .-\"",
        "              \\  | |  /",
        "               '-' '-'",
    ]

    public static func run(
        _ arguments: Arguments, _ context: inout CommandContext, _ reply: inout ReplyWriter
    ) {
        if arguments.count >= 3, arguments[1].isKeyword("VERSION") {
            guard ASCIIInteger.parse(arguments[2]) != nil else { return reply.error(.notInteger) }
        }
        // Each reply has a few more birds, at random places.
        var text = ""
        for _ in 0..<3 {
            let column = Int(context.worker.pointee.random.next(below: 34))
            text += String(repeating: " ", count: column) + "~v~\n"
        }
        text += swift.joined(separator: "\n")
        text += "\n\nMartlet ver. \(Version.martlet), as Redis ver. \(Version.redis)\n"
        reply.verbatim(text)
    }
}

/// INFO [section …]: facts and counters of the server, in lines of name:value.
public enum INFO: SessionCommand {
    public static let spec = CommandSpec(
        "info", arity: -1, [.loading, .stale], usage: "[section ...]", since: "1.0.0",
        complexity: "O(1)", summary: "Returns information and statistics about the server.",
        tips: [
            "nondeterministic_output", "request_policy:all_shards", "response_policy:special",
        ], categories: ["dangerous"])

    public static func run(
        _ arguments: Arguments, _ context: inout CommandContext, _ reply: inout ReplyWriter
    ) {
        let sections = (1..<arguments.count).map {
            arguments[$0].lowercased
        }
        let tenant = context.session.pointee.tenant
        reply.verbatim(
            context.server.information(sections, for: tenant, on: context.worker))
    }
}

/// SHUTDOWN [NOSAVE | SAVE] [NOW] [FORCE] [ABORT]: drains and stops the server.
public enum SHUTDOWN: SessionCommand {
    public static let spec = CommandSpec(
        "shutdown", arity: -1, [.admin, .noScript, .loading, .stale, .noMulti, .allowBusy],
        usage: "[NOSAVE | SAVE] [NOW] [FORCE] [ABORT]", since: "1.0.0", complexity: "O(1)",
        summary: "Shuts down the server.")

    public static func run(
        _ arguments: Arguments, _ context: inout CommandContext, _ reply: inout ReplyWriter
    ) {
        var saves: Bool?
        var isHurried = false
        var aborts = false
        var options = OptionReader(arguments, from: 1)
        while let option = options.next() {
            if option.isKeyword("SAVE"), saves != false {
                saves = true
            } else if option.isKeyword("NOSAVE"), saves != true {
                saves = false
            } else if option.isKeyword("NOW") || option.isKeyword("FORCE") {
                isHurried = true
            } else if option.isKeyword("ABORT") {
                aborts = true
            } else {
                return reply.error(.syntax)
            }
        }
        if aborts {
            guard saves == nil, !isHurried else { return reply.error(.syntax) }
            guard context.server.shutdown(abort: true) else {
                return reply.error("ERR No shutdown in progress.")
            }
            return reply.ok()
        }
        guard saves != true else {
            return reply.error("ERR Errors trying to SHUTDOWN. Check logs.")
        }
        if context.server.shutdown(abort: false) {
            // As in Redis there is no reply: the connection closes.
            context.action = .close
        } else {
            reply.error("ERR Errors trying to SHUTDOWN. Check logs.")
        }
    }
}

extension Families {
    /// The server as a whole.
    static let server = Family(
        group: "server",
        [
            .session(TIME.self), .session(LOLWUT.self), .session(INFO.self),
            .session(SHUTDOWN.self), .session(DEBUG.self),
            .container(
                CONFIG.self,
                [
                    .session(CONFIG_GET.self), .session(CONFIG_SET.self),
                    .session(CONFIG_REWRITE.self), .session(CONFIG_RESETSTAT.self),
                    .session(CONFIG_HELP.self),
                ]),
            .container(
                SLOWLOG.self,
                [
                    .session(SLOWLOG_GET.self), .session(SLOWLOG_LEN.self),
                    .session(SLOWLOG_RESET.self), .session(SLOWLOG_HELP.self),
                ]),
            .container(
                LATENCY.self,
                [
                    .session(LATENCY_LATEST.self), .session(LATENCY_HISTORY.self),
                    .session(LATENCY_RESET.self), .session(LATENCY_HISTOGRAM.self),
                    .session(LATENCY_HELP.self),
                ]),
            .container(
                COMMAND.self,
                [
                    .session(COMMAND_COUNT.self), .session(COMMAND_DOCS.self),
                    .session(COMMAND_GETKEYS.self), .session(COMMAND_GETKEYSANDFLAGS.self),
                    .session(COMMAND_INFO.self), .session(COMMAND_LIST.self),
                    .session(COMMAND_HELP.self),
                ]),
            .container(
                MEMORY.self,
                [
                    .key(MEMORY_USAGE.self), .session(MEMORY_STATS.self),
                    .session(MEMORY_DOCTOR.self), .session(MEMORY_MALLOC_STATS.self),
                    .session(MEMORY_PURGE.self), .session(MEMORY_HELP.self),
                ]),
        ])
}
