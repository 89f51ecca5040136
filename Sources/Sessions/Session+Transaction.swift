// SPDX-License-Identifier: Apache-2.0
import Base
import CLinux
import Commands
import Storage
import Synchronization
import Wire

// MULTI and EXEC: requests are kept as bytes, and run together under the locks of all their keys'
// shards.
extension Session {
    /// Keeps a request for EXEC.
    func queue(_ entry: Entry, _ arguments: Arguments, on thread: borrowing ServingThread) {
        if !entry.pointee.flags.isDisjoint(with: [.write, .mayReplicate]) {
            state.pointee.transaction.mayWrite = true
        }
        func line(_ kind: UInt8, _ value: Int) {
            state.pointee.transaction.requests.append(byte: kind)
            state.pointee.transaction.requests.append(integer: Int64(value))
            state.pointee.transaction.requests.append("\r\n" as StaticString)
        }
        line(UInt8(ascii: "*"), arguments.count)
        for index in 0..<arguments.count {
            line(UInt8(ascii: "$"), arguments[index].count)
            state.pointee.transaction.requests.append(arguments[index])
            state.pointee.transaction.requests.append("\r\n" as StaticString)
        }
        state.pointee.transaction.count += 1
        // As in Redis: what is queued is a part of the query buffer.
        let limit = thread.worker.pointee.settings.values.pointee.queryBufferLimit.value
        guard state.pointee.transaction.requests.readableCount > limit else { return }
        Log.standard.write(.warning, "closing client that reached the maximum query buffer length")
        thread.worker.pointee.statistics.pointee.closedForInput.bump()
        state.pointee.closesAfterReply = true
    }

    /// A queued request, parsed again.
    private struct Queued {
        let entry: Entry
        let owned: UnsafeMutablePointer<CommandTable.Entry>?
        let first: Int
        let count: Int
        let size: Int
    }

    /// EXEC: what it answers, or why it must wait. Nothing of the transaction has run then.
    mutating func executeTransaction(
        on thread: inout ServingThread, _ reply: inout ReplyWriter
    ) -> Suspension? {
        if state.pointee.transaction.isAborted {
            endTransaction(on: thread)
            reply.error("EXECABORT Transaction discarded because of previous errors.")
            return nil
        }
        if thread.worker.isBroken(state) {
            endTransaction(on: thread)
            reply.nullArray()
            return nil
        }
        var list = ArgumentList()
        var queued: [Queued] = []
        parseQueue(into: &list, &queued, on: thread)
        defer {
            for request in queued {
                request.owned?.deinitialize(count: 1); request.owned?.deallocate()
            }
        }
        if queued.contains(where: { $0.entry.pointee.flags.contains(.denyOOM) }),
            thread.worker.isOutOfMemory
        {
            let text = ReplyError.outOfMemory.text
            abortTransaction(because: Bytes(text).array, on: thread, &reply)
            return nil
        }
        if queued.contains(where: { $0.entry.pointee.flags.contains(.admin) }) {
            return thread.server.whileStandingStill {
                runQueued(queued, list, on: &thread, &reply)
            }
        }
        return runQueued(queued, list, on: &thread, &reply)
    }

    private func parseQueue(
        into list: inout ArgumentList, _ queued: inout [Queued], on thread: borrowing ServingThread
    ) {
        var parser = RESPParser()
        let bytes = state.pointee.transaction.requests.readable
        var offset = 0
        while offset < bytes.count {  // Bound: `queue` wrote whole requests only.
            let first = list.count
            guard
                case .request(let count, let consumed) = parser.next(
                    bytes.suffix(from: offset), into: &list), count > 0
            else { break }
            let arguments = list.arguments(from: first, count: count)
            if let found = thread.commands._withUnsafeGuaranteedRef({ $0.find(arguments[0]) }) {
                var entry = found
                var owned: UnsafeMutablePointer<CommandTable.Entry>?
                if count > 1, !found.pointee.subcommands.isEmpty,
                    let subcommand = CommandTable.subcommand(found, arguments[1])
                {
                    let copy = UnsafeMutablePointer<CommandTable.Entry>.allocate(capacity: 1)
                    copy.initialize(to: subcommand)
                    owned = copy
                    entry = UnsafePointer(copy)
                }
                queued.append(
                    Queued(entry: entry, owned: owned, first: first, count: count, size: consumed))
            }
            offset += consumed
        }
    }

