// SPDX-License-Identifier: Apache-2.0
import Base
import Synchronization

/// Tenants by id. Each key that matches a pattern looks up its tenant here.
///
/// Why 64 parts with a lock each: commands for different tenants rarely contend, and making or
/// removing a tenant blocks no other part. Callers use a tenant after they release its part's lock:
/// its memory is retired, not freed, so the pointer stays valid until the tick ends.
struct TenantIndex: ~Copyable, @unchecked Sendable {
    private static let partBits = 6

    private struct Part: ~Copyable {
        var table = Table(prefixBits: TenantIndex.partBits)
        // Why not first: see `Shard`.
        let lock = SpinLock()
    }

    // Safety: allocated once and never freed; each part is used under its lock.
    private let parts: UnsafeMutablePointer<Part>
    private let total = Atomic<Int>(0)

    /// Bytes that the index takes for a tenant: an entry of header, payload and id, and a slot in a
    /// bucket.
    static func entrySize(_ id: Bytes) -> Int {
        Block.sizeClass(16 + id.count) + Bucket.byteCount / 5
    }

    init() {
        let count = 1 << TenantIndex.partBits
        parts = .allocate(capacity: count)
        for index in 0..<count { (parts + index).initialize(to: Part()) }
    }

    @inline(__always)
    private func withPart<Result>(
        _ hash: Hash, _ body: (inout Table) -> Result
    ) -> Result {
        let part = parts + Int(truncatingIfNeeded: hash.bits >> UInt64(64 - TenantIndex.partBits))
        part.pointee.lock.lock()
        defer { part.pointee.lock.unlock() }
        return body(&part.pointee.table)
    }

    private static func tenant(_ entry: Entry) -> TenantReference? {
        TenantReference(address: UInt(bitPattern: Int(entry.payload)))
    }

    func find(_ id: Bytes) -> TenantReference? { find(Hash(id), id) }

    func find(_ hash: Hash, _ id: Bytes) -> TenantReference? {
        withPart(hash) { table in
            guard let slot = table.find(hash, id) else { return nil }
            return TenantIndex.tenant(slot.entry)
        }
    }

    /// Prefetches the bucket of an id without the lock, like `Table.prefetchBucket`.
    func prefetchBucket(_ hash: Hash) -> UInt {
        let part = parts + Int(truncatingIfNeeded: hash.bits >> UInt64(64 - TenantIndex.partBits))
        return Table.prefetchBucket(
            root: part.pointee.table.root, position: hash.bits << UInt64(TenantIndex.partBits))
    }

    /// The tenant `id`. If there is none, enters and returns the result of `make`.
    func findOrInsert(_ id: Bytes, _ make: () -> TenantReference) -> TenantReference {
        let hash = Hash(id)
        return withPart(hash) { table in
            if let slot = table.find(hash, id), let found = TenantIndex.tenant(slot.entry) {
                return found
            }
            let tenant = make()
            let shape = EntryShape(
                .string, .payload, key: id, payload: Int64(Int(bitPattern: tenant.address)))
            _ = table.insert(hash, shape, access: 0)
            total.wrappingAdd(1, ordering: .relaxed)
            return tenant
        }
    }

    /// Removes the id if it names `tenant`.
    func remove(_ id: Bytes, tenant: TenantReference) -> Bool {
        let hash = Hash(id)
        return withPart(hash) { table in
            guard let slot = table.find(hash, id), TenantIndex.tenant(slot.entry) == tenant else {
                return false
            }
            table.remove(slot)
            total.wrappingSubtract(1, ordering: .relaxed)
            return true
        }
    }

    /// Calls `body` with every tenant, without holding a lock. A tenant that goes meanwhile stays
    /// readable until the calling thread's tick ends, and its shards are marked dead.
    func forEach(_ body: (TenantReference) -> Void) {
        for index in 0..<1 << TenantIndex.partBits {
            let hash = Hash(bits: UInt64(index) << UInt64(64 - TenantIndex.partBits))
            var tenants: [TenantReference] = []
            withPart(hash) { table in
                table.forEach { if let tenant = TenantIndex.tenant($0) { tenants.append(tenant) } }
            }
            for tenant in tenants { body(tenant) }
        }
    }

    /// The number of hash bits by which `group` orders tenants.
    static let groupBits = 30

    /// The first group from number `first` on that has tenants, or nil behind the last. A group is
    /// the tenants whose ids' hashes begin with the same 30 bits, nearly always one tenant. Its
    /// number never changes, so a walk over the groups by number meets each tenant that is there
    /// throughout exactly once.
    func group(from first: UInt64) -> (number: UInt64, tenants: [TenantReference])? {
        let groupsInPart = UInt64(1) << UInt64(TenantIndex.groupBits - TenantIndex.partBits)
        var next = first
        while next < 1 << UInt64(TenantIndex.groupBits) {  // Bound: one turn for each part.
            let found = withPart(Hash(bits: next << 34)) { TenantIndex.group($0, from: next) }
            if let found { return found }
            next = (next / groupsInPart + 1) * groupsInPart
        }
        return nil
    }

    private static func group(
        _ table: Table, from first: UInt64
    ) -> (number: UInt64, tenants: [TenantReference])? {
        var position: UInt64? = table.position(Hash(bits: first << 34))
        var best: UInt64?
        var tenants: [TenantReference] = []
        // Bound: the position rises, and the walk ends behind the group that it has found.
        while let start = position {
            if let best, start > table.position(Hash(bits: best << 34 | (1 << 34 - 1))) { break }
            position = table.scan(from: start, limit: 1, bucketLimit: 64) { entry in
                guard let tenant = TenantIndex.tenant(entry), tenant.pointee.origin != .server
                else {
                    return
                }
                let number = Hash(entry.key).bits >> 34
                if let best, number > best { return }
                if number != best { tenants.removeAll() }
                best = number
                tenants.append(tenant)
            }
        }
        return best.map { ($0, tenants) }
    }

    var count: Int { total.load(ordering: .relaxed) }
}
