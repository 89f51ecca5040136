// SPDX-License-Identifier: Apache-2.0
import Base
import CLinux
import Commands
import Storage
import Synchronization
import Wire

// One request: looked up, admitted, run or queued, counted.
extension Session {
    typealias Entry = UnsafePointer<CommandTable.Entry>

    /// Runs or refuses one request. Returns why the session must wait where it is not answered yet.
    @inline(__always)
    mutating func run(
        _ request: Request, on thread: inout ServingThread, _ reply: inout ReplyWriter
    ) -> Suspension? {
        let arguments = thread.list.arguments(
            from: request.firstArgument, count: request.argumentCount)
        let mark = reply.count
        guard let entry = request.entry, case .key(let command) = entry.pointee.run,
            entry.pointee.accepts(request.argumentCount), mayRunAtOnce(on: thread)
        else {
            return runWithCare(request, arguments, on: &thread, &reply)
        }
        let suspension = runKeys(
            entry, command, arguments, request.prefetch, request.size, from: mark, on: &thread,
            &reply)
        if suspension == nil && state.pointee.replyMode != .on { applyReplyMode(mark, reply) }
        return suspension
    }

    /// Whether nothing stands between a command on keys and its run: no MULTI, no pause, no missing
    /// password.
    @inline(__always)
    private func mayRunAtOnce(on thread: borrowing ServingThread) -> Bool {
        state.pointee.isAuthenticated && !state.pointee.transaction.isOpen && failure == nil
            && !thread.pause._withUnsafeGuaranteedRef { $0.isActive }
    }

    @inline(__always)
    private mutating func runKeys(
        _ entry: Entry, _ command: any KeyCommand.Type, _ arguments: Arguments,
        _ prefetch: Prefetch?, _ size: Int, from mark: Int, on thread: inout ServingThread,
        _ reply: inout ReplyWriter
    ) -> Suspension? {
        let keyspace = thread.keyspace(state)
        var executor = Executor(worker: thread.worker)
        executor.recordMisses = thread.recordMisses
        if awaitedAreAbsent { excuseAwaited(thread) }
        let errors = reply.errorCount
        let started = martlet_ticks()
        let outcome = executor.run(
            entry, command, arguments, keyspace, prefetch, requestSize: size,
            leavesAccessTime: state.pointee.leavesAccessTime, &reply)
        let elapsed = martlet_ticks() &- started
        if awaitedAreAbsent { endExcuse(thread) }
        switch outcome {
        case .done:
            count(entry, ticks: elapsed, failed: reply.errorCount > errors, on: thread)
            recordAttempts = 0
            return nil
        case .refused:
            thread.commandStatistics.lines[entry.pointee.number].rejected.bump()
            if !thread.worker.chargeRefused(bytesIn: size, bytesOut: reply.count - mark) {
                chargeRefused(size, from: mark, reply, on: thread.worker)
            }
            return nil
        case .throttled(let wait):
            return .throttled(wait)
        case .awaitsRecords:
            return awaitRecords(size, on: &thread, &reply)
        }
    }

    @inline(__always)
    func count(
        _ entry: Entry, ticks: UInt64, failed: Bool, on thread: borrowing ServingThread
    ) {
        let line = thread.commandStatistics.lines + entry.pointee.number
        line.pointee.calls.bump()
        line.pointee.ticks.bump(Int(truncatingIfNeeded: ticks))
        if failed { line.pointee.failed.bump() }
        thread.worker.pointee.statistics.pointee.commands.bump()
        state.pointee.lastCommand = entry.pointee.number
    }

    /// The session waits for the records that were missed; after too many turns the request is
    /// refused.
    @inline(never)
    mutating func awaitRecords(
        _ size: Int, on thread: inout ServingThread, _ reply: inout ReplyWriter
    ) -> Suspension? {
        guard let misses = thread.recordMisses else { return nil }
        let keys = misses.pointee.keys
        misses.pointee.keys = []
        guard mayAwaitRecords(now: thread.worker.pointee.now) else {
            let mark = reply.count
            reply.error(Refusals.recordChangesTooFast)
            chargeRefused(size, from: mark, reply, on: thread.worker)
            return nil
        }
        awaited = keys
        return .records(keys)
    }

    /// A miss on the keys that were waited for is now an answer. Only on them: another key of the
    /// request may have been dropped meanwhile, and its row exists.
    @inline(never)
    func excuseAwaited(_ thread: borrowing ServingThread) {
        thread.recordMisses?.pointee.excused = Set(awaited)
    }

    /// Ends what `excuseAwaited` began.
    @inline(never)
    mutating func endExcuse(_ thread: borrowing ServingThread) {
        awaitedAreAbsent = false
        awaited = []
        thread.recordMisses?.pointee.excused = []
    }

    // MARK: - Everything that is not a command on keys running at once

    @inline(never)
    private mutating func runWithCare(
        _ request: Request, _ arguments: Arguments, on thread: inout ServingThread,
        _ reply: inout ReplyWriter
    ) -> Suspension? {
        thread.unmutedFrom = reply.count
        if let failure {
            self.failure = nil
            recordAttempts = 0
            // Why: of what MULTI opened only EXEC waits, and it is answered with this error.
            if state.pointee.transaction.isOpen { endTransaction(on: thread) }
            let mark = reply.count
            reply.error(failure)
            chargeRefused(request.size, from: mark, reply, on: thread.worker)
            applyReplyMode(thread.unmutedFrom, reply)
            return nil
        }
        let suspension = runCarefully(request, arguments, on: &thread, &reply)
        if suspension == nil { applyReplyMode(thread.unmutedFrom, reply) }
        return suspension
    }

