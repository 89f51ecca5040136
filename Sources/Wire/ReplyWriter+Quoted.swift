// SPDX-License-Identifier: Apache-2.0
import Base

extension ReplyWriter {
    /// An error that quotes what the client sent, byte for byte and as C prints it: to the first
    /// zero byte. Line breaks become spaces.
    public mutating func error(
        _ before: StaticString, quoting bytes: Bytes, _ after: StaticString = ""
    ) {
        countError(Bytes(before))
        buffer.pointee.append(byte: UInt8(ascii: "-"))
        buffer.pointee.append(before)
        let end = bytes.firstIndex(of: 0) ?? bytes.count
        for index in 0..<end {
            let byte = bytes[index]
            buffer.pointee.append(byte: byte == 13 || byte == 10 ? 32 : byte)
        }
        buffer.pointee.append(after)
        buffer.pointee.append("\r\n" as StaticString)
    }
}
