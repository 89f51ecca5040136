// SPDX-License-Identifier: Apache-2.0
import Base
import Synchronization
import Tenancy

/// Which tenant gives way when the server's memory is full: one that is beyond its share, the
/// furthest as far as is known.
///
/// Why not the furthest of all: with a hundred thousand tenants, comparing all of them for each key
/// that goes would stop the command. So each eviction looks at a few and goes on where the last one
/// stopped. It knows besides whose keys the command names, as they are who grows, and who was
/// furthest beyond in the last full round. While there are few tenants all are compared.
///
/// A tenant within its share is chosen only if a whole round has met nobody beyond: then shares
/// promise more than there is. The next whole round is due when as many keys have gone as a
/// sixteenth of the tenants.
struct VictimSearch {
    /// `TenantIndex.group` to go on with.
    var group: UInt64 = 0
    /// Who was furthest beyond in the last full round, by id: a pointer is not good beyond a tick.
    var worst: [UInt8] = []
    /// The same of the round under way.
    var roundWorst: [UInt8] = []
    var roundRatio = 0.0
    /// Evictions until a whole round is worth while again, after one that met nobody beyond.
    var evictionsUntilRound = 0
    /// When a whole round met nobody who has a key that may go.
    var fruitlessAt = Milliseconds.min
    /// Those of whom, while room is made for the command at hand, nothing could go: they have only
    /// keys that the command names.
    var passedOver: [TenantReference] = []

    static let fewTenants = 16
    static let steps = 4
    static let passedOverMax = 16
    static let fruitlessMilliseconds: Milliseconds = 100
}

/// Who gives way.
struct Victim {
    let tenant: TenantReference
    let isBeyondShare: Bool
}

extension Reference where Pointee == Worker {
    /// The tenant to evict from; nil where nobody has keys that may go, `expiring` ones if only
    /// those may.
    func mostOverShare(_ memoryMax: Int, expiring: Bool) -> Victim? {
        let count = max(1, registry.tenantCount)
        var candidate = Candidate(
            equalShare: equalShare(memoryMax), expiring: expiring,
            passedOver: pointee.victims.passedOver)
        candidate.consider(registry.server)
        if count <= VictimSearch.fewTenants {
            registry.forEachTenant { candidate.consider($0) }
            return candidate.victim
        }
        forEachNamedTenant { candidate.consider($0) }
        if let known = pointee.victims.worst.withBytes({ registry.find($0) }) {
            candidate.consider(known)
        }
        for _ in 0..<VictimSearch.steps { _ = walk(&candidate) }
        if candidate.ratio <= 1 { walkWholeRound(&candidate, count) }
        return candidate.victim
    }

    /// Whether the command at hand holds keys of a tenant that is beyond its share.
    func holdsTenantBeyondShare(_ memoryMax: Int) -> Bool {
        let share = equalShare(memoryMax)
        var isBeyond = false
        forEachNamedTenant { if $0.ratio(toShare: share) > 1 { isBeyond = true } }
        return isBeyond
    }

    /// The tenants of the first keys of the command at hand, if it holds their shards.
    private func forEachNamedTenant(_ body: (TenantReference) -> Void) {
        for resolved in namedKeys(8) where holds(resolved.shard) { body(resolved.shard.tenant) }
    }

    /// The share of a tenant whose plan says nothing of memory.
    private func equalShare(_ memoryMax: Int) -> Int {
        let room = memoryMax - registry.otherMemory.load(ordering: .relaxed)
        return max(1, room / max(1, registry.tenantCount))
    }

    /// Looks for somebody beyond their share among all, unless that was in vain a short while ago.
    private func walkWholeRound(_ candidate: inout Candidate, _ count: Int) {
        if candidate.tenant != nil, pointee.victims.evictionsUntilRound > 0 {
            pointee.victims.evictionsUntilRound -= 1
            return
        }
        let fruitless = pointee.victims.fruitlessAt
        if candidate.tenant == nil, fruitless <= pointee.now,
            pointee.now - VictimSearch.fruitlessMilliseconds < fruitless
        {
            return
        }
        var ends = 0
        // Bound: two ends of the index have a whole round between.
        while candidate.ratio <= 1 && ends < 2 {
            if !walk(&candidate) { ends += 1 }
        }
        pointee.victims.evictionsUntilRound = candidate.ratio <= 1 ? count / 16 : 0
        if candidate.tenant == nil { pointee.victims.fruitlessAt = pointee.now }
    }

    /// Looks at the next group of tenants. False where the round has ended, and the next one
    /// begins.
    private func walk(_ candidate: inout Candidate) -> Bool {
        guard let group = registry.index.group(from: pointee.victims.group) else {
            pointee.victims.worst = pointee.victims.roundWorst
            pointee.victims.roundRatio = 0
            pointee.victims.group = 0
            return false
        }
        pointee.victims.group = group.number + 1
        for tenant in group.tenants {
            let ratio = candidate.consider(tenant)
            if ratio > pointee.victims.roundRatio {
                pointee.victims.roundRatio = ratio
                pointee.victims.roundWorst = tenant.id.array
            }
        }
        return true
    }
}

/// The tenant that is furthest beyond its share of those that were considered and have keys that
/// may go.
private struct Candidate {
    let equalShare: Int
    let expiring: Bool
    let passedOver: [TenantReference]
    var tenant: TenantReference?
    var ratio = 0.0

    var victim: Victim? { tenant.map { Victim(tenant: $0, isBeyondShare: ratio > 1) } }

    /// Returns how many times its share the tenant takes.
    @discardableResult
    mutating func consider(_ other: TenantReference) -> Double {
        let ratio = other.ratio(toShare: equalShare)
        if ratio > self.ratio, other != tenant, other.hasKeys(expiring: expiring),
            !passedOver.contains(other)
        {
            self.ratio = ratio
            tenant = other
        }
        return ratio
    }
}

extension Reference where Pointee == Tenant {
    /// How many times its share of the memory the tenant takes: what its plan promises, or
    /// `equalShare`.
    fileprivate func ratio(toShare equalShare: Int) -> Double {
        let limit = pointee.memoryMax.value
        return Double(memoryInUse) / Double(limit == .max ? equalShare : max(1, limit))
    }
}
