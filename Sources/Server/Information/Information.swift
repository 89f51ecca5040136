// SPDX-License-Identifier: Apache-2.0
import Base
import CLinux
import Commands
import Glibc
import Sessions
import Storage
import Synchronization

/// INFO's text: sections of "name:value" lines, with Redis's names where Redis has the figure.
///
/// A Redis field is here, with Redis's name and format, if it says something true of Martlet.
/// Fields of parts that Martlet does not have (replication, forks, scripts, tracking, a timer that
/// beats `hz` times) are left out, except for the few that clients decide by. A tenant sees the
/// server's version and its own figures, nothing about others.
struct Information {
    typealias Lines = [(name: String, value: String)]

    let server: Server
    /// The caller's worker, for its locks and its random numbers.
    let worker: WorkerReference
    private(set) var text = ""

    private static let sections = [
        "server", "clients", "memory", "persistence", "stats", "replication", "cpu", "modules",
        "commandstats", "errorstats", "cluster", "keyspace", "tenants", "records",
    ]
    /// Sections that only "all" and their own name show.
    private static let onlyWhenNamed: Set<String> = ["commandstats"]
    private static let forTenants: Set<String> = ["server", "keyspace", "tenants"]

    /// Headings that are more than the section's name with a capital.
    private static let headings = ["cpu": "CPU"]

    static func text(
        of server: Server, _ asked: [String], for tenant: TenantReference,
        on worker: WorkerReference
    ) -> String {
        let isTenant = tenant != server.registry.server
        let isAll = asked.contains("all") || asked.contains("everything")
        let isUsual = asked.isEmpty || asked.contains("default")
        var information = Information(server: server, worker: worker)
        for section in sections {
            if isTenant && !forTenants.contains(section) { continue }
            let isShown =
                isAll || asked.contains(section)
                || (isUsual && !onlyWhenNamed.contains(section))
            if isShown { information.add(section, isTenant ? tenant : nil) }
        }
        return information.text
    }

    private init(server: Server, worker: WorkerReference) {
        self.server = server
        self.worker = worker
    }

    /// `tenant`: the only tenant to show; nil shows all.
    private mutating func add(_ section: String, _ tenant: TenantReference?) {
        let lines: Lines
        switch section {
        case "server": lines = serverLines.filter { tenant == nil || $0.name.hasSuffix("version") }
        case "clients": lines = clientLines
        case "memory": lines = memoryLines
        case "persistence":
            // Why no more: nothing is kept on disk. Clients wait until these two are 0, and Martlet
            // answers nobody before it is ready.
            lines = [("loading", "0"), ("async_loading", "0")]
        case "stats": lines = statisticsLines
        case "replication":
            lines = [
                ("role", "master"), ("connected_slaves", "0"), ("master_replid", server.runID),
                ("master_repl_offset", "0"),
            ]
        case "cpu": lines = cpuLines
        case "commandstats": lines = commandLines
        case "errorstats":
            lines = server.errorTotals().map { ("errorstat_\($0.word)", "count=\($0.count)") }
        case "cluster": lines = [("cluster_enabled", "0")]
        case "keyspace": lines = keyspaceLines(tenant.map { [$0] } ?? server.tenants)
        case "tenants": lines = tenant.map { [Information.line(of: $0)] } ?? tenantLines
        case "records": lines = recordLines
        default: lines = []
        }
        if !text.isEmpty { text += "\r\n" }
        let capitalized = section.prefix(1).uppercased() + section.dropFirst()
        text += "# \(Information.headings[section] ?? capitalized)\r\n"
        for line in lines { text += "\(line.name):\(line.value)\r\n" }
    }

    // MARK: - Sections

    private var serverLines: Lines {
        let uptime = max(0, (Clock.nowMicroseconds - server.startedAtMicroseconds) / 1_000_000)
        return [
            ("redis_version", Version.redis), ("martlet_version", Version.martlet),
            ("redis_mode", "standalone"), ("os", System.name), ("arch_bits", "64"),
            ("monotonic_clock", "POSIX clock_gettime"), ("multiplexing_api", "epoll"),
            ("process_id", "\(getpid())"),
            // A supervisor is not told when Martlet is ready.
            ("process_supervised", "no"), ("run_id", server.runID),
            ("tcp_port", "\(server.configuration.integer("port"))"),
            ("server_time_usec", "\(Clock.nowMicroseconds)"), ("uptime_in_seconds", "\(uptime)"),
            ("uptime_in_days", "\(uptime / 86_400)"),
            ("lru_clock", "\((Clock.nowMilliseconds / 1000) & 0xFF_FFFF)"),
            ("executable", System.executable), ("config_file", server.configuration.file ?? ""),
            ("io_threads_active", server.reactors.count > 1 ? "1" : "0"),
            ("threads", "\(server.reactors.count)"),
        ] + listenerLines
    }

