// SPDX-License-Identifier: Apache-2.0
import Base
import Synchronization

/// Tenants by id: the table that a key's tenant is looked up in, for every key that a pattern
/// matches.
///
/// Why 64 parts with a lock each: commands on different tenants then rarely meet, and a tenant that
/// appears or goes stops nobody. A found tenant is used after its part's lock was released: its
/// memory is retired, not freed, so the pointer is good until the tick ends.
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

    /// Asks for the bucket of an id, without the lock: as `Table.prefetchBucket`.
    func prefetchBucket(_ hash: Hash) -> UInt {
        let part = parts + Int(truncatingIfNeeded: hash.bits >> UInt64(64 - TenantIndex.partBits))
        return Table.prefetchBucket(
            root: part.pointee.table.root, position: hash.bits << UInt64(TenantIndex.partBits))
    }

    /// The tenant of that id; where there is none, what `make` returns is entered and returned.
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

    /// Removes the id if it names `tenant` and `condition` holds under the part's lock.
    func remove(_ id: Bytes, tenant: TenantReference, if condition: () -> Bool) -> Bool {
        let hash = Hash(id)
        return withPart(hash) { table in
            guard let slot = table.find(hash, id), TenantIndex.tenant(slot.entry) == tenant,
                condition()
            else { return false }
            table.remove(slot)
            total.wrappingSubtract(1, ordering: .relaxed)
            return true
        }
    }

    /// Calls `body` with every tenant. No lock is held meanwhile: a tenant that goes stays readable
    /// until the calling thread's tick ends, and its shards are marked dead.
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

    /// Bits of the hash of an id by which `group` orders tenants.
    static let groupBits = 30

    /// The tenants of the first group from number `first` on that has any: those whose ids' hashes
    /// begin with the same 30 bits. Nil behind the last. A group is nearly always one tenant; its
    /// number never changes, so that who walks the groups by number meets every tenant that is
    /// there throughout, once.
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
        // Bound: the position rises; behind the group that was found nothing is looked at.
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
