// SPDX-License-Identifier: Apache-2.0
import Base
import CLinux
import Commands
import Storage
import Wire

/// One client's conversation: bytes in, replies out. It has no socket.
///
/// It is a state machine: `serve` takes the received bytes, and returns how many it consumed and
/// what the owner must do next. A request that cannot be answered yet suspends the session: its
/// bytes are not consumed, later requests are not parsed, and `resume` continues with the same
/// request. Record loads, throttled tenants and CLIENT PAUSE all use this one mechanism.
public struct Session: ~Copyable {
    // Safety: allocated in init and freed in deinit. Other threads read it only while this one
    // stands still.
    public let state: SessionReference
    var parser = RESPParser()
    /// Why the session waits; nil while it serves.
    public private(set) var suspension: Suspension?
    /// The error that answers the front request when the session resumes.
    var failure: String?
    /// The outcome that answers the front request when the session resumes.
    var outcome: Resumption.Outcome?
    /// The record keys that the front request waited for, if their records do not exist: a miss on
    /// them is an answer. Only on those: another key of the request may have been dropped since,
    /// although its row exists.
    var absent: [[UInt8]] = []
    /// How often the front request has waited for records.
    var recordAttempts = 0
    /// When the first of these waits began.
    private var attemptedSince: Milliseconds = 0
    /// Errors that commands of the last transaction replied, without EXEC's own.
    var queuedErrorCount = 0

    public enum Suspension: Equatable, Sendable {
        /// Until these record keys are loaded or have failed.
        case records([[UInt8]])
        /// For this many milliseconds, until the tenant's budget is refilled.
        case throttled(Milliseconds)
        /// Until CLIENT UNPAUSE or the pause's end.
        case paused
        /// Until a shard that another thread holds for long is free.
        case busy
        /// Until this change of a tenant is made or refused.
        case tenantChange(TenantChange)
    }

    /// The result of serving bytes.
    public struct Served {
        /// Bytes that need not be passed again.
        public var consumed: Int
        public var next: Next

        public enum Next: Equatable, Sendable {
            /// Receive, and pass the rest together with the new bytes.
            case receive
            /// The reply buffer is full, or the session has run long enough: send, give others
            /// their turn, then continue with the rest.
            case yield
            case suspend
            /// Send all replies, then close.
            case close
            /// Close at once and send nothing: the replies are larger than the client's limit.
            case closeUnsent
        }
    }

    /// How many bytes of replies one call may write before they are sent.
    static let replySizeMax = 256 * 1024
    /// A request that waits for records is refused after both this many waits and this long: a row
    /// that changes hundreds of times a second is often dropped again before the request has run.
    static let recordAttemptsMax = 8
    static let recordAttemptsMilliseconds: Milliseconds = 2000

    public init(_ state: consuming SessionState) {
        self.state = SessionReference.make(state)
    }

    deinit {
        state.destroy()
    }

    /// Counts one more wait for records; false if the request has waited enough.
    mutating func mayAwaitRecords(now: Milliseconds) -> Bool {
        if recordAttempts == 0 { attemptedSince = now }
        recordAttempts += 1
        if recordAttempts <= Session.recordAttemptsMax
            || now - attemptedSince < Session.recordAttemptsMilliseconds
        {
            return true
        }
        recordAttempts = 0
        return false
    }

    /// Bytes that the session holds beside the connection's buffers.
    public var heldSize: Int { state.heldSize + parser.heldSize }

    /// How many bytes the front request needs before it can be complete; a hint.
    public var bytesAwaited: Int { parser.bytesAwaited }

    /// Answers the requests in `bytes`, which follow the bytes consumed before. Appends replies to
    /// the thread's buffer, whose ceiling is what the client's output limit allows.
    public mutating func serve(_ bytes: Bytes, on thread: inout ServingThread) -> Served {
        precondition(suspension == nil, "a suspended session was served")
        parser.bulkSizeMax = thread.worker.settings.bulkSizeMax
        parser.planSizeMax = state.pointee.tenant.pointee.memoryMax.value
        var offset = 0
        var reply = ReplyWriter(
            thread.replies, version: state.pointee.protocolVersion,
            countingErrorsIn: thread.errorTally)
        let replyStart = reply.count
        let start = (replies: replyStart, ticks: martlet_ticks())
        let turnTicks = thread.worker.settings.turnTicks
        thread.turnLeft = turnTicks
        while true {  // Bound: each turn consumes at least one request, or ends.
            let parsed = parseBatch(bytes.suffix(from: offset), on: &thread)
            var index = 0
            while index < parsed.count {
                let request = thread.batch.reference(index)
                if request.pointee.argumentCount > 0 {
                    reply.version = state.pointee.protocolVersion
                    if let suspension = run(request.pointee, on: &thread, &reply) {
                        self.suspension = suspension
                        parser.reset()
                        return finish(offset, .suspend, start, &thread)
                    }
                } else if state.pointee.replyMode != .on {
                    // As in Redis, CLIENT REPLY SKIP also skips an empty request.
                    applyReplyMode(reply.count, reply)
                }
                offset += request.pointee.size
                index += 1
                if thread.needsAttention {
                    thread.needsAttention = false
                    if thread.observed != nil { observe(request.pointee, on: &thread) }
                    if thread.turnLeft < 0, index < parsed.count || parsed.end == .full {
                        parser.reset()
                        return finish(offset, .yield, start, &thread)
                    }
                }
                if reply.isOverfull {
                    reply.truncate(to: replyStart)
                    return finish(offset, .closeUnsent, start, &thread)
                }
                if state.pointee.closesAfterReply {
                    return finish(offset, .close, start, &thread)
                }
                if reply.count - replyStart >= Session.replySizeMax {
                    parser.reset()
                    return finish(offset, .yield, start, &thread)
                }
            }
            switch parsed.end {
            // Why here too: parsing and refusing requests takes time as well.
            case .full: thread.turnLeft = turnTicks - thread.ticks(since: start.ticks)
            case .needMore: return finish(offset, .receive, start, &thread)
            case .malformed(let error):
                let mark = reply.count
                reply.error(error.message)
                applyReplyMode(mark, reply)
                return finish(bytes.count, .close, start, &thread)
            }
        }
    }

