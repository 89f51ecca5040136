// SPDX-License-Identifier: Apache-2.0
import Base

// Full checks of a table's invariants, for tests and for checking the accounting of a running
// server; never on the request path.
extension Table {
    /// The memory of the table, its entries and their values, measured block by block at the
    /// allocator's true sizes.
    public var measuredSize: Int {
        guard root != 0 else { return 0 }
        var size = 0
        directory.forEachBlock { block, _ in size += Block.size(block) }
        forEachSegment { segment in
            size += Block.size(segment.base)
            segment.forEach { size += $0.measuredSize }
        }
        return size
    }

    /// One line for each broken invariant; empty for a sound table. Nested tables are checked too.
    public var invariantViolations: [String] {
        guard root != 0 else {
            let isEmpty = count == 0 && expiringCount == 0 && absentCount == 0 && allocatedSize == 0
            return isEmpty && expiryBound == .max ? [] : ["an empty table counts something"]
        }
        var broken: [String] = []
        var entries = 0
        var expiring = 0
        var absent = 0
        var bound = Milliseconds.max
        forEachSegment { segment in
            check(segment, &broken)
            entries += segment.count
            bound = min(bound, segment.expiryBound)
            segment.forEach { if $0.hasExpiry { expiring += 1 } }
            segment.forEach { if $0.isAbsent { absent += 1 } }
        }
        directory.check(&broken)
        if entries == 0 { broken.append("segments without entries") }
        if entries != count { broken.append("count \(count), entries \(entries)") }
        if expiring != expiringCount {
            broken.append("\(expiringCount) expiring, found \(expiring)")
        }
        if absent != Int(absentCount) { broken.append("\(absentCount) absent, found \(absent)") }
        if !isSweeping, expiryBound > bound {
            broken.append("the expiry bound is above a segment's")
        }
        let measured = measuredSize
        if measured != allocatedSize {
            broken.append("charged \(allocatedSize), measured \(measured)")
        }
        return broken
    }

    private func check(_ segment: Segment, _ broken: inout [String]) {
        var live = 0
        var removed = 0
        for index in 0..<segment.bucketCount {
            let bucket = segment.bucket(index)
            removed += Bucket.matches(bucket.tags, Bucket.removedTag).nonzeroBitCount
            var bits = bucket.occupied
            live += bits.nonzeroBitCount
            while bits != 0 {
                let lane = Bucket.lane(bits)
                bits &= bits &- 1
                check(bucket.entry(lane), at: index, lane, segment, &broken)
            }
        }
        if live != segment.count { broken.append("segment counts \(segment.count), has \(live)") }
        if removed != segment.removedCount {
            broken.append("segment counts \(segment.removedCount) removed, has \(removed)")
        }
        if live + removed > Segment.capacity(segment.bucketCount) {
            broken.append("segment of \(segment.bucketCount) is too full: \(live) + \(removed)")
        }
    }

    /// Checks that a probe from the entry's home bucket reaches it, and that the entry fits its
    /// block.
    private func check(
        _ entry: Entry, at index: Int, _ lane: Int, _ segment: Segment, _ broken: inout [String]
    ) {
        let hash = Hash(entry.key)
        let position = self.position(hash)
        let tag = segment.bucket(index).base.load(fromByteOffset: lane, as: UInt8.self)
        if tag != hash.tag { broken.append("a tag is not its key's") }
        if self.segment(at: position).word != segment.word {
            broken.append("an entry lies in a segment that is not its own")
        }
        var probe = segment.homeIndex(position << UInt64(segment.depth))
        // Bound: `index` is a bucket of the segment, so the walk reaches it.
        while probe != index {
            if Bucket.matches(segment.bucket(probe).tags, Bucket.emptyTag) != 0 {
                broken.append("an entry lies behind an empty slot")
                break
            }
            probe = segment.next(probe)
        }
        if entry.byteCount > entry.allocatedSize {
            broken.append("an entry is larger than its block")
        }
        if let expiry = entry.expiry, expiry < segment.expiryBound {
            broken.append("an entry expires before its segment's bound")
        }
        broken += entry.violations
    }
}

