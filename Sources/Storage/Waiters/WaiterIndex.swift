// SPDX-License-Identifier: Apache-2.0
import Base

/// The waiters for each key of a shard: hash → queue of waiters, first come first.
///
/// Why not a list: one client may watch a million keys, and every write would walk past all of
/// them. Why not a field in every entry: it would cost eight bytes per key, and clients also wait
/// for keys that do not exist. A shard without waiters pays eight bytes and one compare.
///
/// Two keys with one 64-bit hash are one key here. For a watch that is harmless: EXEC fails
/// although only the other key changed, and clients of WATCH expect to retry. Hashes are seeded at
/// start, so no client can cause it.
///
/// Layout:
///
///     root ─► leaf                             up to 768 hashes
///     root ─► fork ─► 64 parts, each a leaf or a fork again
///
///     part   fork flag (1 bit) | unused (1) | slot bits (4) | count (10) | address (48)
///     leaf   4 to 1024 slots of 16 bytes: hash, first waiter of its queue, nil in an empty slot
///     fork   64 parts
///
///     hash   … | 6 bits: second fork | 6 bits: first fork | 10 bits: slot within the leaf
///
/// A leaf uses open addressing with linear probing. Removal shifts later slots back, so it leaves
/// no tombstones. Blocks have no headers: the part that names a block describes it, and a leaf
/// fills a size class of the allocator exactly. Bits are taken from the low end of the hash,
/// because its first bits chose the shard and are equal within it.
///
/// Growth: a leaf doubles when it would be more than three quarters full. At 1024 slots it becomes
/// a fork of 64 small leaves instead, which then grow one by one. No array doubles as a whole, so
/// no step moves more than 768 slots, however many millions wait. Shrinking mirrors this: a leaf an
/// eighth full is halved, and a fork whose leaves hold 256 hashes together becomes one leaf again.
/// Removing the last waiter frees the last block.
///
/// Invariants:
/// 1. A part is 0 if its hashes have no waiter. So `root` is 0 if there are no waiters.
/// 2. A hash has at most one slot, reached from its home slot without passing an empty one. At
///    least one of every four slots is empty.
/// 3. Every waiter is in the queue of its hash (`Waiter`), and a slot names the first one.
///
/// Threads: one at a time, under the shard's lock.
///
/// Cost: 21 to 64 bytes per hash while the index grows (16 / 0.75 to 16 / 0.25), up to 128 before
/// it shrinks; nothing for further waiters of the same hash. Adding and removing are O(1); `Work`
/// says what a step moved.
struct WaiterIndex: ~Copyable {
    var root = Part()

    init() {}

    @inline(__always)
    var isEmpty: Bool { root.word == 0 }

    /// A hash with waiters.
    struct Slot {
        var hash: Hash
        var first: WaiterReference?
    }

    /// The cost of one change of the index.
    struct Work {
        /// Bytes taken from the allocator, less those given back.
        var bytes = 0
        /// Slots moved; this bounds the time under the lock.
        var moved = 0
    }

    /// The first waiter for `hash`, or nil.
    func first(_ hash: Hash) -> WaiterReference? {
        var part = root
        var level = 0
        while part.isFork {  // Bound: `Part.levelMax`.
            part = part.child(hash, level).pointee
            level += 1
        }
        guard !part.isEmpty else { return nil }
        return part.slots[part.index(of: hash)].first
    }

    /// Calls `body` with the first waiter of every queue, in any order. `body` may not change the
    /// index.
    func forEachQueue(_ body: (WaiterReference) -> Void) {
        WaiterIndex.forEachBlock(root) { part in
            guard !part.isFork else { return }
            for index in 0..<part.slotCount {
                if let first = part.slots[index].first { body(first) }
            }
        }
    }

    /// Bytes taken from the allocator: the sum of all changes' `Work.bytes`.
    var allocatedSize: Int {
        var size = 0
        WaiterIndex.forEachBlock(root) { size += Block.size($0.address) }
        return size
    }

    /// Calls `body` with `part` and all parts below it, leaves before the fork that names them.
    /// `body` may free the block.
    static func forEachBlock(_ part: Part, _ body: (Part) -> Void) {
        guard !part.isEmpty else { return }
        if part.isFork {
            for index in 0..<Part.childCount { forEachBlock(part.children[index], body) }
        }
        body(part)
    }
}

extension WaiterIndex {
    /// A word that names a leaf, a fork, or nothing.
    struct Part {
        var word: UInt = 0

        static let slotBitsMin = 2
        static let slotBitsMax = 10
        static let childBits = 6
        static let childCount = 1 << childBits
        /// The maximum number of forks above a leaf: then all bits of the hash are used.
        static let levelMax = (64 - slotBitsMax) / childBits

        private static let forkFlag = UInt(1) << 63
        private static let addressMask = UInt(1) << 48 - 1
        private static let countMask = UInt(1) << 10 - 1

        init() {}

        /// Names a fork, or a leaf without hashes.
        init(fork block: UnsafeMutableRawPointer) {
            word = UInt(bitPattern: block) | Part.forkFlag
        }

        init(leaf block: UnsafeMutableRawPointer, slotBits: Int) {
            word = UInt(bitPattern: block) | UInt(slotBits) << 58
        }

        @inline(__always)
        var isEmpty: Bool { word == 0 }

        @inline(__always)
        var isFork: Bool { word & Part.forkFlag != 0 }

        @inline(__always)
        var address: UnsafeMutableRawPointer {
            // Safety: called only for parts that name a block, whose address is not 0.
            UnsafeMutableRawPointer(bitPattern: word & Part.addressMask).unsafelyUnwrapped
        }

        // MARK: - Of a fork

        @inline(__always)
        var children: UnsafeMutablePointer<Part> { address.assumingMemoryBound(to: Part.self) }

        /// The part for `hash` below a fork with `level` forks above it.
        @inline(__always)
        func child(_ hash: Hash, _ level: Int) -> UnsafeMutablePointer<Part> {
            children + Part.childNumber(hash, level)
        }

        @inline(__always)
        static func childNumber(_ hash: Hash, _ level: Int) -> Int {
            let shift = UInt64(slotBitsMax + level * childBits)
            return Int(truncatingIfNeeded: hash.bits >> shift) & (childCount - 1)
        }

        // MARK: - Of a leaf

        @inline(__always)
        var slots: UnsafeMutablePointer<Slot> { address.assumingMemoryBound(to: Slot.self) }

        @inline(__always)
        var slotBits: Int { Int(truncatingIfNeeded: word >> 58) & 0xF }

        @inline(__always)
        var slotCount: Int { 1 << slotBits }

        /// Number of used slots: at most 768.
        @inline(__always)
        var count: Int {
            get { Int(truncatingIfNeeded: word >> 48 & Part.countMask) }
            set { word = word & ~(Part.countMask << 48) | UInt(newValue) << 48 }
        }

        /// Whether one more hash would leave less than a quarter of the slots empty.
        var isFull: Bool { (count + 1) * 4 > slotCount * 3 }

        /// Where a search for `hash` begins.
        @inline(__always)
        func home(_ hash: Hash) -> Int { Int(truncatingIfNeeded: hash.bits) & (slotCount - 1) }

        /// The slot of `hash`, or the empty one where it would go.
        @inline(__always)
        func index(of hash: Hash) -> Int {
            let slots = self.slots
            let mask = slotCount - 1
            var index = home(hash)
            // Bound: invariant 2, an empty slot ends every search.
            while slots[index].first != nil, slots[index].hash != hash {
                index = (index + 1) & mask
            }
            return index
        }
    }
}
