// SPDX-License-Identifier: Apache-2.0
import Base
import CLinux
import Synchronization

/// Maps a hash to one of a table's segments: a page of words, or an array of pages.
///
/// Why two levels: one array of words for ten million keys is a megabyte, and doubling it within a
/// command takes milliseconds, most of them in page faults. Here a page of 512 words splits alone
/// when its part of the hashes fills. Only the array of pages doubles as a whole, and it takes
/// eight bytes for 150,000 keys. A table of up to 150,000 keys has one page and no array.
///
/// Layout:
///
///     root  0                              no segment
///           0 | width (7 bits)  | address  a page of 2^width words, width <= 9
///           1 | pages (7 bits)  | address  an array of 2^pages page words
///
///     page word  prefix (8 bits) | address     a page of 512 words, behind `prefix` bits of hash
///     word       a segment's (`Segment`)
///
/// Invariants:
/// 1. A page of prefix p is named by 2^(pages - p) consecutive words of the array, 1 <= p <= pages.
/// 2. A segment of depth d is named by 2^(r - d) consecutive words of one page, where r is the
///    page's prefix and the bits of its index together: p <= d <= r.
/// 3. Nothing is larger than necessary: of two pages that differ only in the last bit of their
///    prefix, one has a segment of depth r; one page has the prefix `pages`.
/// 4. A replaced block is retired, not freed, and its replacement is written before it is named,
///    because `word` may run without the lock.
struct Directory {
    var root: UInt

    static let pageBits = 9
    static let pageWords = 1 << pageBits
    private static let arrayFlag = UInt(1) << 63
    private static let addressMask = UInt(0xFFFF_FFFF_FFFF)

    @inline(__always)
    private static func words(_ named: UInt) -> UnsafeMutablePointer<UInt> {
        // Safety: called only with words that name a block: invariants 1 and 4.
        UnsafeMutablePointer(bitPattern: named & addressMask).unsafelyUnwrapped
    }

    /// The block that `root` names.
    private var words: UnsafeMutablePointer<UInt> { Directory.words(root) }

    @inline(__always)
    private var isArray: Bool { root & Directory.arrayFlag != 0 }

    /// The bits of the page or of the array.
    @inline(__always)
    private var bits: Int { Int(truncatingIfNeeded: root >> 56) & 0x7F }

    /// The word of the segment at `position`; `root` is not 0.
    @inline(__always)
    static func word(root: UInt, position: UInt64) -> UInt {
        if root & arrayFlag != 0 {
            // Bound: a shift by 64 less the array's bits, 1 to 63, leaves an index of the array.
            let index = position &>> (64 &- (UInt64(root >> 56) & 0x7F))
            let page = words(root)[Int(truncatingIfNeeded: index)]
            let rest = position &<< UInt64(page >> 56)
            return words(page)[Int(truncatingIfNeeded: rest &>> UInt64(64 - pageBits))]
        }
        // Why two shifts: a single shift by 64 would be a shift by 0.
        let index = (position &>> 1) &>> (63 &- UInt64(root >> 56))
        return words(root)[Int(truncatingIfNeeded: index)]
    }

    /// Prefetches what `word` reads first. May run without the lock.
    @inline(__always)
    static func prefetch(root: UInt) {
        martlet_prefetch(UnsafeRawPointer(bitPattern: root & addressMask))
    }

    /// The most hash bits that the directory distinguishes.
    var depth: Int { isArray ? bits + Directory.pageBits : bits }

    // MARK: - Making and freeing

    static func byteCount(words: Int) -> Int { max(64, words * 8) }

    private static func allocate(words: Int) -> UnsafeMutablePointer<UInt> {
        Block.allocateLines(byteCount(words: words)).bindMemory(to: UInt.self, capacity: words)
    }

    /// A directory with one segment.
    static func make(_ segment: Segment) -> Directory {
        let page = allocate(words: 1)
        page[0] = segment.word
        return Directory(root: named(page, 0))
    }

