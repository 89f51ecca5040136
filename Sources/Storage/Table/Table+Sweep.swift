// SPDX-License-Identifier: Apache-2.0
import Base

// Sweeping what has expired, in steps that hold the shard for microseconds each.
extension Table {
    /// Where a sweep stands that is under way.
    struct Sweep {
        /// The first position that it has not come to.
        var position: UInt64 = 0
        /// No entry before `position` that was there when the sweep came by expires before this.
        var bound: Milliseconds = .max
    }

    /// Segments that one step looks at, expired or not: each is a cache miss.
    static let sweepWalkMax = 256

    /// Whether a sweep is under way or has something to find.
    func isSweepDue(_ now: Milliseconds) -> Bool { isSweeping || expiryBound <= now }

    /// One step of a sweep: looks at the next segments, and calls `body` for each expired entry's
    /// slot; `body` removes it without shrinking. Ends after `segmentLimit` segments that had
    /// something to find, and after `sweepWalkMax` in any case. `isSweeping` tells whether there is
    /// more; when the last step has ended, `expiryBound` is exact again.
    ///
    /// Positions are a hash's, as a scan's: what splits or is joined between two steps is still
    /// before or behind.
    mutating func sweepExpired(
        _ sweep: inout Sweep, now: Milliseconds, segmentLimit: Int,
        _ body: (inout Table, Slot) -> Void
    ) {
        if !isSweeping {
            isSweeping = true
            sweep = Sweep()
            // What is added from now on lowers it, also where the sweep has passed already.
            expiryBound = .max
        }
        var swept = 0
        var walked = 0
        // `root` becomes 0, and the sweep ends, where the last entry goes.
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
