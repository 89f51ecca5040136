// SPDX-License-Identifier: Apache-2.0
import Base
import Glibc

// How a table changes its size: segments grow by a quarter, split, shrink and merge; the directory
// follows (`Directory`).
extension Table {
    /// The maximum depth of the directory. Hashes are uniform and their seed is secret, so no table
    /// reaches 2^40 segments.
    static let depthMax = 40

    mutating func makeFirstSegment() {
        let segment = Segment.make(buckets: 1, depth: 0)
        directory = Directory.make(segment)
        allocatedSize += Segment.byteCount(1) + directory.size
    }

    /// Makes room in the full `segment` that holds `position`.
    mutating func grow(_ segment: Segment, position: UInt64) {
        let live = segment.count
        if segment.removedCount * 4 >= Segment.capacity(segment.bucketCount) {
            rebuild(segment, buckets: segment.bucketCount, position: position)
        } else if segment.bucketCount < Segment.bucketCountMax {
            let next = Segment.bucketCounts.first { $0 > segment.bucketCount }
            rebuild(segment, buckets: next ?? Segment.bucketCountMax, position: position)
        } else {
            precondition(segment.depth < Table.depthMax, "\(live) keys share 40 bits of their hash")
            split(segment, position: position)
        }
    }

    /// Moves all entries of `segment` into a new segment of `buckets`.
    private mutating func rebuild(_ segment: Segment, buckets: Int, position: UInt64) {
        let new = Segment.make(buckets: buckets, depth: segment.depth)
        fill(from: segment) { _ in new }
        directory.point(to: new, position: position)
        allocatedSize += Segment.byteCount(buckets)
        retire(segment)
    }

    /// Splits a full segment in two by the next bit of the hash.
    private mutating func split(_ segment: Segment, position: UInt64) {
        if segment.depth == directory.resolution(position) {
            allocatedSize += directory.deepen(position)
        }
        let bit = UInt64(1) << UInt64(63 - segment.depth)
        var upperCount = 0
        segment.forEach { if positionOf($0) & bit != 0 { upperCount += 1 } }
        let lowerBuckets = Segment.bucketCount(for: segment.count - upperCount)
        let upperBuckets = Segment.bucketCount(for: upperCount)
        let lower = Segment.make(buckets: lowerBuckets, depth: segment.depth + 1)
        let upper = Segment.make(buckets: upperBuckets, depth: segment.depth + 1)
        fill(from: segment) { $0 & bit == 0 ? lower : upper }
        directory.point(to: lower, position: position & ~bit)
        directory.point(to: upper, position: position | bit)
        allocatedSize += Segment.byteCount(lowerBuckets) + Segment.byteCount(upperBuckets)
        retire(segment)
    }

    /// Copies the entries of `segment` into the segments that `target` chooses by position.
    @inline(__always)
    private func fill(from segment: Segment, _ target: (UInt64) -> Segment) {
        segment.forEach { entry in
            let hash = Hash(entry.key)
            let position = self.position(hash)
            let new = target(position)
            let home = new.homeIndex(position << UInt64(new.depth))
            _ = new.insert(entry, tag: hash.tag, home: home)
            if let expiry = entry.expiry, expiry < new.expiryBound { new.expiryBound = expiry }
        }
    }

    private mutating func retire(_ segment: Segment) {
        let size = Segment.byteCount(segment.bucketCount)
        allocatedSize -= size
        if isPrivate {
            Block.free(segment.base)
        } else {
            Reclamation.retire(segment.base, size: size)
        }
    }

    /// Gives memory back if removals have left the segment less than a quarter full.
    mutating func shrinkIfSparse(_ segment: Segment, position: UInt64) {
        if count == 0 { return removeStructure() }
        let live = segment.count
        guard segment.isSparse else { return }
        if segment.depth > 0, mergeWithBuddy(segment, position: position) { return }
        let buckets = Segment.bucketCount(for: live)
        if buckets * 2 <= segment.bucketCount {
            rebuild(segment, buckets: buckets, position: position)
        }
    }

    /// Merges a sparse segment with its buddy, which differs in the last bit, if the two together
    /// stay half empty.
    private mutating func mergeWithBuddy(_ segment: Segment, position: UInt64) -> Bool {
        let bit = UInt64(1) << UInt64(64 - segment.depth)
        let buddy = self.segment(at: position ^ bit)
        let together = segment.count + buddy.count
        guard buddy.depth == segment.depth,
            together * 2 <= Segment.capacity(Segment.bucketCountMax)
        else { return false }
        let merged = Segment.make(
            buckets: Segment.bucketCount(for: together), depth: segment.depth - 1)
        fill(from: segment) { _ in merged }
        fill(from: buddy) { _ in merged }
        directory.point(to: merged, position: position)
        allocatedSize += Segment.byteCount(merged.bucketCount)
        retire(segment)
        retire(buddy)
        if segment.depth == directory.resolution(position) {
            allocatedSize -= directory.narrow(position)
        }
        return true
    }

    /// Frees the directory and the last segments of a table without entries.
    mutating func removeStructure() {
        guard root != 0 else { return }
        let old = self
        allocatedSize -= structureSize
        // Order: first unreachable, then retired: `Reclamation`'s invariant 3.
        root = 0
        expiryBound = .max
        isSweeping = false
        let release = isPrivate ? Block.free : Reclamation.retire
        old.forEachSegment { release($0.base) }
        old.directory.forEachBlock { block, _ in release(block) }
    }

    /// Bytes of segments and directory.
    var structureSize: Int {
        guard root != 0 else { return 0 }
        var size = directory.size
        forEachSegment { size += Segment.byteCount($0.bucketCount) }
        return size
    }

    /// Calls `body` once with every segment, in the order of the hash; `body` may free it.
    @inline(__always)
    func forEachSegment(_ body: (Segment) -> Void) {
        forEachSegmentWhile {
            body($0)
            return true
        }
    }

    /// The same, until `body` returns false.
    @inline(__always)
    func forEachSegmentWhile(_ body: (Segment) -> Bool) {
        guard root != 0 else { return }
        var position: UInt64? = 0
        while let start = position {  // Bound: each turn advances past a segment's hashes.
            let segment = self.segment(at: start)
            position = segment.end(from: start)
            guard body(segment) else { return }
        }
    }
}