    private static func named(_ words: UnsafeMutablePointer<UInt>, _ bits: Int) -> UInt {
        // Order: releasing, so that a reader without the lock who sees the name also sees the words
        // behind it.
        atomicMemoryFence(ordering: .releasing)
        return UInt(bitPattern: words) | UInt(bits) << 56
    }

    /// Calls `body` with every block and its size; `body` may free it.
    func forEachBlock(_ body: (UnsafeMutableRawPointer, Int) -> Void) {
        guard root != 0 else { return }
        var index = 0
        while isArray && index < 1 << bits {  // Bound: each turn advances by a page's words.
            let page = words[index]
            index += 1 << (bits - Int(page >> 56))
            body(Directory.words(page), Directory.byteCount(words: Directory.pageWords))
        }
        // Why last: it names the pages.
        body(words, Directory.byteCount(words: 1 << bits))
    }

    /// Bytes of all blocks.
    var size: Int {
        var size = 0
        forEachBlock { size += $1 }
        return size
    }

    private static func retire(_ named: UInt) {
        Reclamation.retire(UnsafeMutableRawPointer(words(named)))
    }

    // MARK: - Pointing

    /// The page of `position`, the number of hash bits in its prefix, and the number in its index.
    func page(_ position: UInt64) -> (word: UInt, prefix: Int, bits: Int) {
        guard isArray else { return (root, 0, bits) }
        let page = words[arrayIndex(position)]
        return (page, Int(page >> 56), Directory.pageBits)
    }

    private func arrayIndex(_ position: UInt64) -> Int {
        Int(truncatingIfNeeded: position >> UInt64(64 - bits))
    }

    /// The number of hash bits that are distinguished at `position`.
    func resolution(_ position: UInt64) -> Int {
        let page = self.page(position)
        return page.prefix + page.bits
    }

    /// Points every word for `segment` to it. The segment's hashes begin like `position`.
    func point(to segment: Segment, position: UInt64) {
        let page = self.page(position)
        let span = 1 << (page.prefix + page.bits - segment.depth)
        let rest = position << UInt64(page.prefix)
        let index = Int(truncatingIfNeeded: rest >> UInt64(64 - page.bits)) & ~(span - 1)
        let words = Directory.words(page.word)
        // Order: releasing, as in `named`.
        atomicMemoryFence(ordering: .releasing)
        for index in index..<index + span { words[index] = segment.word }
    }

    // MARK: - Growing

    /// Distinguishes one more bit at `position`. Returns the bytes that this takes.
    mutating func deepen(_ position: UInt64) -> Int {
        guard isArray else {
            if bits == Directory.pageBits { return makeArray() }
            return replaceRoot(by: Directory.doubled(words, count: 1 << bits), bits: bits + 1)
        }
        let old = page(position)
        var size = 0
        if old.prefix == bits {
            let array = Directory.doubled(words, count: 1 << bits)
            size = replaceRoot(by: array, bits: bits + 1, isArray: true)
        }
        let (lower, upper) = Directory.split(old.word, prefix: old.prefix)
        let bit = UInt64(1) << UInt64(63 - old.prefix)
        setPages(lower, position & ~bit)
        setPages(upper, position | bit)
        Directory.retire(old.word)
        return size + Directory.byteCount(words: Directory.pageWords)
    }

    /// Replaces the page or array that `root` names. Returns how much larger the new one is.
    private mutating func replaceRoot(
        by new: UnsafeMutablePointer<UInt>, bits newBits: Int, isArray: Bool = false
    ) -> Int {
        let change =
            Directory.byteCount(words: 1 << newBits) - Directory.byteCount(words: 1 << bits)
        let old = root
        root = Directory.named(new, newBits) | (isArray ? Directory.arrayFlag : 0)
        Directory.retire(old)
        return change
    }