    private mutating func runQueued(
        _ queued: [Queued], _ list: borrowing ArgumentList, on thread: inout ServingThread,
        _ reply: inout ReplyWriter
    ) -> Suspension? {
        let worker = thread.worker
        let mark = reply.count
        guard let keys = lockAll(queued, list, on: thread, &reply) else {
            endTransaction(on: thread)
            return nil
        }
        // Order: between EXEC's look at the flag and the locks a watched key may have changed.
        // (What has expired was seen then: the clock stands still within a batch.)
        if state.pointee.watched.isDirty {
            worker.unlockKeys()
            endTransaction(on: thread)
            reply.truncate(to: mark)
            reply.nullArray()
            return nil
        }
        // Why all at once and before the first: a transaction runs whole or not at all.
        if let refusal = Executor(worker: worker).refusalByRates() {
            worker.unlockKeys()
            if let wait = refusal.wait { return .throttled(wait) }
            abortTransaction(because: Array(refusal.text.utf8), on: thread, &reply)
            return nil
        }
        if awaitedAreAbsent { excuseAwaited(thread) }
        let misses = missingRecords(queued, list, on: thread)
        if awaitedAreAbsent { endExcuse(thread) }
        if let misses {
            worker.unlockKeys()
            guard mayAwaitRecords(now: worker.pointee.now) else {
                endTransaction(on: thread)
                reply.error(Refusals.recordChangesTooFast)
                return nil
            }
            awaited = misses
            return .records(misses)
        }
        recordAttempts = 0
        state.pointee.transaction.isOpen = false
        reply.array(queued.count)
        if isMuted { reply.truncate(to: mark) }
        let tenant = state.pointee.tenant
        let database = state.pointee.database
        let errors = reply.errorCount
        let keylessCount = runAll(queued, keys, list, on: &thread, &reply)
        queuedErrorCount = reply.errorCount - errors
        thread.unmutedFrom = reply.count
        worker.returnOverdrafts()
        worker.unlockKeys()
        // Why afterwards: the shard that they count on may not be among those held. Their bytes are
        // EXEC's.
        for _ in 0..<keylessCount {
            chargeKeyless(tenant, database, bytesIn: 0, bytesOut: 0, on: &thread)
        }
        endTransaction(on: thread)
        return nil
    }

    /// Runs what was queued; returns how many of it name no key.
    private mutating func runAll(
        _ queued: [Queued], _ keys: TransactionKeys, _ list: borrowing ArgumentList,
        on thread: inout ServingThread, _ reply: inout ReplyWriter
    ) -> Int {
        var keylessCount = 0
        for (number, request) in queued.enumerated() {
            let mark = reply.count
            keys.restore(number, to: thread.worker)
            let charged = runOne(request, list, on: &thread, &reply)
            state.pointee.transaction.unchargedIn -= charged.in
            if isMuted {
                reply.truncate(to: mark)
            } else {
                state.pointee.transaction.unchargedOut -= charged.out
            }
            if case .session = request.entry.pointee.run { keylessCount += 1 }
        }
        return keylessCount
    }

    /// Whether CLIENT REPLY keeps back what is replied now. A command of the transaction may have
    /// said so, or ended it.
    private var isMuted: Bool {
        state.pointee.replyMode == .off || state.pointee.replyMode == .skipThis
    }

    /// Takes every shard that the transaction can touch, and says where its keys live. Nil, with an
    /// error replied, where a key is refused.
    private func lockAll(
        _ queued: [Queued], _ list: borrowing ArgumentList, on thread: borrowing ServingThread,
        _ reply: inout ReplyWriter
    ) -> TransactionKeys? {
        let worker = thread.worker
        let executor = Executor(worker: worker)
        while true {  // Bound: a keyspace is dropped once; the next turn finds or makes another.
            worker.clearKeys()
            var keys = TransactionKeys()
            var database = state.pointee.database
            var needsAll = false
            let registry = worker.pointee.registry._withUnsafeGuaranteedRef { $0 }
            for request in queued {
                let arguments = list.arguments(from: request.first, count: request.count)
                defer { keys.endCommand(worker) }
                if request.entry.pointee.flags.contains(.wholeDatabase) {
                    needsAll = true
                    // Order: before the keys of the commands behind it are looked for.
                    make(swappedDatabases(request.entry, arguments, on: thread), registry)
                }
                database = Session.selected(request.entry, arguments, on: thread) ?? database
                guard case .key = request.entry.pointee.run else { continue }
                let keyspace = registry.keyspace(state.pointee.tenant, database)
                guard executor.resolve(request.entry, arguments, keyspace, &reply) else {
                    return nil
                }
            }
            keys.keep(worker)
            if needsAll {
                if worker.lockKeys(andAllOf: allKeyspaces(registry)) { return keys }
            } else if worker.lockKeys() {
                return keys
            }
        }
    }

    /// The database that a queued SELECT goes to; nil of one that will fail, and of any other
    /// command.
    private static func selected(
        _ entry: Entry, _ arguments: Arguments, on thread: borrowing ServingThread
    ) -> Int? {
        let count = thread.worker.pointee.settings.values.pointee.databaseCount.value
        guard entry.pointee.flags.contains(.selectsDatabase),
            case .number(let number) = DatabaseNumber(arguments[1], count: count)
        else { return nil }
        return number
    }

