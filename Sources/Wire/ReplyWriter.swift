// SPDX-License-Identifier: Apache-2.0
import Base
import Glibc

/// Writes replies: every kind that RESP knows, in the dialect that the session speaks.
///
/// No command knows which protocol called it: a map is a map here, and a flat array on a RESP2
/// wire.
///
/// It is a view of a buffer that the thread owns, so it may be copied and costs nothing to make.
///
/// The buffer has a ceiling: what the client's output limit allows beyond what waits already. A
/// reply that would pass it is dropped while it is made, and its client is closed.
public struct ReplyWriter {
    // Safety: the thread's reply buffer, which outlives the command that this writer is handed to.
    @usableFromInline let buffer: Reference<ByteBuffer>
    /// 2 or 3.
    public var version: UInt8
    /// Error replies written so far.
    public private(set) var errorCount = 0
    /// Where the thread counts its errors by their words.
    // Safety: it outlives the commands of the thread.
    private let errorTally: Reference<ErrorTally>?

    public init(
        _ buffer: Reference<ByteBuffer>, version: UInt8,
        countingErrorsIn errorTally: Reference<ErrorTally>? = nil
    ) {
        self.buffer = buffer
        self.version = version
        self.errorTally = errorTally
    }

    @inline(__always)
    public var isRESP3: Bool { version == 3 }

    /// Bytes in the buffer; with `truncate` a reply can be taken back.
    public var count: Int { buffer.pointee.count }

    /// Whether the replies have passed the client's limit. All that is written now is dropped, and
    /// the session ends with the command: a loop that a client can make long stops here.
    @inline(__always)
    public var isOverfull: Bool { buffer.pointee.isOverfull }

    /// How many more bytes of replies the client's limit allows.
    public var room: Int { buffer.pointee.roomBelowCeiling }

    /// Takes back what was written since `count` was `mark`.
    public func truncate(to mark: Int) { buffer.pointee.truncate(to: mark) }

    /// Bytes that are RESP already.
    public func raw(_ bytes: Bytes) { buffer.pointee.append(bytes) }

    // MARK: - Simple kinds

    @inline(__always)
    public func simple(_ text: StaticString) {
        line(UInt8(ascii: "+"), Bytes(text))
    }

    public func simple(_ text: Bytes) { line(UInt8(ascii: "+"), text) }

    @inline(__always)
    public func ok() { buffer.pointee.append("+OK\r\n" as StaticString) }

    /// An error: a code in capitals, a space, a text. Line breaks in the text become spaces.
    public mutating func error(_ text: String) {
        error(Array(text.utf8))
    }

    /// An error in bytes; line breaks become spaces.
    public mutating func error(_ text: [UInt8]) {
        text.withBytes { countError($0) }
        uncountedError(text)
    }

    /// An error that is a client's own wish, and no failure that statistics should show.
    public func uncountedError(_ text: [UInt8]) {
        let clean = text.map { $0 == 13 || $0 == 10 ? 32 : $0 }
        clean.withBytes { line(UInt8(ascii: "-"), $0) }
    }

    @inline(never)
    public mutating func error(_ error: ReplyError) {
        countError(Bytes(error.text))
        line(UInt8(ascii: "-"), Bytes(error.text))
    }

    /// Notes an error reply that begins with `text`.
    mutating func countError(_ text: Bytes) {
        errorCount += 1
        errorTally?.pointee.count(text)
    }

    @inline(__always)
    public func integer(_ value: Int) { integer(Int64(value)) }

    @inline(__always)
    public func integer(_ value: Int64) {
        header(UInt8(ascii: ":"), value)
    }

    /// A kind byte, a number and CRLF.
    @inline(__always)
    func header(_ kind: UInt8, _ value: Int64) {
        // Safety: every byte lies in the room that reserve makes.
        guard let target = unsafe buffer.pointee.reserve(ASCIIInteger.countMax + 3) else { return }
        unsafe target[0] = kind
        let size = unsafe ASCIIInteger.write(value, to: target + 1)
        unsafe target[size + 1] = 13
        unsafe target[size + 2] = 10
        buffer.pointee.count &+= size &+ 3  // Bound: reserve made the room.
    }

    @inline(__always)
    private func line(_ kind: UInt8, _ text: Bytes) {
        // Safety: every byte lies in the room that reserve makes.
        guard let target = unsafe buffer.pointee.reserve(text.count + 3) else { return }
        unsafe target[0] = kind
        unsafe memcpy(target + 1, text.base, text.count)
        unsafe target[text.count + 1] = 13
        unsafe target[text.count + 2] = 10
        buffer.pointee.count &+= text.count &+ 3  // Bound: reserve made the room.
    }

    // MARK: - Bulk strings

