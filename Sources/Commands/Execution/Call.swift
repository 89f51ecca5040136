// SPDX-License-Identifier: Apache-2.0
import Base
import Storage
import Wire

/// A request to run: the command, its arguments, and the session that sent it.
///
/// Every call of a command on keys takes the same four steps: take a `Hold` of its keys, ask
/// `Admission`, run the handler, end the hold. Queued commands take them too; inside EXEC the hold
/// is a part of the transaction's hold.
public struct Call {
    public let entry: CommandTable.EntryReference
    public let arguments: Arguments
    /// Size of the request on the wire, in bytes.
    public let size: Int
    public let session: SessionReference
    public let worker: WorkerReference
    /// The keyspace that the session selected. A key that names a tenant lives in that tenant's.
    let keyspace: KeyspaceReference
    /// Collects misses on record keys. Nil without record sources.
    let recordMisses: RecordMissesReference?

    @inline(__always)
    public init(
        _ entry: CommandTable.EntryReference, _ arguments: Arguments, size: Int,
        _ session: SessionReference, on worker: WorkerReference, in keyspace: KeyspaceReference,
        recordMisses: RecordMissesReference?
    ) {
        self.entry = entry
        self.arguments = arguments
        self.size = size
        self.session = session
        self.worker = worker
        self.keyspace = keyspace
        self.recordMisses = recordMisses
    }

    @inline(__always)
    private var options: HoldOptions {
        entry.pointee.holdOptions.union(session.pointee.holdOptions)
    }

    /// Runs a command on keys outside a transaction. Returns why it did not run; it has then
    /// replied, unless the refusal is a wait.
    @inline(__always)
    public func run(
        _ command: any KeyCommand.Type, _ prefetch: Prefetch?, _ reply: inout ReplyWriter
    ) -> Refusal? {
        let index = Int(entry.pointee.singleKey)
        guard index > 0, arguments[index].count <= Entry.keySizeMax else {
            return runMany(command, &reply)
        }
        let key = arguments[index]
        guard
            let hold = Hold(
                worker, key, prefetch?.hash ?? Hash(key), known: prefetch?.shard(in: keyspace),
                in: keyspace, creating: entry.pointee.singleKeyCreates, options)
        else { return .shardBusy }
        return run(command, hold, &reply)
    }

    @inline(never)
    private func runMany(
        _ command: any KeyCommand.Type, _ reply: inout ReplyWriter
    ) -> Refusal? {
        // Why before the first key is added: adding a key may make its tenant, and a refused
        // command must not leave one behind.
        if namesTooLongKey {
            let home = Hold(worker, homeOf: keyspace.pointee.tenant, keyspace.pointee.number)
            return refuse(home, .keyTooLong, &reply)
        }
        while true {  // Bound: `KeyList.hold`.
            let keys = KeyList(worker, options)
            addKeys(to: keys)
            if let hold = keys.hold() { return run(command, hold, &reply) }
            if worker.hasMetBusyShard { return .shardBusy }
        }
    }

    /// Runs a command whose keys are held, and ends the hold.
    @inline(__always)
    private func run(
        _ command: any KeyCommand.Type, _ hold: consuming Hold, _ reply: inout ReplyWriter
    ) -> Refusal? {
        let flags = entry.pointee.flags
        if !hold.isAdmitted(mayGrow: flags.contains(.denyOOM)),
            let refusal = Admission.refusal(self, hold)
        {
            return refuse(hold, refusal, &reply)
        }
        let mark = reply.count
        let misses =
            recordMisses != nil && flags.contains(.loadsRecords) && keyspace.answersRecords
            ? recordMisses : nil
        if let misses { hold.noteMisses(in: misses) }
        command.run(arguments, hold, &reply)
        if let misses, !misses.pointee.keys.isEmpty {
            reply.truncate(to: mark)
            return missed(misses, hold, &reply)
        }
        hold.end(
            isRead: flags.contains(.readOnly), isWrite: flags.contains(.write), bytesIn: size,
            bytesOut: reply.count - mark)
        return nil
    }

    /// Ends the hold of a command that missed records, and whose reply was taken back. Inside EXEC
    /// the command is refused, outside it waits for them.
    @inline(never)
    private func missed(
        _ misses: RecordMissesReference, _ hold: consuming Hold, _ reply: inout ReplyWriter
    ) -> Refusal {
        guard hold.isInner else {
            hold.end()
            return .recordsMissing
        }
        misses.pointee.keys = []
        return refuse(hold, .recordChangesTooFast, &reply)
    }

    /// Runs a command of a transaction. Its keys are `count` of `outer`'s, starting with `first`. A
    /// refusal, for example by memory, is the command's reply.
    ///
    /// EXEC has loaded all records that its commands read, but one may have been evicted since. Its
    /// reader cannot wait and must not be told that there is no such row, so it is refused.
    public func run(
        _ command: any KeyCommand.Type, inside outer: borrowing Hold, first: Int, count: Int,
        _ reply: inout ReplyWriter
    ) {
        if let recordMisses {
            return runAmongRecords(
                command, inside: outer, first..<first + count, recordMisses, &reply)
        }
        _ = run(command, Hold(inside: outer, first: first, count: count, options), &reply)
    }

