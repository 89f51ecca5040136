// SPDX-License-Identifier: Apache-2.0
import Base
import Storage
import Tenancy

extension Directive {
    /// Every directive, under Redis's name if Redis has it. Each has an effect.
    public static let all: [Directive] =
        network + memory + limits + process + latency + tenants + records

    private static let network: [Directive] = [
        Directive(
            "bind", .words, "127.0.0.1 -::1",
            "Addresses or host names to listen on; * means all of IPv4 and IPv6, a leading - "
                + "allows the address to be missing."
        ),
        Directive("port", .integer(0...65535), "6379", "TCP port; 0 means none."),
        Directive("unixsocket", .text, "", "Path of a unix socket to listen on."),
        Directive(
            "unixsocketperm", .octal, "0",
            "Permissions of the unix socket, octal; 0 means the umask decides."),
        Directive(
            "tcp-backlog", .integer(0...Int(Int32.max)), "511",
            "Maximum number of connections that wait to be accepted."),
        Directive(
            "timeout", .integer(0...Int(Int32.max)), "0", isChangeable: true,
            "Seconds after which an idle client is disconnected; 0 means never.",
            apply: number { $0.values.pointee.idleTimeoutSeconds.set($1) }),
        Directive(
            "tcp-keepalive", .integer(0...Int(Int32.max)), "300", isChangeable: true,
            "Idle seconds before a keep-alive probe; 0 means no probes.",
            apply: number { $0.values.pointee.keepAliveSeconds.set($1) }),
        Directive(
            "protected-mode", .bool, "yes", isChangeable: true,
            "Whether to refuse clients from other machines while there is no password and no "
                + "secret.",
            apply: number { $0.values.pointee.protectedMode.set($1) }),
        Directive(
            "requirepass", .text, "", isChangeable: true,
            "The password of the default user; empty means none."),
        Directive(
            "maxclients", .integer(1...Int(UInt32.max)), "10000", isChangeable: true,
            "Maximum number of connections.",
            apply: number { $0.values.pointee.clientCountMax.set($1) }),
        Directive(
            "client-query-buffer-limit", .memory(1 << 20...Int.max), "1gb", isChangeable: true,
            "Maximum size of an unfinished request. By default a sixteenth of the memory, at most "
                + "1gb.",
            apply: number { $0.values.pointee.queryBufferLimit.set($1) }),
        Directive(
            "client-output-buffer-limit", .outputLimits,
            "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60",
            isChangeable: true,
            "Limits on the replies that wait for a client of a class: a hard limit, a soft limit, "
                + "and the seconds that a client may exceed the soft one. For normal clients, the "
                + "only ones there are yet, a sixteenth of the memory, a quarter of that, and "
                + "60 s.",
            apply: { settings, value in
                guard case .words(let all) = value,
                    let words = outputLimits(of: "normal", in: all)
                else { return }
                func limit(_ word: String) -> Int {
                    Int(word).flatMap { $0 > 0 ? $0 : nil } ?? Settings.outputUnlimited
                }
                settings.values.pointee.outputHardLimit.set(limit(words[1]))
                settings.values.pointee.outputSoftLimit.set(limit(words[2]))
                settings.values.pointee.outputSoftSeconds.set(Int(words[3]) ?? 0)
            }),
        Directive(
            "proto-max-bulk-len", .memory(1 << 20...Entry.valueSizeMax), "512mb",
            isChangeable: true, "Maximum size of an argument; no value is longer than 512mb.",
            apply: number { $0.values.pointee.bulkSizeMax.set($1) }),
        Directive(
            "http-port",
            .off(
                Lack(
                    idle: ["0"], .refused, "HTTP is not served yet: only 0 (off) is accepted")),
            "0", "Port of the HTTP interface; 0 means off."),
    ]

