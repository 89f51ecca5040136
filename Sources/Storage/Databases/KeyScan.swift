// SPDX-License-Identifier: Apache-2.0
import Base

/// Where SCAN goes on: a keyspace and a position in it, in one number below 2^63.
///
/// Layout:
///
///     bits 62 … 32   group: 0 is the session's own keyspace, n + 1 are the tenants of
///                    group n (`TenantIndex.group`)
///     bits 31 …  0   position: the first bits of the hash of the keys to go on with
///
/// Why it repeats and misses nothing: both parts are hashes, of the tenant's id and of the key.
/// However tables grow and shrink, and whichever tenants come and go between two steps, a key is
/// before the cursor or behind it, never both. A step ends at a multiple of 2^32 of the hash, and
/// hands out only what lies before.
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
    /// Home buckets that are walked under one hold of a lock: about 160 entries, which takes some
    /// ten microseconds.
    private var homesUnderLock: Int { 32 }

    /// One step of SCAN over database `number` of `tenant` and, where `inTenants`, of all other
    /// tenants. `body` is called under the shard's lock with each live entry that `isWanted`;
    /// unwanted ones count as looked at. Expired entries that are wanted are removed. Returns the
    /// next cursor, nil at the end.
    public func scan(
        _ tenant: TenantReference, _ number: Int, inTenants: Bool, from start: ScanCursor,
        count: Int, isWanted: (Entry) -> Bool, _ body: (Bytes) -> Void
    ) -> ScanCursor? {
        var cursor = start
        var seen = 0
        // Why ten for each key asked for: as Redis, so that a sparse table still answers soon. Why
        // the minimum: the shards of an empty database, and tenants who have nothing in it, are
        // passed in one step.
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

    /// Scans the keyspaces of one group together, from `position` to what is returned; nil is the
    /// end.
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
        // Tenants whose ids' hashes begin alike: all go as far as the one that went least far.
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

    /// Scans a part of the shard that `position` lies in, under one hold of its lock.
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

    /// The same with the shard held; returns the position that was come to.
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
            // Why down: the cursor has 32 bits; what lies behind the last whole one comes with the
            // next step.
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

    /// Whether a session of `viewer` that names `key` of `keyspace` would find it. What a tenant
    /// has stored through a session of its own, under a name that no pattern leads to it, is its
    /// alone.
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