extension PackedList {
    /// One line for each rule that `bytes` break as the packed list of a hash, with two elements
    /// for each member, or of a set, with one.
    static func violations(_ bytes: Bytes, elementsPerMember: Int) -> [String] {
        guard bytes.count >= headerSize else { return ["a packed list without a header"] }
        var offset = headerSize
        var count = 0
        while offset < bytes.count {  // Bound: each turn moves on by an element.
            let isLong = bytes[offset] == 254
            guard bytes[offset] != 255, !isLong || offset + 5 <= bytes.count else { break }
            var size = Int(bytes[offset])
            if isLong { size = (1...4).reduce(0) { $0 | Int(bytes[offset + $1]) << (8 * $1 - 8) } }
            offset += size + (isLong ? 5 : 1)
            count += 1
        }
        if offset != bytes.count { return ["a packed list does not end with its value"] }
        if count == 0 { return ["a packed list without elements"] }
        let counted = PackedList(bytes).count
        if count != counted { return ["a packed list counts \(counted), has \(count)"] }
        return count % elementsPerMember == 0 ? [] : ["a field without a value"]
    }
}

extension IntegerSet {
    /// One line for each rule that `bytes` break as a set of integers.
    static func violations(_ bytes: Bytes) -> [String] {
        guard bytes.count > headerSize, [2, 4, 8].contains(Int(bytes[0])) else {
            return ["a set of integers without width or integers"]
        }
        let integers = IntegerSet(bytes)
        guard (bytes.count - headerSize) % integers.width == 0 else {
            return ["a set of integers does not end with its value"]
        }
        let isAscending = (1..<integers.count).allSatisfy { integers[$0 - 1] < integers[$0] }
        return isAscending ? [] : ["a set of integers is not ascending"]
    }
}

extension Directory {
    /// Checks that exactly the words for its hash bits name each segment, the same for each page,
    /// and that nothing is larger than necessary.
    func check(_ broken: inout [String]) {
        var deepest: [UInt: Bool] = [:]
        var position: UInt64? = 0
        while let start = position {
            let segment = Segment(word: Directory.word(root: root, position: start))
            let page = self.page(start)
            let resolution = page.prefix + page.bits
            guard segment.depth <= resolution, segment.depth >= page.prefix else {
                broken.append("a segment's depth is not its page's")
                return
            }
            if segment.start(of: start) != start { broken.append("a segment begins elsewhere") }
            deepest[page.word, default: false] =
                deepest[page.word, default: false] || segment.depth == resolution
            for word in 0..<UInt64(1) << UInt64(resolution - segment.depth) {
                let other = start + word << UInt64(64 - resolution)
                if Directory.word(root: root, position: other) != segment.word {
                    broken.append("a word differs from its segment's first")
                }
            }
            position = segment.end(from: start)
        }
        checkPages(deepest, &broken)
    }

    private func checkPages(_ deepest: [UInt: Bool], _ broken: inout [String]) {
        var prefixMax = 0
        var position: UInt64? = 0
        while let start = position {
            let page = self.page(start)
            prefixMax = max(prefixMax, page.prefix)
            guard page.prefix > 0 else {
                let isNeeded = deepest[page.word] ?? false
                if !isNeeded { broken.append("the page is twice as large as needed") }
                return
            }
            for word in 0..<UInt64(1) << UInt64(depth - Directory.pageBits - page.prefix) {
                let other = start + word << UInt64(64 - (depth - Directory.pageBits))
                if self.page(other).word != page.word { broken.append("a page's words differ") }
            }
            let buddy = self.page(start ^ 1 << UInt64(64 - page.prefix))
            if buddy.prefix == page.prefix, deepest[page.word] == false,
                deepest[buddy.word] == false
            {
                broken.append("two pages could be one")
            }
            let (end, overflowed) = start.addingReportingOverflow(1 << UInt64(64 - page.prefix))
            position = overflowed ? nil : end
        }
        if prefixMax != depth - Directory.pageBits { broken.append("the array is too large") }
    }
}
