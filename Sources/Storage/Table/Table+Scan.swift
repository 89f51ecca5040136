// SPDX-License-Identifier: Apache-2.0
import Base

// Walking a table: SCAN's steps and all entries.
extension Table {
    /// One step of a scan. Calls `body` with every entry whose position (the hash without the
    /// shard's bits) lies in `position..<result`, whole home buckets at a time, until `limit`
    /// entries have been seen or `bucketLimit` buckets walked. Returns where the next step begins,
    /// or nil at the end.
    ///
    /// Why it misses and repeats nothing: a position depends only on the hash of a key. However the
    /// table grows, splits or shrinks between two steps, an entry is either before or behind the
    /// cursor.
    public func scan(
        from position: UInt64, limit: Int, bucketLimit: Int, _ body: (Entry) -> Void
    ) -> UInt64? {
        guard root != 0 else { return nil }
        var position = position
        var seen = 0
        var walked = 0
        while true {
            let segment = self.segment(at: position)
            let home = segment.homeIndex(position << UInt64(segment.depth))
            let end = endOfHome(home, segment, position: position)
            seen += scanHome(home, segment, from: position, to: end, body)
            walked += 1
            guard let end else { return nil }
            position = end
            if seen >= limit || walked >= bucketLimit { return position }
        }
    }

    /// The first position behind those whose home is bucket `home` of `segment`; nil for the last
    /// bucket of all.
    private func endOfHome(_ home: Int, _ segment: Segment, position: UInt64) -> UInt64? {
        guard home + 1 < segment.bucketCount else { return segment.end(from: position) }
        // The smallest 32-bit fraction f with f * buckets >> 32 == home + 1, rounded up.
        let buckets = UInt64(segment.bucketCount)
        let fraction = (UInt64(home + 1) << 32 + buckets - 1) / buckets
        return segment.start(of: position) | (fraction << 32) >> UInt64(segment.depth)
    }

    private func scanHome(
        _ home: Int, _ segment: Segment, from start: UInt64, to end: UInt64?,
        _ body: (Entry) -> Void
    ) -> Int {
        var index = home
        var seen = 0
        while true {  // Bound: invariant 1 of Segment, an empty slot ends every probe.
            let bucket = segment.bucket(index)
            var bits = bucket.occupied
            while bits != 0 {
                let entry = bucket.entry(Bucket.lane(bits))
                let position = positionOf(entry)
                if position >= start, end.map({ position < $0 }) ?? true {
                    body(entry)
                    seen += 1
                }
                bits &= bits &- 1
            }
            if Bucket.matches(bucket.tags, Bucket.emptyTag) != 0 { return seen }
            index = segment.next(index)
            if index == home { return seen }
        }
    }

    /// Calls `body` with every entry. `body` may not change the table.
    public func forEach(_ body: (Entry) -> Void) {
        forEachSegment { $0.forEach(body) }
    }

    /// Calls `body` with every entry until it returns false. `body` may not change the table.
    @inline(__always)
    func forEachWhile(_ body: (Entry) -> Bool) {
        forEachSegmentWhile { segment in
            for number in 0..<segment.bucketCount {
                if number + 1 < segment.bucketCount { segment.prefetchEntries(number + 1) }
                let bucket = segment.bucket(number)
                var bits = bucket.occupied
                while bits != 0 {
                    guard body(bucket.entry(Bucket.lane(bits))) else { return false }
                    bits &= bits &- 1
                }
            }
            return true
        }
    }
}
