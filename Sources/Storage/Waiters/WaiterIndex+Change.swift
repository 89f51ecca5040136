// SPDX-License-Identifier: Apache-2.0
import Base

// Adding and removing waiters; growing and shrinking the index.
extension WaiterIndex {
    /// Adds `waiter` at the end of its hash's queue.
    mutating func add(_ waiter: WaiterReference) -> Work {
        let hash = waiter.pointee.hash
        var work = Work()
        withUnsafeMutablePointer(to: &root) { root in
            var place = root
            var level = 0
            while true {  // Bound: each turn goes down a level, grows the leaf there, or ends.
                if place.pointee.isFork {
                    place = place.pointee.child(hash, level)
                    level += 1
                    continue
                }
                if place.pointee.isEmpty {
                    place.pointee = WaiterIndex.makeLeaf(Part.slotBitsMin, &work)
                }
                let slot = place.pointee.slots + place.pointee.index(of: hash)
                if let first = slot.pointee.first { return waiter.join(queueOf: first) }
                if place.pointee.isFull {
                    WaiterIndex.grow(place, level, &work)
                    continue
                }
                slot.pointee = Slot(hash: hash, first: waiter)
                waiter.pointee.flags.insert(.isFirst)
                place.pointee.count += 1
                return
            }
        }
        return work
    }

    /// Removes a waiter that is in the index.
    mutating func remove(_ waiter: WaiterReference) -> Work {
        var work = Work()
        let hash = waiter.pointee.hash
        let next = waiter.pointee.next
        if !waiter.pointee.flags.contains(.isFirst) {
            waiter.leaveQueue()
        } else if next != waiter {
            waiter.leaveQueue()
            next.pointee.flags.insert(.isFirst)
            replaceFirst(hash, next)
        } else {
            withUnsafeMutablePointer(to: &root) { WaiterIndex.removeSlot(hash, $0, 0, &work) }
        }
        return work
    }

    /// Passes every waiter to `body`, which may let it go, and frees all blocks. Returns the freed
    /// bytes.
    mutating func removeAll(_ body: (WaiterReference) -> Void) -> Int {
        forEachQueue { $0.forEachInQueue(body) }
        var work = Work()
        WaiterIndex.forEachBlock(root) { WaiterIndex.free($0, &work) }
        root = Part()
        return -work.bytes
    }

    private func replaceFirst(_ hash: Hash, _ first: WaiterReference) {
        var part = root
        var level = 0
        while part.isFork {  // Bound: `Part.levelMax`.
            part = part.child(hash, level).pointee
            level += 1
        }
        part.slots[part.index(of: hash)].first = first
    }

    // MARK: - Blocks

    private static func makeLeaf(_ slotBits: Int, _ work: inout Work) -> Part {
        let block = Block.allocateLines(MemoryLayout<Slot>.stride << slotBits)
        block.bindMemory(to: Slot.self, capacity: 1 << slotBits)
            .initialize(repeating: Slot(hash: Hash(bits: 0), first: nil), count: 1 << slotBits)
        work.bytes += Block.size(block)
        return Part(leaf: block, slotBits: slotBits)
    }

    private static func makeFork(_ work: inout Work) -> Part {
        let block = Block.allocateLines(MemoryLayout<Part>.stride * Part.childCount)
        block.bindMemory(to: Part.self, capacity: Part.childCount)
            .initialize(repeating: Part(), count: Part.childCount)
        work.bytes += Block.size(block)
        return Part(fork: block)
    }

    private static func free(_ part: Part, _ work: inout Work) {
        work.bytes -= Block.size(part.address)
        Block.free(part.address)
    }

    /// The slot bits of a leaf in which `count` hashes take at most half of the slots, up to the
    /// largest leaf.
    private static func slotBits(for count: Int) -> Int {
        var bits = Part.slotBitsMin
        while bits < Part.slotBitsMax, 1 << bits < count * 2 { bits += 1 }
        return bits
    }

    /// Puts a slot into a leaf that has room and does not contain its hash.
    @inline(__always)
    private static func move(_ slot: Slot, to part: inout Part, _ work: inout Work) {
        part.slots[part.index(of: slot.hash)] = slot
        part.count += 1
        work.moved += 1
    }

    /// Calls `body` with every used slot of a leaf.
    @inline(__always)
    private static func forEachSlot(_ leaf: Part, _ body: (Slot) -> Void) {
        for index in 0..<leaf.slotCount where leaf.slots[index].first != nil {
            body(leaf.slots[index])
        }
    }

