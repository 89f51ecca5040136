// SPDX-License-Identifier: Apache-2.0
import Base
import Storage
import Wire

/// What a `SessionCommand` may access: its session, the databases visible to it, and the server.
public struct CommandContext {
    public let worker: WorkerReference
    public let session: SessionReference
    private let serverReference: ServerReference
    public var server: any ServerControl { serverReference.control }
    /// What the session must do when the command has returned.
    public var action = Action.none
    /// Whether the command runs inside EXEC.
    public let isInsideTransaction: Bool

    /// Chosen by a command and carried out by the session, because a command has no sockets.
    public enum Action: Equatable, Sendable {
        case none
        /// Run the queued requests (EXEC).
        case executeTransaction
        /// Wait until this change of a tenant is made; its outcome is the reply.
        case change(TenantChange)
        /// Close the connection when the reply is sent.
        case close
    }

    public init(
        worker: WorkerReference, session: SessionReference, server: ServerReference,
        isInsideTransaction: Bool
    ) {
        self.worker = worker
        self.session = session
        serverReference = server
        self.isInsideTransaction = isInsideTransaction
    }

    public var now: Milliseconds { worker.now }
    public var monotonicNow: Milliseconds { worker.monotonicNow }
    public var registry: TenantRegistry { worker.registry }
    public var settings: SettingsReference { worker.settings }

    /// The selected database of the session's own tenant.
    public var keyspace: KeyspaceReference {
        registry.keyspace(session.pointee.tenant, session.pointee.database)
    }

    /// Refuses a command to a tenant's session although Redis has no flag for that.
    func refusesTenant(_ spec: CommandSpec, _ reply: inout ReplyWriter) -> Bool {
        guard isTenantSession else { return false }
        reply.error(spec.noPermission)
        return true
    }

    /// Whether the session belongs to a tenant with its own secret. Such a session may not
    /// administer the server.
    var isTenantSession: Bool { session.pointee.tenant != registry.server }
}
