// SPDX-License-Identifier: Apache-2.0
import Base

// The active expiration cycle (sweep) of one table, in steps that each hold the shard for
// microseconds.
extension Table {
    /// The progress of a sweep.
    struct Sweep {
        /// The first position not yet swept.
        var position: UInt64 = 0
        /// No entry before `position` expires before this, apart from entries added after the sweep
        /// passed.
        var bound: Milliseconds = .max
    }

    /// The most segments that one step visits, expired or not: each is a cache miss.
    static let sweepWalkMax = 256

    /// Whether a sweep is under way or a new one would find something.
    func isSweepDue(_ now: Milliseconds) -> Bool { isSweeping || expiryBound <= now }

    /// One step of a sweep: visits the next segments and calls `body` with the slot of each expired
    /// entry; `body` removes it without shrinking. The step ends after `segmentLimit` segments
    /// whose expiry bound has passed, and after `sweepWalkMax` in any case. `isSweeping` says
    /// whether more is left. When the last step ends, `expiryBound` is exact again.
    ///
    /// Positions are hashes, as in a scan: whatever splits or merges between two steps is still
    /// either before or behind.
    mutating func sweepExpired(
        _ sweep: inout Sweep, now: Milliseconds, segmentLimit: Int,
        _ body: (inout Table, Slot) -> Void
    ) {
        if !isSweeping {
            isSweeping = true
            sweep = Sweep()
            // Entries added from now on lower it, even where the sweep has already passed.
            expiryBound = .max
        }
        var swept = 0
        var walked = 0
        // When the last entry goes, `root` becomes 0 and the sweep ends.
        while root != 0, swept < segmentLimit, walked < Table.sweepWalkMax {
            let segment = self.segment(at: sweep.position)
            let end = segment.end(from: sweep.position)
            walked += 1
            let isDue = segment.expiryBound <= now
            if isDue { self.sweep(segment, now: now, body) }
            sweep.bound = min(sweep.bound, segment.expiryBound)
            if isDue {
                swept += 1
                shrinkIfSparse(segment, position: sweep.position)
            }
            guard let end else { return finishSweep(sweep) }
            sweep.position = end
        }
        if root == 0 { isSweeping = false }
    }

    private mutating func finishSweep(_ sweep: Sweep) {
        isSweeping = false
        expiryBound = count == 0 ? .max : min(expiryBound, sweep.bound)
    }

    private mutating func sweep(
        _ segment: Segment, now: Milliseconds, _ body: (inout Table, Slot) -> Void
    ) {
        var bound = Milliseconds.max
        for index in 0..<segment.bucketCount {
            if index + 1 < segment.bucketCount { segment.prefetchEntries(index + 1) }
            let bucket = segment.bucket(index)
            var bits = bucket.occupied
            while bits != 0 {
                let lane = Bucket.lane(bits)
                bits &= bits &- 1
                guard let expiry = bucket.entry(lane).expiry else { continue }
                if expiry <= now {
                    body(&self, Slot(segment, index, lane))
                } else {
                    bound = min(bound, expiry)
                }
            }
        }
        segment.expiryBound = bound
    }
}
