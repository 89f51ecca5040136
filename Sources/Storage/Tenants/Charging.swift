// SPDX-License-Identifier: Apache-2.0
import Base
import Synchronization
import Tenancy

// Counts what a command used, in cache lines that taking its shard's lock has just loaded.
extension UnsafeMutablePointer where Pointee == Shard {
    /// Counts one command and subtracts it from the leases.
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

    /// Counts commands that neither read nor wrote a key, and subtracts them from the leases.
    public func charge(keylessCommands count: Int, bytesIn: Int, bytesOut: Int) {
        pointee.usage.commands += count
        pointee.usage.bytesIn += bytesIn
        pointee.usage.bytesOut += bytesOut
        pointee.operationLease -= count
        pointee.byteLease -= bytesIn + bytesOut
    }

    /// Whether the leases are large enough for some dozens of commands before the next check.
    public var hasAmpleLease: Bool {
        pointee.operationLease > 1024 && pointee.byteLease > 1 << 20
    }

    /// Whether the shard may run a command without asking the tenant's budget.
    @inline(__always)
    public var hasLease: Bool { pointee.operationLease > 0 && pointee.byteLease > 0 }
}

extension UnsafeMutablePointer where Pointee == Keyspace {
    /// Whether this is the application's first database, the only one that answers records.
    @inline(__always)
    public var answersRecords: Bool {
        pointee.number == 0 && pointee.tenant.pointee.origin == .server
    }
}

extension UnsafeMutablePointer where Pointee == Worker {
    /// Counts a rejected command that has no key to name a shard, on the first shard. Takes its
    /// lock unless it is held.
    public func countRejection(_ keyspace: KeyspaceReference) {
        let shard = keyspace.shard(at: 0)
        let isHeld = pointee.lockedCount > 0 && holds(shard)
        if !isHeld { shard.acquire() }
        shard.pointee.usage.rejected += 1
        if !isHeld { shard.release() }
    }

    /// Charges the bytes of a refused command to the tenant of its first key. Returns false if it
    /// has no key, or that tenant is gone.
    public func chargeRefused(bytesIn: Int, bytesOut: Int) -> Bool {
        guard pointee.resolvedCount > 0 else { return false }
        // Safety: a shard that was resolved in this tick is not freed before the tick ends.
        let shard = pointee.resolved[0].shard
        shard.acquire()
        defer { shard.release() }
        guard !shard.pointee.isDead else { return false }
        shard.charge(keylessCommands: 0, bytesIn: bytesIn, bytesOut: bytesOut)
        return true
    }

    /// The shard that counts a session's commands without keys.
    @inline(__always)
    public func home(_ tenant: TenantReference, _ database: Int) -> ShardReference {
        if let keyspace = tenant.keyspace(database) { return keyspace.shard(at: 0) }
        return pointee.registry._withUnsafeGuaranteedRef {
            $0.keyspace(tenant, database).shard(at: 0)
        }
    }

    /// Calls `body` with one shard for each tenant of the current command's keys: the shard of the
    /// tenant's first key. All of them are held.
    @inline(__always)
    public func forEachTenantOfKeys(_ body: (ShardReference) -> Void) {
        let count = pointee.resolvedCount
        guard count > 0 else { return }
        let first = pointee.resolved[0].shard
        body(first)
        if count > 1 && pointee.commonKeyspace == nil { forEachFurtherTenant(first, body) }
    }

    private func forEachFurtherTenant(_ first: ShardReference, _ body: (ShardReference) -> Void) {
        // Why a list: a command may name thousands of keys but only a few tenants, and most keys
        // have the tenant of the key before. With only one tenant the list stays empty and takes no
        // memory.
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

    /// Whether any tenant of the command's keys has a limit on memory or on keys.
    public var keysHaveLimitedTenants: Bool {
        // Why not all: all keys of one keyspace have one tenant.
        let count = pointee.commonKeyspace == nil ? pointee.resolvedCount : 1
        for index in 0..<min(count, pointee.resolvedCount) {
            let tenant = pointee.resolved[index].shard.tenant
            if tenant.pointee.memoryMax.value != .max || tenant.pointee.keysMax.value != .max {
                return true
            }
        }
        return false
    }

    /// The number of the command's keys in `tenant` that do not exist.
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

    /// The same, without keys that the command only reads and with each name once. This count is
    /// exact; the one above is an upper bound.
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
