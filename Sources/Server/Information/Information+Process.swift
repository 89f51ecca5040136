// SPDX-License-Identifier: Apache-2.0
import Base
import Commands
import Glibc
import Storage

// INFO's sections about the process: server, clients, cpu.
extension Information {
    var serverLines: Lines {
        let uptime = max(0, (Clock.nowMicroseconds - server.startedAtMicroseconds) / 1_000_000)
        // Periodic work is done this often while clients keep the server busy; an idle server does
        // none.
        let frequency = 1000 / RecentRates.interval
        return [
            ("redis_version", Version.redis), ("martlet_version", Version.martlet),
            // As of a Redis that was not built in a checkout.
            ("redis_git_sha1", "00000000"), ("redis_git_dirty", "0"),
            ("redis_build_id", System.buildID), ("redis_mode", "standalone"), ("os", System.name),
            ("arch_bits", "64"), ("monotonic_clock", "POSIX clock_gettime"),
            ("multiplexing_api", "epoll"), ("atomicvar_api", "swift-synchronization"),
            // As of a Redis that was not built by GCC.
            ("gcc_version", "0.0.0"), ("process_id", "\(getpid())"),
            ("process_supervised", Supervisor.name(server.configuration)),
            ("run_id", server.runID),
            ("tcp_port", "\(server.configuration.integer("port"))"),
            ("server_time_usec", "\(Clock.nowMicroseconds)"), ("uptime_in_seconds", "\(uptime)"),
            ("uptime_in_days", "\(uptime / 86_400)"), ("hz", "\(frequency)"),
            ("configured_hz", "\(frequency)"),
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

    var clientLines: Lines {
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
            // No command waits for a key.
            ("clients_in_timeout_table", "0"),
        ]
    }

    var processorLines: Lines {
        let own = System.processorTime()
        let children = System.processorTime(ofChildren: true)
        let main = System.mainThreadTime
        return [
            ("used_cpu_sys", own.system), ("used_cpu_user", own.user),
            ("used_cpu_sys_children", children.system), ("used_cpu_user_children", children.user),
            ("used_cpu_sys_main_thread", main.system), ("used_cpu_user_main_thread", main.user),
        ]
    }
}
