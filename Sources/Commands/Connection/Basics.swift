// SPDX-License-Identifier: Apache-2.0
import Base
import Storage
import Wire

/// PING [message]: PONG, or the message.
public enum PING: SessionCommand {
    public static let spec = CommandSpec(
        "ping", arity: -1, [.fast, .countedLater], usage: "[message]",
        since: "1.0.0", complexity: "O(1)",
        summary: "Returns the server's liveliness response.",
        tips: ["request_policy:all_shards", "response_policy:all_succeeded"])

    public static func run(
        _ arguments: Arguments, _ context: inout CommandContext, _ reply: inout ReplyWriter
    ) {
        switch arguments.count {
        case 1: reply.simple("PONG")
        case 2: reply.bulk(arguments[1])
        default: reply.wrongArity(Self.self)
        }
    }
}

/// ECHO message: replies the message.
public enum ECHO: SessionCommand {
    public static let spec = CommandSpec(
        "echo", arity: 2, [.loading, .stale, .fast, .countedLater], usage: "message",
        since: "1.0.0",
        complexity: "O(1)", summary: "Returns the given string.")

    public static func run(
        _ arguments: Arguments, _ context: inout CommandContext, _ reply: inout ReplyWriter
    ) {
        reply.bulk(arguments[1])
    }
}

/// SELECT index: changes the session's database.
public enum SELECT: SessionCommand {
    public static let spec = CommandSpec(
        "select", arity: 2, [.loading, .stale, .fast, .countedLater, .selectsDatabase],
        usage: "index:integer", since: "1.0.0", complexity: "O(1)",
        summary: "Changes the selected database.")

    public static func run(
        _ arguments: Arguments, _ context: inout CommandContext, _ reply: inout ReplyWriter
    ) {
        let count = context.settings.databaseCount
        switch DatabaseNumber(arguments[1], count: count) {
        case .wrong(let error):
            reply.error(error)
        case .number(let number):
            context.session.pointee.database = number
            reply.ok()
        }
    }
}

/// QUIT: replies OK and closes the connection.
public enum QUIT: SessionCommand {
    public static let spec = CommandSpec(
        "quit", arity: -1,
        [.noScript, .loading, .stale, .fast, .noAuth, .allowBusy, .runsInsideMulti], since: "1.0.0",
        complexity: "O(1)", summary: "Closes the connection.")

    public static func run(
        _ arguments: Arguments, _ context: inout CommandContext, _ reply: inout ReplyWriter
    ) {
        context.action = .close
        reply.ok()
    }
}

/// RESET: brings the session back to the state of a new connection.
public enum RESET: SessionCommand {
    public static let spec = CommandSpec(
        "reset", arity: 1,
        [.noScript, .loading, .stale, .fast, .noAuth, .allowBusy, .runsInsideMulti], since: "6.2.0",
        complexity: "O(1)", summary: "Resets the connection.")

    public static func run(
        _ arguments: Arguments, _ context: inout CommandContext, _ reply: inout ReplyWriter
    ) {
        let session = context.session
        session.pointee.transaction.reset()
        context.worker.unwatchAll(&session.pointee.watched)
        // Fails only if the server's own tenant has a connection limit, which this connection met
        // when it was made, and others have reached the limit since.
        guard context.enter(context.registry.server) else {
            return reply.error("ERR max number of clients reached")
        }
        session.pointee.isAuthenticated =
            context.settings.passwordRequired == 0
        session.pointee.user = Array("default".utf8)
        session.pointee.database = 0
        session.pointee.protocolVersion = 2
        session.pointee.name = []
        // After CLIENT REPLY SKIP this command's own reply is skipped too.
        if session.pointee.replyMode != .skipThis { session.pointee.replyMode = .on }
        session.pointee.isNoEvict = false
        session.pointee.leavesAccessTime = false
        reply.version = 2
        reply.simple("RESET")
    }
}

extension Families {
    /// The connection and its session.
    static let connection = Family(
        group: "connection",
        [
            .session(AUTH.self), .session(HELLO.self), .session(PING.self), .session(ECHO.self),
            .session(SELECT.self), .session(QUIT.self), .session(RESET.self),
            .container(
                CLIENT.self,
                [
                    .session(CLIENT_ID.self), .session(CLIENT_INFO.self),
                    .session(CLIENT_LIST.self),
                    .session(CLIENT_KILL.self), .session(CLIENT_SETNAME.self),
                    .session(CLIENT_GETNAME.self), .session(CLIENT_SETINFO.self),
                    .session(CLIENT_REPLY.self), .session(CLIENT_PAUSE.self),
                    .session(CLIENT_UNPAUSE.self), .session(CLIENT_NO_EVICT.self),
                    .session(CLIENT_NO_TOUCH.self), .session(CLIENT_HELP.self),
                ]),
        ])
}
