// SPDX-License-Identifier: Apache-2.0
import Base
import Storage

// INFO's section memory.
extension Information {
    var memoryLines: Lines {
        let figures = server.memoryFigures()
        let charged = server.registry.settledMemory.load(ordering: .relaxed)
        var lines = Lines()
        lines.size("used_memory", figures.allocated)
        lines.size("used_memory_rss", figures.residentSet)
        lines.size("used_memory_peak", figures.peak)
        lines.percentage("used_memory_peak_perc", figures.allocated, of: figures.peak)
        lines += [
            ("used_memory_overhead", "\(max(0, figures.allocated - charged))"),
            ("used_memory_startup", "\(figures.startup)"), ("used_memory_dataset", "\(charged)"),
        ]
        // Why at least the data: some of the memory used at the start may have been freed since.
        let grown = max(charged, figures.allocated - figures.startup)
        lines.percentage("used_memory_dataset_perc", charged, of: grown)
        lines += [
            ("allocator_allocated", "\(figures.allocated)"),
            ("allocator_active", "\(figures.active)"),
            ("allocator_resident", "\(figures.resident)"),
        ]
        lines.size("total_system_memory", System.memory)
        lines += Information.withoutScripts
        lines.size("maxmemory", server.settings.memoryMax)
        lines.append(("maxmemory_policy", server.configuration.text("maxmemory-policy")))
        let resident = figures.residentSet
        lines.excess("allocator_frag", figures.active, over: figures.allocated)
        lines.excess("allocator_rss", figures.resident, over: figures.active)
        lines.excess("rss_overhead", resident, over: figures.resident)
        lines.excess("mem_fragmentation", resident, over: figures.allocated)
        lines += Information.constants(
            """
            mem_not_counted_for_evict:0 mem_replication_backlog:0 mem_total_replication_buffers:0
            mem_clients_slaves:0
            """)
        lines.append(("mem_clients_normal", "\(figures.clients)"))
        lines += Information.constants("mem_cluster_links:0 mem_aof_buffer:0")
        let reclaimer = server.reclaimer
        lines += [
            ("mem_allocator", "jemalloc-\(Allocator.version)"), ("active_defrag_running", "0"),
            ("lazyfree_pending_objects", "\(reclaimer.pendingCount.value)"),
            ("lazyfreed_objects", "\(reclaimer.freedCount.value)"),
        ]
        return lines
    }

    /// There is no interpreter, so scripts and functions take no memory.
    private static let withoutScripts = constants(
        """
        used_memory_lua:0 used_memory_vm_eval:0 used_memory_lua_human:0B used_memory_scripts_eval:0
        number_of_cached_scripts:0 number_of_functions:0 number_of_libraries:0
        used_memory_vm_functions:0 used_memory_vm_total:0 used_memory_vm_total_human:0B
        used_memory_functions:0 used_memory_scripts:0 used_memory_scripts_human:0B
        """)
}

extension Information.Lines {
    fileprivate mutating func size(_ name: String, _ bytes: Int) {
        append((name, "\(bytes)"))
        append((name + "_human", Information.human(bytes)))
    }

    fileprivate mutating func percentage(_ name: String, _ part: Int, of whole: Int) {
        append((name, Information.hundredths(100 * Information.ratio(part, whole)) + "%"))
    }

    /// How much larger `larger` is than `smaller`, as a ratio and in bytes.
    fileprivate mutating func excess(_ name: String, _ larger: Int, over smaller: Int) {
        append((name + "_ratio", Information.hundredths(Information.ratio(larger, smaller))))
        append((name + "_bytes", "\(larger - smaller)"))
    }
}
