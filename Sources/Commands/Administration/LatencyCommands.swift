// SPDX-License-Identifier: Apache-2.0
import Base
import Wire

/// LATENCY: the container of commands on what took long.
public enum LATENCY: Command {
    public static let spec = CommandSpec(
        "latency", arity: -2, [], since: "2.8.13", complexity: "Depends on subcommand.",
        summary: "A container for latency diagnostics commands.")

    static let flags: CommandFlags = [.admin, .noScript, .loading, .stale]
    static let tips = [
        "nondeterministic_output", "request_policy:all_nodes", "response_policy:special",
    ]
}

/// LATENCY LATEST: the last and the worst event of each kind.
public enum LATENCY_LATEST: SessionCommand {
    public static let spec = CommandSpec(
        "latency|latest", arity: 2, LATENCY.flags, since: "2.8.13", complexity: "O(1)",
        summary: "Returns the latest latency samples for all events.", tips: LATENCY.tips)

    public static func run(
        _ arguments: Arguments, _ context: inout CommandContext, _ reply: inout ReplyWriter
    ) {
        let events = context.server.latencyEvents
        let all = LatencyEvents.Kind.allCases.compactMap { kind in
            events.series(of: kind).map { (kind, $0) }
        }
        reply.array(all.count)
        for (kind, series) in all {
            reply.array(4)
            reply.bulk(kind.rawValue)
            reply.integer(series.samples.last?.time ?? 0)
            reply.integer(series.samples.last?.milliseconds ?? 0)
            reply.integer(series.millisecondsMax)
        }
    }
}

/// LATENCY HISTORY event: the times and durations of one kind of event.
public enum LATENCY_HISTORY: SessionCommand {
    public static let spec = CommandSpec(
        "latency|history", arity: 3, LATENCY.flags, usage: "event", since: "2.8.13",
        complexity: "O(1)", summary: "Returns timestamp-latency samples for an event.",
        tips: LATENCY.tips)

    public static func run(
        _ arguments: Arguments, _ context: inout CommandContext, _ reply: inout ReplyWriter
    ) {
        let kind = LatencyEvents.Kind(rawValue: arguments[2].string)
        let samples = kind.flatMap { context.server.latencyEvents.series(of: $0)?.samples } ?? []
        reply.array(samples.count)
        for sample in samples {
            reply.array(2)
            reply.integer(sample.time)
            reply.integer(sample.milliseconds)
        }
    }
}

/// LATENCY RESET [event …]: forgets events. Replies of how many kinds there were any.
public enum LATENCY_RESET: SessionCommand {
    public static let spec = CommandSpec(
        "latency|reset", arity: -2, LATENCY.flags, usage: "[event ...]", since: "2.8.13",
        complexity: "O(1)", summary: "Resets the latency data for one or more events.",
        tips: ["request_policy:all_nodes", "response_policy:all_succeeded"])

    public static func run(
        _ arguments: Arguments, _ context: inout CommandContext, _ reply: inout ReplyWriter
    ) {
        let events = context.server.latencyEvents
        var kinds = LatencyEvents.Kind.allCases
        if arguments.count > 2 {
            kinds = (2..<arguments.count).compactMap {
                LatencyEvents.Kind(rawValue: arguments[$0].string)
            }
        }
        reply.integer(kinds.filter(events.reset).count)
    }
}

/// LATENCY HISTOGRAM [command …]: how often commands took how long, while `latency-tracking` was
/// on.
public enum LATENCY_HISTOGRAM: SessionCommand {
    public static let spec = CommandSpec(
        "latency|histogram", arity: -2, LATENCY.flags, usage: "[command ...]", since: "7.0.0",
        complexity: "O(N) where N is the number of commands with latency information",
        summary: "Returns the cumulative distribution of latencies of commands.",
        tips: LATENCY.tips)

    public static func run(
        _ arguments: Arguments, _ context: inout CommandContext, _ reply: inout ReplyWriter
    ) {
        let table = context.server.commands
        var asked = table.all
        if arguments.count > 2 {
            asked = (2..<arguments.count).compactMap { COMMAND.find(arguments[$0], table) }
        }
        let entries = asked.flatMap { [$0] + $0.subcommands.map { $0.pointee } }
        let found = entries.compactMap { entry in
            context.server.latencyDistribution(entry.number).map { (entry.spec.name, $0) }
        }
        let perMicrosecond = context.server.ticksPerMicrosecond
        reply.map(found.count)
        for (name, distribution) in found {
            let lines = distribution.cumulative(perMicrosecond: perMicrosecond)
            reply.bulk(name)
            reply.map(2)
            reply.bulk("calls" as StaticString)
            reply.integer(distribution.total)
            reply.bulk("histogram_usec" as StaticString)
            reply.map(lines.count)
            for line in lines {
                reply.integer(line.microseconds)
                reply.integer(line.count)
            }
        }
    }
}

/// LATENCY HELP.
public enum LATENCY_HELP: SessionCommand {
    public static let spec = CommandSpec(
        "latency|help", arity: 2, [.loading, .stale], since: "2.8.13", complexity: "O(1)",
        summary: "Returns helpful text about the different subcommands.")

    public static func run(
        _ arguments: Arguments, _ context: inout CommandContext, _ reply: inout ReplyWriter
    ) {
        reply.help(
            "LATENCY",
            [
                "HISTORY <event>", "    Return time-latency samples for the <event> class.",
                "LATEST", "    Return the latest latency samples for all events.",
                "RESET [<event> ...]",
                "    Reset latency data of one or more <event> classes.",
                "    (default: reset all data for all event classes)", "HISTOGRAM [COMMAND ...]",
                """
                    Return a cumulative distribution of latencies in the format of a histogram \
                for the specified command names.
                """,
                "    If no commands are specified then all histograms are replied.",
            ])
    }
}
