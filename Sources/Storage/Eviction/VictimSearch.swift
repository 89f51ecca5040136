// SPDX-License-Identifier: Apache-2.0
import Base
import Synchronization

/// Chooses the tenant to evict from when the server's memory is full: one beyond its share, the
/// furthest known.
///
/// Why not the furthest of all: with a hundred thousand tenants, comparing all for each evicted key
/// would stall the command. So each eviction compares a few, and the next one continues from there.
/// It also compares the tenants whose keys the command names, because they are growing, and the one
/// furthest beyond its share in the last full round. With few tenants, all are compared.
///
/// A tenant within its share is chosen only if a whole round found none beyond: then the shares add
/// up to more than there is. The next whole round is due after as many evictions as a sixteenth of
/// the tenants.
struct VictimSearch {
    /// The next `TenantIndex.group`.
    var group: UInt64 = 0
    /// The tenant furthest beyond its share in the last full round, by id: a pointer is not valid
    /// beyond a tick.
    var worst: [UInt8] = []
    /// The same for the current round.
    var roundWorst: [UInt8] = []
    var roundRatio = 0.0
    /// Evictions until the next whole round, after a round that found no tenant beyond its share.
    var evictionsUntilRound = 0
    /// When a whole round last found no key that may be evicted.
    var fruitlessAt = Milliseconds.min
    /// Tenants that had nothing to evict while room was made for the current command: all their
    /// keys are named by it.
    var passedOver: [TenantReference] = []
    /// The best candidates of samples.
    var pools = CandidatePools()
    /// The time that commands may spend on eviction.
    var slice = CommandSlice()

    static let fewTenants = 16
    static let steps = 4
    static let passedOverMax = 16
    static let fruitlessMilliseconds: Milliseconds = 100
}

/// The tenant to evict from.
struct Victim {
    let tenant: TenantReference
    let isBeyondShare: Bool
}

extension Reference where Pointee == Worker {
    /// The tenant to evict from; nil if none has keys that may be evicted. With `expiring`, only
    /// keys that expire may.
    func mostOverShare(_ memoryMax: Int, expiring: Bool) -> Victim? {
        let count = max(1, registry.tenantCount)
        var candidate = Candidate(
            equalShare: equalShare(memoryMax), expiring: expiring,
            passedOver: pointee.victims.passedOver)
        candidate.consider(registry.server)
        // Why: the server's own is one of them.
        if count == 1 { return candidate.victim }
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

    /// Whether the current command holds keys of a tenant beyond its share.
    func holdsTenantBeyondShare(_ memoryMax: Int) -> Bool {
        let share = equalShare(memoryMax)
        var isBeyond = false
        forEachNamedTenant { if $0.ratio(toShare: share) > 1 { isBeyond = true } }
        return isBeyond
    }

    /// The tenants of the first keys of the current command, if it holds their shards.
    private func forEachNamedTenant(_ body: (TenantReference) -> Void) {
        for resolved in namedKeys(8) where holds(resolved.shard) { body(resolved.shard.tenant) }
    }

    /// The share of a tenant whose plan has no memory limit.
    private func equalShare(_ memoryMax: Int) -> Int {
        let room = memoryMax - registry.otherMemory.load(ordering: .relaxed)
        return max(1, room / max(1, registry.tenantCount))
    }

    /// Searches all tenants for one beyond its share, unless such a search failed recently.
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
        // Bound: a whole round lies between two ends of the index.
        while candidate.ratio <= 1 && ends < 2 {
            if !walk(&candidate) { ends += 1 }
        }
        pointee.victims.evictionsUntilRound = candidate.ratio <= 1 ? count / 16 : 0
        if candidate.tenant == nil { pointee.victims.fruitlessAt = pointee.now }
    }

    /// Compares the next group of tenants. False if this ended the round; the next call begins
    /// another.
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

/// Of the tenants compared so far that have keys to evict, the one furthest beyond its share.
private struct Candidate {
    let equalShare: Int
    let expiring: Bool
    let passedOver: [TenantReference]
    var tenant: TenantReference?
    var ratio = 0.0

    var victim: Victim? { tenant.map { Victim(tenant: $0, isBeyondShare: ratio > 1) } }

    /// Returns the tenant's memory divided by its share.
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
    /// The memory of the tenant and of its clients, divided by its share, which is its plan's limit
    /// or else `equalShare`.
    fileprivate func ratio(toShare equalShare: Int) -> Double {
        let limit = pointee.memoryMax.value
        let size = memoryInUse + pointee.clientMemory.load(ordering: .relaxed)
        return Double(size) / Double(limit == .max ? equalShare : max(1, limit))
    }
}
