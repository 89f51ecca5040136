// SPDX-License-Identifier: Apache-2.0
import CLinux
import Glibc
import Synchronization

/// What other threads ask of the records thread.
enum RecordMessage: Sendable {
    case request(keys: [RecordKey], waiter: RecordWaiter?, isForced: Bool)
    case drop(RecordKey, waiter: RecordWaiter?)
    case dropAll(source: Int)
    case connected(RecordArrival)
    case connectFailed(RecordError)
    case probeFailed(number: UInt64, RecordError)
    case stop
}

/// A connection in a message. Whoever takes it owns it; if nobody does, it is closed with the
/// message.
final class RecordArrival: Sendable {
    private let handle: Mutex<PostgresHandle?>

    init(_ handle: consuming PostgresHandle) { self.handle = Mutex(handle) }

    func take() -> PostgresHandle? {
        handle.withLock { slot -> PostgresHandle? in
            let taken = slot.take()
            return taken
        }
    }
}

/// The way into the records thread: a list under a mutex and an eventfd that wakes the thread.
///
/// Why a mutex: only misses come this way, and the lock is held for one append. The eventfd is
/// written only when the list was empty, so a burst costs one system call.
final class RecordInbox: Sendable {
    private struct State {
        var messages: [RecordMessage] = []
        var isClosed = false
    }

    private let state = Mutex(State())
    let wakeDescriptor: Int32

    init() { wakeDescriptor = eventfd(0, Int32(EFD_NONBLOCK) | Int32(EFD_CLOEXEC)) }

    deinit { close(wakeDescriptor) }

    /// Adds a message; false if nobody will read it.
    func post(_ message: RecordMessage) -> Bool {
        let (isOpen, isFirst) = state.withLock { state -> (Bool, Bool) in
            guard !state.isClosed else { return (false, false) }
            state.messages.append(message)
            return (true, state.messages.count == 1)
        }
        if isFirst {
            var one: UInt64 = 1
            _ = write(wakeDescriptor, &one, 8)
        }
        return isOpen
    }

    func takeAll() -> [RecordMessage] {
        var count: UInt64 = 0
        _ = read(wakeDescriptor, &count, 8)
        return state.withLock { state in
            defer { state.messages = [] }
            return state.messages
        }
    }

    /// Refuses further messages and gives those that are left.
    func shut() -> [RecordMessage] {
        state.withLock { state in
            state.isClosed = true
            defer { state.messages = [] }
            return state.messages
        }
    }
}
