// SPDX-License-Identifier: Apache-2.0
import Base

// What must always be true of a table, checked by looking at everything. For tests and for the check of accounting
// while the server runs; never on the path of a request.
extension Table {
    /// What the table, its entries and their values take, measured block by block at the allocator's true sizes.
    public var measuredSize: Int {
        guard root != 0 else { return 0 }
        var size = Block.size(UnsafeMutableRawPointer(directory))
        forEachSegment { segment in
            size += Block.size(segment.base)
            segment.forEach { entry in
                size += Block.size(entry.base)
                guard entry.hasPayload, entry.type != .string else { return }
                let nested = Values.nestedTable(entry).table
                size += nested.pointee.measuredSize + Block.size(UnsafeMutableRawPointer(nested))
            }
        }
        return size
    }
}
