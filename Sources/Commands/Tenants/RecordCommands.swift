// SPDX-License-Identifier: Apache-2.0
import Base
import Storage
import Wire

/// RECORDS: the container of commands on record sources, the tables of PostgreSQL that answer
/// misses.
public enum RECORDS: Command {
    public static let spec = CommandSpec(
        "records", arity: -2, [], since: "0.1.0", complexity: "Depends on subcommand.",
        summary: "A container for commands on record sources.")

    static func write(
        _ sources: [[(name: String, value: String)]], _ reply: ReplyWriter
    ) {
        reply.array(sources.count)
        for source in sources {
            reply.map(source.count)
            for field in source {
                reply.bulk(field.name)
                reply.bulk(field.value)
            }
        }
    }
}

/// RECORDS SOURCES: the sources as they are declared.
public enum RECORDS_SOURCES: SessionCommand {
    public static let spec = CommandSpec(
        "records|sources", arity: 2, TENANT.flags, since: "0.1.0", complexity: "O(N)",
        summary: "Lists record sources.")

    public static func run(
        _ arguments: Arguments, _ context: inout CommandContext, _ reply: inout ReplyWriter
    ) {
        RECORDS.write(context.server.recordSources(), reply)
    }
}

/// RECORDS STATS: the counters of each source.
public enum RECORDS_STATS: SessionCommand {
    public static let spec = CommandSpec(
        "records|stats", arity: 2, TENANT.flags, since: "0.1.0", complexity: "O(N)",
        summary: "Returns statistics of record sources.")

    public static func run(
        _ arguments: Arguments, _ context: inout CommandContext, _ reply: inout ReplyWriter
    ) {
        RECORDS.write(context.server.recordStatistics(), reply)
    }
}

/// RECORDS INVALIDATE source: drops all cached keys of the source. The records thread does so, soon
/// after the reply.
public enum RECORDS_INVALIDATE: SessionCommand {
    public static let spec = CommandSpec(
        "records|invalidate", arity: 3, TENANT.flags, usage: "source", since: "0.1.0",
        complexity: "O(N) where N is the number of cached keys",
        summary: "Drops all cached keys of a record source.")

    public static func run(
        _ arguments: Arguments, _ context: inout CommandContext, _ reply: inout ReplyWriter
    ) {
        guard context.server.invalidateRecords(source: arguments[2].string) else {
            return reply.error("ERR no such record source")
        }
        reply.ok()
    }
}

/// RECORDS LOAD key: begins to load the row of the key, so that its first reader need not wait.
public enum RECORDS_LOAD: SessionCommand {
    public static let spec = CommandSpec(
        "records|load", arity: 3, TENANT.flags, usage: "record-key", since: "0.1.0",
        complexity: "O(1)", summary: "Begins to load the record of a key.")

    public static func run(
        _ arguments: Arguments, _ context: inout CommandContext, _ reply: inout ReplyWriter
    ) {
        guard context.server.loadRecord(arguments[2].array) else {
            return reply.error("ERR no record source answers that key")
        }
        reply.ok()
    }
}

/// RECORDS HELP.
public enum RECORDS_HELP: SessionCommand {
    public static let spec = CommandSpec(
        "records|help", arity: 2, [.loading, .stale], since: "0.1.0", complexity: "O(1)",
        summary: "Returns helpful text about the different subcommands.")

    public static func run(
        _ arguments: Arguments, _ context: inout CommandContext, _ reply: inout ReplyWriter
    ) {
        reply.help(
            "RECORDS",
            [
                "SOURCES", "    Return the record sources as they are declared.", "STATS",
                "    Return what each source has done.", "INVALIDATE <source>",
                "    Drop all cached keys of a source.", "LOAD <key>",
                "    Begin to load the record of a key.",
            ])
    }
}
