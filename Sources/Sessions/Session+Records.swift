// SPDX-License-Identifier: Apache-2.0
import Base
import Commands
import Storage
import Wire

// A request that missed records waits for them.
extension Session {
    /// The session waits for the records that were missed; after too many turns the request is
    /// refused.
    @inline(never)
    mutating func awaitRecords(
        _ call: Call, on thread: inout ServingThread, _ reply: inout ReplyWriter
    ) -> Suspension? {
        guard let misses = thread.recordMisses else { return nil }
        let keys = misses.pointee.keys
        misses.pointee.keys = []
        return awaitRecords(keys, call, on: &thread, &reply)
    }

    /// The same for keys that are known.
    mutating func awaitRecords(
        _ keys: [[UInt8]], _ call: Call, on thread: inout ServingThread,
        _ reply: inout ReplyWriter
    ) -> Suspension? {
        guard mayAwaitRecords(now: thread.worker.monotonicNow) else {
            return refuse(.recordChangesTooFast, call, on: &thread, &reply)
        }
        awaited = keys
        return .records(keys)
    }

    /// A miss on the keys that were waited for is now an answer. Only on them: another key of the
    /// request may have been dropped meanwhile, and its row exists.
    @inline(never)
    func excuseAwaited(_ thread: inout ServingThread) {
        thread.recordMisses?.pointee.excused = Set(awaited)
    }

    /// Ends what `excuseAwaited` began.
    @inline(never)
    mutating func endExcuse(_ thread: inout ServingThread) {
        awaitedAreAbsent = false
        awaited = []
        thread.recordMisses?.pointee.excused = []
    }
}
