// SPDX-License-Identifier: Apache-2.0
import Base

/// What some values of a directive ask for and this server does not do.
public struct Lack: Sendable {
    /// What becomes of a start that asks for it.
    public enum Consequence: Sendable {
        /// The server starts, and one line of the log says that the directive has no effect.
        case noted
        /// The same, as a warning: the file promises something that users may rely on.
        case warned
        /// The server does not start: it would be less safe than its file says, or lose data.
        case refused
    }

    /// The values that ask for nothing, in lower case.
    let idle: [String]
    let reason: String
    let consequence: Consequence

    init(idle: [String], _ consequence: Consequence, _ reason: String) {
        self.idle = idle
        self.consequence = consequence
        self.reason = reason
    }

    func isIdle(_ words: [String]) -> Bool {
        let text = words.joined(separator: " ")
        return idle.contains(String(decoding: text.utf8.map(ASCII.lower), as: UTF8.self))
    }
}

/// The directives of Redis 7.2 that have no meaning here, each with its reason. A file made for
/// Redis may have them. CONFIG does not know them.
enum UnsupportedDirectives {
    /// Directives with one reason. A name is followed by Redis's older name for it, if it has one.
    private struct Group {
        let reason: String
        let consequence: Lack.Consequence
        let idle: [String]
        let names: [String]

        init(_ reason: String, _ names: [String]) { self.init(reason, .noted, names) }

        init(
            _ reason: String, _ consequence: Lack.Consequence, idle: [String] = [],
            _ names: [String]
        ) {
            self.reason = reason
            self.consequence = consequence
            self.idle = idle
            self.names = names
        }
    }

    /// The directive called `name` in any case, under its own name; nil if there is none.
    static func find(_ name: String) -> (name: String, lack: Lack)? {
        byName[String(decoding: name.utf8.map(ASCII.lower), as: UTF8.self)]
    }

    static var names: [String] { Array(byName.keys) }

    private static let byName: [String: (name: String, lack: Lack)] = {
        var table: [String: (name: String, lack: Lack)] = [:]
        for group in safety + features + tuning {
            let lack = Lack(idle: group.idle, group.consequence, group.reason)
            for line in group.names {
                let names = line.split(separator: " ").map(String.init)
                for name in names {
                    let previous = table.updateValue((names[0], lack), forKey: name)
                    precondition(previous == nil, "directive \(name) is listed twice")
                }
            }
        }
        return table
    }()

    /// What makes a server safer, or keeps data.
    private static let safety: [Group] = [
        Group(
            "commands cannot be renamed: under their own names they would be open to everyone",
            .refused, ["rename-command"]),
        Group(
            "there are no ACL users yet: their passwords and limits would not hold", .refused,
            idle: [""], ["aclfile", "user"]),
        Group(
            "TLS is not served yet: clients would have to send passwords in the clear", .refused,
            idle: ["0", "no"], ["tls-port", "tls-replication", "tls-cluster"]),
        Group(
            "there is no replication yet: this server would hold other data than its master",
            .refused, idle: ["no one", ""], ["replicaof slaveof"]),
        Group(
            "there are no replicas yet that could hold what is written", .refused, idle: ["0"],
            ["min-replicas-to-write min-slaves-to-write"]),
        Group(
            "cluster mode does not exist yet: this server would take every key for its own",
            .refused, idle: ["no"], ["cluster-enabled"]),
        Group(
            "modules cannot be loaded: their commands and checks would be missing", .refused,
            ["loadmodule"]),
    ]