    /// The server's listeners, by Redis's numbers for their kinds.
    private var listenerLines: Lines {
        var lines: Lines = []
        let port = server.configuration.integer("port")
        if port > 0 {
            let addresses = server.configuration.words("bind").map { ",bind=\($0)" }.joined()
            lines.append(("listener0", "name=tcp\(addresses),port=\(port)"))
        }
        let path = server.configuration.text("unixsocket")
        if !path.isEmpty { lines.append(("listener1", "name=unix,bind=\(path)")) }
        return lines
    }

    private var clientLines: Lines {
        let blocked = server.reactors.reduce(0) { $0 + $1.blockedCount.load(ordering: .relaxed) }
        let now = Clock.monotonicMilliseconds
        var peaks = RecentPeaks.Sizes()
        for reactor in server.reactors { peaks.widen(to: reactor.peaks.largest(now: now)) }
        return [
            ("connected_clients", "\(server.connectionCount)"), ("cluster_connections", "0"),
            ("maxclients", "\(server.settings.clientCountMax)"),
            ("client_recent_max_input_buffer", "\(peaks.input)"),
            ("client_recent_max_output_buffer", "\(peaks.output)"),
            ("blocked_clients", "\(blocked)"), ("tracking_clients", "0"),
        ]
    }

    private var memoryLines: Lines {
        let figures = server.memoryFigures()
        let charged = server.registry.settledMemory.load(ordering: .relaxed)
        var lines: Lines = []
        func size(_ name: String, _ bytes: Int) {
            lines.append((name, "\(bytes)"))
            lines.append((name + "_human", Information.human(bytes)))
        }
        func percentage(_ name: String, _ part: Int, of whole: Int) {
            lines.append((name, Information.hundredths(100 * Information.ratio(part, whole)) + "%"))
        }
        /// How much larger `larger` is than `smaller`, as a ratio and in bytes.
        func excess(_ name: String, _ larger: Int, over smaller: Int) {
            let ratio = Information.ratio(larger, smaller)
            lines.append((name + "_ratio", Information.hundredths(ratio)))
            lines.append((name + "_bytes", "\(larger - smaller)"))
        }
        size("used_memory", figures.allocated)
        size("used_memory_rss", figures.residentSet)
        size("used_memory_peak", figures.peak)
        percentage("used_memory_peak_perc", figures.allocated, of: figures.peak)
        lines += [
            ("used_memory_overhead", "\(max(0, figures.allocated - charged))"),
            ("used_memory_startup", "\(figures.startup)"), ("used_memory_dataset", "\(charged)"),
        ]
        // Why at least the data: some of the memory used at the start may have been freed since.
        let grown = max(charged, figures.allocated - figures.startup)
        percentage("used_memory_dataset_perc", charged, of: grown)
        lines += [
            ("allocator_allocated", "\(figures.allocated)"),
            ("allocator_active", "\(figures.active)"),
            ("allocator_resident", "\(figures.resident)"),
        ]
        size("total_system_memory", System.memory)
        size("maxmemory", server.settings.memoryMax)
        lines.append(("maxmemory_policy", server.configuration.text("maxmemory-policy")))
        let resident = figures.residentSet
        excess("allocator_frag", figures.active, over: figures.allocated)
        excess("allocator_rss", figures.resident, over: figures.active)
        excess("rss_overhead", resident, over: figures.resident)
        excess("mem_fragmentation", resident, over: figures.allocated)
        let reclaimer = server.reclaimer
        lines += [
            ("mem_allocator", "jemalloc-\(Allocator.version)"),
            ("lazyfree_pending_objects", "\(reclaimer.pendingCount.value)"),
            ("lazyfreed_objects", "\(reclaimer.freedCount.value)"),
        ]
        return lines
    }

    private var statisticsLines: Lines {
        func total(_ counter: (borrowing Statistics) -> Int) -> String {
            "\(server.total(counter))"
        }
        let rates = server.recentRates()
        func kilobytes(_ bytes: Int) -> String { Information.hundredths(Double(bytes) / 1024) }
        return [
            ("total_connections_received", total { $0.connectionsReceived.value }),
            ("total_commands_processed", total { $0.commands.value }),
            ("instantaneous_ops_per_sec", "\(rates.commands)"),
            ("total_net_input_bytes", total { $0.bytesIn.value }),
            ("total_net_output_bytes", total { $0.bytesOut.value }),
            ("instantaneous_input_kbps", kilobytes(rates.bytesIn)),
            ("instantaneous_output_kbps", kilobytes(rates.bytesOut)),
            ("rejected_connections", total { $0.connectionsRejected.value }),
            ("expired_keys", total { $0.expiredKeys.value }),
            ("expired_time_cap_reached_count", total { $0.sweepsCutShort.value }),
            (
                "expire_cycle_cpu_milliseconds",
                "\(server.total { $0.sweepNanoseconds.value } / 1_000_000)"
            ),
            ("evicted_keys", total { $0.evictedKeys.value }),
            ("evicted_clients", total { $0.evictedClients.value }),
            ("keyspace_hits", total { $0.keyspaceHits.value }),
            ("keyspace_misses", total { $0.keyspaceMisses.value }), ("pubsub_channels", "0"),
            ("pubsub_patterns", "0"), ("total_error_replies", "\(server.errorReplyTotal)"),
            ("total_reads_processed", total { $0.readsProcessed.value }),
            ("total_writes_processed", total { $0.writesProcessed.value }),
            ("client_query_buffer_limit_disconnections", total { $0.closedForInput.value }),
            ("client_output_buffer_limit_disconnections", total { $0.closedForOutput.value }),
            ("acl_access_denied_auth", total { $0.authenticationsRefused.value }),
        ]
    }

