// SPDX-License-Identifier: Apache-2.0

/// Elements in memory of their own, as many as the type says, that stay where they are and live as
/// long as the process.
///
/// Why no array: an element would be reached through a counted reference, and a change of one would
/// ask who else has the array. Why the count is a part of the type: the compiler then drops the
/// check of an index that it can see is in range, as one that was masked.
///
/// Cost: one word.
///
/// Threads: as `Reference`: which thread may touch which element, its owner says.
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