    /// A new block with each of `words` twice.
    private static func doubled(
        _ words: UnsafeMutablePointer<UInt>, count: Int
    ) -> UnsafeMutablePointer<UInt> {
        let new = allocate(words: 2 * count)
        for index in 0..<count {
            new[2 * index] = words[index]
            new[2 * index + 1] = words[index]
        }
        return new
    }

    /// The two pages, with one more prefix bit, that replace `page`.
    private static func split(_ page: UInt, prefix: Int) -> (lower: UInt, upper: UInt) {
        let half = pageWords / 2
        let lower = doubled(words(page), count: half)
        let upper = doubled(words(page) + half, count: half)
        return (named(lower, prefix + 1), named(upper, prefix + 1))
    }

    private mutating func makeArray() -> Int {
        let (lower, upper) = Directory.split(root, prefix: 0)
        let array = Directory.allocate(words: 2)
        array[0] = lower
        array[1] = upper
        let change = replaceRoot(by: array, bits: 1, isArray: true)
        return change + 2 * Directory.byteCount(words: Directory.pageWords)
    }

    /// Points every word of the array for `page` to it. The page's hashes begin like `position`.
    private func setPages(_ page: UInt, _ position: UInt64) {
        let span = 1 << (bits - Int(page >> 56))
        let first = arrayIndex(position) & ~(span - 1)
        for index in first..<first + span { words[index] = page }
    }

    // MARK: - Shrinking

    /// Whether any two words whose indexes differ only in the last bit name different things, so
    /// that the bit is necessary.
    private static func needsLastBit(_ words: UnsafeMutablePointer<UInt>, count: Int) -> Bool {
        for index in stride(from: 0, to: count, by: 2) where words[index] != words[index + 1] {
            return true
        }
        return false
    }

    /// Copies every second of `count` words to `target`.
    private static func copyHalf(
        _ words: UnsafeMutablePointer<UInt>, count: Int, to target: UnsafeMutablePointer<UInt>
    ) {
        for index in 0..<count / 2 { target[index] = words[2 * index] }
    }

    /// Makes the directory at `position` as small as possible after a merge of segments. Returns
    /// the bytes saved.
    mutating func narrow(_ position: UInt64) -> Int {
        var size = 0
        while isArray, let gain = joinPages(position) { size += gain }  // Bound: the prefix.
        while isArray ? bits > 1 : bits > 0,  // Bound: each turn removes a bit.
            !Directory.needsLastBit(words, count: 1 << bits)
        {
            let new = Directory.allocate(words: 1 << (bits - 1))
            Directory.copyHalf(words, count: 1 << bits, to: new)
            size -= replaceRoot(by: new, bits: bits - 1, isArray: isArray)
        }
        return size
    }

    /// Merges the page of `position` with the page that differs in the last bit of its prefix, if
    /// neither needs the last bit of its index. Returns the bytes saved, or nil.
    private mutating func joinPages(_ position: UInt64) -> Int? {
        let page = self.page(position)
        let bit = UInt64(1) << UInt64(64 - page.prefix)
        let buddy = self.page(position ^ bit)
        let count = Directory.pageWords
        guard buddy.prefix == page.prefix,
            !Directory.needsLastBit(Directory.words(page.word), count: count),
            !Directory.needsLastBit(Directory.words(buddy.word), count: count)
        else { return nil }
        let (lower, upper) = position & bit == 0 ? (page, buddy) : (buddy, page)
        let joined = Directory.allocate(words: count)
        Directory.copyHalf(Directory.words(lower.word), count: count, to: joined)
        Directory.copyHalf(Directory.words(upper.word), count: count, to: joined + count / 2)
        var gain = Directory.byteCount(words: count)
        if page.prefix == 1 {
            // The array of two words goes, and so does the second page.
            gain += count * 8 - replaceRoot(by: joined, bits: Directory.pageBits)
        } else {
            setPages(Directory.named(joined, page.prefix - 1), position)
        }
        Directory.retire(page.word)
        Directory.retire(buddy.word)
        return gain
    }
}
