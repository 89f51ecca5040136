// SPDX-License-Identifier: Apache-2.0
import Base
import Testing

@testable import Storage

/// The arithmetic at the top of Entry.swift, and the allocator's size classes.
@Suite struct EntryLayoutTests {
    struct Line: Sendable {
        let key: Int
        let value: Int
        let hasExpiry: Bool
        let hasPayload: Bool
        let bytes: Int
        let block: Int
    }

    static let lines = [
        Line(key: 16, value: 32, hasExpiry: false, hasPayload: false, bytes: 56, block: 64),
        Line(key: 16, value: 32, hasExpiry: true, hasPayload: false, bytes: 64, block: 64),
        Line(key: 16, value: 33, hasExpiry: true, hasPayload: false, bytes: 65, block: 80),
        Line(key: 16, value: 0, hasExpiry: false, hasPayload: true, bytes: 32, block: 32),
        Line(key: 16, value: 0, hasExpiry: true, hasPayload: true, bytes: 40, block: 48),
        Line(key: 1, value: 1, hasExpiry: false, hasPayload: false, bytes: 10, block: 16),
        Line(key: 0, value: 0, hasExpiry: false, hasPayload: false, bytes: 8, block: 8),
        Line(key: 255, value: 10, hasExpiry: false, hasPayload: false, bytes: 273, block: 320),
        Line(key: 256, value: 10, hasExpiry: false, hasPayload: false, bytes: 282, block: 320),
        Line(
            key: 16, value: 0xFF_FFFF, hasExpiry: false, hasPayload: false, bytes: 16_777_239,
            block: 20 << 20),
        Line(
            key: 16, value: 1 << 24, hasExpiry: true, hasPayload: false, bytes: 16_777_256,
            block: 20 << 20),
    ]

    @Test(arguments: lines) func bytesPerEntry(_ line: Line) {
        let key = [UInt8](repeating: 107, count: line.key)
        key.withBytes { key in
            let entry = Entry.make(
                EntryShape(
                    .string, line.hasPayload ? .payload : .embedded, key: key,
                    expiry: line.hasExpiry ? 123_456_789 : nil, payload: line.hasPayload ? -5 : nil,
                    valueSize: line.value), access: 0xABCDEF)
            defer { entry.free() }
            #expect(entry.byteCount == line.bytes)
            let size = AllocatedMemory.hasSizeClasses ? line.block : line.bytes
            #expect(entry.allocatedSize == size)
            #expect(entry.key == key)
            #expect(entry.valueSize == line.value)
            #expect(entry.expiry == (line.hasExpiry ? 123_456_789 : nil))
            #expect(entry.hasPayload == line.hasPayload)
            if line.hasPayload { #expect(entry.payload == -5) }
            #expect(entry.access == 0xABCDEF)
            #expect(entry.type == .string)
        }
    }

    @Test func headerFieldsDoNotTouchEachOther() {
        let entry = Array("key".utf8).withBytes {
            Entry.make(EntryShape(.hash, .embedded, key: $0, expiry: 7, valueSize: 20), access: 1)
        }
        defer { entry.free() }
        entry.access = 0xFF_FFFF
        entry.setEncoding(.embeddedOther)
        entry.storeExpiry(.max)
        entry.setValueSize(3)
        #expect(
            entry.type == .hash && entry.encoding == .embeddedOther && entry.access == 0xFF_FFFF)
        #expect(entry.expiry == .max && entry.valueSize == 3 && entry.keySize == 3)
        #expect(!entry.isExpired(at: .max - 1) && entry.isExpired(at: .max))
        entry.access = 0
        entry.setEncoding(.embedded)
        #expect(entry.type == .hash && entry.encoding == .embedded && entry.access == 0)
        #expect(entry.valueSize == 3 && entry.key == Bytes("key" as StaticString))
    }

    /// A segment with its header fills a size class of the allocator, so nothing is wasted or
    /// uncharged.
    @Test(arguments: Segment.bucketCounts) func segmentsFillTheirBlocks(_ buckets: Int) {
        let segment = Segment.make(buckets: buckets, depth: 3)
        defer { Block.free(segment.base) }
        #expect(Block.size(segment.base) == Segment.byteCount(buckets))
        #expect(UInt(bitPattern: segment.base) % 64 == 0)
        #expect(segment.bucketCount == buckets && segment.depth == 3 && segment.count == 0)
    }

    @Test func tagsMatchExactly() {
        for tag in UInt8.min...UInt8.max {
            for other in UInt8.min...UInt8.max where other != tag {
                let tags = UInt64(other) &* 0x0101_0101_0101_0101
                if Bucket.matches(tags, tag) != 0 { Issue.record("\(tag) in \(other)") }
                let third = tags & ~(0xFF << 16) | UInt64(tag) << 16
                if Bucket.matches(third, tag) != 0x80 << 16 {
                    Issue.record("\(tag) beside \(other)")
                }
            }
            #expect(Bucket.matches(UInt64(tag) &* 0x0101_0101_0101_0101, tag).nonzeroBitCount == 7)
        }
    }
}
