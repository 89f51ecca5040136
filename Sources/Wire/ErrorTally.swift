// SPDX-License-Identifier: Apache-2.0
import Base
import Synchronization

/// How many error replies one thread has made, in all and by the word that each begins with: what
/// INFO calls errorstats.
///
/// Why lines in a row and no dictionary: a server knows some twenty such words, so a few compares
/// find one, and nothing is allocated but when a word is seen for the first time.
///
/// Threads: one writes. Others may read at any time: `used` is raised when a line is whole, and a
/// line stays where it is. `reset` is called while nobody counts and nobody reads.
///
/// Invariant: `used` <= `lineCountMax`, and the last line is for all words that came too late.
@safe
public struct ErrorTally: ~Copyable {
    private struct Line: ~Copyable {
        let word: [UInt8]
        let count = Atomic<Int>(0)
    }

    /// Replies, whatever their words.
    public let total = Atomic<Int>(0)
    // Safety: `lineCountMax` places, of which the first `used` are initialized.
    private let lines: UnsafeMutablePointer<Line>
    private let used = Atomic<Int>(0)

    /// As many words as Redis keeps apart.
    public static let lineCountMax = 128
    /// What the words are counted under for which there is no line left.
    public static let overflowWord = "ERRORSTATS_OVERFLOW"
    /// A blank is looked for in so many bytes; an error without one counts as ERR.
    private static let wordSearchSize = 31

    public init() { unsafe lines = .allocate(capacity: ErrorTally.lineCountMax) }

    deinit {
        unsafe lines.deinitialize(count: used.load(ordering: .relaxed))
        unsafe lines.deallocate()
    }

    /// Counts an error reply; `text` is at least its beginning.
    public func count(_ text: Bytes) {
        total.bump()
        let head = text[0..<min(text.count, ErrorTally.wordSearchSize)]
        let word =
            head.firstIndex(of: UInt8(ascii: " ")).map { head[0..<$0] }
            ?? Bytes("ERR" as StaticString)
        let used = self.used.load(ordering: .relaxed)
        // Safety: indices below `used`, here and in the switch.
        for index in 0..<used where unsafe lines[index].word.withBytes({ $0 == word }) {
            unsafe lines[index].count.bump()
            return
        }
        switch used {
        case ..<(ErrorTally.lineCountMax - 1): add(word.array, at: used)
        case ErrorTally.lineCountMax - 1: add(Array(ErrorTally.overflowWord.utf8), at: used)
        default: unsafe lines[used - 1].count.bump()
        }
    }

    private func add(_ word: [UInt8], at index: Int) {
        // Safety: `index` is `used`, which `count` has found below `lineCountMax`.
        unsafe (lines + index).initialize(to: Line(word: word))
        unsafe lines[index].count.bump()
        // Order: releasing, so that who reads the number sees the line.
        used.store(index + 1, ordering: .releasing)
    }

    /// The words that were counted, and how often.
    public func forEachWord(_ body: (_ word: [UInt8], _ count: Int) -> Void) {
        for index in 0..<used.load(ordering: .acquiring) {
            // Safety: below `used`, and the writer has finished the line.
            unsafe body(lines[index].word, lines[index].count.load(ordering: .relaxed))
        }
    }

    /// CONFIG RESETSTAT.
    public func reset() {
        // Safety: no thread reads or counts now.
        unsafe lines.deinitialize(count: used.exchange(0, ordering: .relaxed))
        total.store(0, ordering: .relaxed)
    }
}
