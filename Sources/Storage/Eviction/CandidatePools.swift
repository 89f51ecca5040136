// SPDX-License-Identifier: Apache-2.0
import Base

/// A key that may be evicted soon, as one sample saw it.
///
/// Why no pointer: the entry may be freed and its shard die before it is looked for again. It is
/// found by its hash, under the lock of its shard, or not at all.
struct EvictionCandidate {
    let hash: Hash
    /// The database that it is in.
    let database: Int
    /// Of two candidates, the one with the higher score is evicted first. Comparable with scores of
    /// other moments: it does not rise while the entry waits.
    let score: Int64
}

/// For each of the tenants from which a thread has evicted last, the best candidates of all samples
/// so far: the pool of Redis's eviction.
///
/// Why: the best of five is only the best of five. What a sample finds beside its best is often
/// better than the best of the next sample, so it is kept.
///
/// Threads: each has its own.
///
/// Invariants:
/// 1. A pool's candidates are in descending order of their scores, and no two have one hash in one
///    database.
/// 2. `owners` are addresses only to be compared: a tenant may be gone. If another one has its
///    address, the candidates are not found in it.
struct CandidatePools {
    private static let poolBits = 6
    private static let poolCount = 1 << poolBits
    private static let candidateCountMax = 16

    private var owners: [UInt] = []
    private var policies: [EvictionPolicy] = []
    private var counts: [Int] = []
    private var candidates: [EvictionCandidate] = []

    /// Which pool is of `tenant`, emptied if it was another's or if the policy has changed.
    mutating func pool(of tenant: TenantReference, _ policy: EvictionPolicy) -> Int {
        if owners.isEmpty { allocate() }
        let address = UInt(bitPattern: tenant.raw)
        // Bound: the bits that a shift by the others leaves.
        let pool = Int((address &* 0x9E37_79B9_7F4A_7C15) >> UInt(UInt.bitWidth - Self.poolBits))
        if owners[pool] != address || policies[pool] != policy {
            owners[pool] = address
            policies[pool] = policy
            counts[pool] = 0
        }
        return pool
    }

    // Why not in init: a server that never evicts needs none.
    private mutating func allocate() {
        owners = Array(repeating: 0, count: Self.poolCount)
        policies = Array(repeating: .noEviction, count: Self.poolCount)
        counts = Array(repeating: 0, count: Self.poolCount)
        let none = EvictionCandidate(hash: Hash(bits: 0), database: 0, score: 0)
        candidates = Array(repeating: none, count: Self.poolCount * Self.candidateCountMax)
    }

    /// Whether a candidate with that score would be among the best.
    func hasPlace(for score: Int64, in pool: Int) -> Bool {
        let count = counts[pool]
        guard count == Self.candidateCountMax else { return true }
        return candidates[pool * Self.candidateCountMax + count - 1].score < score
    }

    /// Keeps a candidate if it is among the best.
    mutating func offer(_ candidate: EvictionCandidate, to pool: Int) {
        guard hasPlace(for: candidate.score, in: pool) else { return }
        let base = pool * Self.candidateCountMax
        var count = counts[pool]
        for place in base..<base + count
        where candidates[place].hash == candidate.hash
            && candidates[place].database == candidate.database
        {
            return
        }
        if count < Self.candidateCountMax { count += 1 }
        var place = base + count - 1
        while place > base, candidates[place - 1].score < candidate.score {
            candidates[place] = candidates[place - 1]
            place -= 1
        }
        candidates[place] = candidate
        counts[pool] = count
    }

    func count(_ pool: Int) -> Int { counts[pool] }

    /// The candidate with the `rank`-th highest score.
    func candidate(_ rank: Int, of pool: Int) -> EvictionCandidate {
        candidates[pool * Self.candidateCountMax + rank]
    }

    mutating func remove(_ rank: Int, of pool: Int) {
        let base = pool * Self.candidateCountMax
        for place in base + rank..<base + counts[pool] - 1 {
            candidates[place] = candidates[place + 1]
        }
        counts[pool] -= 1
    }
}
