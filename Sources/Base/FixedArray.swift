// SPDX-License-Identifier: Apache-2.0

/// An array of fixed length that never moves and is never freed. The type states the length.
///
/// Why not `Array`: its storage is a counted reference, and every write first checks that the
/// storage has no other owner. Why the count is part of the type: the compiler can then drop the
/// bounds check of an index that is known to be in range, such as a masked one.
///
/// Cost: one word.
///
/// Threads: the owner decides which thread may use which element, as with `Reference`.
@safe @frozen
public struct FixedArray<let count: Int, Element: ~Copyable>: @unchecked Sendable {
    // Safety: `count` initialized elements, allocated by init and never freed.
    @usableFromInline let base: UnsafeMutablePointer<Element>

    public init(_ make: () -> Element) {
        unsafe base = .allocate(capacity: count)
        for index in 0..<count { unsafe (base + index).initialize(to: make()) }
    }

    /// A reference to an element.
    @inlinable @inline(__always)
    public func reference(_ index: Int) -> Reference<Element> {
        precondition(UInt(bitPattern: index) < UInt(bitPattern: count), "no such element")
        return Reference(unsafe base + index)
    }

    @inlinable
    public subscript(index: Int) -> Element {
        // Safety: checked, here and below.
        @inline(__always) unsafeAddress {
            precondition(UInt(bitPattern: index) < UInt(bitPattern: count), "no such element")
            return unsafe UnsafePointer(base + index)
        }
        @inline(__always) nonmutating unsafeMutableAddress {
            precondition(UInt(bitPattern: index) < UInt(bitPattern: count), "no such element")
            return unsafe base + index
        }
    }
}
