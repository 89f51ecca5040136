// SPDX-License-Identifier: Apache-2.0
import Base
import Storage
import Tenancy

extension Directive {
    /// Every directive there is, with Redis's name where Redis has it. Each has an effect.
    public static let all: [Directive] = network + memory + limits + process + tenants + records

    private static let network: [Directive] = [
        Directive(
            "bind", .words, "127.0.0.1 -::1",
            "Addresses to listen on; * is all of IPv4 and IPv6, a leading - allows one to be "
                + "missing."
        ),
        Directive("port", .integer(0...65535), "6379", "TCP port; 0 is none."),
        Directive("unixsocket", .text, "", "Path of a unix socket to listen on."),
        Directive(
            "unixsocketperm", .octal, "0", "Its permissions, octal; 0 leaves them to the umask."),
        Directive(
            "tcp-backlog", .integer(0...Int(Int32.max)), "511",
            "Connections that may wait to be accepted."),
        Directive(
            "timeout", .integer(0...Int(Int32.max)), "0", isChangeable: true,
            "Seconds after which an idle client is disconnected; 0 is never.",
            apply: number { $0.values.pointee.idleTimeoutSeconds.set($1) }),
        Directive(
            "tcp-keepalive", .integer(0...Int(Int32.max)), "300", isChangeable: true,
            "Seconds between keep-alive probes; 0 is none.",
            apply: number { $0.values.pointee.keepAliveSeconds.set($1) }),
        Directive(
            "protected-mode", .bool, "yes", isChangeable: true,
            "Whether clients from elsewhere are turned away while there is no password.",
            apply: number { $0.values.pointee.protectedMode.set($1) }),
        Directive(
            "requirepass", .text, "", isChangeable: true,
            "The password of the default user; empty is none."),
        Directive(
            "maxclients", .integer(1...Int(UInt32.max)), "10000", isChangeable: true,
            "Connections at a time.",
            apply: number { $0.values.pointee.clientCountMax.set($1) }),
        Directive(
            "client-query-buffer-limit", .memory(1 << 20...Int.max), "1gb", isChangeable: true,
            "Bytes of one unfinished request.",
            apply: number { $0.values.pointee.queryBufferLimit.set($1) }),
        Directive(
            "client-output-buffer-limit", .outputLimits, "normal 0 0 0", isChangeable: true,
            "Bytes of replies that may wait for a client: at most, and for how many seconds a "
                + "lower amount. A quarter and a sixteenth of the memory, 60 s, unless told.",
            apply: { settings, value in
                guard case .words(let words) = value, words.count == 4 else { return }
                settings.values.pointee.outputHardLimit.set(Int(words[1]) ?? 0)
                settings.values.pointee.outputSoftLimit.set(Int(words[2]) ?? 0)
                settings.values.pointee.outputSoftSeconds.set(Int(words[3]) ?? 0)
            }),
        Directive(
            "proto-max-bulk-len", .memory(1 << 20...Entry.valueSizeMax), "512mb",
            isChangeable: true, "Bytes of one argument; no value is longer than 512mb.",
            apply: number { $0.values.pointee.bulkSizeMax.set($1) }),
        Directive(
            "http-port", .off([["0"]], reason: "HTTP is not served yet: only 0, off, is accepted"),
            "0", "Port of the HTTP interface; 0 is off."),
    ]

    private static let memory: [Directive] = [
        Directive(
            "maxmemory", .memory(0...Int.max), "0", isChangeable: true,
            "Bytes that all keys may take; 0 is no limit. In a container 75 % of its limit "
                + "unless told.",
            apply: number { $0.values.pointee.memoryMax.set($1) }),
        Directive(
            "maxmemory-policy",
            .choice([
                "volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl", "allkeys-lru",
                "allkeys-lfu", "allkeys-random", "noeviction",
            ]), "noeviction", isChangeable: true, "Which keys give way when memory is full.",
            apply: { settings, value in
                for policy in EvictionPolicy.allCases where value == .text(policy.name) {
                    settings.values.pointee.evictionPolicy.set(policy.rawValue)
                }
            }),
        Directive(
            "maxmemory-samples", .integer(1...64), "5", isChangeable: true,
            "Candidates that each eviction looks at.",
            apply: number { $0.values.pointee.evictionSamples.set($1) }),
        Directive(
            "lfu-log-factor", .integer(0...Int(Int32.max)), "10", isChangeable: true,
            "How slowly the counter of accesses rises.",
            apply: number { $0.values.pointee.frequencyLogFactor.set($1) }),
        Directive(
            "lfu-decay-time", .integer(0...Int(Int32.max)), "1", isChangeable: true,
            "Minutes after which the counter of accesses falls by one.",
            apply: number { $0.values.pointee.frequencyDecayMinutes.set($1) }),
    ]

