// SPDX-License-Identifier: Apache-2.0
import Base
import Storage

// INFO's sections about what has been done: persistence, stats, replication.
//
// Martlet keeps nothing on disk, forks no process and has no replicas: those fields have the values
// of a Redis where all that is switched off.
extension Information {
    var persistenceLines: Lines {
        // Clients wait until the first two are 0, and Martlet answers nobody before it is ready.
        Information.constants(
            """
            loading:0 async_loading:0 current_cow_peak:0 current_cow_size:0 current_cow_size_age:0
            current_fork_perc:0.00 current_save_keys_processed:0 current_save_keys_total:0
            """) + [
                ("rdb_changes_since_last_save", "\(server.total { $0.changes.value })"),
                ("rdb_bgsave_in_progress", "0"),
                ("rdb_last_save_time", "\(server.startedAtMicroseconds / 1_000_000)"),
            ]
            + Information.constants(
                """
                rdb_last_bgsave_status:ok rdb_last_bgsave_time_sec:-1 rdb_current_bgsave_time_sec:-1
                rdb_saves:0 rdb_last_cow_size:0 rdb_last_load_keys_expired:0
                rdb_last_load_keys_loaded:0 aof_enabled:0 aof_rewrite_in_progress:0
                aof_rewrite_scheduled:0 aof_last_rewrite_time_sec:-1 aof_current_rewrite_time_sec:-1
                aof_last_bgrewrite_status:ok aof_rewrites:0 aof_rewrites_consecutive_failures:0
                aof_last_write_status:ok aof_last_cow_size:0 module_fork_in_progress:0
                module_fork_last_cow_size:0
                """)
    }

    var replicationLines: Lines {
        [("role", "master"), ("connected_slaves", "0"), ("master_failover_state", "no-failover")]
            + [
                ("master_replid", server.runID),
                ("master_replid2", String(repeating: "0", count: 40)),
            ]
            + Information.constants(
                """
                master_repl_offset:0 second_repl_offset:-1 repl_backlog_active:0
                repl_backlog_size:1048576 repl_backlog_first_byte_offset:0 repl_backlog_histlen:0
                """)
    }

    var statisticsLines: Lines {
        trafficLines + keyLines
            + Information.constants(
                """
                pubsub_channels:0 pubsub_patterns:0 pubsubshard_channels:0 latest_fork_usec:0
                total_forks:0 migrate_cached_sockets:0 slave_expires_tracked_keys:0
                active_defrag_hits:0 active_defrag_misses:0 active_defrag_key_hits:0
                active_defrag_key_misses:0 total_active_defrag_time:0 current_active_defrag_time:0
                tracking_total_keys:0 tracking_total_items:0 tracking_total_prefixes:0
                unexpected_error_replies:0
                """) + requestLines
    }

    private func total(_ counter: (borrowing Statistics) -> Int) -> String {
        "\(server.total(counter))"
    }

    private var trafficLines: Lines {
        let rates = server.recentRates()
        func kilobytes(_ bytes: Int) -> String { Information.hundredths(Double(bytes) / 1024) }
        return [
            ("total_connections_received", total { $0.connectionsReceived.value }),
            ("total_commands_processed", total { $0.commands.value }),
            ("instantaneous_ops_per_sec", "\(rates.commands)"),
            ("total_net_input_bytes", total { $0.bytesIn.value }),
            ("total_net_output_bytes", total { $0.bytesOut.value }),
            ("total_net_repl_input_bytes", "0"), ("total_net_repl_output_bytes", "0"),
            ("instantaneous_input_kbps", kilobytes(rates.bytesIn)),
            ("instantaneous_output_kbps", kilobytes(rates.bytesOut)),
            ("instantaneous_input_repl_kbps", "0.00"), ("instantaneous_output_repl_kbps", "0.00"),
            ("rejected_connections", total { $0.connectionsRejected.value }),
            ("sync_full", "0"), ("sync_partial_ok", "0"), ("sync_partial_err", "0"),
        ]
    }

    private var keyLines: Lines {
        let keyspaces = server.tenants.flatMap { tenant in
            (0..<Tenant.databaseCount).compactMap { tenant.keyspace($0) }
        }
        let stale = 100 * worker.estimatedStaleShare(of: keyspaces)
        return [
            ("expired_keys", total { $0.expiredKeys.value }),
            ("expired_stale_perc", Information.hundredths(stale)),
            ("expired_time_cap_reached_count", total { $0.sweepsCutShort.value }),
            (
                "expire_cycle_cpu_milliseconds",
                "\(server.total { $0.sweepNanoseconds.value } / 1_000_000)"
            ),
            ("evicted_keys", total { $0.evictedKeys.value }),
            ("evicted_clients", total { $0.evictedClients.value }),
            ("keyspace_hits", total { $0.keyspaceHits.value }),
            ("keyspace_misses", total { $0.keyspaceMisses.value }),
        ]
    }

    private var requestLines: Lines {
        /// What threads other than the first did: Redis's threads for input and output.
        func threaded(_ counter: (borrowing Statistics) -> Int) -> String {
            "\(server.reactors.dropFirst().reduce(0) { $0 + counter($1.statistics.pointee) })"
        }
        return [
            ("total_error_replies", "\(server.errorReplyTotal)"),
            ("dump_payload_sanitizations", "0"),
            ("total_reads_processed", total { $0.readsProcessed.value }),
            ("total_writes_processed", total { $0.writesProcessed.value }),
            ("io_threaded_reads_processed", threaded { $0.readsProcessed.value }),
            ("io_threaded_writes_processed", threaded { $0.writesProcessed.value }),
            // A client has no reply buffer of its own that could shrink or expand.
            ("reply_buffer_shrinks", "0"), ("reply_buffer_expands", "0"),
            ("client_query_buffer_limit_disconnections", total { $0.closedForInput.value }),
            ("client_output_buffer_limit_disconnections", total { $0.closedForOutput.value }),
            ("acl_access_denied_auth", total { $0.authenticationsRefused.value }),
        ]
    }
}
