// SPDX-License-Identifier: Apache-2.0

/// A pointer to one live value in raw memory: a shard, a tenant, a thread's worker.
///
/// Why no class: the path of a request follows such references and must not count them. Why no bare
/// `UnsafeMutablePointer`: a pointer can also be indexed, freed and moved, so every use of one is
/// marked as unsafe. Nothing but the pointee can be reached through a reference, and whoever makes
/// one promises that the pointee outlives it.
///
/// Cost: one word, and one load for each use, as a pointer's.
///
/// Threads: the reference itself may go anywhere. Which thread may touch which field, the pointee's
/// type says.
@safe @frozen
public struct Reference<Pointee: ~Copyable>: @unchecked Sendable {
    // Safety: the pointee is initialized and lives as long as anybody follows the reference. Its
    // owner ensures that: a worker lives as long as its thread; tenants, keyspaces and shards are
    // freed by `Reclamation` (Storage) when no thread can still look at them.
    @usableFromInline let pointer: UnsafeMutablePointer<Pointee>

    /// A reference to what `pointer` points to, which outlives the reference.
    @inlinable @inline(__always)
    public init(_ pointer: UnsafeMutablePointer<Pointee>) {
        unsafe self.pointer = pointer
    }

    /// The reference that `address` gave; nil for 0.
    // Safety: a number that another reference gave, so that one's promise holds for this one.
    @inlinable @inline(__always)
    public init?(address: UInt) {
        guard let pointer = unsafe UnsafeMutablePointer<Pointee>(bitPattern: address) else {
            return nil
        }
        unsafe self.pointer = pointer
    }

    /// Moves `value` to memory of its own. `destroy` gives that back.
    @inlinable
    public static func make(_ value: consuming Pointee) -> Reference {
        // Safety: room for one value, which `destroy` ends.
        let pointer = UnsafeMutablePointer<Pointee>.allocate(capacity: 1)
        unsafe pointer.initialize(to: value)
        return Reference(unsafe pointer)
    }

    /// Ends a value that `make` made. Nobody may follow a reference to it afterwards.
    @inlinable
    public func destroy() {
        unsafe pointer.deinitialize(count: 1)
        unsafe pointer.deallocate()
    }

    // Safety: the promise above, here and below.
    @inlinable
    public var pointee: Pointee {
        @_transparent unsafeAddress { unsafe UnsafePointer(pointer) }
        @_transparent nonmutating unsafeMutableAddress { unsafe pointer }
    }

    /// The pointee's memory, for whoever lays out something behind it or frees it.
    @unsafe @inlinable @inline(__always)
    public var raw: UnsafeMutableRawPointer { unsafe UnsafeMutableRawPointer(pointer) }

    // Safety: an address cannot be followed.
    /// Where the pointee lies: its identity, and the order in which locks are taken.
    @inlinable @inline(__always)
    public var address: UInt { UInt(bitPattern: unsafe pointer) }
}

extension Reference: Equatable, Hashable where Pointee: ~Copyable {
    @inlinable @inline(__always)
    public static func == (left: Reference, right: Reference) -> Bool {
        left.address == right.address
    }

    @inlinable
    public func hash(into hasher: inout Hasher) { hasher.combine(address) }
}