    /// What belongs to features that this server does not have.
    private static let features: [Group] = [
        Group(
            "nothing is saved to disk yet",
            [
                "dbfilename", "rdbcompression", "rdbchecksum", "rdb-del-sync-files",
                "rdb-save-incremental-fsync", "rdb-key-save-delay", "key-load-delay",
                "loading-process-events-interval-bytes", "stop-writes-on-bgsave-error",
                "sanitize-dump-payload", "appendfilename", "appenddirname", "appendfsync",
                "no-appendfsync-on-rewrite", "auto-aof-rewrite-percentage",
                "auto-aof-rewrite-min-size", "aof-load-truncated", "aof-use-rdb-preamble",
                "aof-timestamp-enabled", "aof-rewrite-incremental-fsync", "aof-disable-auto-gc",
                "shutdown-on-sigint", "shutdown-on-sigterm",
            ]),
        Group(
            "there is no replication yet",
            [
                "masterauth", "masteruser", "repl-backlog-size", "repl-backlog-ttl",
                "repl-disable-tcp-nodelay", "repl-diskless-load", "repl-diskless-sync",
                "repl-diskless-sync-delay", "repl-diskless-sync-max-replicas",
                "repl-ping-replica-period repl-ping-slave-period", "repl-timeout",
                "replica-announce-ip slave-announce-ip",
                "replica-announce-port slave-announce-port", "replica-announced",
                "replica-ignore-disk-write-errors",
                "replica-ignore-maxmemory slave-ignore-maxmemory",
                "replica-lazy-flush slave-lazy-flush", "replica-priority slave-priority",
                "replica-read-only slave-read-only",
                "replica-serve-stale-data slave-serve-stale-data",
                "min-replicas-max-lag min-slaves-max-lag", "propagation-error-behavior",
                "bind-source-addr", "shutdown-timeout",
            ]),
        Group(
            "cluster mode does not exist yet",
            [
                "cluster-allow-pubsubshard-when-down", "cluster-allow-reads-when-down",
                "cluster-allow-replica-migration", "cluster-announce-bus-port",
                "cluster-announce-hostname", "cluster-announce-human-nodename",
                "cluster-announce-ip", "cluster-announce-port", "cluster-announce-tls-port",
                "cluster-config-file", "cluster-link-sendbuf-limit", "cluster-migration-barrier",
                "cluster-node-timeout", "cluster-port", "cluster-preferred-endpoint-type",
                "cluster-replica-no-failover cluster-slave-no-failover",
                "cluster-replica-validity-factor cluster-slave-validity-factor",
                "cluster-require-full-coverage",
            ]),
        Group(
            "TLS is not served yet",
            [
                "tls-auth-clients", "tls-ca-cert-dir", "tls-ca-cert-file", "tls-cert-file",
                "tls-ciphers", "tls-ciphersuites", "tls-client-cert-file", "tls-client-key-file",
                "tls-client-key-file-pass", "tls-dh-params-file", "tls-key-file",
                "tls-key-file-pass", "tls-prefer-server-ciphers", "tls-protocols",
                "tls-session-cache-size", "tls-session-cache-timeout", "tls-session-caching",
            ]),
        Group(
            "there are no keyspace notifications yet", .warned, idle: [""],
            ["notify-keyspace-events"]),
        Group("client tracking does not exist yet", ["tracking-table-max-keys"]),
        Group(
            "INFO latencystats shows Redis's default percentiles",
            ["latency-tracking-info-percentiles"]),
        Group("there are no ACL users yet", ["acllog-max-len", "acl-pubsub-default"]),
        Group(
            "there are no scripts and functions yet",
            ["busy-reply-threshold lua-time-limit", "lua-replicate-commands"]),
        Group("modules cannot be loaded", ["enable-module-command"]),
        Group(
            "lists do not exist yet",
            [
                "list-max-listpack-size list-max-ziplist-size", "list-compress-depth",
                "list-max-ziplist-entries", "list-max-ziplist-value",
            ]),
        Group(
            "sorted sets do not exist yet",
            [
                "zset-max-listpack-entries zset-max-ziplist-entries",
                "zset-max-listpack-value zset-max-ziplist-value",
            ]),
        Group("HyperLogLogs do not exist yet", ["hll-sparse-max-bytes"]),
        Group("streams do not exist yet", ["stream-node-max-bytes", "stream-node-max-entries"]),
        Group(
            "the log goes to logfile or to standard output", .warned, idle: ["no"],
            ["syslog-enabled"]),
        Group(
            "the log goes to logfile or to standard output", ["syslog-ident", "syslog-facility"]),
    ]

    /// What tunes parts of Redis that this server does not have or does in another way.
    private static let tuning: [Group] = [
        Group(
            "no timer runs at a fixed rate: work is done when it is due",
            ["hz", "dynamic-hz", "active-expire-effort"]),
        Group("tables grow in small steps", ["activerehashing"]),
        Group(
            "large values are always freed in the background",
            [
                "lazyfree-lazy-eviction", "lazyfree-lazy-expire", "lazyfree-lazy-server-del",
                "lazyfree-lazy-user-del", "lazyfree-lazy-user-flush",
            ]),
        Group(
            "memory is not moved to make it denser",
            [
                "activedefrag", "active-defrag-cycle-max", "active-defrag-cycle-min",
                "active-defrag-ignore-bytes", "active-defrag-max-scan-fields",
                "active-defrag-threshold-lower", "active-defrag-threshold-upper",
            ]),
        Group("the allocator has no thread of its own here", ["jemalloc-bg-thread"]),
        Group("each eviction frees what the next command needs", ["maxmemory-eviction-tenacity"]),
        Group(
            "threads is the number of threads that serve clients",
            ["io-threads-do-reads"]),
        Group(
            "the system chooses the core of each thread",
            ["server_cpulist", "bio_cpulist", "aof_rewrite_cpulist", "bgsave_cpulist"]),
        Group(
            "the process keeps the name and the settings that it is started with",
            [
                "set-proc-title", "proc-title-template", "oom-score-adj", "oom-score-adj-values",
                "disable-thp", "socket-mark-id", "locale-collate",
            ]),
        Group("there is no logo", ["always-show-logo"]),
        Group("there are no such warnings", ["ignore-warnings"]),
        Group(
            "a crash is left to the system",
            [
                "crash-log-enabled", "crash-memcheck-enabled", "use-exit-on-panic",
                "watchdog-period",
            ]),
        Group(
            "CONFIG SET changes no directive that Redis protects", ["enable-protected-configs"]),
    ]
}
