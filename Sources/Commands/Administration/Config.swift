// SPDX-License-Identifier: Apache-2.0
import Base
import Wire

/// CONFIG: the container of commands on the configuration.
public enum CONFIG: Command {
    public static let spec = CommandSpec(
        "config", arity: -2, [], since: "2.0.0", complexity: "Depends on subcommand.",
        summary: "A container for server configuration commands.")

    static let flags: CommandFlags = [.admin, .noScript, .loading, .stale]
}

/// CONFIG GET pattern …: names and values of the directives that match.
public enum CONFIG_GET: SessionCommand {
    public static let spec = CommandSpec(
        "config|get", arity: -3, CONFIG.flags, usage: "parameter ...", since: "2.0.0",
        complexity: "O(N) when N is the number of configuration parameters provided",
        summary: "Returns the effective values of configuration parameters.")

    public static func run(
        _ arguments: Arguments, _ context: inout CommandContext, _ reply: inout ReplyWriter
    ) {
        let patterns = (2..<arguments.count).map { arguments[$0].array }
        guard let found = context.server.configurationGet(patterns) else {
            return reply.error(.patternTooLong)
        }
        reply.map(found.count)
        for directive in found {
            reply.bulk(directive.name)
            reply.bulk(directive.value)
        }
    }
}

/// CONFIG SET name value …: sets all directives, or on an error none.
public enum CONFIG_SET: SessionCommand {
    public static let spec = CommandSpec(
        "config|set", arity: -4, CONFIG.flags.union(.secretArguments),
        usage: "(parameter value) ...", since: "2.0.0",
        complexity: "O(N) when N is the number of configuration parameters provided",
        summary: "Sets configuration parameters in-flight.",
        tips: ["request_policy:all_nodes", "response_policy:all_succeeded"])

    public static func run(
        _ arguments: Arguments, _ context: inout CommandContext, _ reply: inout ReplyWriter
    ) {
        guard arguments.count.isMultiple(of: 2) else {
            return reply.error(.syntax)
        }
        var changes: [(name: [UInt8], value: [UInt8])] = []
        for index in stride(from: 2, to: arguments.count, by: 2) {
            changes.append((arguments[index].array, arguments[index + 1].array))
        }
        if let refusal = context.server.configurationSet(changes) {
            reply.error("ERR \(refusal)")
        } else {
            reply.ok()
        }
    }
}

/// CONFIG REWRITE: writes the configuration in force to its file.
public enum CONFIG_REWRITE: SessionCommand {
    public static let spec = CommandSpec(
        "config|rewrite", arity: 2, CONFIG.flags, since: "2.8.0", complexity: "O(1)",
        summary: "Persists the effective configuration to file.",
        tips: ["request_policy:all_nodes", "response_policy:all_succeeded"])

    public static func run(
        _ arguments: Arguments, _ context: inout CommandContext, _ reply: inout ReplyWriter
    ) {
        if let refusal = context.server.configurationRewrite() {
            reply.error("ERR \(refusal)")
        } else {
            reply.ok()
        }
    }
}

/// CONFIG RESETSTAT: sets the counters of INFO to zero.
public enum CONFIG_RESETSTAT: SessionCommand {
    public static let spec = CommandSpec(
        "config|resetstat", arity: 2, CONFIG.flags, since: "2.0.0", complexity: "O(1)",
        summary: "Resets the server's statistics.",
        tips: ["request_policy:all_nodes", "response_policy:all_succeeded"])

    public static func run(
        _ arguments: Arguments, _ context: inout CommandContext, _ reply: inout ReplyWriter
    ) {
        context.server.resetStatistics()
        reply.ok()
    }
}

/// CONFIG HELP.
public enum CONFIG_HELP: SessionCommand {
    public static let spec = CommandSpec(
        "config|help", arity: 2, [.loading, .stale], since: "5.0.0", complexity: "O(1)",
        summary: "Returns helpful text about the different subcommands.")

    public static func run(
        _ arguments: Arguments, _ context: inout CommandContext, _ reply: inout ReplyWriter
    ) {
        reply.help(
            "CONFIG",
            [
                "GET <pattern>",
                "    Return parameters matching the glob-like <pattern> and their values.",
                "SET <directive> <value>", "    Set the configuration <directive> to <value>.",
                "RESETSTAT", "    Reset statistics reported by the INFO command.", "REWRITE",
                "    Rewrite the configuration file.",
            ])
    }
}
