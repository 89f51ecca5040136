// SPDX-License-Identifier: Apache-2.0
import Base
import CLinux
import Commands
import Storage
import Synchronization
import Wire

/// What a thread lends to its sessions, one after the other, while it serves them: the worker that
/// runs commands, the room for a batch of parsed requests, and the buffer for replies.
///
/// Why per thread and not per session: ten thousand idle sessions cost no buffers.
public struct ServingThread: ~Copyable {
    public let worker: WorkerReference
    public let commands: UncountedReference<CommandTable>
    public let server: ServerReference
    public let pause: UncountedReference<PauseState>
    /// Replies of all sessions served in this tick, one after the other.
    public let replies: Reference<ByteBuffer>
    public let commandStatistics: CommandStatistics
    public let latencies: LatencyDistributions
    /// The thread's error replies by their texts. Safety: never freed, as `replies`.
    public let errorTally: Reference<ErrorTally>
    /// Collects misses on record keys; nil if no record source is configured.
    public let recordMisses: RecordMissesReference?
    var list = ArgumentList()
    var keyless = KeylessTally()
    /// How long the session that is being served may still run, in ticks of `martlet_ticks`.
    var turnLeft = 0
    /// Set with `observed`, and when no time is left: one test after a request asks for both.
    var needsAttention = false
    /// How long the session that was served last has run.
    public internal(set) var ticksServed = 0
    /// The command that has just run, if its time is to be looked at again.
    var observed: Observed?
    let batch: RequestBatch

    public init(
        worker: WorkerReference, server: any ServerControl, pause: PauseState,
        commandStatistics: CommandStatistics, recordMisses: RecordMissesReference?
    ) {
        self.worker = worker
        precondition(RequestBatch.count <= Worker.batchSize)
        commands = UncountedReference(keeping: server.commands)
        self.server = ServerReference(server)
        self.pause = UncountedReference(keeping: pause)
        self.commandStatistics = commandStatistics
        latencies = LatencyDistributions(count: commandStatistics.count)
        self.recordMisses = recordMisses
        errorTally = .make(ErrorTally())
        replies = .make(ByteBuffer(capacity: 64 * 1024))
        batch = RequestBatch { Request(firstArgument: 0, argumentCount: 0, size: 0) }
    }
}

extension ServingThread {
    /// Notes that the session has run for so many ticks.
    @inline(__always)
    mutating func spend(_ ticks: UInt64) {
        turnLeft &-= Int(truncatingIfNeeded: ticks)  // Bound: below the time since the start.
        if turnLeft < 0 { needsAttention = true }
    }

    /// Why truncating: the counters of two processors may differ a little.
    @inline(__always)
    func ticks(since start: UInt64) -> Int { Int(truncatingIfNeeded: martlet_ticks() &- start) }
}

/// How often each command ran, how long that took, and how often it was refused or failed. One
/// thread's counts.
@safe
public struct CommandStatistics: Sendable {
    public struct Line: ~Copyable {
        public let calls = Atomic<Int>(0)
        /// In ticks of `martlet_ticks`.
        public let ticks = Atomic<Int>(0)
        public let rejected = Atomic<Int>(0)
        public let failed = Atomic<Int>(0)
    }

    // Safety: `count` lines, allocated once and never freed; every field is atomic.
    nonisolated(unsafe) private let lines: UnsafeMutablePointer<Line>
    public let count: Int

    public init(count: Int) {
        self.count = count
        unsafe lines = .allocate(capacity: count)
        for index in 0..<count { unsafe (lines + index).initialize(to: Line()) }
    }

    /// The line of a command, by its number in the table.
    @inline(__always)
    public subscript(number: Int) -> Reference<Line> {
        precondition(UInt(bitPattern: number) < UInt(bitPattern: count), "no such command")
        return unsafe Reference(lines + number)  // Safety: checked.
    }
}

/// CLIENT PAUSE: until when commands are held back, and which ones.
public final class PauseState: Sendable {
    /// A moment of monotonic time in milliseconds; 0 means no pause.
    public let deadline = Atomic<Int>(0)
    public let onlyWrites = Atomic<Bool>(false)

    public init() {}

    @inline(__always)
    public var isActive: Bool { deadline.load(ordering: .relaxed) != 0 }
}
