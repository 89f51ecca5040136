// SPDX-License-Identifier: Apache-2.0
import Base
import Storage
import Synchronization
import Tenancy
import Wire

/// Runs commands on keys: resolves the keys, takes their shards, asks for admission, runs, counts,
/// lets go.
///
/// The path of GET is here from end to end: one hash, one lock, one probe, one copy.
public struct Executor {
    public let worker: WorkerReference
    /// Noted misses on record keys, where records are configured.
    public var recordMisses: UnsafeMutablePointer<RecordMisses>?
    /// Whether the tenants' rates have allowed a transaction that the command is part of: then it
    /// runs, and what it uses beyond a lease is owed.
    public var ratesWereAsked = false

    public typealias Entry = UnsafePointer<CommandTable.Entry>

    public enum Outcome: Equatable {
        case done
        /// Not run: an error was replied.
        case refused
        /// Not run: the tenant's operations of this second are used up and its plan says to wait.
        case throttled(Milliseconds)
        /// Not run to its end: records are missing that must be loaded first. The reply was taken
        /// back.
        case awaitsRecords
    }

    public init(worker: WorkerReference) { self.worker = worker }

    /// Runs one command that no transaction surrounds.
    @inline(__always)
    public func run(
        _ entry: Entry, _ command: any KeyCommand.Type, _ arguments: Arguments,
        _ keyspace: KeyspaceReference, _ prefetch: Prefetch?, requestSize: Int,
        leavesAccessTime: Bool, _ reply: inout ReplyWriter
    ) -> Outcome {
        let index = Int(entry.pointee.singleKey)
        let flags = entry.pointee.flags
        guard index > 0, index < arguments.count,
            arguments[index].count <= Storage.Entry.keySizeMax
        else {
            return runMany(
                entry, command, arguments, keyspace, requestSize: requestSize,
                leavesAccessTime: leavesAccessTime, &reply)
        }
        let shard = worker.acquire(
            arguments[index], prefetch, keyspace: keyspace,
            creating: entry.pointee.singleKeyCreates)
        if !shard.hasLease || flags.contains(.denyOOM),
            let outcome = refuse(entry, arguments, keyspace, &reply)
        {
            worker.unlockKeys()
            return outcome
        }
        let mark = reply.count
        var keys = Keys(worker: worker, keyspace: keyspace)
        keys.leavesAccessTime = leavesAccessTime
        keys.isReadOnly = flags.contains(.readOnly)
        if recordMisses != nil, flags.contains(.loadsRecords), keyspace.answersRecords {
            keys.recordMisses = recordMisses
        }
        command.run(arguments, &keys, &reply)
        if let misses = keys.recordMisses, !misses.pointee.keys.isEmpty {
            worker.unlockKeys()
            reply.truncate(to: mark)
            return .awaitsRecords
        }
        worker.finish(
            shard, isRead: flags.contains(.readOnly), isWrite: flags.contains(.write),
            bytesIn: requestSize, bytesOut: reply.count - mark)
        return .done
    }

    @inline(never)
    private func runMany(
        _ entry: Entry, _ command: any KeyCommand.Type, _ arguments: Arguments,
        _ keyspace: KeyspaceReference, requestSize: Int, leavesAccessTime: Bool,
        _ reply: inout ReplyWriter
    ) -> Outcome {
        repeat {
            worker.clearKeys()
            guard resolve(entry, arguments, keyspace, &reply) else { return .refused }
            // Bound: a keyspace is dropped once; the next turn finds or makes another.
        } while !worker.lockKeys()
        let outcome = runHeld(
            entry, command, arguments, keyspace, requestSize: requestSize,
            leavesAccessTime: leavesAccessTime, &reply)
        worker.unlockKeys()
        return outcome
    }

    /// Adds the keys of the command to the worker's. False, with an error replied, where they
    /// cannot be.
    @inline(__always)
    public func resolve(
        _ entry: Entry, _ arguments: Arguments, _ keyspace: KeyspaceReference,
        _ reply: inout ReplyWriter
    ) -> Bool {
        let index = Int(entry.pointee.singleKey)
        guard index > 0, index < arguments.count, !entry.pointee.flags.contains(.otherDatabase)
        else {
            return resolveMany(entry, arguments, keyspace, &reply)
        }
        let key = arguments[index]
        guard key.count <= Storage.Entry.keySizeMax else {
            reply.error(.keyTooLong)
            return false
        }
        worker.addKey(key, keyspace: keyspace, creating: entry.pointee.singleKeyCreates)
        return true
    }

