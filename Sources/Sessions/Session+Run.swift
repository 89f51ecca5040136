// SPDX-License-Identifier: Apache-2.0
import Base
import CLinux
import Commands
import Storage
import Synchronization
import Wire

// Runs one request: finds, admits, runs or queues, and counts it.
extension Session {
    typealias EntryReference = CommandTable.EntryReference

    /// Runs or refuses one request. If it is not answered yet, returns why the session must wait.
    @inline(__always)
    mutating func run(
        _ request: borrowing Request, on thread: inout ServingThread, _ reply: inout ReplyWriter
    ) -> Suspension? {
        let arguments = thread.list.arguments(
            from: request.firstArgument, count: request.argumentCount)
        guard let entry = request.entry, case .key(let command) = entry.pointee.run,
            entry.pointee.accepts(request.argumentCount), mayRunAtOnce(entry, on: thread)
        else {
            return runWithCare(request, arguments, on: &thread, &reply)
        }
        let mark = reply.count
        let suspension = runKeys(
            command, call(entry, arguments, request.size, on: thread), request.prefetch,
            on: &thread, &reply)
        if suspension == nil && state.pointee.replyMode != .on { applyReplyMode(mark, reply) }
        return suspension
    }

    /// Whether a command on keys may run at once: the session has the right, has no MULTI open, no
    /// pause is active, and no wait ended with a refusal.
    @inline(__always)
    private func mayRunAtOnce(
        _ entry: EntryReference, on thread: borrowing ServingThread
    ) -> Bool {
        state.pointee.rights.allows(entry.pointee.number)
            && state.pointee.rightsGeneration == thread.worker.settings.rightsGeneration
            && !state.pointee.transaction.isOpen && failure == nil
            && !thread.pause.with { $0.isActive }
    }

    @inline(__always)
    private func call(
        _ entry: EntryReference, _ arguments: Arguments, _ size: Int,
        on thread: borrowing ServingThread
    ) -> Call {
        Call(
            entry, arguments, size: size, state, on: thread.worker, in: thread.keyspace(state),
            recordMisses: thread.recordMisses)
    }

    @inline(__always)
    private mutating func runKeys(
        _ command: any KeyCommand.Type, _ call: Call, _ prefetch: Prefetch?,
        on thread: inout ServingThread, _ reply: inout ReplyWriter
    ) -> Suspension? {
        if !absent.isEmpty { excuseAbsent(thread) }
        let errors = reply.errorCount
        let started = martlet_ticks()
        let refusal = call.run(command, prefetch, &reply)
        let elapsed = martlet_ticks() &- started
        thread.spend(elapsed)
        if !absent.isEmpty { endExcuse(thread) }
        guard let refusal else {
            count(call.entry, ticks: elapsed, failed: reply.errorCount > errors, on: &thread)
            recordAttempts = 0
            return nil
        }
        return settle(refusal, of: call, on: &thread, &reply)
    }

    /// Decides what follows when a call on keys did not run. Unless the session waits, the call has
    /// already replied and charged.
    @inline(never)
    private mutating func settle(
        _ refusal: Refusal, of call: Call, on thread: inout ServingThread,
        _ reply: inout ReplyWriter
    ) -> Suspension? {
        switch refusal {
        case .limit(.throttled(let wait)): return .throttled(wait)
        case .shardBusy: return .busy
        case .recordsMissing: return awaitRecords(call, on: &thread, &reply)
        default:
            thread.commandStatistics[call.entry.pointee.number].pointee.rejected.bump()
            return nil
        }
    }

    @inline(__always)
    func count(
        _ entry: EntryReference, ticks: UInt64, failed: Bool, on thread: inout ServingThread
    ) {
        let line = thread.commandStatistics[entry.pointee.number]
        line.pointee.calls.bump()
        line.pointee.ticks.bump(Int(truncatingIfNeeded: ticks))
        if failed { line.pointee.failed.bump() }
        thread.worker.statistics.pointee.commands.bump()
        state.pointee.lastCommand = entry.pointee.number
        if ticks >= UInt64(truncatingIfNeeded: thread.worker.settings.observedTicks) {
            thread.observed = Observed(entry: entry, ticks: ticks)
            thread.needsAttention = true
        }
    }

    // MARK: - All other requests

    @inline(never)
    private mutating func runWithCare(
        _ request: borrowing Request, _ arguments: Arguments, on thread: inout ServingThread,
        _ reply: inout ReplyWriter
    ) -> Suspension? {
        let mark = reply.count
        if let failure {
            self.failure = nil
            recordAttempts = 0
            // Why: of the commands that MULTI does not queue only EXEC waits, and this error
            // answers it.
            if state.pointee.transaction.isOpen { endTransaction(on: &thread) }
            reply.error(failure)
            chargeRefused(
                bytesIn: request.size, bytesOut: reply.count - mark, on: thread.worker)
            applyReplyMode(mark, reply)
            return nil
        }
        if let outcome {
            self.outcome = nil
            answer(request, arguments, with: outcome, on: &thread, &reply)
            applyReplyMode(mark, reply)
            return nil
        }
        if state.pointee.rightsGeneration != thread.worker.settings.rightsGeneration {
            thread.commands.with {
                state.refreshRights($0, thread.worker.settings)
            }
        }
        let suspension = resolve(request, arguments, on: &thread, &reply)
        if suspension == nil { applyReplyMode(mark, reply) }
        return suspension
    }

