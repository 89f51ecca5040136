// SPDX-License-Identifier: Apache-2.0
import Base
import Synchronization
import Tenancy

// Counting what a command used, on the lines that its shard's lock brought in.
extension Reference where Pointee == Shard {
    /// Counts one command, and takes it off the leases.
    @inline(__always)
    func charge(isRead: Bool, isWrite: Bool, bytesIn: Int, bytesOut: Int) {
        pointee.usage.commands += 1
        if isRead { pointee.usage.reads += 1 }
        if isWrite { pointee.usage.writes += 1 }
        pointee.usage.bytesIn += bytesIn
        pointee.usage.bytesOut += bytesOut
        pointee.operationLease -= 1
        pointee.byteLease -= bytesIn + bytesOut
    }

    /// Counts commands that neither read nor wrote a key, and takes them off the leases.
    func charge(keylessCommands count: Int, bytesIn: Int, bytesOut: Int) {
        pointee.usage.commands += count
        pointee.usage.bytesIn += bytesIn
        pointee.usage.bytesOut += bytesOut
        pointee.operationLease -= count
        pointee.byteLease -= bytesIn + bytesOut
    }

    /// Whether the leases are so large that some dozens of commands may run before they are looked
    /// at again.
    var hasAmpleLease: Bool {
        pointee.operationLease > 1024 && pointee.byteLease > 1 << 20
    }

    /// Whether the shard may run a command without asking the tenant's budget.
    @inline(__always)
    var hasLease: Bool { pointee.operationLease > 0 && pointee.byteLease > 0 }
}

extension Reference where Pointee == Keyspace {
    /// Records are answered in the application's first database.
    @inline(__always)
    public var answersRecords: Bool {
        pointee.number == 0 && pointee.tenant.pointee.origin == .server
    }
}

extension Reference where Pointee == Worker {
    /// Counts a rejection of a session whose tenant has the database `keyspace`.
    public func countRejection(_ keyspace: KeyspaceReference) {
        withShard(keyspace.shard(at: 0)) { $0.pointee.usage.rejected += 1 }
    }
}
