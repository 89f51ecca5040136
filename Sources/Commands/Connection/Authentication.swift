// SPDX-License-Identifier: Apache-2.0
import Base
import Storage
import Wire

/// The versions that the server reports to clients.
public enum Version {
    /// The version of Redis that commands, replies and INFO are compatible with.
    public static let redis = "7.2.4"
    public static let martlet = "0.1.0"
}

/// AUTH [username] password: logs the session in.
public enum AUTH: SessionCommand {
    public static let spec = CommandSpec(
        "auth", arity: -2,
        [.noScript, .loading, .stale, .fast, .noAuth, .allowBusy, .secretArguments],
        usage: "[username] password", since: "1.0.0", complexity: "O(1)",
        summary: "Authenticates the connection.")

    public static func run(
        _ arguments: Arguments, _ context: inout CommandContext, _ reply: inout ReplyWriter
    ) {
        guard arguments.count <= 3 else { return reply.error(.syntax) }
        let user = arguments.count == 3 ? arguments[1].array : nil
        let password = arguments[arguments.count - 1].array
        if let refusal = context.logIn(user: user, password: password) {
            return reply.error(refusal)
        }
        reply.ok()
    }
}

/// HELLO [protover [AUTH username password] [SETNAME clientname]]: the handshake of RESP3 clients.
public enum HELLO: SessionCommand {
    public static let spec = CommandSpec(
        "hello", arity: -1,
        [.noScript, .loading, .stale, .fast, .noAuth, .allowBusy, .secretArguments],
        usage: "[protover:integer [AUTH username password] [SETNAME clientname]]",
        since: "6.0.0", complexity: "O(1)", summary: "Handshakes with the server.")

    public static func run(
        _ arguments: Arguments, _ context: inout CommandContext, _ reply: inout ReplyWriter
    ) {
        var version: UInt8?
        if arguments.count > 1 {
            guard let number = ASCIIInteger.parse(arguments[1]) else {
                return reply.error("ERR Protocol version is not an integer or out of range")
            }
            guard number == 2 || number == 3 else {
                return reply.error("NOPROTO unsupported protocol version")
            }
            version = UInt8(number)
        }
        if let refusal = options(arguments, &context) { return reply.error(refusal) }
        if let version {
            context.session.pointee.protocolVersion = version
            reply.version = version
        }
        reply.map(7)
        reply.bulk("server" as StaticString)
        reply.bulk("redis" as StaticString)
        reply.bulk("version" as StaticString)
        reply.bulk(Version.redis)
        reply.bulk("proto" as StaticString)
        reply.integer(Int(context.session.pointee.protocolVersion))
        reply.bulk("id" as StaticString)
        reply.integer(Int(context.session.pointee.id))
        reply.bulk("mode" as StaticString)
        reply.bulk("standalone" as StaticString)
        reply.bulk("role" as StaticString)
        reply.bulk("master" as StaticString)
        reply.bulk("modules" as StaticString)
        reply.array(0)
    }

    private static func options(_ arguments: Arguments, _ context: inout CommandContext) -> String?
    {
        var credentials: (user: Bytes, password: Bytes)?
        var name: Bytes?
        var options = OptionReader(arguments, from: 2)
        while let option = options.next() {
            if option.isKeyword("AUTH"), let user = options.value(),
                let password = options.value()
            {
                credentials = (user, password)
            } else if option.isKeyword("SETNAME"), let value = options.value() {
                guard ClientAttribute.isValid(value) else {
                    return ClientAttribute.refusal("Client names")
                }
                name = value
            } else {
                return "ERR Syntax error in HELLO option '\(option.string)'"
            }
        }
        if let credentials {
            let refusal = context.logIn(
                user: credentials.user.array, password: credentials.password.array)
            if let refusal { return refusal }
        }
        guard context.session.pointee.isAuthenticated else {
            return
                "NOAUTH HELLO must be called with the client already authenticated, otherwise "
                + "the HELLO <proto> "
                + "AUTH <user> <pass> option can be used to authenticate the client and select "
                + "the RESP "
                + "protocol version at the same time"
        }
        if let name { context.session.pointee.name = name.array }
        return nil
    }
}

extension CommandContext {
    /// Logs the session in as the user whom the credentials name. Returns the text of an error if
    /// they are wrong.
    func logIn(user: [UInt8]?, password: [UInt8]) -> String? {
        let refused = "WRONGPASS invalid username-password pair or user is disabled."
        let isDefault = user.map { $0 == Array("default".utf8) } ?? true
        var name = Array("default".utf8)
        var tenant = registry.server
        switch server.authenticate(user: user, password: password) {
        case .refused:
            worker.statistics.pointee.authenticationsRefused.bump()
            return refused
        case .noPasswordSet:
            guard user != nil else {
                return
                    "ERR AUTH <password> called without any password configured for the "
                    + "default user. "
                    + "Are you sure your configuration is correct?"
            }
            guard isDefault else {
                worker.statistics.pointee.authenticationsRefused.bump()
                return refused
            }
        case .server:
            break
        case .tenant(let found):
            tenant = found
            name = found.id.array
        }
        guard tenant == session.pointee.tenant || !isInsideTransaction else {
            // Why: EXEC holds only shards of tenants that its session sees.
            return "ERR a transaction cannot change its tenant"
        }
        guard enter(tenant) else { return "ERR max number of clients reached" }
        session.pointee.user = name
        session.pointee.isAuthenticated = true
        return nil
    }

    /// Moves the session to `tenant` and forgets the watched keys, which are the previous tenant's.
    /// Returns false if the tenant has as many connections as its plan allows.
    func enter(_ tenant: TenantReference) -> Bool {
        let current = session.pointee.tenant
        guard tenant != current else { return true }
        let count = tenant.pointee.connections.wrappingAdd(1, ordering: .relaxed).newValue
        guard count <= tenant.pointee.connectionsMax.value else {
            tenant.pointee.connections.wrappingSubtract(1, ordering: .relaxed)
            worker.countRejection(registry.keyspace(tenant, 0))
            return false
        }
        worker.unwatchAll(&session.pointee.watched)
        session.pointee.move(to: tenant, registry)
        return true
    }
}

/// The names that clients give themselves: printable ASCII without spaces.
enum ClientAttribute {
    static func isValid(_ text: Bytes) -> Bool {
        text.array.allSatisfy { $0 > 32 && $0 < 127 }
    }

    static func refusal(_ what: String) -> String {
        "ERR \(what) cannot contain spaces, newlines or special characters."
    }
}
