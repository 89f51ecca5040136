// SPDX-License-Identifier: Apache-2.0
import Base
import Storage
import Wire

// MULTI and its companions. Queueing and running the queue is the session's (Session+Transaction).

/// MULTI: what follows is queued until EXEC.
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

/// EXEC: runs what was queued, all together.
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

/// DISCARD: forgets what was queued and what is watched.
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
        context.worker.unwatchAll(context.session)
        reply.ok()
    }
}

/// WATCH key …: EXEC does nothing if one of the keys has changed by then.
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
            context.worker.watch(arguments[index], context.session, keyspace)
        }
        reply.ok()
    }
}

/// UNWATCH: forgets what is watched.
public enum UNWATCH: SessionCommand {
    public static let spec = CommandSpec(
        "unwatch", arity: 1, [.noScript, .loading, .stale, .fast, .allowBusy], since: "2.2.0",
        complexity: "O(1)", summary: "Forgets about watched keys of a transaction.")

    public static func run(
        _ arguments: Arguments, _ context: inout CommandContext, _ reply: inout ReplyWriter
    ) {
        // Why not in EXEC, which has looked at what is watched and forgets it when it is done: the
        // shards of these keys need not be among those that it holds, which are taken in order.
        if !context.isInsideTransaction { context.worker.unwatchAll(context.session) }
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
