// SPDX-License-Identifier: Apache-2.0
import Base
import Glibc

// Inserting and removing entries, and changing an entry's size. Growth is in Table+Grow.
extension Table {
    /// Inserts a new entry of `shape`, whose key must not be in the table, and returns its slot.
    /// The caller writes the value's bytes.
    public mutating func insert(_ hash: Hash, _ shape: EntryShape, access: UInt32) -> Slot {
        let entry = Entry.make(shape, access: access)
        allocatedSize += entry.allocatedSize
        return insert(hash, entry)
    }

    /// Inserts an entry whose memory is already charged.
    mutating func insert(_ hash: Hash, _ entry: Entry) -> Slot {
        if root == 0 { makeFirstSegment() }
        let position = self.position(hash)
        var segment = self.segment(at: position)
        while segment.count + segment.removedCount >= Segment.capacity(segment.bucketCount) {
            // Bound: every turn makes a larger segment, or halves the entries that share it.
            grow(segment, position: position)
            segment = self.segment(at: position)
        }
        let home = segment.homeIndex(position << UInt64(segment.depth))
        let place = segment.insert(entry, tag: hash.tag, home: home)
        count += 1
        if entry.isAbsent { absentCount += 1 }
        if let expiry = entry.expiry {
            expiringCount += 1
            lowerExpiryBound(segment, expiry)
        }
        return Slot(segment, place.index, place.lane)
    }

    /// Takes the entry out of the table and returns it, still charged. Shrinks the segment if it
    /// has become sparse, which invalidates slots found earlier.
    mutating func detach(_ slot: Slot, shrinking: Bool = true) -> Entry {
        let entry = slot.entry
        let segment = slot.segment
        if slot.bucket.clear(Int(slot.lane)) { segment.removedCount += 1 }
        segment.count -= 1
        count -= 1
        if entry.isAbsent { absentCount -= 1 }
        if entry.hasExpiry { expiringCount -= 1 }
        if shrinking, count == 0 || segment.isSparse {
            shrinkIfSparse(segment, position: positionOf(entry))
        }
        return entry
    }

    /// Removes the entry and frees it with everything that it owns.
    public mutating func remove(_ slot: Slot, shrinking: Bool = true) {
        let entry = detach(slot, shrinking: shrinking)
        allocatedSize -= entry.totalSize
        entry.free()
    }

    /// Makes room in the entry in `slot` for a value of `capacity` bytes, keeps the bytes that are
    /// there, and sets the value size to `size`. The slot stays valid; views into the old entry do
    /// not.
    public mutating func resizeValue(_ slot: Slot, size: Int, capacity: Int) {
        let entry = slot.entry
        precondition(!entry.hasPayload && size <= capacity)
        if size == entry.valueSize && capacity == size { return }
        let needed = entry.keyOffset + entry.keySize + capacity
        let current = entry.allocatedSize
        let fitsHeader = entry.isLong || capacity < 1 << 24
        // Why: shrinking in place keeps SET away from the allocator. Only an entry that wastes more
        // than half of its block moves.
        if fitsHeader && needed <= current && (current <= 2 * needed || current <= 128) {
            entry.setValueSize(size)
            return
        }
        if fitsHeader {
            let kept = min(size, entry.valueSize)
            entry.setValueSize(kept)
            let moved = Entry(Block.reallocate(entry.base, needed))
            moved.setValueSize(size)
            slot.bucket.replaceEntry(Int(slot.lane), moved)
            allocatedSize += moved.allocatedSize - current
            return
        }
        var shape = entry.shape
        shape.valueSize = size
        shape.valueCapacity = capacity
        replace(slot, shape, keepingValue: true)
    }

    /// Lengthens the value of the entry in `slot` to `size` bytes within its block; the caller
    /// writes the new bytes. Returns false, with nothing changed, if the block is too small.
    func lengthenInPlace(_ slot: Slot, size: Int) -> Bool {
        let entry = slot.entry
        precondition(!entry.hasPayload && size >= entry.valueSize)
        guard entry.isLong || size < 1 << 24,
            entry.keyOffset + entry.keySize + size <= entry.allocatedSize
        else { return false }
        entry.setValueSize(size)
        return true
    }

    /// Replaces the entry in `slot` by one of another shape with the same key. Does not free what
    /// the old payload points to. With `keepingValue` it copies as many of the value's bytes as
    /// fit.
    public mutating func replace(_ slot: Slot, _ shape: EntryShape, keepingValue: Bool) {
        let old = slot.entry
        let new = Entry.make(shape, access: old.access)
        if keepingValue {
            memcpy(new.mutableValue, old.value.base, min(old.valueSize, shape.valueSize))
        }
        if old.isAbsent { absentCount -= 1 }
        if new.isAbsent { absentCount += 1 }
        if old.hasExpiry != new.hasExpiry { expiringCount += new.hasExpiry ? 1 : -1 }
        if let expiry = new.expiry { lowerExpiryBound(slot.segment, expiry) }
        allocatedSize += new.allocatedSize - old.allocatedSize
        slot.bucket.replaceEntry(Int(slot.lane), new)
        Block.free(old.base)
    }

    /// Sets or removes the expiry of the entry in `slot`.
    public mutating func setExpiry(_ slot: Slot, _ expiry: Milliseconds?) {
        let entry = slot.entry
        switch (entry.hasExpiry, expiry) {
        case (false, nil):
            return
        case (true, .some(let moment)):
            entry.storeExpiry(moment)
            lowerExpiryBound(slot.segment, moment)
        default:
            var shape = entry.shape
            shape.expiry = expiry
            replace(slot, shape, keepingValue: true)
        }
    }

    @inline(__always)
    mutating func lowerExpiryBound(_ segment: Segment, _ moment: Milliseconds) {
        if moment < segment.expiryBound { segment.expiryBound = moment }
        if moment < expiryBound { expiryBound = moment }
    }

    /// The position of an entry: the hash of its key without the shard's bits.
    func positionOf(_ entry: Entry) -> UInt64 { position(Hash(entry.key)) }
}