    private var cpuLines: Lines {
        let own = System.processorTime()
        let children = System.processorTime(ofChildren: true)
        return [
            ("used_cpu_sys", own.system), ("used_cpu_user", own.user),
            ("used_cpu_sys_children", children.system), ("used_cpu_user_children", children.user),
        ]
    }

    private var commandLines: Lines {
        let perMicrosecond = server.ticksPerMicrosecond
        var lines: Lines = []
        for container in server.commands.all {
            for entry in [container] + container.subcommands.map({ $0.pointee }) {
                let all = server.commandTotals(entry.number)
                guard all.calls > 0 || all.rejected > 0 else { continue }
                let microseconds = Double(all.ticks) / perMicrosecond
                let each = all.calls > 0 ? microseconds / Double(all.calls) : 0
                lines.append(
                    (
                        "cmdstat_\(entry.spec.name)",
                        "calls=\(all.calls),usec=\(Int(microseconds)),"
                            + "usec_per_call=\(Information.hundredths(each)),"
                            + "rejected_calls=\(all.rejected),failed_calls=\(all.failed)"
                    ))
            }
        }
        return lines
    }

    /// Keys and expiries per database, summed over `tenants`.
    private func keyspaceLines(_ tenants: [TenantReference]) -> Lines {
        var lines: Lines = []
        for number in 0..<Tenant.databaseCount {
            var keys = 0
            var expiring = 0
            let keyspaces = tenants.compactMap { $0.keyspace(number) }
            for keyspace in keyspaces {
                keys += keyspace.keyCount
                expiring += keyspace.expiringKeyCount
            }
            guard keys > 0 else { continue }
            let average = expiring > 0 ? worker.estimatedTimeToLive(in: keyspaces) : 0
            lines.append(("db\(number)", "keys=\(keys),expires=\(expiring),avg_ttl=\(average)"))
        }
        return lines
    }

    /// The number of tenants, and the 100 that take the most memory: as many as a page shows.
    private var tenantLines: Lines {
        let tenants = server.tenants
        let largest = tenants.sorted { $0.memoryInUse > $1.memoryInUse }.prefix(100)
        let counts: Lines = [
            ("tenants", "\(tenants.count)"),
            ("departed_tenants", "\(server.registry.departed.count)"),
        ]
        return counts + largest.map(Information.line)
    }

    private static func line(of tenant: TenantReference) -> (name: String, value: String) {
        (
            "tenant_\(tenant.id.string)",
            "keys=\(tenant.keyCount),memory=\(tenant.memoryInUse),"
                + "connections=\(tenant.pointee.connections.load(ordering: .relaxed))"
        )
    }

    private var recordLines: Lines {
        server.recordStatistics().map { source in
            let name = source.first { $0.name == "name" }?.value ?? ""
            let rest = source.filter { $0.name != "name" && $0.name != "last_error" }
            return ("source_\(name)", rest.map { "\($0.name)=\($0.value)" }.joined(separator: ","))
        }
    }

    // MARK: - Numbers as text

    /// 1536 as "1.50K".
    static func human(_ bytes: Int) -> String {
        var value = Double(bytes)
        guard value >= 1024 else { return "\(bytes)B" }
        var unit = "B"
        for next in ["K", "M", "G", "T"] where value >= 1024 {
            value /= 1024
            unit = next
        }
        return hundredths(value) + unit
    }

    static func ratio(_ part: Int, _ whole: Int) -> Double { Double(part) / Double(max(1, whole)) }

    static func hundredths(_ value: Double) -> String {
        guard value.isFinite, abs(value) < 1e15 else { return "0.00" }
        let scaled = Int((abs(value) * 100).rounded())
        let digits = String(100 + scaled % 100).dropFirst()
        return "\(value < 0 ? "-" : "")\(scaled / 100).\(digits)"
    }
}
