// SPDX-License-Identifier: Apache-2.0
import Base
import Storage
import Tenancy
import Wire

/// TENANT: the container of commands on tenants.
public enum TENANT: Command {
    public static let spec = CommandSpec(
        "tenant", arity: -2, [], since: "0.1.0", complexity: "Depends on subcommand.",
        summary: "A container for commands on tenants.")

    /// Not inside MULTI: EXEC already holds shards, and these commands lock all shards of a tenant,
    /// or wait for the tenants file.
    static let flags: CommandFlags = [.admin, .noScript, .loading, .stale, .noMulti]

    /// The error reply for a refusal of the registry.
    public static func text(of refusal: TenantRegistry.Refusal) -> String {
        switch refusal {
        case .exists: "ERR the tenant exists already"
        case .missing: missing
        case .unknownPlan: "ERR no tenant-plan directive declares that plan"
        case .badID:
            "ERR a tenant's id is 1 to \(KeyPattern.tenantSizeMax) printable characters "
                + "without blanks"
        case .secretInUse: "ERR another tenant has that secret"
        case .notCreated: "ERR only a created tenant can have a secret"
        }
    }

    static let missing = "ERR no such tenant"
    static let ownTenant = "ERR the server's own tenant cannot be deleted"
    public static let passwordInUse = "ERR that secret is the server's own password"
}

/// TENANT CREATE id [PLAN plan] [SECRET secret]: creates a tenant with databases of its own.
public enum TENANT_CREATE: SessionCommand {
    public static let spec = CommandSpec(
        "tenant|create", arity: -3, TENANT.flags.union(.secretArguments),
        usage: "id [PLAN plan] [SECRET secret]", since: "0.1.0", complexity: "O(1)",
        summary: "Creates a tenant.")

    public static func run(
        _ arguments: Arguments, _ context: inout CommandContext, _ reply: inout ReplyWriter
    ) {
        var plan: String?
        var secret: [UInt8]?
        var options = OptionReader(arguments, from: 3)
        while let option = options.next() {
            if option.isKeyword("PLAN"), plan == nil, let value = options.value() {
                plan = value.string
            } else if option.isKeyword("SECRET"), secret == nil, let value = options.value(),
                !value.isEmpty
            {
                secret = value.array
            } else {
                return reply.error(.syntax)
            }
        }
        let digest = secret.map { context.server.digest(secret: $0) }
        context.action = .change(
            TenantChange(arguments[2].array, .create(plan: plan, secretDigest: digest)))
    }
}

/// TENANT DELETE id: deletes the tenant and its keys, and closes its sessions.
public enum TENANT_DELETE: SessionCommand {
    public static let spec = CommandSpec(
        "tenant|delete", arity: 3, TENANT.flags, usage: "id", since: "0.1.0",
        complexity: "O(N) where N is the number of the tenant's keys", summary: "Deletes a tenant.")

    public static func run(
        _ arguments: Arguments, _ context: inout CommandContext, _ reply: inout ReplyWriter
    ) {
        context.action = .change(TenantChange(arguments[2].array, .delete))
    }
}

/// TENANT PLAN id [plan]: replies the tenant's plan, or sets it.
public enum TENANT_PLAN: SessionCommand {
    public static let spec = CommandSpec(
        "tenant|plan", arity: -3, TENANT.flags, usage: "id [plan]", since: "0.1.0",
        complexity: "O(1)", summary: "Returns or sets the plan of a tenant.")

    public static func run(
        _ arguments: Arguments, _ context: inout CommandContext, _ reply: inout ReplyWriter
    ) {
        guard arguments.count <= 4 else { return reply.error(.syntax) }
        let id = arguments[2].array
        guard let plan = context.registry.planName(of: id) else {
            return reply.error(TENANT.missing)
        }
        guard arguments.count == 4 else { return reply.bulk(plan) }
        context.action = .change(TenantChange(id, .setPlan(arguments[3].string)))
    }
}

/// TENANT SECRET id [NEW | NONE | secret]: replies whether the tenant has a secret; or makes one,
/// which only this reply shows; or removes it; or sets the given one. Sessions stay logged in.
public enum TENANT_SECRET: SessionCommand {
    public static let spec = CommandSpec(
        "tenant|secret", arity: -3, TENANT.flags.union(.secretArguments),
        usage: "id [NEW | NONE | secret]",
        since: "0.1.0", complexity: "O(1)", summary: "Sets or makes the secret of a tenant.")

