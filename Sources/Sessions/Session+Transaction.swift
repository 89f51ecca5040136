// SPDX-License-Identifier: Apache-2.0
import Base
import CLinux
import Commands
import Storage
import Wire

// MULTI and EXEC: requests are kept as bytes, and run together under the locks of all their keys'
// shards.
extension Session {
    /// Queues a request for EXEC and replies QUEUED.
    mutating func queue(_ call: Call, _ reply: inout ReplyWriter) {
        if !call.entry.pointee.flags.isDisjoint(with: [.write, .mayReplicate]) {
            state.pointee.transaction.mayWrite = true
        }
        state.pointee.transaction.append(call.arguments)
        let mark = reply.count
        reply.simple("QUEUED")
        state.pointee.transaction.unchargedIn += call.size
        state.pointee.transaction.unchargedOut += reply.count - mark
        // As in Redis, queued requests count as part of the query buffer.
        let limit = call.worker.settings.queryBufferLimit
        guard state.pointee.transaction.requests.readableCount > limit else { return }
        Log.standard.write(.warning, "closing client that reached the maximum query buffer length")
        call.worker.statistics.pointee.closedForInput.bump()
        state.pointee.closesAfterReply = true
    }

    /// A queued request, parsed again.
    private struct Queued {
        let entry: EntryReference
        let first: Int
        let count: Int
        let size: Int
        /// The request's keys among those of the transaction.
        var firstKey = 0
        var keyCount = 0
        /// The database that it runs in, as computed from the SELECTs before it.
        var database = 0
    }

    /// Runs EXEC, or returns why it must wait. If it waits, nothing of the transaction has run.
    mutating func executeTransaction(
        _ call: Call, on thread: inout ServingThread, _ reply: inout ReplyWriter
    ) -> Suspension? {
        if state.pointee.transaction.isAborted {
            endTransaction(on: &thread)
            reply.error("EXECABORT Transaction discarded because of previous errors.")
            return nil
        }
        if thread.worker.isBroken(state.pointee.watched) {
            endTransaction(on: &thread)
            reply.nullArray()
            return nil
        }
        var list = ArgumentList()
        var queued: [Queued] = []
        parseQueue(into: &list, &queued, on: &thread)
        if queued.contains(where: { $0.entry.pointee.flags.contains(.denyOOM) }),
            thread.worker.isOutOfMemory
        {
            let text = Refusal.limit(.serverMemory).text(call.entry, call.arguments)
            abortTransaction(because: text, on: &thread, &reply)
            return nil
        }
        if queued.contains(where: { $0.entry.pointee.flags.contains(.admin) }) {
            return thread.server.control.whileStandingStill {
                runQueued(&queued, list, call, on: &thread, &reply)
            }
        }
        return runQueued(&queued, list, call, on: &thread, &reply)
    }

    private mutating func parseQueue(
        into list: inout ArgumentList, _ queued: inout [Queued], on thread: inout ServingThread
    ) {
        var parser = RESPParser()
        let bytes = state.pointee.transaction.requests.readable
        var offset = 0
        while offset < bytes.count {  // Bound: `queue` wrote only whole requests.
            let first = list.count
            guard
                case .request(let count, let consumed) = parser.next(
                    bytes.suffix(from: offset), into: &list), count > 0
            else { break }
            let arguments = list.arguments(from: first, count: count)
            if let found = thread.commands.with({ $0.find(arguments[0]) }) {
                let entry =
                    count > 1 ? CommandTable.subcommand(found, arguments[1]) ?? found : found
                queued.append(Queued(entry: entry, first: first, count: count, size: consumed))
            }
            offset += consumed
        }
    }