    /// The databases that a queued SWAPDB exchanges; none of any other command.
    private func swappedDatabases(
        _ entry: Entry, _ arguments: Arguments, on thread: borrowing ServingThread
    ) -> [Int] {
        guard entry.pointee.flags.contains(.swapsDatabases) else { return [] }
        let count = thread.worker.pointee.settings.values.pointee.databaseCount.value
        return (1..<arguments.count).compactMap {
            if case .number(let number) = DatabaseNumber(arguments[$0], count: count) {
                number
            } else {
                nil
            }
        }
    }

    /// Makes those of the databases that a tenant lacks who has one of them, so that they are held
    /// when they are exchanged.
    private func make(_ databases: [Int], _ registry: TenantRegistry) {
        guard !databases.isEmpty else { return }
        registry.forEachTenant(inSightOf: state.pointee.tenant) { tenant in
            guard databases.contains(where: { tenant.keyspace($0) != nil }) else { return }
            for number in databases { _ = registry.keyspace(tenant, number) }
        }
    }

    /// Every keyspace of every database that the session sees.
    private func allKeyspaces(_ registry: TenantRegistry) -> [KeyspaceReference] {
        var all: [KeyspaceReference] = []
        registry.forEachTenant(inSightOf: state.pointee.tenant) { tenant in
            tenant.forEachKeyspace { all.append($0) }
        }
        return all
    }

    /// The record keys that the transaction reads and that are not loaded; nil where there are
    /// none.
    private func missingRecords(
        _ queued: [Queued], _ list: borrowing ArgumentList, on thread: borrowing ServingThread
    ) -> [[UInt8]]? {
        guard let recordMisses = thread.recordMisses else { return nil }
        let registry = thread.worker.pointee.registry._withUnsafeGuaranteedRef { $0 }
        let keyspace = registry.keyspace(registry.server, 0)
        guard state.pointee.tenant == registry.server else { return nil }
        var missing: [[UInt8]] = []
        var database = state.pointee.database
        for request in queued {
            let arguments = list.arguments(from: request.first, count: request.count)
            database = Session.selected(request.entry, arguments, on: thread) ?? database
            guard database == 0, request.entry.pointee.flags.contains(.loadsRecords) else {
                continue
            }
            _ = request.entry.pointee.spec.forEachKey(arguments) { index, _ in
                let key = arguments[index]
                if recordMisses.pointee.isToBeLoaded(key),
                    !thread.worker.exists(key, in: keyspace)
                {
                    missing.append(key.array)
                }
            }
        }
        return missing.isEmpty ? nil : missing
    }

    /// Runs one queued request; returns the bytes that the tenants of its keys were charged.
    private mutating func runOne(
        _ request: Queued, _ list: borrowing ArgumentList, on thread: inout ServingThread,
        _ reply: inout ReplyWriter
    ) -> (in: Int, out: Int) {
        let arguments = list.arguments(from: request.first, count: request.count)
        let mark = reply.count
        let errors = reply.errorCount
        var charged = (in: 0, out: 0)
        reply.version = state.pointee.protocolVersion
        let started = martlet_ticks()
        switch request.entry.pointee.run {
        case .key(let command):
            let worker = thread.worker
            let registry = worker.pointee.registry._withUnsafeGuaranteedRef { $0 }
            let keyspace = registry.keyspace(state.pointee.tenant, state.pointee.database)
            var executor = Executor(worker: worker)
            executor.ratesWereAsked = true
            // A refusal, as of memory, is the command's reply.
            let outcome = executor.runHeld(
                request.entry, command, arguments, keyspace, requestSize: request.size,
                leavesAccessTime: state.pointee.leavesAccessTime, &reply)
            if outcome == .done { charged = (request.size, reply.count - mark) }
        case .session(let command):
            var context = CommandContext(
                worker: thread.worker, session: state, server: thread.server,
                isInsideTransaction: true)
            command.run(arguments, &context, &reply)
            if context.action == .close { state.pointee.closesAfterReply = true }
        case .container:
            reply.error(request.entry.pointee.spec.wrongArity)
        }
        count(
            request.entry, ticks: martlet_ticks() &- started, failed: reply.errorCount > errors,
            on: thread)
        return charged
    }

    /// EXEC could not begin: the transaction is over, and the answer says why.
    func abortTransaction(
        because text: [UInt8], on thread: borrowing ServingThread, _ reply: inout ReplyWriter
    ) {
        endTransaction(on: thread)
        let reason = text.starts(with: "ERR ".utf8) ? Array(text.dropFirst(4)) : text
        reply.error(Array("EXECABORT Transaction discarded because of: ".utf8) + reason)
    }

    func endTransaction(on thread: borrowing ServingThread) {
        state.pointee.transaction.reset()
        thread.worker.unwatchAll(state)
    }
}