    // MARK: - Growing

    /// Makes room in a full leaf with `level` forks above it.
    private static func grow(
        _ place: UnsafeMutablePointer<Part>, _ level: Int, _ work: inout Work
    ) {
        if place.pointee.slotBits < Part.slotBitsMax {
            return resize(place, place.pointee.slotBits + 1, &work)
        }
        // Why this never fails: it would take 768 hashes that differ only in their last ten bits.
        precondition(level < Part.levelMax, "768 keys share 54 bits of their hash")
        let leaf = place.pointee
        let fork = makeFork(&work)
        withUnsafeTemporaryAllocation(of: Int.self, capacity: Part.childCount) { counts in
            counts.initialize(repeating: 0)
            forEachSlot(leaf) { counts[Part.childNumber($0.hash, level)] += 1 }
            for index in 0..<Part.childCount where counts[index] > 0 {
                fork.children[index] = makeLeaf(slotBits(for: counts[index]), &work)
            }
        }
        forEachSlot(leaf) { move($0, to: &fork.child($0.hash, level).pointee, &work) }
        place.pointee = fork
        free(leaf, &work)
    }

    /// Moves a leaf's slots to a new leaf of 2^`slotBits` slots.
    private static func resize(
        _ place: UnsafeMutablePointer<Part>, _ slotBits: Int, _ work: inout Work
    ) {
        let old = place.pointee
        var new = makeLeaf(slotBits, &work)
        forEachSlot(old) { move($0, to: &new, &work) }
        place.pointee = new
        free(old, &work)
    }

    // MARK: - Shrinking

    /// At or below this count, a fork's leaves become one leaf. It is a third of what a leaf holds
    /// before it becomes a fork, so clients that come and go at the limit do not move the slots
    /// each time.
    private static let joinedCountMax = 256
    /// If a leaf has so few hashes, its fork checks whether to become one leaf. If all leaves of a
    /// fork have more, together they have more than `joinedCountMax`.
    private static let fewHashes = joinedCountMax / Part.childCount

    /// Removes the slot of `hash`, which exists, from the part at `place`.
    private static func removeSlot(
        _ hash: Hash, _ place: UnsafeMutablePointer<Part>, _ level: Int, _ work: inout Work
    ) {
        guard place.pointee.isFork else { return removeSlot(hash, ofLeaf: place, &work) }
        let child = place.pointee.child(hash, level)
        // Bound: `Part.levelMax` calls deep.
        removeSlot(hash, child, level + 1, &work)
        if !child.pointee.isFork, child.pointee.count <= fewHashes { joinIfSparse(place, &work) }
    }

    private static func removeSlot(
        _ hash: Hash, ofLeaf place: UnsafeMutablePointer<Part>, _ work: inout Work
    ) {
        let slots = place.pointee.slots
        let mask = place.pointee.slotCount - 1
        var hole = place.pointee.index(of: hash)
        var index = hole
        slots[hole].first = nil
        while true {  // Bound: invariant 2, an empty slot ends the run.
            index = (index + 1) & mask
            guard slots[index].first != nil else { break }
            // This slot need not move: its probe begins after the hole.
            let distance = (index - place.pointee.home(slots[index].hash)) & mask
            guard distance >= (index - hole) & mask else { continue }
            slots[hole] = slots[index]
            slots[index].first = nil
            hole = index
            work.moved += 1
        }
        place.pointee.count -= 1
        if place.pointee.count == 0 {
            free(place.pointee, &work)
            place.pointee = Part()
        } else if place.pointee.count * 8 <= place.pointee.slotCount,
            place.pointee.slotBits > Part.slotBitsMin
        {
            resize(place, place.pointee.slotBits - 1, &work)
        }
    }

    /// Turns a fork into one leaf, or into nothing, if its leaves hold few hashes together.
    private static func joinIfSparse(_ place: UnsafeMutablePointer<Part>, _ work: inout Work) {
        let fork = place.pointee
        var count = 0
        for index in 0..<Part.childCount {
            guard !fork.children[index].isFork else { return }
            count += fork.children[index].count
        }
        guard count <= joinedCountMax else { return }
        var joined = count > 0 ? makeLeaf(slotBits(for: count), &work) : Part()
        for index in 0..<Part.childCount where !fork.children[index].isEmpty {
            forEachSlot(fork.children[index]) { move($0, to: &joined, &work) }
            free(fork.children[index], &work)
        }
        place.pointee = joined
        free(fork, &work)
    }
}