    private mutating func runQueued(
        _ queued: inout [Queued], _ list: borrowing ArgumentList, _ call: Call,
        on thread: inout ServingThread, _ reply: inout ReplyWriter
    ) -> Suspension? {
        let worker = thread.worker
        guard let hold = holdAll(&queued, list, on: &thread) else { return .busy }
        // Order: a watched key may have changed after EXEC checked the flag and before it got the
        // locks. (Expired keys were seen by that check: the clock stands still within a batch.)
        // The shards of all watched keys are held, so of two transactions that each write what the
        // other watches, the second sees here what the first did.
        if state.pointee.watched.isDirty {
            hold.end()
            endTransaction(on: &thread)
            reply.nullArray()
            return nil
        }
        // Why all checks before the first command: a transaction runs whole or not at all.
        if let limit = hold.refusalByRates(ofSessionOf: state.pointee.tenant) {
            hold.end()
            return refuse(.limit(limit), call, on: &thread, &reply)
        }
        if !absent.isEmpty { excuseAbsent(thread) }
        if let misses = missingRecords(queued, hold, on: thread) {
            endExcuse(thread)
            hold.end()
            return awaitRecords(misses, call, on: &thread, &reply)
        }
        recordAttempts = 0
        state.pointee.transaction.isOpen = false
        reply.array(queued.count)
        let tenant = state.pointee.tenant
        let database = state.pointee.database
        let errors = reply.errorCount
        let keylessCount = runAll(queued, hold, list, on: &thread, &reply)
        queuedErrorCount = reply.errorCount - errors
        hold.returnOverdrafts()
        hold.end()
        // Why afterwards: the shard that they count on may not be among the held ones. Their bytes
        // are EXEC's.
        if keylessCount > 0 {
            Hold(worker, homeOf: tenant, database)
                .end(commands: keylessCount, bytesIn: 0, bytesOut: 0)
        }
        endTransaction(on: &thread)
        return nil
    }

    /// Runs the queued commands. Returns how many of them name no key.
    private mutating func runAll(
        _ queued: [Queued], _ hold: borrowing Hold, _ list: borrowing ArgumentList,
        on thread: inout ServingThread, _ reply: inout ReplyWriter
    ) -> Int {
        var keylessCount = 0
        // No command of a transaction changes this.
        let isMuted = state.pointee.replyMode == .off
        for request in queued {
            let mark = reply.count
            reply.version = state.pointee.protocolVersion
            runOne(request, hold, list, on: &thread, &reply)
            if case .key = request.entry.pointee.run {
                // Its keys' tenants have been charged.
                state.pointee.transaction.unchargedIn -= request.size
                if !isMuted { state.pointee.transaction.unchargedOut -= reply.count - mark }
            } else {
                keylessCount += 1
            }
            // Why now: replies that nobody wants take no memory.
            if isMuted { reply.truncate(to: mark) }
        }
        return keylessCount
    }

    /// Locks every shard that the transaction can touch or that has a watched key, and notes each
    /// request's part of the keys. Nil if another thread holds a shard for long.
    private func holdAll(
        _ queued: inout [Queued], _ list: borrowing ArgumentList, on thread: inout ServingThread
    ) -> Hold? {
        let worker = thread.worker
        while true {  // Bound: `KeyList.hold`.
            let keys = KeyList(worker)
            var database = state.pointee.database
            var needsAll = false
            for index in queued.indices {
                let entry = queued[index].entry
                let arguments = list.arguments(
                    from: queued[index].first, count: queued[index].count)
                if entry.pointee.flags.contains(.wholeDatabase) {
                    needsAll = true
                    // Order: before the keys of the commands behind it are routed.
                    make(swappedDatabases(entry, arguments, worker), worker.registry)
                }
                queued[index].database = database
                database = Session.selected(entry, arguments, worker) ?? database
                queued[index].firstKey = keys.count
                if case .key = entry.pointee.run {
                    call(queued[index], arguments, database, worker).addKeys(to: keys)
                }
                queued[index].keyCount = keys.count - queued[index].firstKey
            }
            let all = needsAll ? allKeyspaces(worker.registry) : []
            let watched = state.pointee.watched.shards
            if let hold = keys.hold(and: watched, andAllOf: all) { return hold }
            if worker.hasMetBusyShard { return nil }
        }
    }

    /// The call of a queued request in database `number`.
    private func call(
        _ request: Queued, _ arguments: Arguments, _ number: Int, _ worker: WorkerReference,
        recordMisses: RecordMissesReference? = nil
    ) -> Call {
        Call(
            request.entry, arguments, size: request.size, state, on: worker,
            in: worker.keyspace(state.pointee.tenant, number), recordMisses: recordMisses)
    }