    private static let limits: [Directive] = [
        Directive(
            "hash-max-listpack-entries", alias: "hash-max-ziplist-entries", .integer(0...Int.max),
            "512", isChangeable: true, "Fields up to which a hash is packed.",
            apply: number { $0.values.pointee.hashMaxPackedEntries.set($1) }),
        Directive(
            "hash-max-listpack-value", alias: "hash-max-ziplist-value", .memory(0...Int.max), "64",
            isChangeable: true, "Bytes of a field or value up to which a hash is packed.",
            apply: number { $0.values.pointee.hashMaxPackedValueSize.set($1) }),
        Directive(
            "set-max-intset-entries", .integer(0...Int.max), "512", isChangeable: true,
            "Integers up to which a set is a sorted array.",
            apply: number { $0.values.pointee.setMaxIntegerEntries.set($1) }),
        Directive(
            "set-max-listpack-entries", .integer(0...Int.max), "128", isChangeable: true,
            "Members up to which a set is packed.",
            apply: number { $0.values.pointee.setMaxPackedEntries.set($1) }),
        Directive(
            "set-max-listpack-value", .memory(0...Int.max), "64", isChangeable: true,
            "Bytes of a member up to which a set is packed.",
            apply: number { $0.values.pointee.setMaxPackedValueSize.set($1) }),
        Directive(
            "databases", .integer(1...16), "16", "Databases that SELECT reaches.",
            apply: number { $0.values.pointee.databaseCount.set($1) }),
    ]

    private static let process: [Directive] = [
        Directive(
            "threads", .integer(1...256), "1",
            "Threads that serve clients; unless told one for each core, and one on two cores."),
        Directive(
            "loglevel", .choice(["debug", "verbose", "notice", "warning"]), "notice",
            isChangeable: true, "The least important lines that are logged.",
            apply: { _, value in
                for level in Log.Level.allCases where value == .text("\(level)") {
                    Log.standard.level = level
                }
            }),
        Directive("logfile", .text, "", "File of the log; empty is standard output."),
        Directive("dir", .text, ".", "The working directory."),
        Directive("pidfile", .text, "", "File for the process id; empty is none."),
        Directive(
            "daemonize",
            .off([["no"]], reason: "Martlet stays in the foreground: only 'no' is accepted"),
            "no", "Martlet stays in the foreground, for whatever supervises it."),
        Directive(
            "enable-debug-command", .choice(["no", "yes", "local"]), "no",
            "Who may use DEBUG; local is clients on this machine.",
            apply: { settings, value in
                let access = value == .text("yes") ? 1 : value == .text("local") ? 2 : 0
                settings.values.pointee.debugCommand.set(access)
            }),
        Directive(
            "save",
            .off([[""]], reason: "nothing is saved to disk yet: only \"\", off, is accepted"),
            "", isChangeable: true, "Snapshots; only \"\", none."),
        Directive(
            "appendonly",
            .off([["no"]], reason: "nothing is saved to disk yet: only 'no' is accepted"),
            "no", isChangeable: true, "The append-only file; only no."),
    ]

    private static let tenants: [Directive] = [
        Directive(
            "tenant-key-pattern",
            .lines { words throws(Unacceptable) in
                guard words.count == 1 else { throw Unacceptable("wrong number of arguments") }
                do throws(KeyPattern.Malformed) { _ = try KeyPattern(words[0]) } catch {
                    throw Unacceptable(error.reason)
                }
                return words
            }, "", "Keys that name their tenant, as tenant:{tenant}:*. Once for each pattern."),
        Directive(
            "tenant-plan", .lines { words throws(Unacceptable) in try PlanLine(words).words }, "",
            "A plan: NAME [memory=] [keys=] [ops-per-second=] [ops-per-day=] "
                + "[bandwidth-per-day=] [connections=] "
                + "[at-limit=reject|evict|throttle]. Once for each plan."),
        Directive(
            "tenant", .lines { words throws(Unacceptable) in try TenantLine(words).words }, "",
            "A tenant: ID [plan=] [secret=]. Once for each tenant."),
        Directive("tenants-file", .text, "tenants.conf", "Where created tenants are kept."),
    ]

    private static let records: [Directive] = [
        Directive(
            "postgres-url", .text, "",
            "The PostgreSQL that records come from; DATABASE_URL unless told."),
        Directive(
            "record-source",
            .lines { words throws(Unacceptable) in
                guard words.count > 1 else { throw Unacceptable("wrong number of arguments") }
                return words
            }, "",
            "Keys that a table answers: NAME table=… key=… [key=…] [columns=…] [tenant=COLUMN] "
                + "[plan=COLUMN] "
                + "[format=json|hash] [ttl=] [negative-ttl=] [stale-ttl=]. Once for each source."),
        Directive(
            "record-breaker-threshold", .integer(1...1_000_000), "3",
            "Failures in a row after which PostgreSQL is left alone."),
        Directive(
            "record-breaker-timeout", .integer(1...86_400), "60",
            "Seconds for which it is then left alone."),
    ]

    /// An `apply` for directives that are one number.
    private static func number(
        _ set: @escaping @Sendable (SettingsReference, Int) -> Void
    ) -> @Sendable (SettingsReference, Value) -> Void {
        { settings, value in
            switch value {
            case .integer(let number): set(settings, number)
            case .bool(let flag): set(settings, flag ? 1 : 0)
            default: break
            }
        }
    }
}
