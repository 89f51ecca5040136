// SPDX-License-Identifier: Apache-2.0

/// A pointer to one live value in raw memory: a shard, a tenant, a thread's worker.
///
/// Why not a class: the path of a request follows such references and must not count them. Why not
/// a bare `UnsafeMutablePointer`: a pointer can also be indexed, freed and moved, so every use of
/// one is marked as unsafe. A reference gives access to its pointee and to nothing else. Code that
/// makes a reference guarantees that the pointee outlives it.
///
/// Cost: one word, and one load for each use, like a pointer.
///
/// Threads: any thread may hold a reference. The pointee's type documents which thread may use
/// which field.
@safe @frozen
public struct Reference<Pointee: ~Copyable>: @unchecked Sendable {
    // Safety: the pointee is initialized and outlives every use of the reference. Its owner ensures
    // that: a worker lives as long as its thread, and `Reclamation` (Storage) frees tenants,
    // keyspaces and shards only when no thread can still use them.
    @usableFromInline let pointer: UnsafeMutablePointer<Pointee>

    /// A reference to what `pointer` points to, which outlives the reference.
    @inlinable @inline(__always)
    public init(_ pointer: UnsafeMutablePointer<Pointee>) {
        unsafe self.pointer = pointer
    }

    /// The reference whose `address` this is; nil for 0.
    // Safety: `address` comes from another reference, so the same guarantee holds.
    @inlinable @inline(__always)
    public init?(address: UInt) {
        guard let pointer = unsafe UnsafeMutablePointer<Pointee>(bitPattern: address) else {
            return nil
        }
        unsafe self.pointer = pointer
    }

    /// Moves `value` into newly allocated memory, which `destroy` frees.
    @inlinable
    public static func make(_ value: consuming Pointee) -> Reference {
        // Safety: memory for one value; `destroy` deinitializes and frees it.
        let pointer = UnsafeMutablePointer<Pointee>.allocate(capacity: 1)
        unsafe pointer.initialize(to: value)
        return Reference(unsafe pointer)
    }

    /// Frees a value that `make` allocated. No reference to it may be used afterwards.
    @inlinable
    public func destroy() {
        unsafe pointer.deinitialize(count: 1)
        unsafe pointer.deallocate()
    }

    // Safety: the guarantee of `pointer`, here and below.
    @inlinable
    public var pointee: Pointee {
        @_transparent unsafeAddress { unsafe UnsafePointer(pointer) }
        @_transparent nonmutating unsafeMutableAddress { unsafe pointer }
    }

    /// The pointee's memory, for code that places data behind it or frees it.
    @unsafe @inlinable @inline(__always)
    public var raw: UnsafeMutableRawPointer { unsafe UnsafeMutableRawPointer(pointer) }

    // Safety: an integer gives no access.
    /// The pointee's address: its identity, and its place in the order in which locks are taken.
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