    private mutating func runCarefully(
        _ request: Request, _ arguments: Arguments, on thread: inout ServingThread,
        _ reply: inout ReplyWriter
    ) -> Suspension? {
        guard let container = request.entry else {
            if Refusals.isBrowser(arguments[0]) {
                closeOnBrowser(thread)
                return nil
            }
            return reject(Refusals.unknownCommand(arguments), nil, request.size, thread, &reply)
        }
        guard arguments.count > 1, !container.pointee.subcommands.isEmpty else {
            return runResolved(container, request, arguments, on: &thread, &reply)
        }
        guard var subcommand = CommandTable.subcommand(container, arguments[1]) else {
            // As in Redis no command has been refused: none was found.
            return reject(
                Refusals.unknownSubcommand(container.pointee.spec.name, arguments[1]), nil,
                request.size, thread, &reply)
        }
        return withUnsafePointer(to: &subcommand) {
            runResolved($0, request, arguments, on: &thread, &reply)
        }
    }

    private mutating func runResolved(
        _ entry: Entry, _ request: Request, _ arguments: Arguments,
        on thread: inout ServingThread, _ reply: inout ReplyWriter
    ) -> Suspension? {
        if let text = Refusals.refusal(entry, arguments, state, thread) {
            return reject(Array(text.utf8), entry, request.size, thread, &reply)
        }
        if thread.pause._withUnsafeGuaranteedRef({ $0.isActive }), isHeldBack(entry, on: thread) {
            return .paused
        }
        if state.pointee.transaction.isOpen && !entry.pointee.flags.contains(.runsInsideMulti) {
            // Why whatever it does: what is queued takes memory.
            if thread.worker.isOutOfMemory {
                return reject(
                    Bytes(ReplyError.outOfMemory.text).array, entry, request.size, thread, &reply)
            }
            let mark = reply.count
            queue(entry, arguments, on: thread)
            reply.simple("QUEUED")
            state.pointee.transaction.unchargedIn += request.size
            state.pointee.transaction.unchargedOut += reply.count - mark
            return nil
        }
        switch entry.pointee.run {
        case .key(let command):
            return runKeys(
                entry, command, arguments, request.prefetch, request.size, from: reply.count,
                on: &thread, &reply)
        case .session(let command):
            return runSession(entry, command, arguments, request.size, on: &thread, &reply)
        case .container:
            return reject(
                Array(entry.pointee.spec.wrongArity.utf8), entry, request.size, thread, &reply)
        }
    }

    private mutating func runSession(
        _ entry: Entry, _ command: any SessionCommand.Type, _ arguments: Arguments, _ size: Int,
        on thread: inout ServingThread, _ reply: inout ReplyWriter
    ) -> Suspension? {
        let tenant = state.pointee.tenant
        let database = state.pointee.database
        let admission = admitKeyless(
            entry, tenant, database, requestSize: size, on: &thread, &reply)
        switch admission {
        case .granted: break
        case .refused: return nil
        case .throttled(let wait): return .throttled(wait)
        }
        let mark = reply.count
        let errors = reply.errorCount
        let started = martlet_ticks()
        var context = CommandContext(
            worker: thread.worker, session: state, server: thread.server,
            isInsideTransaction: false)
        queuedErrorCount = 0
        command.run(arguments, &context, &reply)
        if context.action == .executeTransaction {
            if let suspension = executeTransaction(on: &thread, &reply) { return suspension }
        }
        if context.action == .close { state.pointee.closesAfterReply = true }
        count(
            entry, ticks: martlet_ticks() &- started,
            failed: reply.errorCount - queuedErrorCount > errors, on: thread)
        let rest = takeUncharged()
        chargeKeyless(
            tenant, database, bytesIn: size + rest.in,
            bytesOut: max(0, reply.count - mark) + rest.out, on: &thread)
        return nil
    }

    private mutating func reject(
        _ text: [UInt8], _ entry: Entry?, _ size: Int, _ thread: borrowing ServingThread,
        _ reply: inout ReplyWriter
    ) -> Suspension? {
        let mark = reply.count
        defer { chargeRefused(size, from: mark, reply, on: thread.worker) }
        if let entry { thread.commandStatistics.lines[entry.pointee.number].rejected.bump() }
        if let entry, entry.pointee.flags.contains(.executes) {
            abortTransaction(because: text, on: thread, &reply)
            return nil
        }
        if state.pointee.transaction.isOpen { state.pointee.transaction.isAborted = true }
        reply.error(text)
        return nil
    }

    /// A page in somebody's browser was made to send this: nothing behind it may run.
    private func closeOnBrowser(_ thread: borrowing ServingThread) {
        // Why no warning: whoever may connect could fill the log with them.
        Log.standard.write(
            .verbose, "\(state.pointee.address) sends HTTP, as a web page would; closed")
        thread.worker.pointee.statistics.pointee.commands.bump()
        state.pointee.closesAfterReply = true
    }

    /// Whether CLIENT PAUSE holds the command back.
    private func isHeldBack(_ entry: Entry, on thread: borrowing ServingThread) -> Bool {
        let flags = entry.pointee.flags
        guard thread.pause._withUnsafeGuaranteedRef({ $0.onlyWrites.load(ordering: .relaxed) })
        else { return true }
        if flags.contains(.executes) { return state.pointee.transaction.mayWrite }
        return !flags.isDisjoint(with: [.write, .mayReplicate])
    }

    /// CLIENT REPLY: takes back what the client does not want to hear.
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

extension WorkerReference {
    /// Whether memory is full and nothing can be evicted.
    var isOutOfMemory: Bool {
        let memoryMax = pointee.settings.values.pointee.memoryMax.value
        return memoryMax > 0 && memoryInUse > memoryMax && !makeRoom(memoryMax)
    }
}
