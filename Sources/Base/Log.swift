// SPDX-License-Identifier: Apache-2.0
import CLinux
import Glibc
import Synchronization

/// The log: lines of "pid time level message" on standard output or in a file, as Redis writes
/// them.
///
/// Each line is written by one call, so the lines of several threads do not mix. A message may
/// quote what a client sent; control characters in it become question marks, so it can neither
/// forge a line nor move a terminal's cursor.
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
    public static let standard = Log()

    private let levelMin = Atomic<Int>(Level.notice.rawValue)
    private let descriptor = Atomic<Int32>(1)

    public var level: Level {
        get { Level(rawValue: levelMin.load(ordering: .relaxed)) ?? .notice }
        set { levelMin.store(newValue.rawValue, ordering: .relaxed) }
    }

    /// Appends to the file at `path` from now on; an empty path means standard output. Returns
    /// errno, or 0. Call it before other threads run: a thread that writes at the same time could
    /// use the descriptor after it is closed.
    public func open(path: String) -> Int32 {
        var next: Int32 = 1
        if !path.isEmpty {
            next = Glibc.open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0o644)
            if next < 0 { return errno }
        }
        let previous = descriptor.exchange(next, ordering: .relaxed)
        if previous != 1 { close(previous) }
        return 0
    }

    /// Opens the file at `path` again, behind a program that moved it away. Other threads may write
    /// meanwhile. Returns errno, or 0; after an error the old file stays open.
    public func reopen(path: String) -> Int32 {
        guard !path.isEmpty else { return 0 }
        let next = Glibc.open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0o644)
        guard next >= 0 else { return errno }
        defer { close(next) }
        // Why the same number: a thread that writes at this moment has read it.
        return martlet_duplicate(next, descriptor.load(ordering: .relaxed)) < 0 ? errno : 0
    }

    static func withoutControls(_ message: String) -> String {
        var shown = String.UnicodeScalarView()
        for scalar in message.unicodeScalars {
            shown.append(scalar.properties.generalCategory == .control ? "?" : scalar)
        }
        return String(shown)
    }

    /// Writes a line unless `level` is below the lowest one to write.
    public func write(_ level: Level, _ message: @autoclosure () -> String) {
        guard level.rawValue >= levelMin.load(ordering: .relaxed) else { return }
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
        let shown = Log.withoutControls(message())
        var line = "\(getpid()):M \(text).\(thousandths) \(level.mark) \(shown)\n"
        line.withUTF8 { buffer in
            _ = Glibc.write(descriptor.load(ordering: .relaxed), buffer.baseAddress, buffer.count)
        }
    }
}
