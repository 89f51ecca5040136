// SPDX-License-Identifier: Apache-2.0
import Base

/// SCAN's cursor: a keyspace and a position in it, in one number below 2^63.
///
/// Layout:
///
///     bits 62 … 32   group: 0 is the session's own keyspace, n + 1 are the tenants of
///                    group n (`TenantIndex.group`)
///     bits 31 …  0   position: the first bits of the hash of the next keys
///
/// Why a scan neither repeats nor misses a key: both parts are hashes, of a tenant's id and a key.
/// However tables grow and shrink, and whichever tenants come and go between two steps, a key is
/// either before or after the cursor, never both. A step ends at a multiple of 2^32 of the hash,
/// and returns only keys before it.
public struct ScanCursor: Equatable, Sendable {
    var group: UInt64
    var position: UInt64

    static let positionEnd: UInt64 = 1 << 32

    public init(_ number: UInt64) {
        group = number >> 32
        position = number & 0xFFFF_FFFF
    }

    init(group: UInt64, position: UInt64) {
        self.group = group
        self.position = position
    }

    public var number: UInt64 { group << 32 | position }
}

extension Reference where Pointee == Worker {
    /// Home buckets scanned per lock: about 160 entries, which take some ten microseconds.
    private var homesUnderLock: Int { 32 }

    /// One step of SCAN over database `number` of `tenant`, and with `inTenants` over that of all
    /// other tenants. Calls `body` under the shard's lock with each live entry that `isWanted`; all
    /// entries count as seen. Removes wanted entries that have expired. Returns the next cursor;
    /// nil at the end.
    public func scan(
        _ tenant: TenantReference, _ number: Int, inTenants: Bool, from start: ScanCursor,
        count: Int, isWanted: (Entry) -> Bool, _ body: (Bytes) -> Void
    ) -> ScanCursor? {
        var cursor = start
        var seen = 0
        // Why ten per requested key: as in Redis, so a sparse table still answers soon. Why the
        // minimum: one step then passes the shards of an empty database and tenants without keys in
        // it.
        var steps = max(min(count, 1 << 40) * 10, 2048)
        while seen < count, steps > 0 {  // Bound: `steps`, and each turn moves the cursor on.
            steps -= 1
            var tenants = [tenant]
            if cursor.group > 0 {
                guard inTenants, let group = registry.index.group(from: cursor.group - 1) else {
                    return nil
                }
                if group.number + 1 > cursor.group {
                    cursor = ScanCursor(group: group.number + 1, position: 0)
                }
                tenants = group.tenants
            }
            let keyspaces = tenants.compactMap { $0.keyspace(number) }
            let next = scanChunk(
                keyspaces, of: tenant, from: cursor.position, limit: count - seen, &seen, isWanted,
                body)
            if let next {
                cursor.position = next
            } else {
                guard inTenants else { return nil }
                cursor = ScanCursor(group: cursor.group + 1, position: 0)
            }
        }
        return cursor
    }

    /// Calls `body` with every live key that `isWanted`.
    public func scanAll(
        _ tenant: TenantReference, _ number: Int, inTenants: Bool, isWanted: (Entry) -> Bool,
        _ body: (Bytes) -> Void
    ) {
        var cursor: ScanCursor? = ScanCursor(0)
        while let start = cursor {  // Bound: each turn moves the cursor on.
            cursor = scan(
                tenant, number, inTenants: inTenants, from: start, count: 1 << 30,
                isWanted: isWanted, body)
        }
    }

