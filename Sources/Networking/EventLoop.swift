// SPDX-License-Identifier: Apache-2.0
import CLinux

/// What a reactor asks of the kernel: which sockets are ready, and bytes in and out.
///
/// Why an interface that small: epoll says that bytes can be read, io_uring that they have been.
/// Both are "an event with a token"; receiving and sending go through the loop, so that a loop that
/// has the bytes already can hand them over.
public protocol EventLoop: ~Copyable {
    /// Begins to watch `fd` for reading; its events carry `token`.
    mutating func add(_ fd: Int32, token: UInt64, exclusive: Bool) -> Bool
    /// Says whether the socket's owner waits to write too, and whether it wants to read.
    mutating func modify(_ fd: Int32, token: UInt64, reading: Bool, writing: Bool)
    mutating func remove(_ fd: Int32)
    /// Waits for events, at most until `timeout` milliseconds have passed; nil is for ever. Returns
    /// how many there are.
    mutating func wait(timeout: Int?) -> Int
    /// An event of the last `wait`.
    func event(_ index: Int) -> Event
    /// Receives into the buffer; see `Transfer`.
    mutating func receive(_ fd: Int32, into buffer: UnsafeMutableRawBufferPointer) -> Transfer
    mutating func send(_ fd: Int32, _ bytes: UnsafeRawBufferPointer) -> Transfer
}

/// A socket that is ready.
public struct Event {
    public let token: UInt64
    public let isReadable: Bool
    public let isWritable: Bool
    /// The other end has gone or the socket has failed: reading will say how.
    public let isBroken: Bool
}

/// What a receive or a send did.
public enum Transfer: Equatable {
    case bytes(Int)
    /// Nothing now: an event will tell.
    case wouldBlock
    /// The other end has closed.
    case closed
    case failed(errno: Int32)
}