    private static let memory: [Directive] = [
        Directive(
            "maxmemory", .memory(0...Int.max), "0", isChangeable: true,
            "Maximum memory of the process; 0 means no limit. In a container the default is 75 % "
                + "of its limit.",
            apply: number { $0.values.pointee.memoryMax.set($1) }),
        Directive(
            "maxmemory-clients", .memoryOrPercent, "12%", isChangeable: true,
            "Maximum memory of all clients' buffers, beyond which the largest clients are closed: "
                + "bytes, or a part of maxmemory (without one, of the memory); 0 means no limit.",
            apply: number { $0.values.pointee.clientMemoryMax.set($1) }),
        Directive(
            "maxmemory-policy",
            .choice([
                "volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl", "allkeys-lru",
                "allkeys-lfu", "allkeys-random", "noeviction",
            ]), "noeviction", isChangeable: true, "Which keys are evicted when memory is full.",
            apply: { settings, value in
                for policy in EvictionPolicy.allCases where value == .text(policy.name) {
                    settings.values.pointee.evictionPolicy.set(policy.rawValue)
                }
            }),
        Directive(
            "maxmemory-samples", .integer(1...64), "5", isChangeable: true,
            "Candidates that each eviction samples.",
            apply: number { $0.values.pointee.evictionSamples.set($1) }),
        Directive(
            "lfu-log-factor", .integer(0...Int(Int32.max)), "10", isChangeable: true,
            "How slowly the access counter rises.",
            apply: number { $0.values.pointee.frequencyLogFactor.set($1) }),
        Directive(
            "lfu-decay-time", .integer(0...Int(Int32.max)), "1", isChangeable: true,
            "Minutes after which the access counter falls by one.",
            apply: number { $0.values.pointee.frequencyDecayMinutes.set($1) }),
    ]

    private static let limits: [Directive] = [
        Directive(
            "hash-max-listpack-entries", alias: "hash-max-ziplist-entries", .integer(0...Int.max),
            "512", isChangeable: true, "Maximum number of fields in a packed hash.",
            apply: number { $0.values.pointee.hashMaxPackedEntries.set($1) }),
        Directive(
            "hash-max-listpack-value", alias: "hash-max-ziplist-value", .memory(0...Int.max), "64",
            isChangeable: true, "Maximum size of a field or value in a packed hash.",
            apply: number { $0.values.pointee.hashMaxPackedValueSize.set($1) }),
        Directive(
            "set-max-intset-entries", .integer(0...Int.max), "512", isChangeable: true,
            "Maximum number of integers in a set that is a sorted array.",
            apply: number { $0.values.pointee.setMaxIntegerEntries.set($1) }),
        Directive(
            "set-max-listpack-entries", .integer(0...Int.max), "128", isChangeable: true,
            "Maximum number of members in a packed set.",
            apply: number { $0.values.pointee.setMaxPackedEntries.set($1) }),
        Directive(
            "set-max-listpack-value", .memory(0...Int.max), "64", isChangeable: true,
            "Maximum size of a member in a packed set.",
            apply: number { $0.values.pointee.setMaxPackedValueSize.set($1) }),
        Directive(
            "databases", .integer(1...16), "16", "Number of databases that SELECT reaches.",
            apply: number { $0.values.pointee.databaseCount.set($1) }),
    ]

    private static let process: [Directive] = [
        Directive(
            "threads", alias: "io-threads", .integer(1...256), "1",
            "Threads that serve clients. By default one per core, but one on two cores."),
        Directive(
            "loglevel", .choice(["debug", "verbose", "notice", "warning"]), "notice",
            isChangeable: true, "The lowest level that is logged.",
            apply: { _, value in
                for level in Log.Level.allCases where value == .text("\(level)") {
                    Log.standard.level = level
                }
            }),
        Directive("logfile", .text, "", "The log file; empty means standard output."),
        Directive("dir", .text, ".", "The working directory."),
        Directive("pidfile", .text, "", "File for the process id; empty means none."),
        Directive(
            "daemonize",
            .off(
                Lack(
                    idle: ["no"], .noted,
                    "the server stays in the foreground, under its supervisor")),
            "no", "yes has no effect: Martlet stays in the foreground, under its supervisor."),
        Directive(
            "supervised", .choice(["no", "systemd", "auto"]), "no",
            "Who is told when the server is ready: systemd, or with auto whoever set "
                + "NOTIFY_SOCKET."),
        Directive(
            "enable-debug-command", .choice(["no", "yes", "local"]), "no",
            "Who may use DEBUG; local means clients on this machine.",
            apply: { settings, value in
                let access = value == .text("yes") ? 1 : value == .text("local") ? 2 : 0
                settings.values.pointee.debugCommand.set(access)
            }),
        Directive(
            "save",
            .off(
                Lack(
                    idle: [""], .warned,
                    "nothing is saved to disk yet: after a restart the server is empty")),
            "", isChangeable: true, "Snapshots. Not supported: only \"\" can be set."),
        Directive(
            "appendonly",
            .off(
                Lack(
                    idle: ["no"], .refused,
                    "nothing is saved to disk yet: after a restart the server would be empty")),
            "no", isChangeable: true, "The append-only file. Not supported: only no is accepted."),
    ]

