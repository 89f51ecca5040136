// SPDX-License-Identifier: Apache-2.0
import Base
import CLinux

// Walking a table: SCAN's steps, random picks, sweeping what has expired.
extension Table {
    /// One step of a scan. Calls `body` with every entry whose position (the hash without the
    /// shard's bits) lies in `position..<result`, whole home buckets at a time, until `limit`
    /// entries have been seen or `bucketLimit` buckets walked. Returns where the next step begins,
    /// or nil at the end.
    ///
    /// Why it misses and repeats nothing: a position belongs to the hash of a key alone. However
    /// the table grows, splits or shrinks between two steps, an entry is before or behind the
    /// cursor, never both.
    public func scan(
        from position: UInt64, limit: Int, bucketLimit: Int, _ body: (Entry) -> Void
    ) -> UInt64? {
        guard root != 0 else { return nil }
        var position = position
        var seen = 0
        var walked = 0
        while true {
            let segment = self.segment(at: Table.directoryIndex(position, depth: depth))
            let home = segment.homeIndex(position << UInt64(segment.depth))
            let end = endOfHome(home, segment, position: position)
            seen += scanHome(home, segment, from: position, to: end, body)
            walked += 1
            guard let end else { return nil }
            position = end
            if seen >= limit || walked >= bucketLimit { return position }
        }
    }

    /// The first position behind those whose home is bucket `home` of `segment`; nil behind the
    /// last.
    private func endOfHome(_ home: Int, _ segment: Segment, position: UInt64) -> UInt64? {
        let shift = UInt64(segment.depth)
        let segmentStart = shift == 0 ? 0 : (position >> (64 - shift)) << (64 - shift)
        if home + 1 < segment.bucketCount {
            // The smallest 32-bit fraction f with f * buckets >> 32 == home + 1, rounded up.
            let buckets = UInt64(segment.bucketCount)
            let fraction = (UInt64(home + 1) << 32 + buckets - 1) / buckets
            return segmentStart | (fraction << 32) >> shift
        }
        guard shift > 0 else { return nil }
        let (end, overflowed) = segmentStart.addingReportingOverflow(1 << (64 - shift))
        return overflowed ? nil : end
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
                let position = positionOf(entry, segment)
                if position >= start && position < end ?? .max || (end == nil && position >= start)
                {
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

    /// An entry chosen at random, each with the same chance; nil of an empty table.
    ///
    /// Why rejection: every segment is drawn by its first directory word alone, and a place among
    /// as many as the largest segment has. So a place has the same chance in each, however full and
    /// however deep they are. Nearly every table has found one after five draws; where a table has
    /// shrunk so that hundreds were in vain, any filled place near a random one has to do.
    public func randomSlot(_ random: inout Random) -> Slot? {
        guard count > 0 else { return nil }
        let depth = self.depth
        let buckets = depth == 0 ? segment(at: 0).bucketCount : Segment.bucketCountMax
        for _ in 0..<512 {
            let word = Int(random.next(below: UInt64(segmentWordCount)))
            let place = Int(random.next(below: UInt64(buckets * Bucket.slotCount)))
            let segment = self.segment(at: word)
            let index = place / Bucket.slotCount
            guard word & ((1 << (depth - segment.depth)) - 1) == 0, index < segment.bucketCount
            else { continue }
            let slot = Slot(segment, index, place % Bucket.slotCount)
            if slot.isFilled { return slot }
        }
        return nearRandomSlot(&random)
    }

    private func nearRandomSlot(_ random: inout Random) -> Slot? {
        // Bound: ends with probability 1; a slot is filled with a chance of 16 % at least.
        while true {
            let segment = self.segment(
                at: Table.directoryIndex(random.next(), depth: depth))
            guard segment.count > 0 else { continue }
            for _ in 0..<64 {
                let index = Int(random.next(below: UInt64(segment.bucketCount)))
                let lane = Int(random.next(below: UInt64(Bucket.slotCount)))
                let slot = Slot(segment, index, lane)
                if slot.isFilled { return slot }
            }
        }
    }

    /// Up to `limit` neighbouring entries from a random place: candidates for eviction.
    func sample(_ random: inout Random, limit: Int, onlyExpiring: Bool, _ body: (Slot) -> Void) {
        guard count > 0 else { return }
        let word = Table.directoryIndex(random.next(), depth: depth)
        var segment = self.segment(at: word)
        var start = Int(random.next(below: UInt64(segment.bucketCount)))
        var seen = 0
        var next = word
        for _ in 0..<min(segmentWordCount, 64) {
            if segment.count > 0 && (!onlyExpiring || segment.expiryBound != .max) {
                for step in 0..<segment.bucketCount {
                    let index = (start + step) % segment.bucketCount
                    let bucket = segment.bucket(index)
                    var bits = bucket.occupied
                    while bits != 0 && seen < limit {
                        let slot = Slot(segment, index, Bucket.lane(bits))
                        bits &= bits &- 1
                        if onlyExpiring && !slot.entry.hasExpiry { continue }
                        body(slot)
                        seen += 1
                    }
                    if seen >= limit { return }
                }
            }
            next = (next + 1) & (segmentWordCount - 1)
            segment = self.segment(at: next)
            start = 0
        }
    }

    /// Looks through the segments whose bound has passed, from directory word `cursor` on, and
    /// calls `body` for each expired entry's slot; `body` removes it without shrinking. Stops after
    /// `segmentLimit` segments were swept. Returns the word to go on with, or nil at the end, when
    /// `expiryBound` is exact again.
    mutating func sweepExpired(
        from cursor: Int, now: Milliseconds, segmentLimit: Int, _ body: (inout Table, Slot) -> Void
    ) -> Int? {
        var index = cursor
        var swept = 0
        while index < segmentWordCount {
            let segment = self.segment(at: index)
            index = (index & ~((1 << (depth - segment.depth)) - 1)) + 1 << (depth - segment.depth)
            guard segment.expiryBound <= now else { continue }
            let position = UInt64(index - 1) << UInt64(64 - depth)
            sweep(segment, now: now, body)
            swept += 1
            let wordsBefore = segmentWordCount
            shrinkIfSparse(segment, position: depth == 0 ? 0 : position)
            // Why: after a merge or a halving the words ahead have other numbers; the bounds of
            // what was left out are still low, so the next round finds it.
            if segmentWordCount != wordsBefore || swept >= segmentLimit {
                return index < segmentWordCount ? index : finishSweep()
            }
        }
        return finishSweep()
    }

    private mutating func finishSweep() -> Int? {
        var bound = Milliseconds.max
        forEachSegment { bound = min(bound, $0.expiryBound) }
        expiryBound = bound
        return nil
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

extension Table.Slot {
    /// Whether an entry is there.
    fileprivate var isFilled: Bool { bucket.occupied & (0x80 << UInt64(lane * 8)) != 0 }
}
