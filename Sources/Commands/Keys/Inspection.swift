// SPDX-License-Identifier: Apache-2.0
import Base
import Storage
import Wire

/// OBJECT: the container of commands that show how a value is stored.
public enum OBJECT: Command {
    public static let spec = CommandSpec(
        "object", arity: -2, [], since: "2.2.3", complexity: "Depends on the subcommand.",
        summary: "A container for commands that look at how a value is kept.", categories: [])

    static func spec(_ name: String, since: String, summary: String) -> CommandSpec {
        CommandSpec(
            "object|\(name)", arity: 3, [.readOnly], keys: [.one(at: 2, [.readOnly])],
            usage: "key:key", since: since, complexity: "O(1)", summary: summary,
            tips: ["nondeterministic_output"])
    }

    /// The entry of the key; nil after a null reply, if it is missing. Its access time does not
    /// change.
    @inline(__always)
    static func entry(
        _ arguments: Arguments, _ keys: borrowing Hold, _ reply: inout ReplyWriter
    ) -> Entry? {
        guard let found = keys.peek(0) else {
            reply.null()
            return nil
        }
        return found.entry
    }
}

/// OBJECT ENCODING key: the name of the value's encoding.
public enum OBJECT_ENCODING: KeyCommand {
    public static let spec = OBJECT.spec(
        "encoding", since: "2.2.3", summary: "Tells how the value of a key is laid out.")

    public static func run(
        _ arguments: Arguments, _ keys: borrowing Hold, _ reply: inout ReplyWriter
    ) {
        guard let entry = OBJECT.entry(arguments, keys, &reply) else { return }
        reply.bulk(entry.encodingName)
    }
}

/// OBJECT FREQ key: the access counter that LFU policies use.
public enum OBJECT_FREQ: KeyCommand {
    public static let spec = OBJECT.spec(
        "freq", since: "4.0.0", summary: "Tells the logarithmic access counter of a key.")

    public static func run(
        _ arguments: Arguments, _ keys: borrowing Hold, _ reply: inout ReplyWriter
    ) {
        guard let entry = OBJECT.entry(arguments, keys, &reply) else { return }
        guard Access.isFrequency(keys.settings) else {
            return reply.error(
                "ERR An LFU maxmemory policy is not selected, access frequency not tracked. "
                    + Inspection.switchingNote)
        }
        reply.integer(
            Int(Access.frequency(entry.access, now: keys.now, settings: keys.settings)))
    }
}

/// OBJECT IDLETIME key: seconds since the last access.
public enum OBJECT_IDLETIME: KeyCommand {
    public static let spec = OBJECT.spec(
        "idletime", since: "2.2.3", summary: "Tells the seconds since a key was last accessed.")

    public static func run(
        _ arguments: Arguments, _ keys: borrowing Hold, _ reply: inout ReplyWriter
    ) {
        guard let entry = OBJECT.entry(arguments, keys, &reply) else { return }
        guard !Access.isFrequency(keys.settings) else {
            return reply.error(
                "ERR An LFU maxmemory policy is selected, idle time not tracked. "
                    + Inspection.switchingNote)
        }
        reply.integer(Access.idleSeconds(entry.access, now: keys.now))
    }
}

/// OBJECT REFCOUNT key: 1, or for a small integer the count that Redis shows for an object that
/// many keys share.
///
/// Redis shares the integers from 0 to 9999, unless it must keep an access time for each key.
/// Whether a value is shared in Redis also depends on the command that made it: a copy by COPY is
/// not. Here every such integer is in the entry itself, so all of them count as shared.
public enum OBJECT_REFCOUNT: KeyCommand {
    public static let spec = OBJECT.spec(
        "refcount", since: "2.2.3", summary: "Tells how many references a value has.")

    public static func run(
        _ arguments: Arguments, _ keys: borrowing Hold, _ reply: inout ReplyWriter
    ) {
        guard let entry = OBJECT.entry(arguments, keys, &reply) else { return }
        reply.integer(count(of: entry, keys.settings))
    }

    static func count(of entry: Entry, _ settings: SettingsReference) -> Int {
        let isShared =
            isSharing(settings) && entry.type == .string && entry.hasPayload
            && sharedIntegers.contains(entry.payload)
        return isShared ? Int(Int32.max) : 1
    }

    private static let sharedIntegers: Range<Int64> = 0..<10_000

    /// Whether entries need no access time of their own.
    private static func isSharing(_ settings: SettingsReference) -> Bool {
        guard settings.memoryMax > 0 else { return true }
        return EvictionPolicy(rawValue: settings.evictionPolicy)?.ranksByAccess != true
    }
}

/// OBJECT HELP.
public enum OBJECT_HELP: SessionCommand {
    public static let spec = CommandSpec(
        "object|help", arity: 2, [.loading, .stale], since: "6.2.0", complexity: "O(1)",
        summary: "Shows what the subcommands do.")

    public static func run(
        _ arguments: Arguments, _ context: inout CommandContext, _ reply: inout ReplyWriter
    ) {
        reply.help(
            "OBJECT",
            [
                "ENCODING <key>",
                "    Return the kind of internal representation used in order to store the value",
                "    associated with a <key>.",
                "FREQ <key>",
                "    Return the access frequency index of the <key>. The returned integer is",
                "    proportional to the logarithm of the recent access frequency of the key.",
                "IDLETIME <key>",
                "    Return the idle time of the <key>, that is the approximated number of",
                "    seconds elapsed since the last access to the key.",
                "REFCOUNT <key>",
                "    Return the number of references of the value associated with the specified",
                "    <key>.",
            ])
    }
}

private enum Inspection {
    static let switchingNote =
        "Please note that when switching between policies at runtime LRU and LFU data will take "
        + "some time to adjust."
}
