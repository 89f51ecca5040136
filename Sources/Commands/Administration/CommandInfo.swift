// SPDX-License-Identifier: Apache-2.0
import Base
import Storage
import Wire

/// COMMAND: all commands, as they are declared.
public enum COMMAND: SessionCommand {
    public static let spec = CommandSpec(
        "command", arity: -1, [.loading, .stale], since: "2.8.13",
        complexity: "O(N) where N is the total number of commands",
        summary: "Returns detailed information about all commands.",
        tips: ["nondeterministic_output_order"], categories: ["connection"])

    static let flags: CommandFlags = [.loading, .stale]

    public static func run(
        _ arguments: Arguments, _ context: inout CommandContext, _ reply: inout ReplyWriter
    ) {
        let all = context.server.commands.all
        reply.array(all.count)
        for entry in all { info(entry, reply) }
    }

    /// Replies the ten elements that describe one command.
    static func info(_ entry: CommandTable.Entry, _ reply: ReplyWriter) {
        let spec = entry.spec
        let range = spec.keyRange
        reply.array(10)
        reply.bulk(spec.name)
        reply.integer(spec.arity)
        statuses(spec.flagNames, reply)
        reply.integer(range.first)
        reply.integer(range.last)
        reply.integer(range.step)
        statuses(spec.categoryNames(group: entry.group).map { "@" + $0 }, reply)
        reply.set(spec.tips.count)
        for tip in spec.tips { reply.bulk(tip) }
        reply.set(spec.keys.count)
        for key in spec.keys { keySpec(key, reply) }
        if entry.subcommands.isEmpty {
            reply.set(0)
        } else {
            reply.array(entry.subcommands.count)
            for subcommand in entry.subcommands { info(subcommand.pointee, reply) }
        }
    }

    static func statuses(_ names: [String], _ reply: ReplyWriter) {
        reply.set(names.count)
        for name in names { Array(name.utf8).withBytes { reply.simple($0) } }
    }

    private static func keySpec(_ key: KeySpec, _ reply: ReplyWriter) {
        let begin: Int
        let kind: StaticString
        let find: [(StaticString, Int)]
        switch key.position {
        case .range(let first, let last, let step):
            begin = first
            kind = "range"
            find = [("lastkey", last < 0 ? last : last - first), ("keystep", step), ("limit", 0)]
        case .counted(let count, let first):
            begin = count
            kind = "keynum"
            find = [("keynumidx", 0), ("firstkey", first - count), ("keystep", 1)]
        }
        reply.map(3)
        reply.bulk("flags" as StaticString)
        statuses(key.accessNames, reply)
        reply.bulk("begin_search" as StaticString)
        reply.map(2)
        reply.bulk("type" as StaticString)
        reply.bulk("index" as StaticString)
        reply.bulk("spec" as StaticString)
        reply.map(1)
        reply.bulk("index" as StaticString)
        reply.integer(begin)
        reply.bulk("find_keys" as StaticString)
        reply.map(2)
        reply.bulk("type" as StaticString)
        reply.bulk(kind)
        reply.bulk("spec" as StaticString)
        reply.map(find.count)
        for (name, value) in find {
            reply.bulk(name)
            reply.integer(value)
        }
    }

    /// The declaration of a command such as "get" or a subcommand such as "config|get".
    static func find(_ name: Bytes, _ table: CommandTable) -> CommandTable.Entry? {
        guard let bar = name.firstIndex(of: UInt8(ascii: "|")) else {
            return table.find(name)?.pointee
        }
        guard let container = table.find(name[0..<bar]) else { return nil }
        return CommandTable.subcommand(container, name.suffix(from: bar + 1))?.pointee
    }
}

/// COMMAND COUNT: the number of commands.
public enum COMMAND_COUNT: SessionCommand {
    public static let spec = CommandSpec(
        "command|count", arity: 2, COMMAND.flags, since: "2.8.13", complexity: "O(1)",
        summary: "Returns a count of commands.", categories: ["connection"])

    public static func run(
        _ arguments: Arguments, _ context: inout CommandContext, _ reply: inout ReplyWriter
    ) {
        reply.integer(context.server.commands.all.count)
    }
}

/// COMMAND INFO [name …]: what COMMAND replies, for the named commands.
public enum COMMAND_INFO: SessionCommand {
    public static let spec = CommandSpec(
        "command|info", arity: -2, COMMAND.flags, usage: "[command-name ...]", since: "2.8.13",
        complexity: "O(N) where N is the number of commands to look up",
        summary: "Returns information about one, multiple or all commands.",
        tips: ["nondeterministic_output_order"], categories: ["connection"])

    public static func run(
        _ arguments: Arguments, _ context: inout CommandContext, _ reply: inout ReplyWriter
    ) {
        let table = context.server.commands
        guard arguments.count > 2 else { return COMMAND.run(arguments, &context, &reply) }
        reply.array(arguments.count - 2)
        for index in 2..<arguments.count {
            if let entry = COMMAND.find(arguments[index], table) {
                COMMAND.info(entry, reply)
            } else {
                reply.null()
            }
        }
    }
}

/// COMMAND LIST [FILTERBY MODULE name | ACLCAT category | PATTERN pattern]: names of commands and
/// subcommands.
public enum COMMAND_LIST: SessionCommand {
    public static let spec = CommandSpec(
        "command|list", arity: -2, COMMAND.flags,
        usage: "[FILTERBY (MODULE module-name | ACLCAT category | PATTERN pattern:pattern)]",
        since: "7.0.0", complexity: "O(N) where N is the total number of commands",
        summary: "Returns a list of command names.", tips: ["nondeterministic_output_order"],
        categories: ["connection"])

