// SPDX-License-Identifier: Apache-2.0
import Base
import Storage
import Wire

/// Whether a call may run. Commands on keys, commands without keys and queued commands all use this
/// one decision.
///
/// The checks, in Redis's order; the first refusal is the answer:
///
///     before keys are held     arity · DEBUG · password · rights · inside MULTI
///     while they are held      the tenants' rates · the server's memory · the tenants' memory
///                              · the tenants' numbers of keys
///
/// All checks depend on flags and rights, none on a command's name.
///
/// Why two parts: rates and memory are counted on the shards that the locks protect. The other
/// checks must come before a key is looked for, because the session may not be allowed to name its
/// tenant. If the session has the right to run a command on keys, only the arity of the first part
/// remains to be checked (`CommandTable` checks this for every declaration), and the caller does
/// that. So such a command passes only the second part.
public enum Admission {
    /// The first part. The caller has refreshed the session's rights.
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
        if !call.runsAtAnyLimit,
            let refusal = hold.refusalByRates(ofSessionOf: call.session.pointee.tenant)
        {
            return .limit(refusal)
        }
        guard call.entry.pointee.flags.contains(.denyOOM) else { return nil }
        let refusal = hold.refusalByMemory(
            arriving: { call.arguments.size }, created: { call.createdKeys })
        return refusal.map { .limit($0) }
    }
}

extension Call {
    /// Whether the tenant's rates do not apply to the command. Why AUTH and its like: a client must
    /// be able to log in to see why it is refused. Why the server's own administration: the
    /// administrator who set a limit must be able to lift it.
    fileprivate var runsAtAnyLimit: Bool {
        let flags = entry.pointee.flags
        if !flags.isDisjoint(with: [.noAuth, .runsAtAnyLimit]) { return true }
        return flags.contains(.admin) && session.pointee.tenant == worker.registry.server
    }
}
