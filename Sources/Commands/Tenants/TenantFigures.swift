// SPDX-License-Identifier: Apache-2.0
import Base
import Storage
import Synchronization
import Tenancy
import Wire

/// TENANT LIST: the ids of all tenants but the server's own, sorted.
public enum TENANT_LIST: SessionCommand {
    public static let spec = CommandSpec(
        "tenant|list", arity: 2, TENANT.flags, since: "0.1.0",
        complexity: "O(N log N) where N is the number of tenants", summary: "Lists tenants.")

    public static func run(
        _ arguments: Arguments, _ context: inout CommandContext, _ reply: inout ReplyWriter
    ) {
        let server = context.registry.server
        var ids: [[UInt8]] = []
        context.registry.forEachTenant { if $0 != server { ids.append($0.id.array) } }
        ids.sort { $0.lexicographicallyPrecedes($1) }
        reply.array(ids.count)
        for id in ids { reply.bulk(id) }
    }
}

/// TENANT INFO id: what the tenant has used, and its limits. Null is no limit; the day's counts are
/// null without a daily limit. A tenant may ask about itself.
public enum TENANT_INFO: SessionCommand {
    public static let spec = CommandSpec(
        "tenant|info", arity: 3, [TENANT.flags, .tenantMayRun], usage: "id", since: "0.1.0",
        complexity: "O(N) where N is the number of the tenant's shards",
        summary: "Returns what a tenant has used and its limits.")

    public static func run(
        _ arguments: Arguments, _ context: inout CommandContext, _ reply: inout ReplyWriter
    ) {
        let found = context.registry.find(arguments[2])
        if context.isTenantSession, found != context.session.pointee.tenant {
            return reply.error(spec.noPermission)
        }
        guard let tenant = found else { return reply.error(TENANT.missing) }
        let description = context.registry.describe(tenant)
        let usage = context.usage(of: tenant)
        let today = context.worker.usedToday(of: tenant)
        let numbers: [(StaticString, Int?)] = [
            ("memory", context.memory(of: tenant)), ("keys", tenant.keyCount),
            ("commands", usage.commands), ("reads", usage.reads), ("writes", usage.writes),
            ("hits", usage.hits), ("misses", usage.misses), ("bytes_in", usage.bytesIn),
            ("bytes_out", usage.bytesOut), ("expired", usage.expired), ("evicted", usage.evicted),
            ("rejected", usage.rejected),
            ("connections", tenant.pointee.connections.load(ordering: .relaxed)),
            ("client_memory", tenant.pointee.clientMemory.load(ordering: .relaxed)),
            // Leases count the day's use, and without a daily limit no thread takes one.
            ("commands_today", description.limits.operationsPerDay.map { _ in today.operations }),
            ("bytes_today", description.limits.bandwidthPerDay.map { _ in today.bytes }),
            ("memory_limit", description.limits.memory), ("keys_limit", description.limits.keys),
            ("ops_per_second_limit", description.limits.operationsPerSecond),
            ("ops_per_day_limit", description.limits.operationsPerDay),
            ("bandwidth_per_day_limit", description.limits.bandwidthPerDay),
            ("connections_limit", description.limits.connections),
        ]
        reply.map(4 + numbers.count)
        reply.bulk("id" as StaticString)
        reply.bulk(description.id)
        reply.bulk("plan" as StaticString)
        reply.bulk(description.plan)
        reply.bulk("origin" as StaticString)
        reply.bulk("\(description.origin)")
        for (name, value) in numbers {
            reply.bulk(name)
            if let value { reply.integer(value) } else { reply.null() }
        }
        reply.bulk("at_limit" as StaticString)
        reply.bulk(description.limits.atLimit.rawValue)
    }
}

/// TENANT USAGE [id [VERIFY]]: memory, keys, commands and bytes of one tenant, or a map of them for
/// all tenants.
public enum TENANT_USAGE: SessionCommand {
    public static let spec = CommandSpec(
        "tenant|usage", arity: -2, TENANT.flags, usage: "[id [VERIFY]]", since: "0.1.0",
        complexity: "O(N) where N is the number of shards; with VERIFY, of the tenant's keys",
        summary: "Returns the usage of one tenant or of all.")

    public static func run(
        _ arguments: Arguments, _ context: inout CommandContext, _ reply: inout ReplyWriter
    ) {
        guard arguments.count > 2 else { return all(context, reply) }
        guard let tenant = context.registry.find(arguments[2]) else {
            return reply.error(TENANT.missing)
        }
        guard arguments.count > 3 else { return usage(of: tenant, context, reply) }
        guard arguments.count == 4, arguments[3].isKeyword("VERIFY") else {
            return reply.error(.syntax)
        }
        let found = tenant.verify(context.worker)
        reply.map(4)
        reply.bulk("charged" as StaticString)
        reply.integer(found.charged)
        reply.bulk("measured" as StaticString)
        reply.integer(found.measured)
        reply.bulk("difference" as StaticString)
        reply.integer(found.charged - found.measured)
        reply.bulk("keys" as StaticString)
        reply.integer(found.keys)
    }

    private static func all(_ context: CommandContext, _ reply: ReplyWriter) {
        var tenants: [TenantReference] = []
        context.registry.forEachTenant { tenants.append($0) }
        tenants.sort { $0.id.compare($1.id) < 0 }
        reply.map(tenants.count)
        for tenant in tenants {
            reply.bulk(tenant.id)
            usage(of: tenant, context, reply)
        }
    }

    private static func usage(
        of tenant: TenantReference, _ context: CommandContext, _ reply: ReplyWriter
    ) {
        let usage = context.usage(of: tenant)
        let figures: [(StaticString, Int)] = [
            ("memory", context.memory(of: tenant)), ("keys", tenant.keyCount),
            ("commands", usage.commands), ("bytes", usage.bytesIn + usage.bytesOut),
        ]
        reply.map(figures.count)
        for (name, value) in figures {
            reply.bulk(name)
            reply.integer(value)
        }
    }
}

extension CommandContext {
    /// The sum of the tenant's counters over its shards. The thread may hold some of them already.
    func usage(of tenant: TenantReference) -> Usage {
        var usage = Usage()
        tenant.forEachKeyspace { keyspace in
            worker.forEachShard(of: keyspace) { usage += $0.pointee.usage }
        }
        return usage
    }

    /// The bytes that the tenant is charged for.
    func memory(of tenant: TenantReference) -> Int { tenant.memoryInUse }
}
