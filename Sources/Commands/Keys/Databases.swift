// SPDX-License-Identifier: Apache-2.0
import Base
import Storage
import Wire

// Commands on a whole database. It is the keyspace of the session's tenant, and for the application
// whose keys name tenants by a pattern, that of every such tenant too.
extension CommandContext {
    /// Whether the session's databases consist of many tenants' keyspaces.
    var seesTenants: Bool { registry.isMadeOfTenants(session.pointee.tenant) }

    /// Calls `body` with every tenant whose keys the session can see.
    func forEachTenantInSight(_ body: (TenantReference) -> Void) {
        registry.forEachTenant(inSightOf: session.pointee.tenant, body)
    }

    /// Calls `body` with every existing keyspace that is part of the session's database `number`.
    func forEachKeyspace(_ number: Int, _ body: (KeyspaceReference) -> Void) {
        forEachTenantInSight { tenant in
            if let keyspace = tenant.keyspace(number) { body(keyspace) }
        }
    }
}

/// The number of a database in a request, parsed as Redis parses an int.
public enum DatabaseNumber {
    case number(Int)
    case wrong(ReplyError)

    /// `count`: the number of databases (`databases`).
    public init(_ bytes: Bytes, count: Int) {
        guard let value = ASCIIInteger.parse(bytes) else {
            self = .wrong(.notInteger)
            return
        }
        guard Int32(exactly: value) != nil else {
            self = .wrong(.notInteger32)
            return
        }
        self =
            value >= 0 && value < Int64(count)
            ? .number(Int(value)) : .wrong(.databaseIndexOutOfRange)
    }
}

extension Hold {
    /// The number of databases.
    var databaseCount: Int { settings.databaseCount }
}

/// DBSIZE: the number of keys in the database, including expired ones that are not yet removed.
public enum DBSIZE: SessionCommand {
    public static let spec = CommandSpec(
        "dbsize", arity: 1, [.readOnly, .fast, .wholeDatabase], since: "1.0.0",
        complexity: "O(1), or O(N) in the number of tenants.",
        summary: "Tells the number of keys in the selected database.",
        tips: ["request_policy:all_shards", "response_policy:agg_sum"], categories: ["keyspace"])

    public static func run(
        _ arguments: Arguments, _ context: inout CommandContext, _ reply: inout ReplyWriter
    ) {
        var count = 0
        context.forEachKeyspace(context.session.pointee.database) { count += $0.visibleKeyCount }
        reply.integer(count)
    }
}

/// What FLUSHDB and FLUSHALL share. With SYNC too, another thread frees the entries.
private enum Flush {
    static func accepts(_ arguments: Arguments, _ reply: inout ReplyWriter) -> Bool {
        if arguments.count == 1 { return true }
        if arguments.count == 2,
            arguments[1].isKeyword("ASYNC") || arguments[1].isKeyword("SYNC")
        {
            return true
        }
        reply.error(.syntax)
        return false
    }

    static func spec(_ name: String, summary: String) -> CommandSpec {
        CommandSpec(
            name, arity: -1, [.write, .wholeDatabase], usage: "[ASYNC | SYNC]", since: "1.0.0",
            complexity: "O(1) for each shard; the memory is freed by another thread.",
            summary: summary,
            tips: ["request_policy:all_shards", "response_policy:all_succeeded"],
            categories: ["keyspace", "dangerous"])
    }
}

/// FLUSHDB [ASYNC | SYNC]: removes all keys of the selected database.
public enum FLUSHDB: SessionCommand {
    public static let spec = Flush.spec(
        "flushdb", summary: "Removes all keys of the selected database.")

    public static func run(
        _ arguments: Arguments, _ context: inout CommandContext, _ reply: inout ReplyWriter
    ) {
        guard Flush.accepts(arguments, &reply) else { return }
        context.forEachKeyspace(context.session.pointee.database) {
            _ = context.worker.flush($0, context.server.reclaimer)
        }
        reply.ok()
    }
}

/// FLUSHALL [ASYNC | SYNC]: removes all keys of all databases.
public enum FLUSHALL: SessionCommand {
    public static let spec = Flush.spec("flushall", summary: "Removes all keys of all databases.")

    public static func run(
        _ arguments: Arguments, _ context: inout CommandContext, _ reply: inout ReplyWriter
    ) {
        guard Flush.accepts(arguments, &reply) else { return }
        context.forEachTenantInSight { tenant in
            tenant.forEachKeyspace { _ = context.worker.flush($0, context.server.reclaimer) }
        }
        reply.ok()
    }
}

/// SWAPDB index1 index2: swaps two databases, tenant by tenant.
public enum SWAPDB: SessionCommand {
    public static let spec = CommandSpec(
        "swapdb", arity: 3, [.write, .fast, .wholeDatabase, .swapsDatabases],
        usage: "index1:integer index2:integer", since: "4.0.0",
        complexity: "O(N) in the number of shards and watched keys; of keys if records enter.",
        summary: "Swaps two databases.",
        categories: ["keyspace", "dangerous"])

    public static func run(
        _ arguments: Arguments, _ context: inout CommandContext, _ reply: inout ReplyWriter
    ) {
        guard let first = number(arguments[1]) else {
            return reply.error("ERR invalid first DB index")
        }
        guard let second = number(arguments[2]) else {
            return reply.error("ERR invalid second DB index")
        }
        let range = 0..<context.settings.databaseCount
        guard range.contains(first), range.contains(second) else {
            return reply.error(.databaseIndexOutOfRange)
        }
        if first != second {
            context.forEachTenantInSight { context.worker.swapDatabases(of: $0, first, second) }
        }
        reply.ok()
    }

    private static func number(_ bytes: Bytes) -> Int? {
        guard let value = ASCIIInteger.parse(bytes), let number = Int32(exactly: value) else {
            return nil
        }
        return Int(number)
    }
}
