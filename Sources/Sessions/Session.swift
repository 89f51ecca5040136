// SPDX-License-Identifier: Apache-2.0
import Base
import Commands
import Glibc
import Storage
import Wire

/// One conversation: bytes in, replies out, and what must happen beside that. No socket is in it.
///
/// It is a state machine: `serve` takes what has arrived and returns how much of it is done with
/// and what the owner shall do. A request that cannot be answered yet suspends the session: its
/// bytes are not consumed, nothing behind it is looked at, and `resume` begins again at the same
/// request. That is the one mechanism for records that are being loaded, throttled tenants and
/// CLIENT PAUSE.
public struct Session: ~Copyable {
    // Safety: allocated in init and freed in deinit; other threads read it only while this one
    // stands still.
    public let state: SessionReference
    var parser = RESPParser()
    /// Why the session waits; nil while it serves.
    public private(set) var suspension: Suspension?
    /// What the request at the front is to be refused with when the session goes on.
    var failure: String?
    /// The records that the request at the front waited for are known not to exist.
    var awaitedAreAbsent = false
    /// The record keys that it waited for last.
    var awaited: [[UInt8]] = []
    /// How often the request at the front has waited for records.
    var recordAttempts = 0
    /// When the first of them was.
    private var attemptedSince: Milliseconds = 0
    /// Errors that the commands of the last transaction replied: not EXEC's own.
    var queuedErrorCount = 0

    public enum Suspension: Equatable, Sendable {
        /// Until these record keys are loaded, or cannot be.
        case records([[UInt8]])
        /// Until the tenant's budget has refilled: so many milliseconds.
        case throttled(Milliseconds)
        /// Until CLIENT UNPAUSE or the pause's end.
        case paused
    }

    /// What became of the bytes.
    public struct Served {
        /// Bytes that need not be shown again.
        public var consumed: Int
        public var next: Next

        public enum Next: Equatable, Sendable {
            /// Show what is left together with what arrives.
            case receive
            /// The reply buffer is full: send, then go on with what is left.
            case send
            case suspend
            /// Send what there is, then close.
            case close
        }
    }

    /// How many bytes of replies one call makes before it lets them be sent.
    static let replySizeMax = 256 * 1024
    /// How often a request waits for records before it may be refused, and for how long it goes on
    /// in any case: a row that changes hundreds of times a second is often dropped again before the
    /// request has run.
    static let recordAttemptsMax = 8
    static let recordAttemptsMilliseconds: Milliseconds = 2000

    public init(_ state: consuming SessionState) {
        self.state = SessionReference.make(state)
    }

    deinit {
        state.destroy()
    }

    /// Counts one more wait of the request for records; false where it has waited enough.
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

    /// How many bytes must be there before the request at the front can be complete; a hint.
    public var bytesAwaited: Int { parser.bytesAwaited }

    /// Answers the requests in `bytes`, which begin behind what was consumed before. Replies are
    /// appended to the thread's buffer.
    public mutating func serve(_ bytes: Bytes, on thread: inout ServingThread) -> Served {
        precondition(suspension == nil, "a suspended session was served")
        parser.bulkSizeMax = thread.worker.settings.bulkSizeMax
        var offset = 0
        var reply = ReplyWriter(
            thread.replies, version: state.pointee.protocolVersion,
            countingErrorsIn: thread.errorTally)
        let replyStart = reply.count
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
                        return finish(offset, .suspend, replyStart, &thread)
                    }
                } else if state.pointee.replyMode != .on {
                    // As in Redis nothing at all is what CLIENT REPLY SKIP skips.
                    applyReplyMode(reply.count, reply)
                }
                offset += request.pointee.size
                index += 1
                if state.pointee.closesAfterReply {
                    return finish(offset, .close, replyStart, &thread)
                }
                if reply.count - replyStart >= Session.replySizeMax {
                    parser.reset()
                    return finish(offset, .send, replyStart, &thread)
                }
            }
            switch parsed.end {
            case .full: continue
            case .needMore: return finish(offset, .receive, replyStart, &thread)
            case .malformed(let error):
                let mark = reply.count
                reply.error(error.message)
                applyReplyMode(mark, reply)
                return finish(bytes.count, .close, replyStart, &thread)
            }
        }
    }

    private mutating func finish(
        _ consumed: Int, _ next: Served.Next, _ replyStart: Int, _ thread: inout ServingThread
    ) -> Served {
        thread.list.removeAll()
        thread.countKeyless()
        state.pointee.bytesIn += consumed
        state.pointee.bytesOut += thread.replies.pointee.count - replyStart
        return Served(consumed: consumed, next: next)
    }

    /// Ends a suspension: the next `serve` begins at the request that waited.
    public mutating func resume(_ resumption: Resumption) {
        suspension = nil
        failure = nil
        awaitedAreAbsent = false
        switch resumption {
        case .again: break
        case .absent: awaitedAreAbsent = true
        case .refused(let text): failure = text
        }
    }

    private enum BatchEnd {
        case full, needMore
        case malformed(RESPParser.ParseError)
    }

    /// Parses the next requests into the thread's batch, and asks for the memory that their keys
    /// lie in.
    @inline(__always)
    private mutating func parseBatch(
        _ bytes: Bytes, on thread: inout ServingThread
    ) -> (count: Int, end: BatchEnd) {
        thread.list.removeAll()
        parser.isAuthenticated = state.pointee.isAuthenticated
        // Why one at a time before AUTH: what may follow it is known only when it has run.
        let limit = parser.isAuthenticated ? ServingThread.batchSize : 1
        let keyspace = thread.keyspaceForPrefetch(state)
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
                // Why: inline arguments stand in the parser's own buffer, which the next one
                // overwrites.
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
    /// The keyspace where keys of the batch are looked for; nil where it does not exist yet.
    @inline(__always)
    func keyspaceForPrefetch(_ state: SessionReference) -> KeyspaceReference? {
        state.pointee.tenant.keyspace(state.pointee.database)
    }

    /// Asks for what lies between the batch's keys and their buckets in the keyspaces of the
    /// tenants that they name, step by step for all of them.
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
