// SPDX-License-Identifier: Apache-2.0
import Base

/// What other threads ask of the records thread, and what its helpers tell it.
enum RecordMessage: Sendable {
    case request(keys: [RecordKey], waiter: RecordWaiter?, isForced: Bool)
    case drop(RecordKey, waiter: RecordWaiter?)
    case dropAll(source: Int)
    case connected(RecordArrival)
    case connectFailed(RecordError)
    case probeFailed(number: UInt64, RecordError)
    case stop
}

/// The way into the records thread.
typealias RecordInbox = Mailbox<RecordMessage>