    /// The same where there are records. What the command has removed is gone for those behind it,
    /// as in Redis. That excludes a target: a record's key does not keep what is moved to it.
    @inline(never)
    private func runAmongRecords(
        _ command: any KeyCommand.Type, inside outer: borrowing Hold, _ ordinals: Range<Int>,
        _ misses: RecordMissesReference, _ reply: inout ReplyWriter
    ) {
        let hold = Hold(
            inside: outer, first: ordinals.lowerBound, count: ordinals.count, options)
        guard run(command, hold, &reply) == nil, entry.pointee.flags.contains(.write),
            keyspace.answersRecords
        else { return }
        lazy var created = createdKeys
        for ordinal in ordinals
        where !outer.isCached(ordinal) && misses.pointee.isToBeLoaded(outer.key(ordinal))
            && !created[ordinal - ordinals.lowerBound]
        {
            misses.pointee.excused.insert(outer.key(ordinal).array)
        }
    }

    /// Runs a command whose keys come as bytes, inside a script's hold. A refusal, also of a key
    /// that `outer` does not have, is the command's reply, which the script can handle.
    public func run(
        _ command: any KeyCommand.Type, inside outer: borrowing Hold, _ reply: inout ReplyWriter
    ) {
        if namesTooLongKey { return refuse(.keyTooLong, &reply) }
        let keys = KeyList(inside: outer, options)
        addKeys(to: keys)
        guard let hold = keys.holdInside() else {
            return refuse(.undeclaredKey, &reply)
        }
        _ = run(command, hold, &reply)
    }

    @inline(never)
    private func refuse(_ refusal: Refusal, _ reply: inout ReplyWriter) {
        reply.error(refusal.text(entry, arguments))
    }

    /// Replies why the command does not run, unless it waits. Charges its bytes to the tenant of
    /// its first key while the hold still has that tenant's shard.
    @inline(never)
    private func refuse(
        _ hold: consuming Hold, _ refusal: Refusal, _ reply: inout ReplyWriter
    ) -> Refusal {
        guard !refusal.isWait else {
            hold.end()
            return refusal
        }
        let mark = reply.count
        reply.error(refusal.text(entry, arguments))
        hold.end(commands: 0, bytesIn: size, bytesOut: reply.count - mark)
        return refusal
    }
}

// Which keys a call names.
extension Call {
    /// Whether one of the call's keys is longer than a key can be. The command's arity has been
    /// checked.
    public var namesTooLongKey: Bool {
        let index = Int(entry.pointee.singleKey)
        if index > 0 { return arguments[index].count > Entry.keySizeMax }
        if let range = entry.pointee.keyRange {
            guard let indices = range.range(count: arguments.count) else { return false }
            var index = indices.lowerBound
            while index < indices.upperBound {
                if arguments[index].count > Entry.keySizeMax { return true }
                index += range.step
            }
            return false
        }
        return namesTooLongKeySomewhere
    }

    @inline(never)
    private var namesTooLongKeySomewhere: Bool {
        var isTooLong = false
        _ = entry.pointee.spec.forEachKey(arguments) { index, _ in
            if arguments[index].count > Entry.keySizeMax { isTooLong = true }
        }
        return isTooLong
    }

    /// Adds the call's keys to `keys`. None of them is too long.
    public func addKeys(to keys: borrowing KeyList) {
        let index = Int(entry.pointee.singleKey)
        if index > 0 {
            return keys.add(
                arguments[index], in: keyspace, creating: entry.pointee.singleKeyCreates)
        }
        if let range = entry.pointee.keyRange { return add(range, to: keys) }
        if entry.pointee.flags.contains(.otherDatabase), case .key(let command) = entry.pointee.run,
            let crossing = command as? any CrossDatabaseCommand.Type
        {
            return add(crossing, to: keys)
        }
        // If the count is not a number, the request names no keys; the command itself replies the
        // error.
        _ = entry.pointee.spec.forEachKey(arguments) { index, access in
            keys.add(arguments[index], in: keyspace, creating: access.mayCreate)
        }
    }

    private func add(_ range: CommandTable.KeyRange, to keys: borrowing KeyList) {
        guard let indices = range.range(count: arguments.count) else { return }
        // Safety: the arguments outlive the call, and nothing here keeps the slices.
        let slices = unsafe arguments.slices(indices)
        unsafe keys.add(slices, step: range.step, in: keyspace, creating: range.creates)
    }

    private func add(_ command: any CrossDatabaseCommand.Type, to keys: borrowing KeyList) {
        let target = command.target(
            arguments, selected: keyspace.pointee.number,
            databaseCount: worker.settings.databaseCount)
        keys.add(arguments[1], in: keyspace, creating: false)
        if let target {
            let other = worker.keyspace(keyspace.pointee.tenant, target.database)
            keys.add(target.key, in: other, creating: true)
        }
    }

    /// For each key, whether the command may create it.
    var createdKeys: [Bool] {
        // COPY: the source, and the target in another database.
        if entry.pointee.flags.contains(.otherDatabase) { return [false, true] }
        var created: [Bool] = []
        _ = entry.pointee.spec.forEachKey(arguments) { created.append($1.mayCreate) }
        return created
    }
}
