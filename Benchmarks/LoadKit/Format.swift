// SPDX-License-Identifier: Apache-2.0

/// Numbers as text, in formats that the standard library lacks.
public enum Format {
    /// 1234567 as `1,234,567`.
    public static func grouped(_ number: Int) -> String {
        let digits = Array(String(number.magnitude))
        var text = number < 0 ? "-" : ""
        for (index, digit) in digits.enumerated() {
            if index > 0, (digits.count - index) % 3 == 0 { text += "," }
            text.append(digit)
        }
        return text
    }

    /// A number rounded to `places` decimals; 0 if it is not finite or too large to print.
    public static func decimal(_ number: Double, _ places: Int) -> String {
        guard number.isFinite, number.magnitude < 1e15 else { return "0" }
        var scale = 1
        for _ in 0..<places { scale *= 10 }
        let scaled = (number * Double(scale)).rounded()
        let magnitude = Int(scaled.magnitude)
        let whole = (scaled < 0 ? "-" : "") + String(magnitude / scale)
        guard places > 0 else { return whole }
        let part = String(magnitude % scale)
        return whole + "." + String(repeating: "0", count: places - part.count) + part
    }

    public static func padded(_ text: String, _ width: Int) -> String {
        String(repeating: " ", count: max(0, width - text.count)) + text
    }

    /// A JSON string, with its quotes.
    public static func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\r": result += "\\r"
            case "\t": result += "\\t"
            case let control where control.value < 0x20:
                let hex = String(control.value, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }
}
