// SPDX-License-Identifier: Apache-2.0
import CLinux

/// What a reactor asks of the kernel: which sockets are ready, and bytes in and out.
///
/// Why an interface that small: epoll says that bytes can be read, io_uring that they have been.
/// Both are "an event with a token"; receiving and sending go through the loop, so that a loop that
/// has the bytes already can hand them over.
public protocol EventLoop: ~Copyable {
    /// Begins to watch `fd` for reading; its events carry `token`.
    mutating func add(_ fd: Int32, token: UInt64) -> Bool
    /// Says what the socket's owner wants to hear of from now on. That the socket is broken it
    /// always hears.
    mutating func modify(_ fd: Int32, token: UInt64, interest: Interest)
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

/// What the owner of a socket wants to hear of.
public struct Interest: Equatable, Sendable {
    public var reading: Bool
    public var writing: Bool
    /// That the other end sends no more. A loop says so again and again, so whoever knows must not
    /// ask again.
    public var end: Bool

    public init(reading: Bool, writing: Bool, end: Bool) {
        self.reading = reading
        self.writing = writing
        self.end = end
    }

    /// What a new socket's owner wants.
    public static let initial = Interest(reading: true, writing: false, end: true)
}

/// A socket that is ready.
public struct Event {
    public let token: UInt64
    public let isReadable: Bool
    public let isWritable: Bool
    /// The other end sends no more; it may still read.
    public let hasEnded: Bool
    /// The socket has failed, or both directions are shut: reading will say how.
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
