// SPDX-License-Identifier: Apache-2.0
import Base
import Synchronization

// Counts what a command used, in cache lines that taking its shard's lock has just loaded.
extension Reference where Pointee == Shard {
    /// Counts one command and subtracts it from the leases.
    @inline(__always)
    func charge(isRead: Bool, isWrite: Bool, bytesIn: Int, bytesOut: Int) {
        if isRead { pointee.usage.reads += 1 }
        if isWrite { pointee.usage.writes += 1 }
        charge(commands: 1, bytesIn: bytesIn, bytesOut: bytesOut)
    }

    /// Counts commands, neither as reads nor as writes, and subtracts them from the leases.
    @inline(__always)
    func charge(commands count: Int, bytesIn: Int, bytesOut: Int) {
        pointee.usage.commands += count
        pointee.usage.bytesIn += bytesIn
        pointee.usage.bytesOut += bytesOut
        pointee.operationLease -= count
        pointee.byteLease -= bytesIn + bytesOut
    }

    /// Whether the leases are large enough for some dozens of commands before the next check.
    var hasAmpleLease: Bool {
        pointee.operationLease > 1024 && pointee.byteLease > 1 << 20
    }

    /// Whether the shard may run a command without asking the tenant's budget.
    @inline(__always)
    var hasLease: Bool { pointee.operationLease > 0 && pointee.byteLease > 0 }

    /// Whether the tenant has a limit of memory or keys.
    @inline(__always)
    var isLimited: Bool { pointee.limitWord.load(ordering: .relaxed) }

    /// What a hold of a key in this shard may do without further checks.
    @inline(__always)
    var admission: HoldOptions {
        var options: HoldOptions = hasLease ? .isLeased : []
        if !isLimited { options.insert(.isUnlimited) }
        return options
    }
}

extension Reference where Pointee == Keyspace {
    /// Whether this is the application's first database, the only one that answers records.
    @inline(__always)
    public var answersRecords: Bool {
        pointee.number == 0 && pointee.tenant.pointee.origin == .server
    }
}

extension Reference where Pointee == Worker {
    /// Counts a rejected command that has no key to name a shard, on the first shard. Takes its
    /// lock unless it is held.
    public func countRejection(_ keyspace: KeyspaceReference) {
        withShard(keyspace.shard(at: 0)) { $0.pointee.usage.rejected += 1 }
    }
}
