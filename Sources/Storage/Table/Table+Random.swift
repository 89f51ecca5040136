// SPDX-License-Identifier: Apache-2.0
import Base

// Choosing entries by chance.
extension Table {
    /// A uniformly random entry; nil for an empty table.
    ///
    /// Why rejection sampling: a draw picks a word of the directory, at its full depth, and a place
    /// in a segment of maximum size. It counts only if the word is the first of its segment and the
    /// place is filled. So every place has the same chance, however full or deep its segment is.
    /// Nearly every table finds an entry within five draws. Hundreds fail only if most words of the
    /// directory name few segments, which are then counted through.
    public func randomSlot(_ random: inout Random) -> Slot? {
        guard count > 0 else { return nil }
        let depth = directory.depth
        let buckets = depth == 0 ? segment(at: 0).bucketCount : Segment.bucketCountMax
        for _ in 0..<Table.drawsMax {
            let position = random.next()
            let place = Int(random.next(below: UInt64(buckets * Bucket.slotCount)))
            let segment = self.segment(at: position)
            let index = place / Bucket.slotCount
            let isFirst = (position - segment.start(of: position)) >> UInt64(64 - depth) == 0
            guard isFirst, index < segment.bucketCount else { continue }
            let slot = Slot(segment, index, place % Bucket.slotCount)
            if slot.isFilled { return slot }
        }
        return countedSlot(Int(random.next(below: UInt64(count))))
    }

    private static let drawsMax = 512

    /// The entry with `number` entries before it. Visits every segment up to its own.
    ///
    /// Why that is cheap for `randomSlot`: of a directory's words, draws that fail so often leave
    /// about one in a hundred that name a segment of their own.
    func countedSlot(_ number: Int) -> Slot? {
        var rest = number
        var found: Slot?
        forEachSegmentWhile { segment in
            guard rest >= segment.count else {
                found = Table.countedSlot(rest, in: segment)
                return false
            }
            rest -= segment.count
            return true
        }
        return found
    }

    private static func countedSlot(_ number: Int, in segment: Segment) -> Slot? {
        var rest = number
        for index in 0..<segment.bucketCount {
            var bits = segment.bucket(index).occupied
            while bits != 0 {
                if rest == 0 { return Slot(segment, index, Bucket.lane(bits)) }
                rest -= 1
                bits &= bits &- 1
            }
        }
        return nil
    }

    /// Calls `body` with the entries of whole buckets, from a random one on, until they are
    /// `wanted` or more. Returns how many they were.
    ///
    /// Why neighbours: they cost few cache misses, and where an entry lies says nothing of its use.
    /// Why whole buckets: if the last one were cut off, the entries at the ends of full ones would
    /// hardly ever be reached.
    @discardableResult
    func sample(
        _ random: inout Random, wanted: Int, onlyExpiring: Bool, _ body: (Slot) -> Void
    ) -> Int {
        guard count > 0 else { return 0 }
        var position = random.next()
        var segment = self.segment(at: position)
        var start = Int(random.next(below: UInt64(segment.bucketCount)))
        var seen = 0
        for _ in 0..<min(1 << directory.depth, 64) {
            if segment.count > 0 && (!onlyExpiring || segment.expiryBound != .max) {
                seen += Table.sample(
                    segment, from: start, wanted: wanted - seen, onlyExpiring: onlyExpiring, body)
                if seen >= wanted { return seen }
            }
            position = segment.end(from: position) ?? 0
            segment = self.segment(at: position)
            start = 0
        }
        return seen
    }

    /// The same in one segment, all round from bucket `start` on.
    private static func sample(
        _ segment: Segment, from start: Int, wanted: Int, onlyExpiring: Bool, _ body: (Slot) -> Void
    ) -> Int {
        var seen = 0
        var index = start
        repeat {
            // Why: the entries' cache misses then overlap.
            segment.prefetchEntries(index)
            var bits = segment.bucket(index).occupied
            while bits != 0 {
                let slot = Slot(segment, index, Bucket.lane(bits))
                bits &= bits &- 1
                if onlyExpiring && !slot.entry.hasExpiry { continue }
                body(slot)
                seen += 1
            }
            index = segment.next(index)
        } while seen < wanted && index != start
        return seen
    }
}

extension Table.Slot {
    /// Whether the slot has an entry.
    fileprivate var isFilled: Bool { bucket.occupied & (0x80 << UInt64(lane * 8)) != 0 }
}
