// SPDX-License-Identifier: Apache-2.0
import Base
import CXXHash

/// Seven slots in one cache line.
///
/// Layout, 64 bytes:
///
///     byte  0 … 6   tags of slots 0 … 6: 0 is empty, 1 is removed, else a byte of the hash
///     byte  7       free: reserved for the epoch of a snapshot
///     byte  8 … 63  seven pointers to entries
///
/// All seven tags are compared in four operations on one word. A lookup follows a pointer only if
/// the tag matches; a wrong key matches once in 254 times.
struct Bucket {
    static let slotCount = 7
    static let byteCount = 64
    static let emptyTag: UInt8 = 0
    static let removedTag: UInt8 = 1
    private static let low: UInt64 = 0x7F7F_7F7F_7F7F_7F7F
    private static let marks: UInt64 = 0x0080_8080_8080_8080

    // Safety: a cache line within a segment.
    let base: UnsafeMutableRawPointer

    @inline(__always)
    init(_ base: UnsafeMutableRawPointer) { self.base = base }

    @inline(__always)
    var tags: UInt64 { base.load(as: UInt64.self) }

    /// One bit for each slot whose tag is `tag`: bit 7 of its byte. Exact: no false positives.
    @inline(__always)
    static func matches(_ tags: UInt64, _ tag: UInt8) -> UInt64 {
        let difference = tags ^ (UInt64(tag) &* 0x0101_0101_0101_0101)
        // Bound: 0x7F + 0x7F fits in a byte, so no carry crosses from one byte to the next.
        let sum = (difference & low) &+ low
        return ~(sum | difference | low) & marks
    }

    /// The slot of the lowest bit of a non-zero `matches`.
    @inline(__always)
    static func lane(_ bits: UInt64) -> Int { bits.trailingZeroBitCount >> 3 }

    @inline(__always)
    func entry(_ lane: Int) -> Entry {
        // Safety: the slot's tag says that it is occupied, so the word is a pointer that `set`
        // stored.
        Entry(
            UnsafeMutableRawPointer(
                bitPattern: base.load(fromByteOffset: 8 + lane * 8, as: UInt.self)
            ).unsafelyUnwrapped)
    }

    @inline(__always)
    func pointerBits(_ lane: Int) -> UInt { base.load(fromByteOffset: 8 + lane * 8, as: UInt.self) }

    @inline(__always)
    func set(_ lane: Int, tag: UInt8, entry: Entry) {
        base.storeBytes(of: UInt(bitPattern: entry.base), toByteOffset: 8 + lane * 8, as: UInt.self)
        base.storeBytes(of: tag, toByteOffset: lane, as: UInt8.self)
    }

    @inline(__always)
    func replaceEntry(_ lane: Int, _ entry: Entry) {
        base.storeBytes(of: UInt(bitPattern: entry.base), toByteOffset: 8 + lane * 8, as: UInt.self)
    }

    /// Marks the slot free. A bucket with an empty slot ends probes and may go on ending them. A
    /// bucket without one does not, and must not begin to, so its slot gets a removed mark. Returns
    /// whether it did.
    func clear(_ lane: Int) -> Bool {
        let isFull = Bucket.matches(tags, Bucket.emptyTag) == 0
        let tag = isFull ? Bucket.removedTag : Bucket.emptyTag
        base.storeBytes(of: tag, toByteOffset: lane, as: UInt8.self)
        base.storeBytes(of: 0, toByteOffset: 8 + lane * 8, as: UInt.self)
        return isFull
    }

    /// The occupied slots, in the form of `matches`.
    @inline(__always)
    var occupied: UInt64 {
        let tags = self.tags
        return Bucket.marks & ~Bucket.matches(tags, Bucket.emptyTag)
            & ~Bucket.matches(tags, Bucket.removedTag)
    }
}

/// The hash of keys: XXH3 with a seed drawn at start, so that no client can aim at one bucket.
///
/// From the top: bits that choose the shard, bits that choose the segment, 32 bits that choose the
/// bucket. The lowest byte is the tag.
public struct Hash: Equatable, Sendable {
    public let bits: UInt64

    @inline(__always)
    init(bits: UInt64) { self.bits = bits }

    @inline(__always)
    public init(_ key: Bytes) {
        bits = martlet_hash(key.base, UInt(key.count))
    }

    /// Never the two values that mean empty and removed.
    @inline(__always)
    var tag: UInt8 {
        let byte = UInt8(truncatingIfNeeded: bits)
        return byte < 2 ? byte &+ 2 : byte
    }
}
