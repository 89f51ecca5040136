// SPDX-License-Identifier: Apache-2.0
import Base
import CLinux
import Glibc

/// One part of a table: a header and 1 to 63 buckets, with linear probing inside the segment.
///
/// Why: a table grows one segment at a time, so no insertion moves more than 352 entries. It grows
/// in steps of about a quarter, so buckets are 64 to 80 % full at any number of keys.
///
/// Layout:
///
///     line 0       count, removed count, expiry bound
///     line 1 … n   buckets, in the order of the hash bits that follow the segment's own
///
/// One word names a segment: address (48 bits) | bucket count (8) | depth (8). A reader finds a
/// bucket's address without touching the header.
///
/// Invariants:
/// 1. count + removed <= 80 % of the slots: a probe always meets an empty slot. (A segment of one
///    bucket: five of seven.)
/// 2. An entry is in its home bucket or in one behind it, wrapping around the end, with no empty
///    slot in between.
/// 3. expiryBound <= the expiry of every entry in the segment.
struct Segment {
    let word: UInt

    @inline(__always)
    init(word: UInt) { self.word = word }

    /// Bucket counts: with the header line they fill jemalloc's size classes exactly.
    static let bucketCounts: [Int] = [
        1, 2, 3, 4, 5, 6, 7, 9, 11, 13, 15, 19, 23, 27, 31, 39, 47, 55, 63,
    ]
    static let bucketCountMax = 63

    /// The number of entries and removed marks that a segment of `buckets` holds.
    @inline(__always)
    static func capacity(_ buckets: Int) -> Int { buckets * Bucket.slotCount * 4 / 5 }

    /// Less than a quarter full: worth checking whether it can shrink.
    var isSparse: Bool { count * 4 < Segment.capacity(bucketCount) }

    /// The smallest bucket count that holds `entries` with room for a quarter more, or the largest.
    static func bucketCount(for entries: Int) -> Int {
        for count in bucketCounts where capacity(count) >= entries + entries / 5 + 1 {
            return count
        }
        return bucketCountMax
    }

    static func byteCount(_ buckets: Int) -> Int { (buckets + 1) * Bucket.byteCount }

    static func make(buckets: Int, depth: Int) -> Segment {
        let size = byteCount(buckets)
        let base = Block.allocateLines(size)
        memset(base, 0, size)
        base.storeBytes(of: Int64.max, toByteOffset: 8, as: Int64.self)
        return Segment(word: UInt(bitPattern: base) | UInt(buckets) << 48 | UInt(depth) << 56)
    }

    @inline(__always)
    var base: UnsafeMutableRawPointer {
        // Safety: `make` put the address of a block there.
        UnsafeMutableRawPointer(bitPattern: word & 0xFFFF_FFFF_FFFF).unsafelyUnwrapped
    }
    @inline(__always)
    var bucketCount: Int { Int(word >> 48) & 0xFF }
    @inline(__always)
    var depth: Int { Int(word >> 56) }

    /// The first position of the segment that holds `position`.
    @inline(__always)
    func start(of position: UInt64) -> UInt64 {
        depth == 0 ? 0 : position & ~(UInt64.max >> UInt64(depth))
    }

    /// The first position behind the segment that holds `position`; nil for the last segment.
    @inline(__always)
    func end(from position: UInt64) -> UInt64? {
        guard depth > 0 else { return nil }
        let (end, overflowed) = start(of: position).addingReportingOverflow(1 << UInt64(64 - depth))
        return overflowed ? nil : end
    }

    var count: Int {
        get { Int(base.load(as: Int32.self)) }
        nonmutating set { base.storeBytes(of: Int32(newValue), as: Int32.self) }
    }
    var removedCount: Int {
        get { Int(base.load(fromByteOffset: 4, as: Int32.self)) }
        nonmutating set { base.storeBytes(of: Int32(newValue), toByteOffset: 4, as: Int32.self) }
    }
    /// No entry expires before this moment; Int64.max if none expires.
    var expiryBound: Milliseconds {
        get { base.load(fromByteOffset: 8, as: Int64.self) }
        nonmutating set { base.storeBytes(of: newValue, toByteOffset: 8, as: Int64.self) }
    }

    @inline(__always)
    func bucket(_ index: Int) -> Bucket { Bucket(base + (index &+ 1) &* Bucket.byteCount) }

    /// The home bucket of a hash whose shard and segment bits are shifted out.
    @inline(__always)
    func homeIndex(_ position: UInt64) -> Int {
        // Bound: a 32-bit fraction times at most 63, shifted down by 32, is below the bucket count.
        Int(truncatingIfNeeded: ((position >> 32) &* UInt64(truncatingIfNeeded: bucketCount)) >> 32)
    }

    @inline(__always)
    func next(_ index: Int) -> Int { index &+ 1 == bucketCount ? 0 : index &+ 1 }

    /// Inserts an entry, whose key must not be in the segment, into the first free slot from its
    /// home bucket on. The caller ensures invariant 1.
    func insert(_ entry: Entry, tag: UInt8, home: Int) -> (index: Int, lane: Int) {
        var index = home
        while true {  // Bound: invariant 1, some bucket has a free slot.
            let bucket = self.bucket(index)
            let tags = bucket.tags
            let removed = Bucket.matches(tags, Bucket.removedTag)
            let free = removed | Bucket.matches(tags, Bucket.emptyTag)
            if free != 0 {
                let lane = Bucket.lane(removed != 0 ? removed : free)
                if removed != 0 { removedCount -= 1 }
                bucket.set(lane, tag: tag, entry: entry)
                count += 1
                return (index, lane)
            }
            index = next(index)
        }
    }

    /// Calls `body` with every entry. `body` may not change the segment.
    @inline(__always)
    func forEach(_ body: (Entry) -> Void) {
        for index in 0..<bucketCount {
            // Why: cache misses on the entries dominate the walk, so it prefetches those of the
            // next bucket.
            if index + 1 < bucketCount { prefetchEntries(index + 1) }
            let bucket = self.bucket(index)
            var bits = bucket.occupied
            while bits != 0 {
                body(bucket.entry(Bucket.lane(bits)))
                bits &= bits &- 1
            }
        }
    }

    @inline(__always)
    func prefetchEntries(_ index: Int) {
        let bucket = self.bucket(index)
        for lane in 0..<Bucket.slotCount {
            martlet_prefetch(UnsafeRawPointer(bitPattern: bucket.pointerBits(lane)))
        }
    }
}
