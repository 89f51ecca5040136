// SPDX-License-Identifier: Apache-2.0
import Base

/// Memory that nothing refers to any more: what a value owned, or a whole table of a shard or of a
/// deleted tenant.
///
/// Why parts: freeing a set of ten million members takes a second. In parts, several threads can
/// free it at once, and one thread can free as much as its time allows. A part is at most a segment
/// with its 352 entries. Taking a part changes only the garbage, so freeing needs no lock.
///
/// Entries can be freed at once: no thread reads one without its shard's lock; at most it
/// prefetches the entry's cache line. Segments and directories must wait for a quiet moment, unless
/// the table is private.
enum Garbage: @unchecked Sendable {
    // Safety: the blocks are reached only through the garbage, which has one owner at a time.

    /// A table. `next` is the position of the next segment to take, nil after the last. `block`
    /// contains the table itself, if it was allocated.
    case table(Table, next: UInt64?, block: UnsafeMutableRawPointer?)

    init(_ table: Table) { self = .table(table, next: 0, block: nil) }

    init(_ nested: NestedTable) {
        self = .table(
            nested.table.pointee, next: 0, block: UnsafeMutableRawPointer(nested.table))
    }

    /// Entries, before any part was taken, without those that values own.
    var count: Int {
        switch self {
        case .table(let table, _, _): table.count
        }
    }

    /// Bytes, before any part was taken, with those that values own.
    var size: Int {
        switch self {
        case .table(let table, _, let block):
            table.allocatedSize + (block.map { Block.size($0) } ?? 0)
        }
    }

    /// Whether freeing it all takes no longer than starting a thread.
    var isSmall: Bool {
        let size = self.size
        return size <= 32 << 10 || count <= 64 && size <= 1 << 20
    }

    /// What is freed in one step.
    enum Part {
        case segment(Segment, isPrivate: Bool)
        /// The directory, and the block that contained the table. Taken last.
        case structure(Directory, block: UnsafeMutableRawPointer?, isPrivate: Bool)
    }

    /// Takes the next part; nil if all are taken.
    mutating func takePart() -> Part? {
        switch self {
        case .table(var table, let next, let block):
            let isPrivate = table.isPrivate
            if table.root != 0, let next {
                let segment = table.segment(at: next)
                self = .table(table, next: segment.end(from: next), block: block)
                return .segment(segment, isPrivate: isPrivate)
            }
            guard table.root != 0 || block != nil else { return nil }
            let directory = table.directory
            table.root = 0
            self = .table(table, next: nil, block: nil)
            return .structure(directory, block: block, isPrivate: isPrivate)
        }
    }
}

extension Garbage.Part {
    var entryCount: Int {
        switch self {
        case .segment(let segment, _): segment.count
        case .structure: 0
        }
    }

    /// Frees the part and returns its bytes. Passes what its entries' values own to `discard`;
    /// those bytes are not included.
    func free(_ discard: (Owned) -> Void) -> Int {
        var size = 0
        switch self {
        case .segment(let segment, let isPrivate):
            segment.forEach { entry in
                size += entry.allocatedSize
                if entry.ownsMemory, let owned = entry.owned { discard(owned) }
                Block.free(entry.base)
            }
            size += Garbage.release(segment.base, isPrivate)
        case .structure(let directory, let block, let isPrivate):
            directory.forEachBlock { block, _ in size += Garbage.release(block, isPrivate) }
            if let block { size += Garbage.release(block, true) }
        }
        return size
    }
}

extension Garbage {
    /// Frees a block, or retires it if a running tick may still read it. Returns its bytes.
    fileprivate static func release(_ block: UnsafeMutableRawPointer, _ isPrivate: Bool) -> Int {
        let size = Block.size(block)
        if isPrivate { Block.free(block) } else { Reclamation.retire(block, size: size) }
        return size
    }
}
