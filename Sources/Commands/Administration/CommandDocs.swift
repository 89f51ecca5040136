// SPDX-License-Identifier: Apache-2.0
import Base
import Storage
import Wire

/// COMMAND DOCS [name …]: documentation for people, and the arguments as a tree.
public enum COMMAND_DOCS: SessionCommand {
    public static let spec = CommandSpec(
        "command|docs", arity: -2, COMMAND.flags, usage: "[command-name ...]", since: "7.0.0",
        complexity: "O(N) where N is the number of commands to look up",
        summary: "Returns documentary information about one, multiple or all commands.",
        tips: ["nondeterministic_output_order"], categories: ["connection"])

    public static func run(
        _ arguments: Arguments, _ context: inout CommandContext, _ reply: inout ReplyWriter
    ) {
        let table = context.server.commands
        var found: [CommandTable.Entry] = []
        if arguments.count == 2 {
            found = table.all
        } else {
            for index in 2..<arguments.count {
                if let entry = COMMAND.find(arguments[index], table) { found.append(entry) }
            }
        }
        reply.map(found.count)
        for entry in found { docs(entry, reply) }
    }

    private static func docs(_ entry: CommandTable.Entry, _ reply: ReplyWriter) {
        let spec = entry.spec
        let usage = CommandUsage.parse(spec.usage) ?? []
        reply.bulk(spec.name)
        reply.map(4 + (usage.isEmpty ? 0 : 1) + (entry.subcommands.isEmpty ? 0 : 1))
        pair("summary", spec.summary, reply)
        pair("since", spec.since, reply)
        pair("group", entry.group, reply)
        pair("complexity", spec.complexity, reply)
        if !usage.isEmpty {
            reply.bulk("arguments" as StaticString)
            var keyCount = 0
            tree(usage, keySpecCount: spec.keys.count, &keyCount, reply)
        }
        if !entry.subcommands.isEmpty {
            reply.bulk("subcommands" as StaticString)
            reply.map(entry.subcommands.count)
            for subcommand in entry.subcommands { docs(subcommand.pointee, reply) }
        }
    }

    private static func pair(_ name: StaticString, _ value: String, _ reply: ReplyWriter) {
        reply.bulk(name)
        reply.bulk(value)
    }

    /// Keys take the key specifications in order; the last specification serves all further keys.
    private static func tree(
        _ items: [CommandUsage], keySpecCount: Int, _ keyCount: inout Int, _ reply: ReplyWriter
    ) {
        reply.array(items.count)
        for item in items {
            let mark = reply.begin()
            var count = 2
            pair("name", item.name, reply)
            var parts: [CommandUsage] = []
            switch item.kind {
            case .argument(let type):
                pair("type", type, reply)
                pair("display_text", item.name, reply)
                count += 1
                if type == "key" {
                    reply.bulk("key_spec_index" as StaticString)
                    reply.integer(min(keyCount, max(0, keySpecCount - 1)))
                    keyCount += 1
                    count += 1
                }
            case .token:
                pair("type", "pure-token", reply)
                pair("display_text", item.name, reply)
                count += 1
            case .block(let items):
                pair("type", "block", reply)
                parts = items
            case .choice(let items):
                pair("type", "oneof", reply)
                parts = items
            }
            if let token = item.token {
                pair("token", token, reply)
                count += 1
            }
            let flags =
                (item.isOptional ? ["optional"] : []) + (item.isRepeated ? ["multiple"] : [])
            if !flags.isEmpty {
                reply.bulk("flags" as StaticString)
                COMMAND.statuses(flags, reply)
                count += 1
            }
            if !parts.isEmpty {
                reply.bulk("arguments" as StaticString)
                tree(parts, keySpecCount: keySpecCount, &keyCount, reply)
                count += 1
            }
            reply.finish(mark, .map, count: count)
        }
    }
}