    /// The database that a queued SELECT selects; nil for one that will fail, and for all other
    /// commands.
    private static func selected(
        _ entry: EntryReference, _ arguments: Arguments, _ worker: WorkerReference
    ) -> Int? {
        guard entry.pointee.flags.contains(.selectsDatabase),
            case .number(let number) = DatabaseNumber(
                arguments[1], count: worker.settings.databaseCount)
        else { return nil }
        return number
    }

    /// The databases that a queued SWAPDB swaps; empty for all other commands.
    private func swappedDatabases(
        _ entry: EntryReference, _ arguments: Arguments, _ worker: WorkerReference
    ) -> [Int] {
        guard entry.pointee.flags.contains(.swapsDatabases) else { return [] }
        let count = worker.settings.databaseCount
        return (1..<arguments.count).compactMap {
            if case .number(let number) = DatabaseNumber(arguments[$0], count: count) {
                number
            } else {
                nil
            }
        }
    }

    /// If a tenant has one of the databases, makes the others too. Then all of them are held while
    /// they are swapped.
    private func make(_ databases: [Int], _ registry: TenantRegistry) {
        guard !databases.isEmpty else { return }
        registry.forEachTenant(inSightOf: state.pointee.tenant) { tenant in
            guard databases.contains(where: { tenant.keyspace($0) != nil }) else { return }
            for number in databases { _ = registry.keyspace(tenant, number) }
        }
    }

    /// Every keyspace of every database visible to the session.
    private func allKeyspaces(_ registry: TenantRegistry) -> [KeyspaceReference] {
        var all: [KeyspaceReference] = []
        registry.forEachTenant(inSightOf: state.pointee.tenant) { tenant in
            tenant.forEachKeyspace { all.append($0) }
        }
        return all
    }

    /// The record keys that the transaction reads and that are not loaded; nil if there are none.
    private func missingRecords(
        _ queued: [Queued], _ hold: borrowing Hold, on thread: borrowing ServingThread
    ) -> [[UInt8]]? {
        guard let recordMisses = thread.recordMisses,
            state.pointee.tenant == thread.worker.registry.server
        else { return nil }
        var missing: [[UInt8]] = []
        for request in queued
        where request.database == 0 && request.entry.pointee.flags.contains(.loadsRecords) {
            for ordinal in request.firstKey..<request.firstKey + request.keyCount
            where !hold.isCached(ordinal) && recordMisses.pointee.isToBeLoaded(hold.key(ordinal)) {
                missing.append(hold.key(ordinal).array)
            }
        }
        return missing.isEmpty ? nil : missing
    }

    /// Runs one queued request.
    private mutating func runOne(
        _ request: Queued, _ hold: borrowing Hold, _ list: borrowing ArgumentList,
        on thread: inout ServingThread, _ reply: inout ReplyWriter
    ) {
        let arguments = list.arguments(from: request.first, count: request.count)
        let errors = reply.errorCount
        let started = martlet_ticks()
        switch request.entry.pointee.run {
        case .key(let command):
            call(
                request, arguments, state.pointee.database, thread.worker,
                recordMisses: thread.recordMisses
            )
            .run(command, inside: hold, first: request.firstKey, count: request.keyCount, &reply)
        case .session(let command):
            var context = CommandContext(
                worker: thread.worker, session: state, server: thread.server,
                isInsideTransaction: true)
            command.run(arguments, &context, &reply)
            if context.action == .close { state.pointee.closesAfterReply = true }
        case .container:
            reply.error(Refusal.arity.text(request.entry, arguments))
        }
        count(
            request.entry, ticks: martlet_ticks() &- started, failed: reply.errorCount > errors,
            on: &thread)
        if thread.observed != nil { observe(arguments, on: &thread) }
    }

    /// Ends a transaction whose EXEC could not begin, and replies with the reason.
    mutating func abortTransaction(
        because text: [UInt8], on thread: inout ServingThread, _ reply: inout ReplyWriter
    ) {
        endTransaction(on: &thread)
        let reason = text.starts(with: "ERR ".utf8) ? Array(text.dropFirst(4)) : text
        reply.error(Array("EXECABORT Transaction discarded because of: ".utf8) + reason)
    }

    mutating func endTransaction(on thread: inout ServingThread) {
        // Why here: EXEC may end before it looks for the records that it waited for.
        endExcuse(thread)
        state.pointee.transaction.reset()
        thread.worker.unwatchAll(&state.pointee.watched)
    }
}