    public static func run(
        _ arguments: Arguments, _ context: inout CommandContext, _ reply: inout ReplyWriter
    ) {
        var matches: (CommandTable.Entry) -> Bool = { _ in true }
        var options = OptionReader(arguments, from: 2)
        while let option = options.next() {
            guard option.isKeyword("FILTERBY"), let kind = options.value(),
                let value = options.value(), options.isAtEnd
            else { return reply.error(.syntax) }
            if kind.isKeyword("MODULE") {
                matches = { _ in false }
            } else if kind.isKeyword("ACLCAT") {
                let category = value.lowercased
                matches = { $0.spec.categoryNames(group: $0.group).contains(category) }
            } else if kind.isKeyword("PATTERN") {
                guard let pattern = Glob(value, ignoringCase: true) else {
                    return reply.error(.patternTooLong)
                }
                matches = { Array($0.spec.name.utf8).withBytes { pattern.matches($0) } }
            } else {
                return reply.error(.syntax)
            }
        }
        var names: [String] = []
        for entry in context.server.commands.all {
            if matches(entry) { names.append(entry.spec.name) }
            names += entry.subcommands.map { $0.pointee }.filter(matches).map(\.spec.name)
        }
        reply.array(names.count)
        for name in names { reply.bulk(name) }
    }
}

/// COMMAND GETKEYS command …: the keys that a request names.
public enum COMMAND_GETKEYS: SessionCommand {
    public static let spec = CommandSpec(
        "command|getkeys", arity: -3, COMMAND.flags, usage: "command [arg ...]",
        since: "2.8.13", complexity: "O(N) where N is the number of arguments to the command",
        summary: "Extracts the key names from an arbitrary command.", categories: ["connection"])

    public static func run(
        _ arguments: Arguments, _ context: inout CommandContext, _ reply: inout ReplyWriter
    ) {
        COMMAND_GETKEYSANDFLAGS.write(arguments, context, withFlags: false, &reply)
    }
}

/// COMMAND GETKEYSANDFLAGS command …: the keys that a request names, and how it accesses each.
public enum COMMAND_GETKEYSANDFLAGS: SessionCommand {
    public static let spec = CommandSpec(
        "command|getkeysandflags", arity: -3, COMMAND.flags, usage: "command [arg ...]",
        since: "7.0.0", complexity: "O(N) where N is the number of arguments to the command",
        summary: "Extracts the key names and access flags for an arbitrary command.",
        categories: ["connection"])

    public static func run(
        _ arguments: Arguments, _ context: inout CommandContext, _ reply: inout ReplyWriter
    ) {
        write(arguments, context, withFlags: true, &reply)
    }

    static func write(
        _ arguments: Arguments, _ context: CommandContext, withFlags: Bool,
        _ reply: inout ReplyWriter
    ) {
        let request = arguments.dropFirst(2)
        guard let found = context.server.commands.find(request[0]) else {
            return reply.error("ERR Invalid command specified")
        }
        var entry = found.pointee
        if !entry.subcommands.isEmpty, request.count > 1 {
            guard let subcommand = CommandTable.subcommand(found, request[1]) else {
                return reply.error("ERR Invalid command specified")
            }
            entry = subcommand.pointee
        }
        guard !entry.spec.keys.isEmpty else {
            return reply.error("ERR The command has no key arguments")
        }
        guard entry.spec.accepts(argumentCount: request.count) else {
            return reply.error("ERR Invalid number of arguments specified for command")
        }
        var keys: [(index: Int, access: KeyAccess)] = []
        guard entry.spec.forEachKey(request, { keys.append(($0, $1)) }) else {
            return reply.error("ERR Invalid arguments specified for command")
        }
        reply.array(keys.count)
        for key in keys {
            if withFlags { reply.array(2) }
            reply.bulk(request[key.index])
            if withFlags {
                let access = entry.spec.accessOf?(request) ?? key.access
                let spec = KeySpec.one(at: key.index, access)
                COMMAND.statuses(spec.accessNames, reply)
            }
        }
    }
}

/// COMMAND HELP.
public enum COMMAND_HELP: SessionCommand {
    public static let spec = CommandSpec(
        "command|help", arity: 2, COMMAND.flags, since: "5.0.0", complexity: "O(1)",
        summary: "Returns helpful text about the different subcommands.", categories: ["connection"]
    )

    public static func run(
        _ arguments: Arguments, _ context: inout CommandContext, _ reply: inout ReplyWriter
    ) {
        reply.help(
            "COMMAND",
            [
                "(no subcommand)", "    Return details about all commands.", "COUNT",
                "    Return the total number of commands in this server.", "LIST",
                "    Return a list of all commands in this server.", "INFO [<command-name> ...]",
                "    Return details about multiple commands.",
                "    If no command names are given, details for all commands are returned.",
                "DOCS [<command-name> ...]",
                "    Return documentation details about multiple commands.",
                "    If no command names are given, documentation details for all",
                "    commands are returned.", "GETKEYS <full-command>",
                "    Return the keys from a full command.", "GETKEYSANDFLAGS <full-command>",
                "    Return the keys and the access flags from a full command.",
            ])
    }
}
