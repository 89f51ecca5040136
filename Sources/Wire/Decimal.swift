// SPDX-License-Identifier: Apache-2.0
import Base
import Glibc

/// Floating point numbers to and from text, to the digit as Redis writes them.
public enum Decimal {
    /// A double as Redis replies it: 17 significant digits at most, "inf", "-inf", "nan", no
    /// exponent for integers below 2^53 or so.
    public static func text(of value: Double) -> String {
        if value.isNaN { return "nan" }
        if value.isInfinite { return value < 0 ? "-inf" : "inf" }
        if value == 0 { return value.sign == .minus ? "-0" : "0" }
        if value.magnitude < 4_503_599_627_370_496, value == value.rounded(.towardZero) {
            return String(Int64(value))
        }
        return format("%.17g", value)
    }

    /// C's format of one double.
    private static func format(_ pattern: String, _ value: Double) -> String {
        var buffer = [CChar](repeating: 0, count: 400)
        // Safety: vsnprintf writes at most `buffer.count` bytes; every pattern has one double.
        let count = unsafe withVaList([value]) {
            unsafe vsnprintf(&buffer, buffer.count, pattern, $0)
        }
        return String(
            decoding: buffer.prefix(Int(max(0, count))).map(UInt8.init(bitPattern:)), as: UTF8.self)
    }
}
