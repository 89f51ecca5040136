// SPDX-License-Identifier: Apache-2.0
import Base
import Commands
import Storage
import Wire

// Requests that miss records wait for them.
extension Session {
    /// Makes the session wait for the missed records. Refuses the request after too many attempts.
    @inline(never)
    mutating func awaitRecords(
        _ call: Call, on thread: inout ServingThread, _ reply: inout ReplyWriter
    ) -> Suspension? {
        guard let misses = thread.recordMisses else { return nil }
        let keys = misses.pointee.keys
        misses.pointee.keys = []
        return awaitRecords(keys, call, on: &thread, &reply)
    }

    /// The same for given keys.
    mutating func awaitRecords(
        _ keys: [[UInt8]], _ call: Call, on thread: inout ServingThread,
        _ reply: inout ReplyWriter
    ) -> Suspension? {
        guard mayAwaitRecords(now: thread.worker.monotonicNow) else {
            return refuse(.recordChangesTooFast, call, on: &thread, &reply)
        }
        return .records(keys)
    }

    /// From now on, a miss on the keys in `absent` is an answer.
    @inline(never)
    func excuseAbsent(_ thread: borrowing ServingThread) {
        thread.recordMisses?.pointee.excused = Set(absent)
    }

    /// Ends what `excuseAbsent` began.
    @inline(never)
    mutating func endExcuse(_ thread: borrowing ServingThread) {
        absent = []
        thread.recordMisses?.pointee.excused = []
    }
}
