// SPDX-License-Identifier: Apache-2.0
import Base
import Storage
import Wire

// MULTI and its siblings. The session queues the commands and runs them (Session+Transaction).

/// MULTI: queues the following commands until EXEC.
public enum MULTI: SessionCommand {
    public static let spec = CommandSpec(
        "multi", arity: 1,
        [.noScript, .loading, .stale, .fast, .allowBusy, .runsInsideMulti, .countedLater],
        since: "1.2.0", complexity: "O(1)", summary: "Starts a transaction.")

    public static func run(
        _ arguments: Arguments, _ context: inout CommandContext, _ reply: inout ReplyWriter
    ) {
        guard !context.session.pointee.transaction.isOpen else {
            return reply.error("ERR MULTI calls can not be nested")
        }
        context.session.pointee.transaction.isOpen = true
        reply.ok()
    }
}

/// EXEC: runs the queued commands as one.
public enum EXEC: SessionCommand {
    public static let spec = CommandSpec(
        "exec", arity: 1,
        [.noScript, .loading, .stale, .skipSlowLog, .runsInsideMulti, .executes],
        since: "1.2.0", complexity: "Depends on commands in the transaction",
        summary: "Executes all commands in a transaction.")

    public static func run(
        _ arguments: Arguments, _ context: inout CommandContext, _ reply: inout ReplyWriter
    ) {
        guard context.session.pointee.transaction.isOpen else {
            return reply.error("ERR EXEC without MULTI")
        }
        context.action = .executeTransaction
    }
}

/// DISCARD: forgets the queued commands and the watched keys.
public enum DISCARD: SessionCommand {
    public static let spec = CommandSpec(
        "discard", arity: 1,
        [.noScript, .loading, .stale, .fast, .allowBusy, .runsInsideMulti, .runsAtAnyLimit],
        since: "2.0.0", complexity: "O(N), when N is the number of queued commands",
        summary: "Discards a transaction.")

    public static func run(
        _ arguments: Arguments, _ context: inout CommandContext, _ reply: inout ReplyWriter
    ) {
        guard context.session.pointee.transaction.isOpen else {
            return reply.error("ERR DISCARD without MULTI")
        }
        context.session.pointee.transaction.reset()
        context.worker.unwatchAll(&context.session.pointee.watched)
        reply.ok()
    }
}

/// WATCH key …: makes EXEC fail if one of the keys changes before it.
public enum WATCH: SessionCommand {
    public static let spec = CommandSpec(
        "watch", arity: -2, [.noScript, .loading, .stale, .fast, .allowBusy, .runsInsideMulti],
        keys: [.range(1, -1, [.readOnly])], usage: "key:key ...", since: "2.2.0",
        complexity: "O(1) for every key.",
        summary: "Monitors changes to keys to determine the execution of a transaction.")

    public static func run(
        _ arguments: Arguments, _ context: inout CommandContext, _ reply: inout ReplyWriter
    ) {
        guard !context.session.pointee.transaction.isOpen else {
            return reply.error("ERR WATCH inside MULTI is not allowed")
        }
        let keyspace = context.keyspace
        for index in 1..<arguments.count {
            context.worker.watch(
                arguments[index], in: keyspace, &context.session.pointee.watched)
        }
        reply.ok()
    }
}

/// UNWATCH: forgets the watched keys.
public enum UNWATCH: SessionCommand {
    public static let spec = CommandSpec(
        "unwatch", arity: 1, [.noScript, .loading, .stale, .fast, .allowBusy], since: "2.2.0",
        complexity: "O(1)", summary: "Forgets about watched keys of a transaction.")

    public static func run(
        _ arguments: Arguments, _ context: inout CommandContext, _ reply: inout ReplyWriter
    ) {
        // Why not inside EXEC: forgetting locks the shards of the watched keys, which EXEC may not
        // hold, and locks are taken in order. EXEC forgets the keys itself when it is done.
        if !context.isInsideTransaction {
            context.worker.unwatchAll(&context.session.pointee.watched)
        }
        reply.ok()
    }
}

extension Families {
    /// Transactions.
    static let transactions = Family(
        group: "transactions",
        [
            .session(MULTI.self), .session(EXEC.self), .session(DISCARD.self),
            .session(WATCH.self), .session(UNWATCH.self),
        ])
}
