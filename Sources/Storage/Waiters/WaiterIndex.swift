// SPDX-License-Identifier: Apache-2.0
import Base

/// Who waits for which key of a shard: hash → queue of waiters, first come first.
///
/// Why not a list: one client may watch a million keys, and every write would walk past all of
/// them. Why not a field in every entry: it would cost eight bytes a key, and clients wait for keys
/// that do not exist. A shard in which nobody waits pays eight bytes and one compare.
///
/// Two keys of one 64-bit hash are one key here. For a watch that is harmless: EXEC fails although
/// the other key changed, and whoever uses WATCH is ready to try again. Hashes are seeded at start,
/// so that no client can bring it about.
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
/// A leaf is open addressing with linear probing, and removal shifts later slots back, so that no
/// marks are left behind. Blocks have no headers: what is known of one stands in the part that
/// names it, and a leaf takes exactly a size class of the allocator. Bits are taken from the low
/// end of the hash because its first bits have chosen the shard: within a shard they are all equal.
///
/// Growth: a leaf doubles when it would be more than three quarters full. At 1024 slots it becomes
/// a fork of 64 small leaves instead, which then grow one by one. There is no array that doubles as
/// a whole, so no step moves more than 768 slots, however many millions wait. Shrinking mirrors it:
/// a leaf an eighth full is halved, and a fork whose leaves hold 256 hashes together becomes one
/// leaf again. With the last waiter the last block goes.
///
/// Invariants:
/// 1. A part is 0 where its hashes have no waiter; so `root` is 0 when nobody waits.
/// 2. A hash has at most one slot, reached from its home slot without passing an empty one. Of
///    every four slots one at least is empty.
/// 3. Every waiter is in the queue of its hash (`Waiter`), and a slot names the first one.
///
/// Threads: one at a time, under the shard's lock.
///
/// Cost: 21 to 64 bytes for each hash while the index grows, 16 / 0.75 to 16 / 0.25, up to 128
/// before it shrinks, and nothing for a further waiter of the same hash. Adding and removing are
/// O(1); `Work` says what a step moved.
struct WaiterIndex: ~Copyable {
    var root = Part()

    init() {}

    @inline(__always)
    var isEmpty: Bool { root.word == 0 }

    /// A hash that somebody waits for.
    struct Slot {
        var hash: Hash
        var first: WaiterReference?
    }

    /// What a change of the index cost.
    struct Work {
        /// Bytes taken from the allocator, less those given back.
        var bytes = 0
        /// Slots moved: what bounds the time under the lock.
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

    /// Calls `body` with the first waiter of every queue, in no order. `body` may not change the
    /// index.
    func forEachQueue(_ body: (WaiterReference) -> Void) {
        WaiterIndex.forEachBlock(root) { part in
            guard !part.isFork else { return }
            for index in 0..<part.slotCount {
                if let first = part.slots[index].first { body(first) }
            }
        }
    }

    /// Bytes taken from the allocator: what all changes' `Work.bytes` add up to.
    var allocatedSize: Int {
        var size = 0
        WaiterIndex.forEachBlock(root) { size += Block.size($0.address) }
        return size
    }

    /// Calls `body` with `part` and all parts below it, leaves before the fork that names them;
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
        /// How many forks there can be above a leaf: then all bits of the hash are used.
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
            // Safety: called only of parts that name a block; its address is not 0.
            UnsafeMutableRawPointer(bitPattern: word & Part.addressMask).unsafelyUnwrapped
        }

        // MARK: - Of a fork

        @inline(__always)
        var children: UnsafeMutablePointer<Part> { address.assumingMemoryBound(to: Part.self) }

        /// The part that `hash` belongs to, below a fork that has `level` forks above it.
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

        /// How many slots are in use: at most 768.
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

        /// The slot of `hash`, or the empty one in which it would be.
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
