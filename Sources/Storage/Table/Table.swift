// SPDX-License-Identifier: Apache-2.0
import Base
import CLinux
import Glibc

/// A hash table from keys to entries that grows and shrinks by segments: extendible hashing.
///
/// Why: doubling one array would stop a command for as long as ten million entries take to move.
/// Here a directory of pointers, eight bytes for some 300 entries, is indexed by the hash's first
/// bits. A full segment grows by about a quarter, and from 63 buckets on splits in two; so do the
/// directory's pages. The same table holds the keys of a shard and the members of a large hash or
/// set.
///
/// Layout:
///
///     root ─► directory (`Directory`) ─► segments, each named by one or more neighbouring words
///
///     hash   | prefix (shard) | segment bits | 32 bits: bucket within the segment | … | tag |
///
/// The buckets, read from the first segment to the last, stand in the order of the hash. A scan
/// walks that order, so that a cursor is a hash and keeps its meaning however the table changes:
/// every entry that is there throughout is returned exactly once.
///
/// Invariants:
/// 1. `root` is the directory's; 0 where there is no entry.
/// 2. `count` and `expiringCount` are the sums over the segments; `allocatedSize` is what entries,
///    their values, segments and the directory take from the allocator.
/// 3. `expiryBound` is at most every segment's, but while a sweep is under way: then it is at most
///    what was added since that began.
///
/// Threads: one at a time, under the lock of its shard; it may be handed to another thread as a
/// whole.
///
/// Cost per entry: its block, and at 72 % mean fill 64 / 5.04 = 12.7 bytes of buckets and 0.2 of
/// headers.
public struct Table: @unchecked Sendable {
    var root: UInt = 0
    public internal(set) var count = 0
    /// Entries that have an expiry.
    public internal(set) var expiringCount: Int {
        get { Int(expiringCountWord) }
        set { expiringCountWord = UInt32(newValue) }
    }
    // Why 32 bits for these two: the table fits in its shard's first cache line with the leases.
    private var expiringCountWord: UInt32 = 0
    /// Entries that stand for records known not to exist: no command sees them.
    public internal(set) var absentCount: UInt32 = 0
    /// Bytes taken from the allocator, nested collections included.
    public var allocatedSize = 0
    /// No entry expires before this moment: invariant 3.
    public internal(set) var expiryBound: Milliseconds = .max
    /// Hash bits that the shard's number has used up.
    var prefixBits: UInt8 = 0
    /// A sweep of what has expired is under way.
    var isSweeping = false
    /// No thread reads buckets without the lock, as `prefetchBucket` does: what the table replaces
    /// is freed and not retired.
    let isPrivate: Bool

    public init(prefixBits: Int = 0, isPrivate: Bool = false) {
        self.prefixBits = UInt8(prefixBits)
        self.isPrivate = isPrivate
    }

    /// Entries that commands can see, expired ones that nobody has touched included.
    public var visibleCount: Int { count - Int(absentCount) }

    @inline(__always)
    var directory: Directory {
        get { Directory(root: root) }
        set { root = newValue.root }
    }

    /// The hash without the shard's bits.
    @inline(__always)
    func position(_ hash: Hash) -> UInt64 { hash.bits << UInt64(prefixBits) }

    /// The segment of the hashes that begin like `position`; `root` is not 0.
    @inline(__always)
    func segment(at position: UInt64) -> Segment {
        Segment(word: Directory.word(root: root, position: position))
    }

    /// Where an entry is: good until the table inserts or removes another.
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

    /// Asks for the bucket of `hash`. May run without the lock: segments and directories are freed
    /// only after every thread has passed a quiet point (`Reclamation`).
    @inline(__always)
    static func prefetchBucket(root: UInt, position: UInt64) -> UInt {
        guard root != 0 else { return 0 }
        // Safety: the directory outlives this tick even if it is replaced now.
        let segment = Segment(word: Directory.word(root: root, position: position))
        let bucket = segment.bucket(segment.homeIndex(position << UInt64(segment.depth))).base
        martlet_prefetch(bucket)
        return UInt(bitPattern: bucket)
    }

    /// Asks for the entry that the bucket's tags promise. `bucket` is what `prefetchBucket`
    /// returned in this tick.
    @inline(__always)
    static func prefetchEntry(bucket: UInt, tag: UInt8) {
        guard let base = UnsafeMutableRawPointer(bitPattern: bucket) else { return }
        let bucket = Bucket(base)
        let bits = Bucket.matches(bucket.tags, tag)
        guard bits != 0 else { return }
        martlet_prefetch(UnsafeRawPointer(bitPattern: bucket.pointerBits(Bucket.lane(bits))))
    }
}
