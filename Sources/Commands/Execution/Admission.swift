// SPDX-License-Identifier: Apache-2.0
import Base
import Storage
import Wire

/// Whether a call may run: the one decision for commands on keys, commands without, queued ones and
/// those of scripts.
///
/// The questions, in Redis's order; the first refusal is the answer:
///
///     before keys are held     arity · DEBUG · password · rights · inside MULTI
///     while they are held      the tenants' rates · the server's memory · the tenants' memory
///                              · the tenants' numbers of keys
///
/// All depend on flags and rights, none on a command's name.
///
/// Why two parts: rates and memory are counted on the shards that the locks protect; the rest must
/// be known before a key of a tenant who may not name it is looked for. A command on keys for which
/// the session's rights have a bit meets none of the first part but the arity (`CommandTable`
/// checks that of every declaration), so it is asked for the second part alone.
public enum Admission {
    /// The first part. The session's rights are up to date.
    public static func refusal(_ call: Call) -> Refusal? {
        let flags = call.entry.pointee.flags
        guard call.entry.pointee.accepts(call.arguments.count) else { return .arity }
        guard call.session.pointee.rights.allows(call.entry.pointee.number) else {
            if flags.contains(.debug), !DEBUG.isAllowed(call.session, call.worker.settings) {
                return .debugForbidden
            }
            return call.session.isAuthorized(call.worker.settings)
                ? .noPermission : .notAuthenticated
        }
        if flags.contains(.noMulti), call.session.pointee.transaction.isOpen {
            return .insideTransaction
        }
        return nil
    }

    /// The second part.
    public static func refusal(_ call: Call, _ hold: borrowing Hold) -> Refusal? {
        if !call.runsAtAnyLimit, let refusal = hold.refusalByRates() { return .limit(refusal) }
        guard call.entry.pointee.flags.contains(.denyOOM) else { return nil }
        let refusal = hold.refusalByMemory(
            arriving: { call.arguments.size }, created: { call.createdKeys })
        return refusal.map { .limit($0) }
    }
}

extension Call {
    /// Whether the tenant's rates do not hold the command back. Why AUTH and its like: a client
    /// must be able to log in to see why it is refused. Why administration of the server's own:
    /// whoever has set a limit must be able to lift it.
    fileprivate var runsAtAnyLimit: Bool {
        let flags = entry.pointee.flags
        if !flags.isDisjoint(with: [.noAuth, .runsAtAnyLimit]) { return true }
        return flags.contains(.admin) && session.pointee.tenant == worker.registry.server
    }
}
