// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import Base

/// A buffer whose properties `#expect` can show.
private final class Held {
    var buffer: ByteBuffer
    init(_ buffer: consuming ByteBuffer) { self.buffer = buffer }
    var text: String { buffer.readable.string }
    var isOverfull: Bool { buffer.isOverfull }
    var room: Int { buffer.roomBelowCeiling }
    var capacity: Int { buffer.capacity }
    var count: Int { buffer.count }
}

/// A buffer with a ceiling drops what would pass it, and all that follows.
@Suite struct ByteBufferTests {
    @Test func anAppendUpToTheCeilingFits() {
        for capacity in [0, 8, 4096] {
            let held = Held(ByteBuffer(capacity: capacity))
            held.buffer.setCeiling(10)
            held.buffer.append("0123456789")
            #expect(!held.isOverfull && held.room == 0)
            #expect(held.text == "0123456789")
            held.buffer.append(byte: 65)
            #expect(held.isOverfull)
        }
    }

    @Test func everythingBehindTheCeilingIsDropped() {
        let held = Held(ByteBuffer(capacity: 4096))
        held.buffer.setCeiling(20)
        held.buffer.append("0123456789")
        let mark = held.buffer.count
        held.buffer.append([UInt8](repeating: 1, count: 100_000))
        #expect(held.isOverfull && held.capacity == 4096)
        let full = held.buffer.count
        held.buffer.append(byte: 65)
        held.buffer.append(integer: 1)
        held.buffer.insert([1, 2, 3], at: mark)
        #expect(held.count == full && held.room == 0)
    }

    /// Taking back what passed the ceiling makes the buffer usable; taking back something later
    /// does not.
    @Test func truncationGoesBackToBeforeTheOverflow() {
        let held = Held(ByteBuffer(capacity: 64))
        held.buffer.setCeiling(20)
        held.buffer.append("0123456789")
        let before = held.buffer.count
        held.buffer.append("0123456789x")
        let after = held.buffer.count
        held.buffer.append("y")
        held.buffer.truncate(to: after)
        #expect(held.isOverfull)
        held.buffer.truncate(to: before)
        #expect(!held.isOverfull)
        held.buffer.append("abc")
        #expect(held.text == "0123456789abc")
    }

    @Test func anEmptyBufferMayBeOverfull() {
        let held = Held(ByteBuffer())
        held.buffer.setCeiling(0)
        held.buffer.append("a")
        #expect(held.isOverfull)
        held.buffer.removeAll()
        held.buffer.setCeiling(100)
        held.buffer.append("a")
        #expect(held.text == "a")
    }

    @Test func growthStaysBelowTheCeiling() {
        let held = Held(ByteBuffer(capacity: 1024))
        held.buffer.setCeiling(5000)
        for _ in 0..<4999 { held.buffer.append(byte: 66) }
        #expect(!held.isOverfull && held.capacity <= 5001)
    }
}
