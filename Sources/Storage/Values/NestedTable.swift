// SPDX-License-Identifier: Apache-2.0
import Base
import Glibc

/// The table of a large hash or set. Its entries have the field or member as key and, in a hash,
/// the field's value.
///
/// Why it is private: no thread reads its buckets without the shard's lock. So replaced blocks are
/// freed at once and need not be retired (`Reclamation`).
struct NestedTable {
    // Safety: allocated by `make`, owned by one entry, reached only under that entry's shard's
    // lock.
    let table: UnsafeMutablePointer<Table>

    static func make() -> NestedTable {
        let table = Block.allocate(MemoryLayout<Table>.size).bindMemory(to: Table.self, capacity: 1)
        table.initialize(to: Table(isPrivate: true))
        return NestedTable(table: table)
    }

    private init(table: UnsafeMutablePointer<Table>) { self.table = table }

    /// The table owned by an entry whose kind has one.
    @inline(__always)
    init(payload: Int64) {
        // Safety: the payload of such an entry is the address that `make` returned.
        table = UnsafeMutablePointer(bitPattern: Int(payload)).unsafelyUnwrapped
    }

    /// The payload of the entry that owns the table: its address.
    var payload: Int64 { Int64(Int(bitPattern: table)) }

    private var blockSize: Int { Block.size(UnsafeMutableRawPointer(table)) }

    /// Bytes of the table, its entries and its own block.
    var size: Int { table.pointee.allocatedSize + blockSize }

    var measuredSize: Int { table.pointee.measuredSize + blockSize }

    /// A table with copies of all members.
    func copy() -> NestedTable {
        let copy = NestedTable.make()
        copy.table.pointee.fill(copying: table.pointee)
        return copy
    }

    var violations: [String] {
        table.pointee.invariantViolations
            + (table.pointee.count == 0 ? ["a collection without members"] : [])
    }
}

extension Table {
    /// Inserts copies of all members of another collection's table. A member owns only its block.
    fileprivate mutating func fill(copying source: Table) {
        source.forEach { member in
            precondition(!member.hasPayload, "a member owns something beside its block")
            let copy = Entry(Block.allocate(member.byteCount))
            memcpy(copy.base, member.base, member.byteCount)
            allocatedSize += copy.allocatedSize
            _ = insert(Hash(copy.key), copy)
        }
    }

    /// Frees every entry, every segment and the directory. The table is empty afterwards.
    mutating func freeAll() {
        guard root != 0 else { return }
        let release = isPrivate ? Block.free : Reclamation.retire
        forEachSegment { segment in
            segment.forEach { $0.free() }
            release(segment.base)
        }
        directory.forEachBlock { block, _ in release(block) }
        self = Table(prefixBits: Int(prefixBits), isPrivate: isPrivate)
    }
}
