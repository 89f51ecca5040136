// SPDX-License-Identifier: Apache-2.0
import CLinux
import Glibc
import Synchronization

/// The log: lines of "pid time level message" on standard output or in a file, as Redis writes
/// them.
///
///     write ─► waiting lines, at most `sizeMax` bytes ─► thread ─► descriptor
///
/// Why a thread: whoever reads the other end of a pipe may stop reading, and a disk may be slow.
/// Then lines wait, and beyond the bound they are dropped, counted, and the count is told once
/// lines can be written again. Before `start` lines are written at once.
///
/// A message may quote what a client sent; control characters in it become question marks, so it
/// can neither forge a line nor move a terminal's cursor.
public final class Log: Sendable {
    /// Redis's levels, lowest first; `loglevel` names the lowest one to write.
    public enum Level: Int, Sendable, CaseIterable {
        case debug, verbose, notice, warning

        var mark: StaticString {
            switch self {
            case .debug: "."
            case .verbose: "-"
            case .notice: "*"
            case .warning: "#"
            }
        }
    }

    /// The process's log.
    public static let standard = Log(descriptor: 1)

    /// How many bytes may wait.
    static let sizeMax = 1 << 20
    /// A pipe that polls as writable takes this many bytes without blocking, all or none.
    private static let pieceSize = 4096
    /// How long the thread waits for a descriptor before it looks whether that was replaced.
    private static let patienceMilliseconds: Int32 = 200

    private struct Waiting {
        var lines: [[UInt8]] = []
        var size = 0
        var droppedCount = 0
        /// Replaced descriptors, which the thread closes when it uses none.
        var replaced: [Int32] = []
        /// The thread writes lines, or is about to.
        var isBusy = false
        var hasThread = false
        /// How many callers of `flush` wait for the thread.
        var flusherCount = 0

        var hasWork: Bool { !lines.isEmpty || droppedCount > 0 || !replaced.isEmpty }
    }

    private let levelMin = Atomic<Int>(Level.notice.rawValue)
    private let descriptor: Atomic<Int32>
    private let waiting = Mutex(Waiting())
    private let wakeUp = Semaphore()
    private let flushed = Semaphore()

    init(descriptor: Int32) { self.descriptor = Atomic(descriptor) }

    public var level: Level {
        get { Level(rawValue: levelMin.load(ordering: .relaxed)) ?? .notice }
        set { levelMin.store(newValue.rawValue, ordering: .relaxed) }
    }