    private mutating func finish(
        _ consumed: Int, _ next: Served.Next, _ start: (replies: Int, ticks: UInt64),
        _ thread: inout ServingThread
    ) -> Served {
        thread.list.removeAll()
        thread.countKeyless()
        thread.ticksServed = thread.ticks(since: start.ticks)
        state.pointee.bytesIn += consumed
        state.pointee.bytesOut += thread.replies.pointee.count - start.replies
        return Served(consumed: consumed, next: next)
    }

    /// Makes the session wait for its tenant's budget before it serves anything: other sessions of
    /// the tenant wait already.
    public mutating func putOff() { suspension = .throttled(0) }

    /// Ends a suspension: the next `serve` begins with the request that waited.
    public mutating func resume(_ resumption: Resumption) {
        if resumption == .absent, case .records(let keys) = suspension { absent = keys }
        if case .refused(let text) = resumption { failure = text }
        if case .answered(let found) = resumption { outcome = found }
        suspension = nil
    }

    private enum BatchEnd: Equatable {
        case full, needMore
        case malformed(RESPParser.ParseError)
    }

    /// Parses the next requests into the thread's batch, and prefetches the memory of their keys.
    @inline(__always)
    private mutating func parseBatch(
        _ bytes: Bytes, on thread: inout ServingThread
    ) -> (count: Int, end: BatchEnd) {
        thread.list.removeAll()
        parser.isAuthenticated = state.pointee.isAuthenticated
        // Why one at a time before AUTH: AUTH decides what may follow it.
        let limit = parser.isAuthenticated ? RequestBatch.count : 1
        // Nil if it does not exist yet: then there is nothing to prefetch.
        let keyspace = state.pointee.tenant.keyspace(state.pointee.database)
        thread.worker.beginBatch()
        var count = 0
        var offset = 0
        var end = BatchEnd.full
        while count < limit {
            let rest = bytes.suffix(from: offset)
            let first = thread.list.count
            switch parser.next(rest, into: &thread.list) {
            case .request(let argumentCount, let consumed):
                thread.batch[count] = request(
                    first, argumentCount, consumed, keyspace, &thread)
                let isInline = rest[0] != UInt8(ascii: "*")
                count += 1
                offset += consumed
                // Why: inline arguments lie in the parser's own buffer, and parsing the next
                // request overwrites it.
                if isInline { return (count, .full) }
                continue
            case .needMore: end = .needMore
            case .malformed(let error): end = .malformed(error)
            }
            break
        }
        if count > 1 {
            if thread.worker.batchNamesTenants { thread.prefetchTenants(count) }
            for index in 0..<count { thread.batch[index].prefetch?.prefetchEntry() }
        }
        return (count, end)
    }

    @inline(__always)
    private mutating func request(
        _ first: Int, _ count: Int, _ size: Int, _ keyspace: KeyspaceReference?,
        _ thread: inout ServingThread
    ) -> Request {
        var request = Request(
            entry: nil, firstArgument: first, argumentCount: count, size: size, prefetch: nil)
        guard count > 0 else { return request }
        let arguments = thread.list.arguments(from: first, count: count)
        let entry = thread.commands.with { $0.find(arguments[0]) }
        request.entry = entry
        if let entry, let keyspace {
            let key = Int(entry.pointee.singleKey)
            if key > 0 && key < count {
                request.prefetch = thread.worker.prefetchBucket(arguments[key], keyspace: keyspace)
            }
        }
        return request
    }
}

extension ServingThread {
    /// Prefetches what lies between the batch's keys and their buckets in the keyspaces of the
    /// tenants that they name, step by step for all keys.
    func prefetchTenants(_ count: Int) {
        worker.findNamedTenants()
        for index in 0..<count { batch[index].prefetch?.prefetchShard(worker) }
        for index in 0..<count { batch[index].prefetch?.prefetchDirectory() }
        for index in 0..<count { batch[index].prefetch?.prefetchBucket() }
    }

    /// The keyspace that the session has selected.
    @inline(__always)
    func keyspace(_ state: SessionReference) -> KeyspaceReference {
        // Why not `worker.keyspace`: it is not inlined in this module.
        state.pointee.tenant.keyspace(state.pointee.database)
            ?? worker.makeKeyspace(state.pointee.tenant, state.pointee.database)
    }
}
