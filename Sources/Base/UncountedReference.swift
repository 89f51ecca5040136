// SPDX-License-Identifier: Apache-2.0

/// A reference to an object that lives as long as the process, and is not counted.
///
/// Why: a counted one would be retained and released for each request, on a counter that all
/// threads share.
///
/// Cost: one word, and no instruction beside the use itself.
@safe @frozen
public struct UncountedReference<Object: AnyObject & Sendable>: Sendable {
    // Safety: init retains the object and nothing releases it.
    @usableFromInline let object: Unmanaged<Object>

    /// Keeps `object` for the rest of the process.
    public init(keeping object: Object) {
        unsafe self.object = Unmanaged.passRetained(object)
    }

    /// Calls `body` with the object.
    @inlinable @inline(__always)
    public func with<Result>(_ body: (Object) -> Result) -> Result {
        unsafe object._withUnsafeGuaranteedRef { body($0) }
    }
}
