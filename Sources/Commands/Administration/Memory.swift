// SPDX-License-Identifier: Apache-2.0
import Base
import Storage
import Synchronization
import Wire

/// MEMORY: the container of commands on memory use.
public enum MEMORY: Command {
    public static let spec = CommandSpec(
        "memory", arity: -2, [], since: "4.0.0", complexity: "Depends on subcommand.",
        summary: "A container for memory diagnostics commands.")

    static let tips = [
        "nondeterministic_output", "request_policy:all_shards", "response_policy:special",
    ]
}

/// MEMORY USAGE key [SAMPLES count]: the bytes that the key takes, as the allocator counts them.
/// That is exact, so the number of samples is checked but not used.
public enum MEMORY_USAGE: KeyCommand {
    public static let spec = CommandSpec(
        "memory|usage", arity: -3, [.readOnly], keys: [.one(at: 2, [.readOnly])],
        usage: "key:key [SAMPLES count:integer]", since: "4.0.0", complexity: "O(1)",
        summary: "Estimates the memory usage of a key.", categories: [])

    public static func run(
        _ arguments: Arguments, _ keys: borrowing Hold, _ reply: inout ReplyWriter
    ) {
        var options = OptionReader(arguments, from: 3)
        while let option = options.next() {
            guard option.isKeyword("SAMPLES"), let value = options.value() else {
                return reply.error(.syntax)
            }
            guard let samples = ASCIIInteger.parse(value) else {
                return reply.error(.notInteger)
            }
            guard samples >= 0 else { return reply.error(.syntax) }
        }
        guard let found = keys.find(0) else { return reply.null() }
        reply.integer(found.entry.totalSize)
    }
}

/// MEMORY STATS: figures of the server's memory, under those of Redis's names that apply here.
public enum MEMORY_STATS: SessionCommand {
    public static let spec = CommandSpec(
        "memory|stats", arity: 2, [], since: "4.0.0", complexity: "O(1)",
        summary: "Returns details about memory usage.", tips: MEMORY.tips, categories: [])

    public static func run(
        _ arguments: Arguments, _ context: inout CommandContext, _ reply: inout ReplyWriter
    ) {
        guard !context.refusesTenant(spec, &reply) else { return }
        let memory = context.server.memoryFigures()
        let charged = context.registry.settledMemory.load(ordering: .relaxed)
        var keyCount = 0
        context.registry.forEachTenant { keyCount += $0.keyCount }
        func ratio(_ part: Int, _ whole: Int) -> Double {
            whole > 0 ? Double(part) / Double(whole) : 0
        }
        let figures: [(StaticString, Int)] = [
            ("peak.allocated", memory.peak), ("total.allocated", memory.allocated),
            ("startup.allocated", memory.startup), ("replication.backlog", 0),
            ("clients.slaves", 0), ("clients.normal", memory.clients),
            ("overhead.total", max(0, memory.allocated - charged)), ("keys.count", keyCount),
            ("keys.bytes-per-key", keyCount > 0 ? charged / keyCount : 0),
            ("dataset.bytes", charged), ("allocator.allocated", memory.allocated),
            ("allocator.active", memory.active), ("allocator.resident", memory.resident),
        ]
        let ratios: [(StaticString, Double)] = [
            ("dataset.percentage", ratio(charged, memory.allocated) * 100),
            ("peak.percentage", ratio(memory.allocated, memory.peak) * 100),
            ("allocator-fragmentation.ratio", ratio(memory.active, memory.allocated)),
            ("allocator-rss.ratio", ratio(memory.resident, memory.active)),
            ("rss-overhead.ratio", ratio(memory.residentSet, memory.resident)),
            ("fragmentation", ratio(memory.residentSet, memory.allocated)),
        ]
        reply.map(figures.count + ratios.count)
        for (name, value) in figures {
            reply.bulk(name)
            reply.integer(value)
        }
        for (name, value) in ratios {
            reply.bulk(name)
            reply.double(value)
        }
    }
}

