// SPDX-License-Identifier: Apache-2.0
/// Decimal integers to and from bytes, by Redis's strict rules: an optional minus sign, no plus
/// sign, no leading zeros, no spaces, nothing after the digits. "1" is the integer 1; "01", " 1"
/// and "+1" are strings.
public enum ASCIIInteger {
    /// The size in bytes of the longest integer: a sign and 19 digits (20 digits if unsigned).
    public static let countMax = 20

    /// The integer in `bytes`, or nil if they are not an integer or it does not fit.
    @inlinable
    public static func parse(_ bytes: Bytes) -> Int64? {
        let count = bytes.count
        guard count > 0, count <= countMax else { return nil }
        var index = 0
        let isNegative = bytes[0] == 45
        if isNegative {
            guard count > 1 else { return nil }
            index = 1
        }
        let first = bytes[index]
        if first == 48 {
            return count == 1 ? 0 : nil
        }
        guard ASCII.isDigit(first) else { return nil }
        // Bound: at most 20 digits; the check on overflow is exact.
        var magnitude = UInt64(first &- 48)
        index += 1
        while index < count {
            let digit = bytes[index] &- 48
            guard digit < 10 else { return nil }
            let (product, overflowed) = magnitude.multipliedReportingOverflow(by: 10)
            guard !overflowed else { return nil }
            let (sum, carried) = product.addingReportingOverflow(UInt64(digit))
            guard !carried else { return nil }
            magnitude = sum
            index += 1
        }
        if isNegative {
            guard magnitude <= UInt64(Int64.max) + 1 else { return nil }
            return Int64(truncatingIfNeeded: 0 &- magnitude)
        }
        guard magnitude <= UInt64(Int64.max) else { return nil }
        return Int64(magnitude)
    }

    /// Writes `value` at `target`, which must have room for `countMax` bytes, and returns the
    /// number of bytes written.
    @inlinable
    public static func write(_ value: Int64, to target: UnsafeMutablePointer<UInt8>) -> Int {
        if value >= 0 {
            return write(unsigned: UInt64(value), to: target)
        }
        target[0] = 45
        return 1 + write(unsigned: value.magnitude, to: target + 1)
    }

    /// Writes `value` at `target`, which must have room for `countMax` bytes, and returns the
    /// number of bytes written.
    @inlinable
    public static func write(unsigned value: UInt64, to target: UnsafeMutablePointer<UInt8>) -> Int
    {
        // Why: nearly every length and counter on the wire has one or two digits.
        if value < 10 {
            target[0] = 48 &+ UInt8(truncatingIfNeeded: value)
            return 1
        }
        if value < 100 {
            let tens = value / 10
            target[0] = 48 &+ UInt8(truncatingIfNeeded: tens)
            target[1] = 48 &+ UInt8(truncatingIfNeeded: value &- tens &* 10)
            return 2
        }
        let count = digitCount(value)
        var rest = value
        var index = count
        while index > 0 {
            index &-= 1  // Bound: counts down from the number of digits.
            let next = rest / 10
            target[index] = 48 &+ UInt8(truncatingIfNeeded: rest &- next &* 10)
            rest = next
        }
        return count
    }

    /// Calls `body` with the digits of `value`, valid during the call.
    @inlinable @inline(__always)
    public static func withDigits<Result>(
        of value: Int64, _ body: (Bytes) -> Result
    ) -> Result {
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: countMax) { digits in
            // Safety: a temporary allocation that is not empty has a base address.
            let base = digits.baseAddress.unsafelyUnwrapped
            return body(Bytes(UnsafePointer(base), write(value, to: base)))
        }
    }

    /// `withDigits` for an unsigned integer.
    @inlinable
    public static func withDigits<Result>(
        ofUnsigned value: UInt64, _ body: (Bytes) -> Result
    ) -> Result {
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: countMax) { digits in
            // Safety: as above.
            let base = digits.baseAddress.unsafelyUnwrapped
            return body(Bytes(UnsafePointer(base), write(unsigned: value, to: base)))
        }
    }

    /// The number of decimal digits in `value`.
    @inlinable
    public static func digitCount(_ value: UInt64) -> Int {
        var count = 1
        var rest = value
        while rest >= 10 {
            rest /= 10
            count += 1
        }
        return count
    }

    /// The number of bytes that `write` takes for `value`.
    @inlinable
    public static func byteCount(_ value: Int64) -> Int {
        digitCount(value.magnitude) + (value < 0 ? 1 : 0)
    }
}
