// SPDX-License-Identifier: Apache-2.0
import Base

// Walking a table: SCAN's steps and random picks.
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

    /// A uniformly random entry; nil for an empty table.
    ///
    /// Why rejection sampling: a draw picks a word of the directory, at its full depth, and a place
    /// in a segment of maximum size. It counts only if the word is the first of its segment and the
    /// place is filled. So every place has the same chance, however full or deep its segment is.
    /// Nearly every table finds an entry within five draws. If a table has shrunk so much that
    /// hundreds of draws fail, any filled place near a random one must do.
    public func randomSlot(_ random: inout Random) -> Slot? {
        guard count > 0 else { return nil }
        let depth = directory.depth
        let buckets = depth == 0 ? segment(at: 0).bucketCount : Segment.bucketCountMax
        for _ in 0..<512 {
            let position = random.next()
            let place = Int(random.next(below: UInt64(buckets * Bucket.slotCount)))
            let segment = self.segment(at: position)
            let index = place / Bucket.slotCount
            let isFirst = (position - segment.start(of: position)) >> UInt64(64 - depth) == 0
            guard isFirst, index < segment.bucketCount else { continue }
            let slot = Slot(segment, index, place % Bucket.slotCount)
            if slot.isFilled { return slot }
        }
        return nearRandomSlot(&random)
    }

    private func nearRandomSlot(_ random: inout Random) -> Slot? {
        // Bound: ends with probability 1; a slot is filled with a chance of at least 16 %.
        while true {
            let segment = self.segment(at: random.next())
            guard segment.count > 0 else { continue }
            for _ in 0..<64 {
                let index = Int(random.next(below: UInt64(segment.bucketCount)))
                let lane = Int(random.next(below: UInt64(Bucket.slotCount)))
                let slot = Slot(segment, index, lane)
                if slot.isFilled { return slot }
            }
        }
    }

    /// Calls `body` with up to `limit` neighbouring entries from a random place: candidates for
    /// eviction.
    func sample(_ random: inout Random, limit: Int, onlyExpiring: Bool, _ body: (Slot) -> Void) {
        guard count > 0 else { return }
        var position = random.next()
        var segment = self.segment(at: position)
        var start = Int(random.next(below: UInt64(segment.bucketCount)))
        var seen = 0
        for _ in 0..<min(1 << directory.depth, 64) {
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
            position = segment.end(from: position) ?? 0
            segment = self.segment(at: position)
            start = 0
        }
    }
}

extension Table.Slot {
    /// Whether the slot has an entry.
    fileprivate var isFilled: Bool { bucket.occupied & (0x80 << UInt64(lane * 8)) != 0 }
}
