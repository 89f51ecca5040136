// SPDX-License-Identifier: Apache-2.0
import Base

/// Memory that nobody can find any more: what a value owned, or a whole table of a shard or of a
/// deleted tenant.
///
/// Why parts: a set of ten million members takes a second to free. In parts it can be freed by
/// several threads at once, and by one for as long as it has time. A part is at most a segment with
/// its 352 entries; taking one changes only the garbage, so that it is freed without any lock.
///
/// Entries need no quiet moment: no thread reads one without its shard's lock, at most it asks the
/// processor for its cache line. Segments and directories do, unless the table is private.
enum Garbage: @unchecked Sendable {
    // Safety: the blocks are reached through the garbage alone, and it has one owner at a time.

    /// A table; `next` is the position of the next segment to take, nil behind the last. `block` is
    /// where the table itself lies, where it was allocated.
    case table(Table, next: UInt64?, block: UnsafeMutableRawPointer?)

    init(_ table: Table) { self = .table(table, next: 0, block: nil) }

    init(_ nested: NestedTable) {
        self = .table(
            nested.table.pointee, next: 0, block: UnsafeMutableRawPointer(nested.table))
    }

    /// Entries, before any part was taken. What their values own is not counted.
    var count: Int {
        switch self {
        case .table(let table, _, _): table.count
        }
    }

    /// Bytes, before any part was taken; what the entries' values own included.
    var size: Int {
        switch self {
        case .table(let table, _, let block):
            table.allocatedSize + (block.map { Block.size($0) } ?? 0)
        }
    }

    /// Whether freeing all of it takes no longer than starting a thread does.
    var isSmall: Bool {
        let size = self.size
        return size <= 32 << 10 || count <= 64 && size <= 1 << 20
    }

    /// What is freed in one go.
    enum Part {
        case segment(Segment, isPrivate: Bool)
        /// What names the segments, and the block that the table lay in: taken last.
        case structure(Directory, block: UnsafeMutableRawPointer?, isPrivate: Bool)
    }

    /// Takes the next part; nil where all are taken.
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

    /// Frees the part and returns its bytes. What its entries' values own is handed to `discard`
    /// instead, and not among these bytes.
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
    /// Frees a block, or retires it where a running tick may still read it. Returns its bytes.
    fileprivate static func release(_ block: UnsafeMutableRawPointer, _ isPrivate: Bool) -> Int {
        let size = Block.size(block)
        if isPrivate { Block.free(block) } else { Reclamation.retire(block, size: size) }
        return size
    }
}
