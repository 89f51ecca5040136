// SPDX-License-Identifier: Apache-2.0
import Base
import Commands
import Storage
import Synchronization
import Wire

/// Commands without keys that have run and are not yet counted: those of one session, of one of its
/// databases.
///
/// Why: to ask and to count under the shard's lock for each PING costs more than the PING. Where
/// the shard's lease is ample one question is good for some more commands, and they are counted
/// together.
///
/// Invariants:
/// 1. It is empty whenever `serve` has returned: whoever sees a reply finds it counted.
/// 2. It is empty while a command runs that is not flagged `countedLater`, keys aside: so nobody
///    sees counters, or changes a tenant, before what came earlier is counted.
struct KeylessTally {
    /// How many commands one question is good for.
    static let commandsMax = 32
    /// Bytes after which the budget is asked again.
    static let bytesMax = 64 * 1024

    var tenant: TenantReference?
    var database = 0
    /// Commands that may still run before the budget is asked again.
    var remaining = 0
    var commands = 0
    var bytesIn = 0
    var bytesOut = 0

    @inline(__always)
    func isFor(_ tenant: TenantReference, _ database: Int) -> Bool {
        self.tenant == tenant && self.database == database
    }
}

// A command that names no key counts for the session's tenant, on the first shard of the selected
// database.
extension Session {
    enum KeylessAdmission {
        case granted, refused
        case throttled(Milliseconds)
    }

    @inline(__always)
    func admitKeyless(
        _ entry: Entry, _ tenant: TenantReference, _ database: Int, requestSize: Int,
        on thread: inout ServingThread, _ reply: inout ReplyWriter
    ) -> KeylessAdmission {
        if thread.keyless.remaining > 0, entry.pointee.flags.contains(.countedLater),
            thread.keyless.isFor(tenant, database)
        {
            thread.keyless.remaining -= 1
            return .granted
        }
        return askBudget(entry, tenant, database, requestSize, on: &thread, &reply)
    }

    @inline(never)
    private func askBudget(
        _ entry: Entry, _ tenant: TenantReference, _ database: Int, _ size: Int,
        on thread: inout ServingThread, _ reply: inout ReplyWriter
    ) -> KeylessAdmission {
        thread.countKeyless()
        let shard = thread.home(tenant, database)
        shard.acquire()
        guard !shard.hasLease else {
            defer { shard.release() }
            if entry.pointee.flags.contains(.countedLater), shard.hasAmpleLease {
                thread.keyless.tenant = tenant
                thread.keyless.database = database
                thread.keyless.remaining = KeylessTally.commandsMax - 1
            }
            return .granted
        }
        let answer = shard.renewLeases(now: thread.worker.pointee.now)
        let wait: Milliseconds? =
            if case .operationsPerSecond(_, let wait) = answer, tenant.atLimit == .throttle {
                wait
            } else {
                nil
            }
        let mayRun = answer == .granted || Session.runsAtAnyLimit(entry, tenant, thread)
        if !mayRun && wait == nil { shard.pointee.usage.rejected += 1 }
        // Order: the end of a transaction takes the shards of the keys that it watches.
        shard.release()
        guard !mayRun else { return .granted }
        if let wait { return .throttled(wait) }
        let text = Executor.text(of: answer)
        let mark = reply.count
        if entry.pointee.flags.contains(.executes), state.pointee.transaction.isOpen {
            abortTransaction(because: Array(text.utf8), on: thread, &reply)
        } else {
            reply.error(text)
        }
        chargeRefused(size, from: mark, reply, on: thread.worker)
        return .refused
    }

    /// Why AUTH and its like: a client must be able to log in to see why it is refused. Why
    /// administration of the server's own: what has set a limit must be able to lift it.
    private static func runsAtAnyLimit(
        _ entry: Entry, _ tenant: TenantReference, _ thread: borrowing ServingThread
    ) -> Bool {
        if !entry.pointee.flags.isDisjoint(with: [.noAuth, .runsAtAnyLimit]) { return true }
        return entry.pointee.flags.contains(.admin)
            && tenant == thread.worker.pointee.registry._withUnsafeGuaranteedRef { $0.server }
    }

    /// Charges the session's tenant for the bytes of a request that was refused, of the reply that
    /// says so, and of a transaction that ended with it.
    @inline(never)
    func chargeRefused(
        _ size: Int, from mark: Int, _ reply: ReplyWriter, on worker: WorkerReference
    ) {
        charge((in: size, out: reply.count - mark), on: worker)
    }

    /// Charges the session's tenant for what was queued and will not run: the session ends.
    public func chargeUnfinished(on worker: WorkerReference) {
        state.pointee.transaction.isOpen = false
        charge((in: 0, out: 0), on: worker)
    }

    private func charge(_ bytes: (in: Int, out: Int), on worker: WorkerReference) {
        let rest = takeUncharged()
        let (bytesIn, bytesOut) = (bytes.in + rest.in, bytes.out + rest.out)
        guard bytesIn != 0 || bytesOut != 0 else { return }
        let shard = worker.home(state.pointee.tenant, state.pointee.database)
        shard.acquire()
        shard.charge(keylessCommands: 0, bytesIn: bytesIn, bytesOut: bytesOut)
        shard.release()
    }

    /// Bytes of a transaction that has ended, which nobody is charged yet.
    @inline(__always)
    func takeUncharged() -> (in: Int, out: Int) {
        let isNothing =
            state.pointee.transaction.unchargedIn | state.pointee.transaction.unchargedOut == 0
        if isNothing || state.pointee.transaction.isOpen { return (0, 0) }
        return state.pointee.transaction.takeUncharged()
    }

    /// Counts a command that `admitKeyless` has admitted.
    @inline(__always)
    func chargeKeyless(
        _ tenant: TenantReference, _ database: Int, bytesIn: Int, bytesOut: Int,
        on thread: inout ServingThread
    ) {
        if thread.keyless.isFor(tenant, database) {
            thread.keyless.commands += 1
            thread.keyless.bytesIn += bytesIn
            thread.keyless.bytesOut += bytesOut
            if thread.keyless.bytesIn + thread.keyless.bytesOut > KeylessTally.bytesMax {
                thread.keyless.remaining = 0
            }
            return
        }
        let shard = thread.home(tenant, database)
        shard.acquire()
        shard.charge(isRead: false, isWrite: false, bytesIn: bytesIn, bytesOut: bytesOut)
        shard.release()
    }
}

extension ServingThread {
    /// Counts the commands in the tally, and empties it.
    @inline(__always)
    mutating func countKeyless() {
        if keyless.tenant != nil { countTally() }
    }

    @inline(never)
    private mutating func countTally() {
        if let tenant = keyless.tenant, keyless.commands > 0 {
            let shard = home(tenant, keyless.database)
            shard.acquire()
            shard.charge(
                keylessCommands: keyless.commands, bytesIn: keyless.bytesIn,
                bytesOut: keyless.bytesOut)
            shard.release()
        }
        keyless = KeylessTally()
    }

    /// The shard that commands without keys count on.
    @inline(__always)
    func home(_ tenant: TenantReference, _ database: Int) -> ShardReference {
        worker.home(tenant, database)
    }
}
