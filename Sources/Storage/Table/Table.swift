// SPDX-License-Identifier: Apache-2.0
import Base
import CLinux

/// A hash table from keys to entries that grows and shrinks by segments: extendible hashing.
///
/// Why: doubling one array would block a command until ten million entries have moved. Here the
/// first bits of the hash index a directory of pointers, eight bytes for some 300 entries. A full
/// segment grows by about a quarter; at 63 buckets it splits in two. So do the directory's pages.
/// The same table holds the keys of a shard and the members of a large hash or set.
///
/// Layout:
///
///     root ─► directory (`Directory`) ─► segments, each named by one or more neighbouring words
///
///     hash   | prefix (shard) | segment bits | 32 bits: bucket within the segment | … | tag |
///
/// From the first segment to the last, the buckets are in the order of the hash. A scan walks in
/// that order, so its cursor is a hash and keeps its meaning however the table changes: a scan
/// returns every entry that is there throughout exactly once.
///
/// Invariants:
/// 1. `root` is the directory's, or 0 if there is no entry.
/// 2. `count` and `expiringCount` are the sums over the segments; `allocatedSize` is what entries,
///    their values, segments and the directory take from the allocator.
/// 3. `expiryBound` is at most the bound of every segment. While a sweep is under way, it is at
///    most the expiry of every entry added since the sweep began.
///
/// Threads: one at a time, under the lock of its shard. Another thread may take over a whole table.
///
/// Cost per entry: its block, and at 72 % mean fill 64 / 5.04 = 12.7 bytes of buckets and 0.2 bytes
/// of headers.
public struct Table: @unchecked Sendable {
    var root: UInt = 0
    public internal(set) var count = 0
    /// Entries with an expiry.
    public internal(set) var expiringCount: Int {
        get { Int(expiringCountWord) }
        set { expiringCountWord = UInt32(newValue) }
    }
    // Why 32 bits for these two: with the leases, the table then fits in its shard's first cache
    // line.
    private var expiringCountWord: UInt32 = 0
    /// Negative entries: records known not to exist. No command sees them.
    public internal(set) var absentCount: UInt32 = 0
    /// Bytes taken from the allocator, including nested collections.
    public var allocatedSize = 0
    /// No entry expires before this moment: invariant 3.
    public internal(set) var expiryBound: Milliseconds = .max
    /// Hash bits used for the shard's number.
    var prefixBits: UInt8 = 0
    /// Whether a sweep is under way.
    var isSweeping = false
    /// No thread reads buckets without the lock, as `prefetchBucket` does: what the table replaces
    /// is freed and not retired.
    let isPrivate: Bool

    public init(prefixBits: Int = 0, isPrivate: Bool = false) {
        self.prefixBits = UInt8(prefixBits)
        self.isPrivate = isPrivate
    }

    /// Entries that commands can see, including expired ones not removed yet.
    public var visibleCount: Int { count - Int(absentCount) }

    @inline(__always)
    var directory: Directory {
        get { Directory(root: root) }
        set { root = newValue.root }
    }

    /// The hash without the shard's bits.
    @inline(__always)
    func position(_ hash: Hash) -> UInt64 { hash.bits << UInt64(prefixBits) }

    /// The segment of hashes that begin like `position`; `root` is not 0.
    @inline(__always)
    func segment(at position: UInt64) -> Segment {
        Segment(word: Directory.word(root: root, position: position))
    }

    /// The place of an entry: valid until the table inserts or removes an entry.
    public struct Slot {
        let segment: Segment
        let index: Int32
        let lane: Int32

        @inline(__always)
        init(_ segment: Segment, _ index: Int, _ lane: Int) {
            self.segment = segment
            self.index = Int32(truncatingIfNeeded: index)
            self.lane = Int32(truncatingIfNeeded: lane)
        }

        @inline(__always)
        var bucket: Bucket { segment.bucket(Int(index)) }

        @inline(__always)
        public var entry: Entry { bucket.entry(Int(lane)) }
    }

    /// The slot of `key`, expired or not.
    @inline(__always)
    public func find(_ hash: Hash, _ key: Bytes) -> Slot? {
        guard root != 0 else { return nil }
        let position = self.position(hash)
        let segment = self.segment(at: position)
        let tag = hash.tag
        var index = segment.homeIndex(position << UInt64(segment.depth))
        while true {  // Bound: invariant 1 of Segment, an empty slot ends every probe.
            let bucket = segment.bucket(index)
            let tags = bucket.tags
            var bits = Bucket.matches(tags, tag)
            while bits != 0 {
                let lane = Bucket.lane(bits)
                if bucket.entry(lane).key == key { return Slot(segment, index, lane) }
                bits &= bits &- 1
            }
            if Bucket.matches(tags, Bucket.emptyTag) != 0 { return nil }
            index = segment.next(index)
        }
    }

    /// The slot of the first entry whose key has `hash`.
    func find(_ hash: Hash) -> Slot? {
        guard root != 0 else { return nil }
        let position = self.position(hash)
        let segment = self.segment(at: position)
        var index = segment.homeIndex(position << UInt64(segment.depth))
        while true {  // Bound: as in `find(_:_:)`.
            let bucket = segment.bucket(index)
            var bits = Bucket.matches(bucket.tags, hash.tag)
            while bits != 0 {
                let lane = Bucket.lane(bits)
                if Hash(bucket.entry(lane).key) == hash { return Slot(segment, index, lane) }
                bits &= bits &- 1
            }
            if Bucket.matches(bucket.tags, Bucket.emptyTag) != 0 { return nil }
            index = segment.next(index)
        }
    }

    /// Prefetches the bucket of a hash. May run without the lock: segments and directories are
    /// freed only after every thread has passed a quiescent state (`Reclamation`).
    @inline(__always)
    static func prefetchBucket(root: UInt, position: UInt64) -> UInt {
        guard root != 0 else { return 0 }
        // Safety: the directory outlives this tick even if it is replaced now.
        let segment = Segment(word: Directory.word(root: root, position: position))
        let bucket = segment.bucket(segment.homeIndex(position << UInt64(segment.depth))).base
        martlet_prefetch(bucket)
        return UInt(bitPattern: bucket)
    }

    /// Prefetches the first entry in `bucket` whose tag matches. `bucket` is a result of
    /// `prefetchBucket` in this tick.
    @inline(__always)
    static func prefetchEntry(bucket: UInt, tag: UInt8) {
        guard let base = UnsafeMutableRawPointer(bitPattern: bucket) else { return }
        let bucket = Bucket(base)
        let bits = Bucket.matches(bucket.tags, tag)
        guard bits != 0 else { return }
        martlet_prefetch(UnsafeRawPointer(bitPattern: bucket.pointerBits(Bucket.lane(bits))))
    }
}