    public static func run(
        _ arguments: Arguments, _ context: inout CommandContext, _ reply: inout ReplyWriter
    ) {
        guard arguments.count <= 4 else { return reply.error(.syntax) }
        guard context.registry.find(arguments[2]) != nil else {
            return reply.error(TENANT.missing)
        }
        let id = arguments[2].array
        guard arguments.count == 4 else {
            return reply.bulk(context.registry.secretDigest(of: id) == nil ? "none" : "set")
        }
        var secret: [UInt8]?
        var made: String?
        if arguments[3].isKeyword("NEW") {
            let text = context.server.makeSecret()
            made = text
            secret = Array(text.utf8)
        } else if !arguments[3].isKeyword("NONE") {
            guard !arguments[3].isEmpty else { return reply.error(.syntax) }
            secret = arguments[3].array
        }
        let digest = secret.map { context.server.digest(secret: $0) }
        context.action = .change(
            TenantChange(id, .setSecret(digest: digest), madeSecret: made))
    }
}

/// TENANT INVALIDATE id: drops all cached keys of the row that `id` names. Replies how many it has
/// dropped already; the row's other keys follow within milliseconds.
public enum TENANT_INVALIDATE: SessionCommand {
    public static let spec = CommandSpec(
        "tenant|invalidate", arity: 3, TENANT.flags, usage: "id", since: "0.1.0",
        complexity: "O(N) where N is the number of the row's keys",
        summary: "Drops the cached record of a tenant.")

    public static func run(
        _ arguments: Arguments, _ context: inout CommandContext, _ reply: inout ReplyWriter
    ) {
        reply.integer(context.server.invalidateRecord(id: arguments[2].array, on: context.worker))
    }
}

/// TENANT WHOAMI: the id of the tenant that the session belongs to.
public enum TENANT_WHOAMI: SessionCommand {
    public static let spec = CommandSpec(
        "tenant|whoami", arity: 2, [TENANT.flags, .tenantMayRun], since: "0.1.0",
        complexity: "O(1)", summary: "Returns the tenant of the connection.")

    public static func run(
        _ arguments: Arguments, _ context: inout CommandContext, _ reply: inout ReplyWriter
    ) {
        reply.bulk(context.session.pointee.tenant.id)
    }
}

/// TENANT HELP.
public enum TENANT_HELP: SessionCommand {
    public static let spec = CommandSpec(
        "tenant|help", arity: 2, [.loading, .stale], since: "0.1.0", complexity: "O(1)",
        summary: "Returns helpful text about the different subcommands.")

    public static func run(
        _ arguments: Arguments, _ context: inout CommandContext, _ reply: inout ReplyWriter
    ) {
        reply.help(
            "TENANT",
            [
                "CREATE <id> [PLAN <plan>] [SECRET <secret>]", "    Create a tenant.",
                "DELETE <id>", "    Delete a tenant with its keys and sessions.", "LIST",
                "    Return the ids of all tenants but the server's own.", "INFO <id>",
                "    Return what a tenant has used and its limits.", "USAGE [<id> [VERIFY]]",
                "    Return memory, keys and commands of one tenant, or of all. VERIFY walks",
                "    every entry and returns the bytes charged and the bytes measured.",
                "PLAN <id> [<plan>]", "    Return or set the plan of a tenant.",
                "SECRET <id> [NEW|NONE|<secret>]",
                "    Tell whether a tenant has a secret, make one, take it away, or set it.",
                "INVALIDATE <id>", "    Drop the cached record of a tenant.", "WHOAMI",
                "    Return the tenant of the connection.",
            ])
    }
}

extension Families {
    /// Tenants and records: commands that Redis does not have.
    static let tenants = Family(
        group: "server",
        [
            .container(
                TENANT.self,
                [
                    .session(TENANT_CREATE.self), .session(TENANT_DELETE.self),
                    .session(TENANT_LIST.self), .session(TENANT_INFO.self),
                    .session(TENANT_USAGE.self), .session(TENANT_PLAN.self),
                    .session(TENANT_SECRET.self), .session(TENANT_INVALIDATE.self),
                    .session(TENANT_WHOAMI.self), .session(TENANT_HELP.self),
                ]),
            .container(
                RECORDS.self,
                [
                    .session(RECORDS_SOURCES.self), .session(RECORDS_STATS.self),
                    .session(RECORDS_INVALIDATE.self), .session(RECORDS_LOAD.self),
                    .session(RECORDS_HELP.self),
                ]),
        ])
}
