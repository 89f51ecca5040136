// SPDX-License-Identifier: Apache-2.0
import CLinux
import Glibc
import Synchronization

/// Messages from many threads to one: a list under a mutex, and an eventfd that wakes the reader.
///
///     post -> | list | -> drain          the reader polls `descriptor` beside its sockets
///               first message: write 1 -> eventfd -> readable -> read
///
/// Why a mutex: messages are connections handed over, sessions to resume and records to load,
/// thousands a second at most, and the lock is held for one append. Why one eventfd write for a
/// whole list: a burst of messages costs one system call.
///
/// Invariants: 1. while the list holds a message, the descriptor is readable, or a thread is about
/// to write to it, or the write failed; a failure is logged and the next message tries again;
/// 2. messages leave in the order in which they came; 3. after `shut` it accepts none.
///
/// Threads: any thread may post; one thread drains.
public final class Mailbox<Message: Sendable>: Sendable {
    private struct State {
        var messages: [Message] = []
        /// The reader has been woken for these messages, or is about to be.
        var isSignalled = false
        var isShut = false
    }

    private let state = Mutex(State())
    /// Readable while messages wait.
    public let descriptor: Int32

    /// Nil if the system has no descriptor left; errno says why.
    public init?() {
        descriptor = eventfd(0, Int32(EFD_NONBLOCK) | Int32(EFD_CLOEXEC))
        if descriptor < 0 { return nil }
    }

    deinit { close(descriptor) }

    /// Adds a message and wakes the reader if it sleeps; false if the mailbox is shut. Then the
    /// caller keeps the message.
    @discardableResult
    public func post(_ message: Message) -> Bool {
        let (isOpen, mustWake) = state.withLock { state -> (Bool, Bool) in
            guard !state.isShut else { return (false, false) }
            state.messages.append(message)
            defer { state.isSignalled = true }
            return (true, !state.isSignalled)
        }
        if mustWake && !wake() { state.withLock { $0.isSignalled = false } }
        return isOpen
    }

    /// Takes all messages, in the order in which they were posted.
    public func drain() -> [Message] {
        // Order: the counter first, then the list. The other way round, a message that comes in
        // between would find its wake-up read away.
        var count: UInt64 = 0
        _ = read(descriptor, &count, MemoryLayout<UInt64>.size)
        return state.withLock { state in
            state.isSignalled = false
            defer { state.messages = [] }
            return state.messages
        }
    }

    /// Refuses further messages and returns those not drained yet.
    public func shut() -> [Message] {
        state.withLock { state in
            state.isShut = true
            defer { state.messages = [] }
            return state.messages
        }
    }

    /// Makes the descriptor readable; false if the system refuses.
    private func wake() -> Bool {
        var one: UInt64 = 1
        while write(descriptor, &one, MemoryLayout<UInt64>.size) < 0 {  // Bound: EINTR alone.
            switch errno {
            case EINTR: continue
            // The counter is full, so the descriptor is readable.
            case EAGAIN: return true
            default:
                let reason = String(cString: strerror(errno))
                Log.standard.write(.warning, "a thread could not be woken: \(reason)")
                return false
            }
        }
        return true
    }
}
