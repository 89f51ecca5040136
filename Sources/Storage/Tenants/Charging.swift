// SPDX-License-Identifier: Apache-2.0
import Base
import Synchronization
import Tenancy

// Counting what a command used, on the lines that its shard's lock brought in.
extension Reference where Pointee == Shard {
    /// Counts one command, and takes it off the leases.
    @inline(__always)
    public func charge(isRead: Bool, isWrite: Bool, bytesIn: Int, bytesOut: Int) {
        pointee.usage.commands += 1
        if isRead { pointee.usage.reads += 1 }
        if isWrite { pointee.usage.writes += 1 }
        pointee.usage.bytesIn += bytesIn
        pointee.usage.bytesOut += bytesOut
        pointee.operationLease -= 1
        pointee.byteLease -= bytesIn + bytesOut
    }

    /// Counts commands that neither read nor wrote a key, and takes them off the leases.
    public func charge(keylessCommands count: Int, bytesIn: Int, bytesOut: Int) {
        pointee.usage.commands += count
        pointee.usage.bytesIn += bytesIn
        pointee.usage.bytesOut += bytesOut
        pointee.operationLease -= count
        pointee.byteLease -= bytesIn + bytesOut
    }

    /// Whether the leases are so large that some dozens of commands may run before they are looked
    /// at again.
    public var hasAmpleLease: Bool {
        pointee.operationLease > 1024 && pointee.byteLease > 1 << 20
    }

    /// Whether the shard may run a command without asking the tenant's budget.
    @inline(__always)
    public var hasLease: Bool { pointee.operationLease > 0 && pointee.byteLease > 0 }
}

extension Reference where Pointee == Keyspace {
    /// Records are answered in the application's first database.
    @inline(__always)
    public var answersRecords: Bool {
        pointee.number == 0 && pointee.tenant.pointee.origin == .server
    }
}

extension Reference where Pointee == Worker {
    /// Counts a rejection that no key names a shard for. Takes the first shard's lock where it is
    /// not held.
    public func countRejection(_ keyspace: KeyspaceReference) {
        let shard = keyspace.shard(at: 0)
        let isHeld = pointee.lockedCount > 0 && holds(shard)
        if !isHeld { shard.acquire() }
        shard.pointee.usage.rejected += 1
        if !isHeld { shard.release() }
    }

    /// Charges the bytes of a command that was refused to the tenant of its first key. False where
    /// it has none, or that tenant is gone.
    public func chargeRefused(bytesIn: Int, bytesOut: Int) -> Bool {
        guard pointee.resolvedCount > 0 else { return false }
        // Safety: what was resolved in this tick is not freed before it ends.
        let shard = pointee.resolved[0].shard
        shard.acquire()
        defer { shard.release() }
        guard !shard.pointee.isDead else { return false }
        shard.charge(keylessCommands: 0, bytesIn: bytesIn, bytesOut: bytesOut)
        return true
    }

    /// The shard that commands of a session count on which name no key.
    @inline(__always)
    public func home(_ tenant: TenantReference, _ database: Int) -> ShardReference {
        if let keyspace = tenant.keyspace(database) { return keyspace.shard(at: 0) }
        return pointee.registry._withUnsafeGuaranteedRef {
            $0.keyspace(tenant, database).shard(at: 0)
        }
    }

    /// Calls `body` with one shard for each tenant whose keys the command at hand named: the shard
    /// of the first such key. All are held.
    @inline(__always)
    public func forEachTenantOfKeys(_ body: (ShardReference) -> Void) {
        let count = pointee.resolvedCount
        guard count > 0 else { return }
        let first = pointee.resolved[0].shard
        body(first)
        if count > 1 && pointee.commonKeyspace == nil { forEachFurtherTenant(first, body) }
    }

    private func forEachFurtherTenant(_ first: ShardReference, _ body: (ShardReference) -> Void) {
        // Why a list: a command may name thousands of keys, but those of few tenants; most are the
        // one before's. It stays empty, and takes no memory, while there is but the first tenant.
        var seen: [TenantReference] = []
        let firstTenant = first.tenant
        var previous = firstTenant
        for index in 1..<pointee.resolvedCount {
            let shard = pointee.resolved[index].shard
            let tenant = shard.tenant
            if tenant == previous { continue }
            previous = tenant
            if tenant == firstTenant || seen.contains(tenant) { continue }
            seen.append(tenant)
            body(shard)
        }
    }

    /// Whether a tenant whose keys the command names has a limit of memory or of keys.
    public var keysHaveLimitedTenants: Bool {
        // Why not all: the keys of one keyspace are one tenant's.
        let count = pointee.commonKeyspace == nil ? pointee.resolvedCount : 1
        for index in 0..<min(count, pointee.resolvedCount) {
            let tenant = pointee.resolved[index].shard.tenant
            if tenant.pointee.memoryMax.value != .max || tenant.pointee.keysMax.value != .max {
                return true
            }
        }
        return false
    }

    /// How many of the command's keys that live in `tenant` do not exist.
    public func missingKeyCount(of tenant: TenantReference) -> Int {
        var missing = 0
        for index in 0..<pointee.resolvedCount {
            let resolved = pointee.resolved[index]
            guard resolved.shard.tenant == tenant else { continue }
            if resolved.shard.pointee.table.find(resolved.hash, resolved.key) == nil {
                missing += 1
            }
        }
        return missing
    }

    /// The same without keys that the command only reads, and each name once: exact, where the
    /// count above is only an upper bound.
    public func missingKeyCount(of tenant: TenantReference, among created: [Bool]) -> Int {
        var missing: Set<[UInt8]> = []
        for index in 0..<min(pointee.resolvedCount, created.count) where created[index] {
            let resolved = pointee.resolved[index]
            guard resolved.shard.tenant == tenant,
                resolved.shard.pointee.table.find(resolved.hash, resolved.key) == nil
            else { continue }
            missing.insert(resolved.key.array)
        }
        return missing.count
    }
}
