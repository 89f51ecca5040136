// SPDX-License-Identifier: Apache-2.0
import Base
import CLinux
import Commands
import Storage
import Wire

/// Commands without keys that ran but are not counted yet, all of one session and one of its
/// databases.
///
/// Why: checking limits and counting under the shard's lock would cost more than a PING itself.
/// While the shard's lease is ample, one check covers several more commands, and they are counted
/// together.
///
/// Invariants:
/// 1. It is empty whenever `serve` returns: a client that sees a reply finds it counted.
/// 2. It is empty while a command without keys runs that is not flagged `countedLater`. So such a
///    command never sees counters or changes a tenant before earlier commands are counted.
struct KeylessTally {
    /// How many commands one check covers.
    static let commandsMax = 32
    /// After this many bytes the budget is checked again.
    static let bytesMax = 64 * 1024

    var tenant: TenantReference?
    var database = 0
    /// Commands that may still run before the budget is checked again.
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
    mutating func runSession(
        _ command: any SessionCommand.Type, _ call: Call, on thread: inout ServingThread,
        _ reply: inout ReplyWriter
    ) -> Suspension? {
        let tenant = state.pointee.tenant
        let database = state.pointee.database
        if let refusal = admitKeyless(call, tenant, database, on: &thread) {
            return refuse(refusal, call, on: &thread, &reply)
        }
        let mark = reply.count
        let errors = reply.errorCount
        let started = martlet_ticks()
        var context = CommandContext(
            worker: thread.worker, session: state, server: thread.server,
            isInsideTransaction: false)
        queuedErrorCount = 0
        command.run(call.arguments, &context, &reply)
        switch context.action {
        case .none: break
        case .executeTransaction:
            if let suspension = executeTransaction(call, on: &thread, &reply) {
                return suspension
            }
        // It is counted when it is answered.
        case .change(let change): return .tenantChange(change)
        case .close: state.pointee.closesAfterReply = true
        }
        let elapsed = martlet_ticks() &- started
        thread.spend(elapsed)
        count(
            call.entry, ticks: elapsed,
            failed: reply.errorCount - queuedErrorCount > errors, on: &thread)
        let rest = takeUncharged()
        chargeKeyless(
            tenant, database, bytesIn: call.size + rest.in,
            bytesOut: max(0, reply.count - mark) + rest.out, on: &thread)
        return nil
    }

    /// Answers and counts a command that has run elsewhere while the session waited.
    @inline(never)
    func answer(
        _ request: borrowing Request, _ arguments: Arguments, with outcome: Resumption.Outcome,
        on thread: inout ServingThread, _ reply: inout ReplyWriter
    ) {
        let mark = reply.count
        let errors = reply.errorCount
        switch outcome {
        case .ok: reply.ok()
        case .bulk(let text): reply.bulk(text)
        case .error(let text): reply.error(text)
        }
        if let container = request.entry {
            let entry =
                arguments.count > 1
                ? CommandTable.subcommand(container, arguments[1]) ?? container : container
            count(entry, ticks: 0, failed: reply.errorCount > errors, on: &thread)
        }
        chargeKeyless(
            state.pointee.tenant, state.pointee.database, bytesIn: request.size,
            bytesOut: reply.count - mark, on: &thread)
    }

    @inline(__always)
    private func admitKeyless(
        _ call: Call, _ tenant: TenantReference, _ database: Int, on thread: inout ServingThread
    ) -> Refusal? {
        if thread.keyless.remaining > 0, call.entry.pointee.flags.contains(.countedLater),
            thread.keyless.isFor(tenant, database)
        {
            thread.keyless.remaining -= 1
            return nil
        }
        return askHome(call, tenant, database, on: &thread)
    }

    @inline(never)
    private func askHome(
        _ call: Call, _ tenant: TenantReference, _ database: Int, on thread: inout ServingThread
    ) -> Refusal? {
        thread.countKeyless()
        guard let hold = Hold(thread.worker, soonHomeOf: tenant, database) else {
            return .shardBusy
        }
        var refusal: Refusal?
        if !hold.isAdmitted(mayGrow: false) { refusal = Admission.refusal(call, hold) }
        if refusal == nil, call.entry.pointee.flags.contains(.countedLater), hold.hasAmpleLease {
            thread.keyless.tenant = tenant
            thread.keyless.database = database
            thread.keyless.remaining = KeylessTally.commandsMax - 1
        }
        // Order: before the refusal is written, because ending a transaction locks the shards of
        // its watched keys.
        hold.end()
        return refusal
    }

    /// Charges the session's tenant for queued requests that will not run because the session ends.
    public mutating func chargeUnfinished(on worker: WorkerReference) {
        state.pointee.transaction.isOpen = false
        chargeRefused(bytesIn: 0, bytesOut: 0, on: worker)
    }

    /// Charges the session's tenant for a refused request: its bytes, those of the error reply, and
    /// those of a transaction that ended with it.
    @inline(never)
    mutating func chargeRefused(bytesIn: Int, bytesOut: Int, on worker: WorkerReference) {
        let rest = takeUncharged()
        guard bytesIn + rest.in != 0 || bytesOut + rest.out != 0 else { return }
        Hold(worker, homeOf: state.pointee.tenant, state.pointee.database)
            .end(commands: 0, bytesIn: bytesIn + rest.in, bytesOut: bytesOut + rest.out)
    }

    /// Takes the bytes of an ended transaction that no tenant was charged for yet.
    @inline(__always)
    private mutating func takeUncharged() -> (in: Int, out: Int) {
        let isNothing =
            state.pointee.transaction.unchargedIn | state.pointee.transaction.unchargedOut == 0
        if isNothing || state.pointee.transaction.isOpen { return (0, 0) }
        return state.pointee.transaction.takeUncharged()
    }

    /// Counts a command that `admitKeyless` admitted.
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
        Hold(thread.worker, homeOf: tenant, database)
            .end(commands: 1, bytesIn: bytesIn, bytesOut: bytesOut)
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
            Hold(worker, homeOf: tenant, keyless.database)
                .end(
                    commands: keyless.commands, bytesIn: keyless.bytesIn,
                    bytesOut: keyless.bytesOut)
        }
        keyless = KeylessTally()
    }
}
