// SPDX-License-Identifier: Apache-2.0
import Base

/// Messages to the records thread, from other threads and from its helper threads.
enum RecordMessage: Sendable {
    case request(keys: [RecordKey], waiter: RecordWaiter?, isForced: Bool)
    case drop(RecordKey, waiter: RecordWaiter?)
    case dropAll(source: Int)
    case connected(RecordArrival)
    case connectFailed(RecordError)
    case probeFailed(number: UInt64, RecordError)
    case stop
}

/// The records thread's mailbox.
typealias RecordInbox = Mailbox<RecordMessage>
