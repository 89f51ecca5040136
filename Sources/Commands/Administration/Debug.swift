// SPDX-License-Identifier: Apache-2.0
import Base
import Glibc
import Storage
import Wire

/// DEBUG: commands for tests. `enable-debug-command` allows them to all clients, or with `local` to
/// clients on this machine.
public enum DEBUG: SessionCommand {
    public static let spec = CommandSpec(
        "debug", arity: -2, [.admin, .noScript, .loading, .stale, .debug],
        usage: "subcommand [arg ...]",
        since: "1.0.0", complexity: "Depends on subcommand.",
        summary: "A container for debugging commands.")

    public static func run(
        _ arguments: Arguments, _ context: inout CommandContext, _ reply: inout ReplyWriter
    ) {
        let name = arguments[1]
        let count = arguments.count
        if name.isKeyword("HELP"), count == 2 {
            help(reply)
        } else if name.isKeyword("SLEEP"), count == 3 {
            sleep(arguments[2])
            reply.ok()
        } else if name.isKeyword("SET-TURNS"), count == 3 {
            let isOn = ASCIIInteger.parse(arguments[2]) ?? 0
            let ticks = isOn == 0 ? Int.max : Int(context.server.ticksPerMicrosecond * 1000)
            context.settings.values.pointee.turnTicks.set(ticks)
            reply.ok()
        } else if name.isKeyword("SET-ACTIVE-EXPIRE"), count == 3 {
            let isOn = ASCIIInteger.parse(arguments[2]) ?? 0
            context.settings.values.pointee.activeExpiryEnabled.set(isOn == 0 ? 0 : 1)
            reply.ok()
        } else if name.isKeyword("OBJECT"), count == 3 {
            object(arguments[2], context, &reply)
        } else if name.isKeyword("POPULATE"), count >= 3, count <= 5 {
            populate(arguments, context, &reply)
        } else if name.isKeyword("STRINGMATCH-LEN"), count == 4 {
            stringMatch(arguments, &reply)
        } else if name.isKeyword("LOG"), count == 3 {
            Log.standard.write(.warning, "DEBUG LOG: \(arguments[2].string)")
            reply.ok()
        } else if name.isKeyword("ERROR"), count == 3 {
            reply.uncountedError(arguments[2].array)
        } else if name.isKeyword("PROTOCOL"), count == 3 {
            sample(arguments[2], &reply)
        } else {
            reply.error(
                "ERR unknown subcommand or wrong number of arguments for '\(name.string)'. "
                    + "Try DEBUG HELP."
            )
        }
    }

    public static let forbidden =
        "ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", "
        + "you can run it from a local connection, otherwise you need to set this option in the "
        + "configuration file, and then restart the server."

    /// Whether the session may run commands flagged `debug`. Checked before one runs or is queued.
    public static func isAllowed(
        _ session: SessionReference, _ settings: SettingsReference
    ) -> Bool {
        switch settings.debugCommand {
        case 0: return false
        case 1: return true
        default:
            return session.pointee.isUnixSocket || session.pointee.address.hasPrefix("127.")
                || session.pointee.address.hasPrefix("[::1]")
        }
    }

    /// Blocks the calling thread, and so all sessions that it serves.
    private static func sleep(_ seconds: Bytes) {
        guard var rest = duration(seconds) else { return }
        // Bound: each turn shortens the rest.
        while true {
            var left = timespec()
            // Safety: both are valid during the call.
            guard unsafe nanosleep(&rest, &left) != 0, errno == EINTR else { return }
            rest = left
        }
    }

    /// A number of seconds as a time, at most a year; nil if there is nothing to wait for.
    static func duration(_ seconds: Bytes) -> timespec? {
        guard let wanted = Double(seconds.string), wanted > 0 else { return nil }
        // Why a limit: infinity parses as a number but converts to no integer.
        let limited = min(wanted, 31_536_000)
        let whole = limited.rounded(.down)
        return timespec(
            tv_sec: Int(whole), tv_nsec: min(Int((limited - whole) * 1e9), 999_999_999))
    }

    private static func object(
        _ key: Bytes, _ context: CommandContext, _ reply: inout ReplyWriter
    ) {
        let now = context.now
        let text = context.worker.withEntry(key, in: context.keyspace) { entry -> String? in
            guard let entry, entry.type != .absent, entry.expiry ?? .max > now else { return nil }
            let address = String(entry.address, radix: 16)
            let references = OBJECT_REFCOUNT.count(of: entry, context.settings)
            return "Value at:0x\(address) refcount:\(references) encoding:\(entry.encodingName)  "
                + "serializedlength:\(entry.valueSize) lru:\(entry.access) "
                + "lru_seconds_idle:\(Access.idleSeconds(entry.access, now: now))"
        }
        guard let text else { return reply.error(.noSuchKey) }
        Array(text.utf8).withBytes { reply.simple($0) }
    }