    /// Scans the keyspaces of one group together from `position`. Returns the next position; nil at
    /// the end.
    private func scanChunk(
        _ keyspaces: [KeyspaceReference], of viewer: TenantReference, from position: UInt64,
        limit: Int, _ seen: inout Int, _ isWanted: (Entry) -> Bool, _ body: (Bytes) -> Void
    ) -> UInt64? {
        guard keyspaces.count > 1 else {
            guard let keyspace = keyspaces.first else { return nil }
            return scanShard(
                keyspace, of: viewer, from: position, limit: limit, &seen, isWanted
            ) { _, key in body(key) }
        }
        // These tenants' ids have hashes that begin alike. All keyspaces stop where the first one
        // stopped.
        var found: [(position: UInt64, key: [UInt8])] = []
        var end = ScanCursor.positionEnd
        for keyspace in keyspaces {
            let next = scanShard(
                keyspace, of: viewer, from: position, limit: limit, &seen, isWanted
            ) { found.append(($0, $1.array)) }
            end = min(end, next ?? ScanCursor.positionEnd)
        }
        for item in found where item.position < end { item.key.withBytes(body) }
        return end == ScanCursor.positionEnd ? nil : end
    }

    /// Scans a part of the shard at `position`, under one lock.
    private func scanShard(
        _ keyspace: KeyspaceReference, of viewer: TenantReference, from position: UInt64,
        limit: Int, _ seen: inout Int, _ isWanted: (Entry) -> Bool,
        _ body: (UInt64, Bytes) -> Void
    ) -> UInt64? {
        let bits = UInt64(keyspace.pointee.shardBits)
        let number = position >> (32 - bits)
        let shard = keyspace.shard(at: Int(number))
        let shardEnd = (number + 1) << (32 - bits)
        let end = withShard(shard) {
            scan(
                $0, keyspace, of: viewer, from: position, to: shardEnd, limit: limit, &seen,
                isWanted, body)
        }
        return end.flatMap { $0 == ScanCursor.positionEnd ? nil : $0 }
    }

    /// The same with the shard held. Returns the position reached.
    private func scan(
        _ shard: ShardReference, _ keyspace: KeyspaceReference, of viewer: TenantReference,
        from position: UInt64, to shardEnd: UInt64, limit: Int, _ seen: inout Int,
        _ isWanted: (Entry) -> Bool, _ body: (UInt64, Bytes) -> Void
    ) -> UInt64 {
        let bits = UInt64(keyspace.pointee.shardBits)
        let number = position >> (32 - bits)
        var homes = homesUnderLock
        var entries: [(position: UInt64, entry: Entry)] = []
        var end = shardEnd
        // Bound: the number of homes doubles until the step moves on.
        while shard.pointee.table.count > 0 {
            entries.removeAll(keepingCapacity: true)
            let next = shard.pointee.table.scan(
                from: position << (32 + bits), limit: limit, bucketLimit: homes
            ) { entries.append((Hash($0.key).bits >> 32, $0)) }
            // Why rounded down: the cursor has 32 bits. Entries after the last whole one come with
            // the next step.
            end = next.map { number << (32 - bits) | $0 >> (32 + bits) } ?? shardEnd
            if end > position { break }
            homes *= 2
        }
        var expired: [[UInt8]] = []
        for item in entries where item.position < end {
            seen += 1
            let entry = item.entry
            guard !entry.isAbsent, isWanted(entry),
                isVisible(entry.key, in: keyspace, to: viewer)
            else { continue }
            if entry.isExpired(at: pointee.now) {
                expired.append(entry.key.array)
            } else {
                body(item.position, entry.key)
            }
        }
        if !expired.isEmpty && !isExpiryPaused { removeExpired(expired, shard) }
        return end
    }

    /// Whether a session of `viewer` that names `key` of `keyspace` would find it. If a created
    /// tenant has stored a key that no pattern assigns to it, only the tenant itself sees that key.
    func isVisible(
        _ key: Bytes, in keyspace: KeyspaceReference, to viewer: TenantReference
    ) -> Bool {
        let tenant = keyspace.pointee.tenant
        guard tenant != viewer, tenant.pointee.origin == .created else { return true }
        let named = tenantID(in: key)
        return named.map { $0 == tenant.id } ?? false
    }

    private func removeExpired(_ keys: [[UInt8]], _ shard: ShardReference) {
        for key in keys {
            key.withBytes { key in
                if let slot = shard.pointee.table.find(Hash(key), key) { expire(shard, slot) }
            }
        }
    }
}