/// MEMORY DOCTOR: problems with memory, in words.
public enum MEMORY_DOCTOR: SessionCommand {
    public static let spec = CommandSpec(
        "memory|doctor", arity: 2, [], since: "4.0.0", complexity: "O(1)",
        summary: "Outputs a memory problems report.", tips: MEMORY.tips, categories: [])

    public static func run(
        _ arguments: Arguments, _ context: inout CommandContext, _ reply: inout ReplyWriter
    ) {
        guard !context.refusesTenant(spec, &reply) else { return }
        let memory = context.server.memoryFigures()
        let limit = context.settings.memoryMax
        let charged = context.worker.memoryInUse
        var findings: [String] = []
        if memory.allocated < 5 << 20 {
            findings.append("There is so little data that nothing can be said of it.")
        } else {
            if memory.residentSet > memory.allocated * 2 {
                findings.append(
                    "The process holds more than twice what is allocated; MEMORY PURGE gives "
                        + "pages back."
                )
            }
            if memory.peak > memory.allocated * 3 / 2 {
                findings.append("The peak was more than 1.5 times what is in use now.")
            }
        }
        if limit > 0 && charged > limit / 10 * 9 {
            findings.append("More than 90 % of maxmemory is in use.")
        }
        if findings.isEmpty { findings.append("No problem was found.") }
        reply.verbatim(findings.joined(separator: "\n") + "\n")
    }
}

/// MEMORY MALLOC-STATS: the allocator's own report.
public enum MEMORY_MALLOC_STATS: SessionCommand {
    public static let spec = CommandSpec(
        "memory|malloc-stats", arity: 2, [], since: "4.0.0", complexity: "O(1)",
        summary: "Returns the allocator statistics.", tips: MEMORY.tips, categories: [])

    public static func run(
        _ arguments: Arguments, _ context: inout CommandContext, _ reply: inout ReplyWriter
    ) {
        guard !context.refusesTenant(spec, &reply) else { return }
        reply.verbatim(context.server.allocatorReport())
    }
}

/// MEMORY PURGE: returns unused pages to the system.
public enum MEMORY_PURGE: SessionCommand {
    public static let spec = CommandSpec(
        "memory|purge", arity: 2, [], since: "4.0.0", complexity: "O(1)",
        summary: "Asks the allocator to release memory.",
        tips: ["request_policy:all_shards", "response_policy:all_succeeded"], categories: [])

    public static func run(
        _ arguments: Arguments, _ context: inout CommandContext, _ reply: inout ReplyWriter
    ) {
        guard !context.refusesTenant(spec, &reply) else { return }
        context.server.purgeMemory()
        reply.ok()
    }
}

/// MEMORY HELP.
public enum MEMORY_HELP: SessionCommand {
    public static let spec = CommandSpec(
        "memory|help", arity: 2, [.loading, .stale], since: "4.0.0", complexity: "O(1)",
        summary: "Returns helpful text about the different subcommands.")

    public static func run(
        _ arguments: Arguments, _ context: inout CommandContext, _ reply: inout ReplyWriter
    ) {
        reply.help(
            "MEMORY",
            [
                "DOCTOR", "    Return memory problems reports.", "MALLOC-STATS",
                "    Return internal statistics report from the memory allocator.", "PURGE",
                "    Attempt to purge dirty pages for reclamation by the allocator.", "STATS",
                "    Return information about the memory usage of the server.",
                "USAGE <key> [SAMPLES <count>]",
                "    Return memory in bytes used by <key> and its value. Nested values are",
                "    sampled up to <count> times (default: 5, 0 means sample all).",
            ])
    }
}

/// The process's memory, in bytes.
public struct MemoryFigures: Sendable {
    /// Bytes allocated; in pages that hold allocations; mapped by the allocator; resident in the
    /// process.
    public var allocated = 0
    public var active = 0
    public var resident = 0
    public var residentSet = 0
    /// The largest `allocated` that was ever sampled, and the one at startup.
    public var peak = 0
    public var startup = 0
    /// In the buffers of clients.
    public var clients = 0

    public init() {}
}
