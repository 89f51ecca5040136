// SPDX-License-Identifier: Apache-2.0
import CLinux

/// The number type of INCRBYFLOAT and HINCRBYFLOAT: C's long double on x86-64, so that sums agree
/// with Redis to the last digit. Swift has no such type on other processors; there it is a double.
///
/// Why C's functions: Redis parses and prints through the C library, and every digit must agree
/// with Redis.
public struct LongDouble: Sendable, Equatable {
    public var value: martlet_wide

    public init(_ value: martlet_wide) { self.value = value }

    /// Longer text is not a number: the largest 80-bit number has 4933 digits before the point.
    private static let textSizeMax = 5 * 1024

    /// Parses all of `bytes`; a leading space is an error. "inf" is a number, "nan" is not.
    public static func parse(_ bytes: Bytes) -> LongDouble? {
        let count = bytes.count
        guard count > 0, count < textSizeMax, !ASCII.isSpace(bytes[0]) else { return nil }
        return withUnsafeTemporaryAllocation(of: CChar.self, capacity: count + 1) { text in
            for index in 0..<count { text[index] = CChar(bitPattern: bytes[index]) }
            text[count] = 0
            var value: martlet_wide = 0
            // Safety: the text ends in a zero byte, and the buffer has at least one byte, so it has
            // an address.
            let parsed = martlet_parse_wide(text.baseAddress, &value)
            return parsed == count && !value.isNaN ? LongDouble(value) : nil
        }
    }

    public var isFinite: Bool { value.isFinite }

    public static func + (left: LongDouble, right: LongDouble) -> LongDouble {
        LongDouble(left.value + right.value)
    }

    /// At most 17 digits after the point, no exponent, no trailing zeros; "inf" and "-inf".
    public var text: [UInt8] {
        if value.isInfinite { return Array((value < 0 ? "-inf" : "inf").utf8) }
        let size = LongDouble.textSizeMax
        return withUnsafeTemporaryAllocation(of: CChar.self, capacity: size) { buffer in
            var count = min(
                Int(martlet_print_wide(value, buffer.baseAddress, Int32(size))), size - 1)
            // The C library always writes the point and 17 digits, so this stops at the point at
            // the latest.
            while count > 0, buffer[count - 1] == 48 { count -= 1 }
            if count > 0, buffer[count - 1] == 46 { count -= 1 }
            let text = buffer[0..<count].map { UInt8(bitPattern: $0) }
            return text == [45, 48] ? [48] : text
        }
    }
}
