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
/// Redis's fields are here with Redis's names and formats, because monitoring looks for them. A
/// field of a part that Martlet does not have (replication, snapshots, scripts, tracking) has the
/// value of a Redis where that part is switched off. A tenant sees the server's version, what
/// clients decide by, and its own figures, nothing about others.
struct Information {
    typealias Lines = [(name: String, value: String)]

    let server: Server
    /// The caller's worker, for its locks and its random numbers.
    let worker: WorkerReference
    private(set) var text = ""

    private static let sections = [
        "server", "clients", "memory", "persistence", "stats", "replication", "cpu", "modules",
        "commandstats", "errorstats", "latencystats", "cluster", "keyspace", "tenants", "records",
    ]
    /// Sections that only "all" and their own name show.
    private static let onlyWhenNamed: Set<String> = ["commandstats", "latencystats"]
    /// The sections that a tenant's session sees, and their fields; an empty set means all.
    private static let forTenants: [String: Set<String>] = [
        "server": ["redis_version", "martlet_version", "redis_mode"],
        "persistence": ["loading", "async_loading"], "replication": ["role"],
        "cluster": ["cluster_enabled"], "keyspace": [], "tenants": [],
    ]

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
            if isTenant && forTenants[section] == nil { continue }
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
        var lines: Lines
        switch section {
        case "server": lines = serverLines
        case "clients": lines = clientLines
        case "memory": lines = memoryLines
        case "persistence": lines = persistenceLines
        case "stats": lines = statisticsLines
        case "replication": lines = replicationLines
        case "cpu": lines = processorLines
        case "commandstats": lines = commandLines
        case "errorstats":
            lines = server.errorTotals().map { ("errorstat_\($0.word)", "count=\($0.count)") }
        case "latencystats": lines = latencyLines
        case "cluster": lines = [("cluster_enabled", "0")]
        case "keyspace": lines = keyspaceLines(tenant.map { [$0] } ?? server.tenants)
        case "tenants": lines = tenant.map { [Information.line(of: $0)] } ?? tenantLines
        case "records": lines = recordLines
        default: lines = []
        }
        if tenant != nil, let names = Information.forTenants[section], !names.isEmpty {
            lines.removeAll { !names.contains($0.name) }
        }
        if !text.isEmpty { text += "\r\n" }
        let capitalized = section.prefix(1).uppercased() + section.dropFirst()
        text += "# \(Information.headings[section] ?? capitalized)\r\n"
        for line in lines { text += "\(line.name):\(line.value)\r\n" }
    }

    // MARK: - Sections

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

    /// Percentiles of the commands' times, while `latency-tracking` is on.
    private var latencyLines: Lines {
        guard server.settings.values.pointee.latencyTracking.value != 0 else { return [] }
        let perMicrosecond = server.ticksPerMicrosecond
        var lines: Lines = []
        for container in server.commands.all {
            for entry in [container] + container.subcommands.map({ $0.pointee }) {
                guard let all = server.latencyDistribution(entry.number) else { continue }
                let values = [("p50", 50.0), ("p99", 99.0), ("p99.9", 99.9)].map {
                    name, percentile in
                    let microseconds = Double(all.value(atPercentile: percentile)) / perMicrosecond
                    return "\(name)=\(Information.thousandths(microseconds))"
                }
                lines.append(
                    (
                        "latency_percentiles_usec_\(entry.spec.name)",
                        values.joined(separator: ",")
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

    /// Lines written as "name:value name:value".
    static func constants(_ text: String) -> Lines {
        text.split { $0 == " " || $0 == "\n" }.map { word in
            let parts = word.split(separator: ":", maxSplits: 1)
            return (String(parts[0]), String(parts[1]))
        }
    }

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

    static func hundredths(_ value: Double) -> String { fixed(value, 100) }
    static func thousandths(_ value: Double) -> String { fixed(value, 1000) }

    /// With as many digits behind the point as `scale`, a power of ten, has zeros.
    private static func fixed(_ value: Double, _ scale: Int) -> String {
        let shown = value.isFinite && abs(value) < 1e15 ? value : 0
        let scaled = Int((abs(shown) * Double(scale)).rounded())
        let digits = String(scale + scaled % scale).dropFirst()
        return "\(shown < 0 ? "-" : "")\(scaled / scale).\(digits)"
    }
}
