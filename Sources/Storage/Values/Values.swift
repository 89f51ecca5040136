// SPDX-License-Identifier: Apache-2.0
import Base

/// What every type of value has in common: how much it owns beyond its entry, and how it is freed.
enum Values {
    /// Bytes that the entry's value takes outside the entry's own block.
    @inline(__always)
    static func nestedSize(_ entry: Entry) -> Int {
        guard entry.hasPayload, entry.type != .string else { return 0 }
        return nestedTable(entry).size
    }

    /// Frees the entry's block and all that its value owns.
    @inline(__always)
    static func free(_ entry: Entry) {
        if entry.hasPayload && entry.type != .string { nestedTable(entry).free() }
        Block.free(entry.base)
    }

    /// The table of a large hash or set.
    static func nestedTable(_ entry: Entry) -> NestedTable {
        precondition(entry.hasPayload && (entry.type == .hash || entry.type == .set))
        // Safety: the payload of a hash or set is the address that `NestedTable.make` returned.
        return NestedTable(
            UnsafeMutablePointer<Table>(bitPattern: Int(entry.payload)).unsafelyUnwrapped)
    }
}

/// The table that a large hash or set keeps its members in. Its entries have the field as key and,
/// in a hash, its value.
struct NestedTable {
    // Safety: allocated by `make`, owned by one entry, reached only under that entry's shard's
    // lock.
    let table: UnsafeMutablePointer<Table>

    init(_ table: UnsafeMutablePointer<Table>) { self.table = table }

    static func make() -> NestedTable {
        let table = Block.allocate(MemoryLayout<Table>.size).bindMemory(to: Table.self, capacity: 1)
        table.initialize(to: Table())
        return NestedTable(table)
    }

    /// Bytes of the table, its entries and its own block.
    var size: Int { table.pointee.allocatedSize + Block.size(UnsafeMutableRawPointer(table)) }

    /// Frees the table with all its entries; a large one's on the reclaimer's thread, so that
    /// neither DEL nor an overwrite nor an expiry stops for as long as ten million members take.
    func free() {
        Reclaimer.shared.free(table.pointee)
        Block.free(UnsafeMutableRawPointer(table))
    }
}

extension Table {
    /// Frees every entry, every segment and the directory. The table is empty afterwards.
    /// `isUnreachable`: no thread can be reading its buckets without a lock, so that nothing need
    /// be retired.
    mutating func freeAll(isUnreachable: Bool = false) {
        guard root != 0 else { return }
        let release = isUnreachable ? Block.free : Reclamation.retire
        // Why: entries of nested tables have nothing nested themselves, so this is two levels deep
        // at most.
        forEachSegment { segment in
            segment.forEach { Values.free($0) }
            release(segment.base)
        }
        directory.forEachBlock { block, _ in release(block) }
        self = Table(prefixBits: Int(prefixBits))
    }
}