    @inline(__always)
    public func bulk(_ bytes: Bytes) {
        // Safety: every byte lies in the room that reserve makes.
        let room = bytes.count + ASCIIInteger.countMax + 5
        guard let target = unsafe buffer.pointee.reserve(room) else { return }
        unsafe target[0] = UInt8(ascii: "$")
        var size = unsafe ASCIIInteger.write(unsigned: UInt64(bytes.count), to: target + 1) + 1
        unsafe target[size] = 13
        unsafe target[size + 1] = 10
        size += 2
        unsafe memcpy(target + size, bytes.base, bytes.count)
        size += bytes.count
        unsafe target[size] = 13
        unsafe target[size + 1] = 10
        buffer.pointee.count &+= size &+ 2  // Bound: reserve made the room.
    }

    public func bulk(_ bytes: [UInt8]) { bytes.withBytes { bulk($0) } }

    public func bulk(_ text: String) {
        text.withBytes { bulk($0) }
    }

    @inline(__always)
    public func bulk(_ text: StaticString) { bulk(Bytes(text)) }

    /// The integer's digits as a bulk string.
    public func bulk(_ value: Int64) {
        ASCIIInteger.withDigits(of: value) { bulk($0) }
    }

    /// Text with a format of three letters, "txt" or "mkd": a verbatim string in RESP3.
    public func verbatim(_ text: String, format: StaticString = "txt") {
        guard isRESP3 else { return bulk(text) }
        let bytes = Array(text.utf8)
        header(UInt8(ascii: "="), Int64(bytes.count + 4))
        raw(Bytes(format))
        raw(Bytes(":" as StaticString))
        bytes.withBytes { raw($0) }
        raw(Bytes("\r\n" as StaticString))
    }

    // MARK: - Nothing, yes and no, numbers

    @inline(__always)
    public func null() {
        buffer.pointee.append(isRESP3 ? "_\r\n" as StaticString : "$-1\r\n" as StaticString)
    }

    /// The null that RESP2 gives where an array would stand.
    public func nullArray() {
        buffer.pointee.append(isRESP3 ? "_\r\n" as StaticString : "*-1\r\n" as StaticString)
    }

    /// A boolean; 1 or 0 in RESP2.
    public func bool(_ value: Bool) {
        guard isRESP3 else { return integer(value ? 1 : 0) }
        buffer.pointee.append(value ? "#t\r\n" as StaticString : "#f\r\n" as StaticString)
    }

    /// A double; its text as a bulk string in RESP2.
    public func double(_ value: Double) {
        let text = Decimal.text(of: value)
        guard isRESP3 else { return bulk(text) }
        buffer.pointee.append(byte: UInt8(ascii: ","))
        buffer.pointee.append(text)
        buffer.pointee.append("\r\n" as StaticString)
    }

    /// Digits of any length; a bulk string in RESP2.
    public func bigNumber(_ digits: StaticString) {
        guard isRESP3 else { return bulk(Bytes(digits)) }
        line(UInt8(ascii: "("), Bytes(digits))
    }

    // MARK: - Aggregates: the elements follow

    @inline(__always)
    public func array(_ count: Int) { header(UInt8(ascii: "*"), Int64(count)) }

    /// A map of `count` pairs; a flat array in RESP2.
    public func map(_ count: Int) {
        isRESP3 ? header(UInt8(ascii: "%"), Int64(count)) : array(count * 2)
    }

    /// A set; an array in RESP2.
    public func set(_ count: Int) {
        isRESP3 ? header(UInt8(ascii: "~"), Int64(count)) : array(count)
    }

    /// Out-of-band data; an array in RESP2.
    public func push(_ count: Int) {
        isRESP3 ? header(UInt8(ascii: ">"), Int64(count)) : array(count)
    }

    /// Attributes of the reply that follows; RESP3 only.
    public func attribute(_ count: Int) {
        precondition(isRESP3)
        header(UInt8(ascii: "|"), Int64(count))
    }

    /// Begins an aggregate whose length is known only at the end; `finish` writes the header in
    /// front.
    public func begin() -> Int { buffer.pointee.count }

    public enum Aggregate { case array, set, map }

    /// Writes the header of an aggregate of `count` elements (pairs, of a map) that began at
    /// `mark`.
    public func finish(_ mark: Int, _ kind: Aggregate, count: Int) {
        let end = buffer.pointee.count
        switch kind {
        case .array: array(count)
        case .set: set(count)
        case .map: map(count)
        }
        guard !isOverfull else { return }
        let header = buffer.pointee.bytes(end..<buffer.pointee.count).array
        buffer.pointee.truncate(to: end)
        buffer.pointee.insert(header, at: mark)
    }
}