    @inline(never)
    private func resolveMany(
        _ entry: Entry, _ arguments: Arguments, _ keyspace: KeyspaceReference,
        _ reply: inout ReplyWriter
    ) -> Bool {
        if entry.pointee.flags.contains(.otherDatabase), case .key(let command) = entry.pointee.run,
            let crossing = command as? any CrossDatabaseCommand.Type
        {
            return resolve(crossing, arguments, keyspace, &reply)
        }
        if let keys = entry.pointee.keyRange {
            return resolve(keys, arguments, keyspace, &reply)
        }
        // Why all before the first is added: a tenant that a key brings into being must not stay
        // for nothing.
        for index in 1..<max(1, arguments.count)
        where arguments[index].count > Storage.Entry.keySizeMax {
            var isKey = false
            _ = entry.pointee.spec.forEachKey(arguments) { key, _ in
                if key == index { isKey = true }
            }
            if isKey {
                reply.error(.keyTooLong)
                return false
            }
        }
        // A count that is no number names no keys: the command itself replies the error.
        _ = entry.pointee.spec.forEachKey(arguments) { index, access in
            worker.addKey(arguments[index], keyspace: keyspace, creating: access.mayCreate)
        }
        return true
    }

    private func resolve(
        _ keys: CommandTable.KeyRange, _ arguments: Arguments, _ keyspace: KeyspaceReference,
        _ reply: inout ReplyWriter
    ) -> Bool {
        guard let range = keys.range(count: arguments.count) else { return true }
        let slices = arguments.slices(range)
        // Why all before the first is added: as above.
        var index = 0
        while index < slices.count {
            if slices[index].count > Storage.Entry.keySizeMax {
                reply.error(.keyTooLong)
                return false
            }
            index += keys.step
        }
        worker.addKeys(slices, step: keys.step, keyspace: keyspace, creating: keys.creates)
        return true
    }

    private func resolve(
        _ command: any CrossDatabaseCommand.Type, _ arguments: Arguments,
        _ keyspace: KeyspaceReference, _ reply: inout ReplyWriter
    ) -> Bool {
        let target = command.target(
            arguments, selected: keyspace.pointee.number,
            of: worker.pointee.settings.values.pointee.databaseCount.value)
        guard arguments[1].count <= Storage.Entry.keySizeMax,
            (target?.key.count ?? 0) <= Storage.Entry.keySizeMax
        else {
            reply.error(.keyTooLong)
            return false
        }
        worker.addKey(arguments[1], keyspace: keyspace, creating: false)
        if let target {
            let registry = worker.pointee.registry._withUnsafeGuaranteedRef { $0 }
            let other = registry.keyspace(keyspace.pointee.tenant, target.database)
            worker.addKey(target.key, keyspace: other, creating: true)
        }
        return true
    }

    /// Runs a command whose shards are held.
    @inline(__always)
    public func runHeld(
        _ entry: Entry, _ command: any KeyCommand.Type, _ arguments: Arguments,
        _ keyspace: KeyspaceReference, requestSize: Int, leavesAccessTime: Bool,
        _ reply: inout ReplyWriter
    ) -> Outcome {
        if let outcome = refuse(entry, arguments, keyspace, &reply) { return outcome }
        let mark = reply.count
        var keys = Keys(worker: worker, keyspace: keyspace)
        keys.leavesAccessTime = leavesAccessTime
        keys.isReadOnly = entry.pointee.flags.contains(.readOnly)
        if let recordMisses, entry.pointee.flags.contains(.loadsRecords),
            keyspace.answersRecords
        {
            keys.recordMisses = recordMisses
            command.run(arguments, &keys, &reply)
            if !recordMisses.pointee.keys.isEmpty {
                reply.truncate(to: mark)
                return .awaitsRecords
            }
        } else {
            command.run(arguments, &keys, &reply)
        }
        charge(entry.pointee.flags, requestSize: requestSize, replySize: reply.count - mark)
        return .done
    }

    /// Counts the command for each tenant whose keys it named, once. Bytes go to the first of them.
    @inline(__always)
    private func charge(_ flags: CommandFlags, requestSize: Int, replySize: Int) {
        var isFirst = true
        worker.forEachTenantOfKeys { shard in
            shard.charge(
                isRead: flags.contains(.readOnly), isWrite: flags.contains(.write),
                bytesIn: isFirst ? requestSize : 0, bytesOut: isFirst ? replySize : 0)
            isFirst = false
        }
    }
}