    /// Finds the command or its subcommand, and admits it.
    @inline(__always)
    private mutating func resolve(
        _ request: borrowing Request, _ arguments: Arguments, on thread: inout ServingThread,
        _ reply: inout ReplyWriter
    ) -> Suspension? {
        guard let container = request.entry else {
            if Session.isBrowser(arguments[0]) {
                closeOnBrowser(&thread)
                return nil
            }
            return refuse(.unknownCommand, nil, arguments, request.size, on: &thread, &reply)
        }
        var entry = container
        if arguments.count > 1, !container.pointee.subcommands.isEmpty {
            guard let found = CommandTable.subcommand(container, arguments[1]) else {
                return refuse(
                    .unknownSubcommand, container, arguments, request.size, on: &thread, &reply)
            }
            entry = found
        }
        return admit(
            call(entry, arguments, request.size, on: thread), request, on: &thread, &reply)
    }

    /// Refuses, holds back, queues or runs the call.
    @inline(__always)
    private mutating func admit(
        _ call: Call, _ request: borrowing Request, on thread: inout ServingThread,
        _ reply: inout ReplyWriter
    ) -> Suspension? {
        if let refusal = Admission.refusal(call) {
            return refuse(refusal, call, on: &thread, &reply)
        }
        if thread.pause.with({ $0.isActive }), isHeldBack(call, on: thread) {
            return .paused
        }
        if state.pointee.transaction.isOpen,
            !call.entry.pointee.flags.contains(.runsInsideMulti)
        {
            // Why for any command: queued requests take memory.
            if call.worker.isOutOfMemory {
                return refuse(.limit(.serverMemory), call, on: &thread, &reply)
            }
            // Why now: EXEC makes the tenants of all keys, and runs whole or not at all.
            if case .key = call.entry.pointee.run, call.namesTooLongKey {
                return refuse(.keyTooLong, call, on: &thread, &reply)
            }
            queue(call, &reply)
            return nil
        }
        switch call.entry.pointee.run {
        case .key(let command):
            return runKeys(command, call, request.prefetch, on: &thread, &reply)
        case .session(let command): return runSession(command, call, on: &thread, &reply)
        case .container: return refuse(.arity, call, on: &thread, &reply)
        }
    }

    /// Replies why a call that holds no shard does not run, and charges the session's tenant; or
    /// returns what the session waits for.
    mutating func refuse(
        _ refusal: Refusal, _ call: Call, on thread: inout ServingThread,
        _ reply: inout ReplyWriter
    ) -> Suspension? {
        if case .limit(.throttled(let wait)) = refusal { return .throttled(wait) }
        if refusal == .shardBusy { return .busy }
        return refuse(
            refusal, call.entry, call.arguments, call.size, on: &thread, &reply)
    }

    private mutating func refuse(
        _ refusal: Refusal, _ entry: EntryReference?, _ arguments: Arguments, _ size: Int,
        on thread: inout ServingThread, _ reply: inout ReplyWriter
    ) -> Suspension? {
        let mark = reply.count
        // As in Redis, no command counts as rejected if none was found.
        if let entry, refusal != .unknownSubcommand {
            thread.commandStatistics[entry.pointee.number].pointee.rejected.bump()
        }
        let text = refusal.text(entry, arguments)
        if let entry, entry.pointee.flags.contains(.executes) {
            abortTransaction(because: text, on: &thread, &reply)
        } else {
            if state.pointee.transaction.isOpen { state.pointee.transaction.isAborted = true }
            reply.error(text)
        }
        chargeRefused(bytesIn: size, bytesOut: reply.count - mark, on: thread.worker)
        return nil
    }

    /// Whether a browser sent this: a web page can make a browser send a request to this port. The
    /// server must not answer, because commands could follow in the body.
    private static func isBrowser(_ name: Bytes) -> Bool {
        name.isKeyword("HOST:") || name.isKeyword("POST")
    }

    /// Closes the session of a browser: nothing after this request may run.
    private mutating func closeOnBrowser(_ thread: inout ServingThread) {
        // Why no warning: any client that can connect could fill the log.
        Log.standard.write(
            .verbose, "\(state.pointee.address) sends HTTP, as a web page would; closed")
        thread.worker.statistics.pointee.commands.bump()
        state.pointee.closesAfterReply = true
    }

    /// Whether CLIENT PAUSE holds the command back.
    private func isHeldBack(_ call: Call, on thread: borrowing ServingThread) -> Bool {
        let flags = call.entry.pointee.flags
        guard thread.pause.with({ $0.onlyWrites.load(ordering: .relaxed) })
        else { return true }
        if flags.contains(.executes) { return state.pointee.transaction.mayWrite }
        return !flags.isDisjoint(with: [.write, .mayReplicate])
    }

    /// CLIENT REPLY: takes back replies that the client does not want.
    @inline(never)
    func applyReplyMode(_ mark: Int, _ reply: ReplyWriter) {
        switch state.pointee.replyMode {
        case .on: break
        case .off: reply.truncate(to: mark)
        case .skipNext: state.pointee.replyMode = .skipThis
        case .skipThis:
            reply.truncate(to: mark)
            state.pointee.replyMode = .on
        }
    }
}
