// SPDX-License-Identifier: Apache-2.0
import Base
import Synchronization
import Wire

/// The slow log: the last requests that took longer than `slowlog-log-slower-than`.
///
/// Cost: at most `slowlog-max-len` entries, each with at most 32 arguments of about 128 bytes and
/// as much of the client's name. The time of every request is measured anyway, and one comparison
/// tells which are slow.
///
/// Threads: any thread adds and reads.
public final class SlowLog: Sendable {
    public struct Entry: Sendable {
        public let id: Int
        /// Seconds since 1970.
        public let time: Int
        public let microseconds: Int
        public let arguments: [[UInt8]]
        public let address: String
        public let name: [UInt8]
    }

    private struct State {
        /// By id. The ids are without gaps and end at `nextID - 1`.
        var entries: [Int: Entry] = [:]
        var nextID = 0
    }

    private let state = Mutex(State())
    /// As in Redis.
    private static let argumentCountMax = 32
    private static let argumentSizeMax = 128

    public init() {}

    public var count: Int { state.withLock { $0.entries.count } }

    /// Adds an entry and drops the oldest ones beyond `countMax`.
    public func add(
        time: Int, microseconds: Int, arguments: [[UInt8]], address: String, name: [UInt8],
        countMax: Int
    ) {
        state.withLock { state in
            state.entries[state.nextID] = Entry(
                id: state.nextID, time: time, microseconds: microseconds, arguments: arguments,
                address: address, name: Array(name.prefix(SlowLog.argumentSizeMax)))
            state.nextID += 1
            while state.entries.count > countMax {
                state.entries[state.nextID - state.entries.count] = nil
            }
        }
    }

    /// At most `count` entries, newest first.
    public func newest(_ count: Int) -> [Entry] {
        state.withLock { state in
            let last = state.nextID
            return (1...).lazy.prefix(min(count, state.entries.count)).compactMap {
                state.entries[last - $0]
            }
        }
    }

    public func reset() { state.withLock { $0.entries = [:] } }

    /// The arguments as an entry keeps them: not too many, not too long, and without secrets.
    public static func kept(_ arguments: Arguments, of spec: CommandSpec) -> [[UInt8]] {
        let nameCount = spec.name.contains("|") ? 2 : 1
        let hidesRest = spec.flags.contains(.secretArguments)
        let isCut = arguments.count > argumentCountMax
        let count = isCut ? argumentCountMax - 1 : arguments.count
        var kept: [[UInt8]] = (0..<count).map { index in
            if hidesRest && index >= nameCount { return Array("(redacted)".utf8) }
            let argument = arguments[index]
            guard argument.count > argumentSizeMax else { return argument.array }
            let more = argument.count - argumentSizeMax
            return argument[0..<argumentSizeMax].array + Array("... (\(more) more bytes)".utf8)
        }
        if isCut { kept.append(Array("... (\(arguments.count - count) more arguments)".utf8)) }
        return kept
    }
}