    /// POPULATE count [prefix] [size]: inserts strings named prefix:0, prefix:1 and so on. Existing
    /// keys stay as they are.
    private static func populate(
        _ arguments: Arguments, _ context: CommandContext, _ reply: inout ReplyWriter
    ) {
        guard let count = ASCIIInteger.parse(arguments[2]), count >= 0 else {
            return reply.error(.mustBePositive)
        }
        let prefix = arguments.count > 3 ? arguments[3].string : "key"
        var size: Int?
        if arguments.count > 4 {
            guard let wanted = ASCIIInteger.parse(arguments[4]), wanted >= 0, wanted <= 1 << 29
            else {
                return reply.error(.mustBePositive)
            }
            // As in Redis, 0 is the same as no size.
            size = wanted > 0 ? Int(wanted) : nil
        }
        guard !context.isInsideTransaction else {
            return reply.error("ERR DEBUG POPULATE cannot run inside a transaction")
        }
        let keyspace = context.keyspace
        for number in 0..<count {
            var value = Array("value:\(number)".utf8)
            if let size {
                let padding = [UInt8](repeating: 0, count: max(0, size - value.count))
                value = Array(value.prefix(size)) + padding
            }
            Array("\(prefix):\(number)".utf8).withBytes { key in
                value.withBytes { value in insert(key, value, keyspace, context.worker) }
            }
        }
        reply.ok()
    }

    private static func insert(
        _ key: Bytes, _ value: Bytes, _ keyspace: KeyspaceReference, _ worker: WorkerReference
    ) {
        let hold = Hold(worker, key, in: keyspace, creating: true)
        if hold.find(0) == nil { hold.setString(0, value, replacing: nil, .remove) }
        hold.end()
    }

    /// STRINGMATCH-LEN size pattern: whether the pattern matches `size` letters, to measure what a
    /// match costs.
    private static func stringMatch(_ arguments: Arguments, _ reply: inout ReplyWriter) {
        guard let size = ASCIIInteger.parse(arguments[2]), size >= 0, size <= 1 << 29 else {
            return reply.error(.mustBePositive)
        }
        guard let pattern = Glob(arguments[3]) else { return reply.error(.patternTooLong) }
        let text = [UInt8](repeating: UInt8(ascii: "A"), count: Int(size))
        reply.integer(text.withBytes { pattern.matches($0) } ? 1 : 0)
    }

    /// PROTOCOL type: a sample reply of that type, for authors of clients.
    private static func sample(_ kind: Bytes, _ reply: inout ReplyWriter) {
        switch kind.lowercased {
        case "string": reply.bulk("Hello World" as StaticString)
        case "integer": reply.integer(12345)
        case "double": reply.double(3.141)
        case "null": reply.null()
        case "array":
            reply.array(3)
            for number in 0..<3 { reply.integer(number) }
        case "set":
            reply.set(3)
            for number in 0..<3 { reply.integer(number) }
        case "map":
            reply.map(3)
            for number in 0..<3 {
                reply.integer(number)
                reply.bool(number == 1)
            }
        case "attrib":
            if reply.isRESP3 {
                reply.attribute(1)
                reply.bulk("key-popularity" as StaticString)
                reply.array(2)
                reply.bulk("key:123" as StaticString)
                reply.integer(90)
            }
            reply.bulk("Some real reply following the attribute" as StaticString)
        case "push":
            guard reply.isRESP3 else {
                return reply.error("ERR RESP2 is not supported by this command")
            }
            reply.push(2)
            reply.bulk("server-cpu-usage" as StaticString)
            reply.integer(42)
            reply.bulk("Some real reply following the push reply" as StaticString)
        case "true": reply.bool(true)
        case "false": reply.bool(false)
        case "bignum": reply.bigNumber("1234567999999999999999999999999999999")
        case "verbatim": reply.verbatim("This is a verbatim\nstring")
        default:
            reply.error(
                "ERR Wrong protocol type name. Please use one of the following: "
                    + "string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|"
                    + "false"
            )
        }
    }

    private static func help(_ reply: ReplyWriter) {
        reply.help(
            "DEBUG",
            [
                "ERROR <string>", "    Return a protocol error with <string> as message.",
                "LOG <message>", "    Write <message> to the server log.", "OBJECT <key>",
                "    Show low level info about `key` and associated value.",
                "POPULATE <count> [<prefix>] [<size>]",
                "    Create <count> string keys named key:<num>. If <prefix> is specified then",
                "    it is used instead of the 'key' prefix.", "PROTOCOL <type>",
                "    Reply with a test value of the specified type. <type> can be: string,",
                "    integer, double, bignum, null, array, set, map, attrib, push, verbatim,",
                "    true, false.", "SET-ACTIVE-EXPIRE <0|1>",
                "    Setting it to 0 disables expiring keys in background when they are not",
                "    accessed. Setting it to 1 reenables back the default.", "SET-TURNS <0|1>",
                "    Setting it to 0 lets a session run while it has requests; 1 makes it yield",
                "    after a millisecond, as by default.", "SLEEP <seconds>",
                "    Stop the serving thread for <seconds>. Decimals allowed.",
                "STRINGMATCH-LEN <len> <pattern>",
                "    Match <pattern> against a string of <len> letters A.",
            ])
    }
}
