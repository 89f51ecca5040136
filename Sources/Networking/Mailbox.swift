// SPDX-License-Identifier: Apache-2.0
import CLinux
import Glibc
import Synchronization

/// Messages to a reactor from other threads: a list under a mutex, and an eventfd that wakes the
/// reactor.
///
/// Why a mutex: messages are connections handed over and sessions to be resumed, thousands a second
/// at most.
public final class Mailbox<Message: Sendable>: Sendable {
    private let messages = Mutex<[Message]>([])
    /// Readable while messages wait.
    public let descriptor: Int32

    public init?() {
        descriptor = eventfd(0, Int32(EFD_NONBLOCK) | Int32(EFD_CLOEXEC))
        if descriptor < 0 { return nil }
    }

    deinit { close(descriptor) }

    public func post(_ message: Message) {
        let wasEmpty = messages.withLock { messages in
            messages.append(message)
            return messages.count == 1
        }
        if wasEmpty { wake() }
    }

    /// Wakes the reactor without a message.
    public func wake() {
        var one: UInt64 = 1
        _ = write(descriptor, &one, MemoryLayout<UInt64>.size)
    }

    /// Takes all messages, in the order in which they were posted.
    public func drain() -> [Message] {
        var count: UInt64 = 0
        _ = read(descriptor, &count, MemoryLayout<UInt64>.size)
        return messages.withLock { messages in
            let all = messages
            messages = []
            return all
        }
    }
}