    /// Appends to the file at `path` from now on; an empty path means standard output. Returns
    /// errno, or 0.
    public func open(path: String) -> Int32 {
        var next: Int32 = 1
        if !path.isEmpty {
            next = Glibc.open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0o644)
            if next < 0 { return errno }
        }
        let previous = descriptor.exchange(next, ordering: .relaxed)
        guard previous != 1 else { return 0 }
        let hasThread = hand { waiting in
            if waiting.hasThread { waiting.replaced.append(previous) }
            return waiting.hasThread
        }
        if !hasThread { close(previous) }
        return 0
    }

    /// Starts the thread that writes; false if the system refuses. Lines are then written at once,
    /// as before.
    public func start() -> Bool {
        waiting.withLock { $0.hasThread = true }
        guard let thread = Thread("log", { self.run() }) else {
            waiting.withLock { $0.hasThread = false }
            return false
        }
        thread.detach()
        return true
    }

    /// Waits until all lines are written or lost, at most `milliseconds`. Returns whether they are
    /// written.
    @discardableResult
    public func flush(milliseconds: Milliseconds) -> Bool {
        let deadline = Clock.monotonicMilliseconds + milliseconds
        var isFirst = true
        while true {  // Bound: the deadline.
            let outcome = hand { waiting -> Bool? in
                // Why not at first: the descriptor may now take the line that tells of the loss.
                let isOver = waiting.droppedCount == 0 || !isFirst
                if !waiting.isBusy && waiting.lines.isEmpty && isOver {
                    return waiting.droppedCount == 0
                }
                waiting.flusherCount += 1
                return nil
            }
            if let outcome { return outcome }
            isFirst = false
            let rest = deadline - Clock.monotonicMilliseconds
            // Why again after that: an earlier caller may have gone before it was told.
            guard rest > 0, flushed.wait(milliseconds: rest) else { return false }
        }
    }

    /// Runs `body` under the lock, and wakes the thread if there is something to do for it.
    private func hand<Result: Sendable>(_ body: (inout sending Waiting) -> Result) -> Result {
        let (result, mustWake) = waiting.withLock { waiting in
            let result = body(&waiting)
            let mustWake = waiting.hasThread && !waiting.isBusy && waiting.hasWork
            if mustWake { waiting.isBusy = true }
            return (result, mustWake)
        }
        if mustWake { wakeUp.post() }
        return result
    }

    // MARK: - Writing

    static func withoutControls(_ message: String) -> String {
        var shown = String.UnicodeScalarView()
        for scalar in message.unicodeScalars {
            shown.append(scalar.properties.generalCategory == .control ? "?" : scalar)
        }
        return String(shown)
    }

    /// Writes a line unless `level` is below the lowest one to write. Never waits once the thread
    /// has started.
    public func write(_ level: Level, _ message: @autoclosure () -> String) {
        guard level.rawValue >= levelMin.load(ordering: .relaxed) else { return }
        let line = Log.line(level, message())
        let isTaken = hand { waiting in
            guard waiting.hasThread else { return false }
            if waiting.size + line.count > Log.sizeMax {
                waiting.droppedCount += 1
            } else {
                waiting.lines.append(line)
                waiting.size += line.count
            }
            return true
        }
        if !isTaken { _ = put(line) }
    }

    /// Writes a line before the process ends, then those that wait. Waits a moment at most.
    func writeLast(_ message: String) {
        _ = put(Log.line(.warning, message), attempts: 1)
        flush(milliseconds: 200)
    }

    private static func line(_ level: Level, _ message: String) -> [UInt8] {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        var parts = tm()
        var seconds = time.tv_sec
        gmtime_r(&seconds, &parts)
        var stamp = [CChar](repeating: 0, count: 40)
        strftime(&stamp, stamp.count, "%d %b %Y %H:%M:%S", &parts)
        let written = stamp.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
        let text = String(decoding: written, as: UTF8.self)
        let thousandths = String(1000 + time.tv_nsec / 1_000_000).dropFirst()
        let shown = Log.withoutControls(message)
        return Array("\(getpid()):M \(text).\(thousandths) \(level.mark) \(shown)\n".utf8)
    }

    /// Writes a line to the descriptor. Waits while that takes nothing, or with `attempts` for so
    /// many spans of patience. False if the line is lost.
    private func put(_ line: [UInt8], attempts: Int = .max) -> Bool {
        var rest = line[...]
        var failedCount = 0
        while !rest.isEmpty {  // Bound: `attempts`, or until the descriptor takes bytes.
            let target = descriptor.load(ordering: .relaxed)
            var entry = pollfd(fd: target, events: Int16(POLLOUT), revents: 0)
            let ready = poll(&entry, 1, Log.patienceMilliseconds)
            if ready < 0 && errno == EINTR { continue }
            guard ready > 0 else {
                failedCount += 1
                if failedCount >= attempts { return false }
                continue
            }
            let piece = min(rest.count, Log.pieceSize)
            let count = rest.withUnsafeBytes { Glibc.write(target, $0.baseAddress, piece) }
            if count < 0 {
                if errno == EINTR || errno == EAGAIN { continue }
                return false
            }
            rest = rest.dropFirst(count)
        }
        return true
    }

    // MARK: - The thread

    private func run() {
        while true {  // Bound: the process's life.
            let (lines, droppedCount, replaced) = waiting.withLock { waiting in
                defer {
                    waiting.lines = []
                    waiting.size = 0
                    waiting.droppedCount = 0
                    waiting.replaced = []
                    waiting.isBusy = true
                }
                return (waiting.lines, waiting.droppedCount, waiting.replaced)
            }
            for descriptor in replaced { close(descriptor) }
            var lostCount = droppedCount
            for line in lines {
                let isWritten = put(line)
                if !isWritten { lostCount += 1 }
            }
            let unsaidCount = lostCount > 0 && !say(lostCount) ? lostCount : 0
            if isIdle(unsaidCount) { wakeUp.wait() }
        }
    }

    /// Tells that lines were lost; false if that line is lost too.
    private func say(_ lostCount: Int) -> Bool {
        put(Log.line(.warning, "\(lostCount) lines of the log could not be written"))
    }

    /// Ends a round. Returns whether nothing waits; `unsaidCount` lines were lost and not told.
    private func isIdle(_ unsaidCount: Int) -> Bool {
        let (isIdle, flusherCount) = waiting.withLock { waiting -> (Bool, Int) in
            let isIdle = waiting.lines.isEmpty && waiting.droppedCount == 0
            waiting.droppedCount += unsaidCount
            guard isIdle else { return (false, 0) }
            waiting.isBusy = false
            defer { waiting.flusherCount = 0 }
            return (true, waiting.flusherCount)
        }
        for _ in 0..<flusherCount { flushed.post() }
        return isIdle
    }
}
