// SPDX-License-Identifier: Apache-2.0
import Base
import Commands
import Storage
import Synchronization
import Wire

// A command that names no key counts for the session's tenant, on the first shard of the selected
// database.
extension Session {
    enum KeylessAdmission {
        case granted, refused
        case throttled(Milliseconds)
    }

    func admitKeyless(
        _ entry: Entry, _ tenant: TenantReference, _ database: Int,
        on thread: borrowing ServingThread, _ reply: inout ReplyWriter
    ) -> KeylessAdmission {
        let shard = home(tenant, database, thread)
        shard.acquire()
        defer { shard.release() }
        guard !shard.hasLease else { return .granted }
        let answer = shard.renewLeases(now: thread.worker.pointee.now)
        // Why AUTH and its like run at any limit: a client must be able to log in to see why it is
        // refused.
        guard answer != .granted, !entry.pointee.flags.contains(.noAuth) else { return .granted }
        if case .operationsPerSecond(_, let wait) = answer, tenant.atLimit == .throttle {
            return .throttled(wait)
        }
        shard.pointee.usage.rejected += 1
        reply.error(Executor.text(of: answer))
        return .refused
    }

    func chargeKeyless(
        _ tenant: TenantReference, _ database: Int, bytesIn: Int, bytesOut: Int,
        on thread: borrowing ServingThread
    ) {
        let shard = home(tenant, database, thread)
        shard.acquire()
        shard.charge(isRead: false, isWrite: false, bytesIn: bytesIn, bytesOut: bytesOut)
        shard.release()
    }

    private func home(
        _ tenant: TenantReference, _ database: Int, _ thread: borrowing ServingThread
    ) -> ShardReference {
        let registry = thread.worker.pointee.registry._withUnsafeGuaranteedRef { $0 }
        return registry.keyspace(tenant, database).shard(at: 0)
    }
}