    private static let latency: [Directive] = [
        Directive(
            "slowlog-log-slower-than", .integer(-1...Int.max), "10000", isChangeable: true,
            "Microseconds that a request takes to be kept in the slow log; -1 means none is.",
            apply: number { $0.values.pointee.slowLogMicroseconds.set($1) }),
        Directive(
            "slowlog-max-len", .integer(0...Int.max), "128", isChangeable: true,
            "Maximum number of entries in the slow log.",
            apply: number { $0.values.pointee.slowLogCountMax.set($1) }),
        Directive(
            "latency-monitor-threshold", .integer(0...Int.max), "0", isChangeable: true,
            "Milliseconds that an event takes to be kept for LATENCY; 0 means none is.",
            apply: number { $0.values.pointee.latencyThresholdMilliseconds.set($1) }),
        Directive(
            "latency-tracking", .bool, "no", isChangeable: true,
            "Whether the times of all requests are kept, for LATENCY HISTOGRAM and INFO "
                + "latencystats.",
            apply: number { $0.values.pointee.latencyTracking.set($1) }),
    ]

    /// The names of those that decide which requests are looked at again.
    static let observation = Set(latency.map(\.name))

    private static let tenants: [Directive] = [
        Directive(
            "tenant-key-pattern",
            .lines { words throws(Unacceptable) in
                guard words.count == 1 else { throw Unacceptable("wrong number of arguments") }
                do throws(KeyPattern.Malformed) { _ = try KeyPattern(words[0]) } catch {
                    throw Unacceptable(error.reason)
                }
                return words
            }, "", "Keys that name their tenant, such as tenant:{tenant}:*. One line per pattern."),
        Directive(
            "tenant-plan", .lines { words throws(Unacceptable) in try PlanLine(words).words }, "",
            "A plan: NAME [memory=] [keys=] [ops-per-second=] [ops-per-day=] "
                + "[bandwidth-per-day=] [connections=] "
                + "[at-limit=reject|evict|throttle]. One line per plan."),
        Directive(
            "tenant", .lines { words throws(Unacceptable) in try TenantLine(words).words }, "",
            "A tenant: ID [plan=] [secret=]. One line per tenant."),
        Directive("tenants-file", .text, "tenants.conf", "The file that keeps created tenants."),
    ]

    private static let records: [Directive] = [
        Directive(
            "postgres-url", .text, "",
            "The PostgreSQL server with the records. By default the value of DATABASE_URL."),
        Directive(
            "record-source",
            .lines { words throws(Unacceptable) in
                guard words.count > 1 else { throw Unacceptable("wrong number of arguments") }
                return words
            }, "",
            "Keys answered from a table: NAME table=… key=… [key=…] [columns=…] [tenant=COLUMN] "
                + "[plan=COLUMN] "
                + "[format=json|hash] [ttl=] [negative-ttl=] [stale-ttl=]. One line per source."),
        Directive(
            "record-breaker-threshold", .integer(1...1_000_000), "3",
            "Failures in a row that open the circuit breaker to PostgreSQL."),
        Directive(
            "record-breaker-timeout", .integer(1...86_400), "60",
            "Seconds that the circuit breaker stays open."),
    ]

    /// An `apply` for directives with one number.
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
