// SPDX-License-Identifier: Apache-2.0

/// A reactor's interface to the kernel: which sockets are ready, and bytes in and out.
///
/// Why so small: epoll reports that bytes can be read, io_uring that they have been read. Both are
/// "an event with a token". Receiving and sending go through the loop, so that a loop which already
/// has the bytes can hand them over.
public protocol EventLoop: ~Copyable {
    /// Begins to watch `fd` for reading; its events carry `token`.
    mutating func add(_ fd: Int32, token: UInt64) -> Bool
    /// Changes which events the socket's owner gets. It always gets the event that the socket is
    /// broken.
    mutating func modify(_ fd: Int32, token: UInt64, interest: Interest)
    mutating func remove(_ fd: Int32)
    /// Waits for events for at most `timeout` milliseconds; nil means without limit. Returns the
    /// number of events.
    mutating func wait(timeout: Int?) -> Int
    /// An event of the last `wait`.
    func event(_ index: Int) -> Event
    /// Receives into the buffer; see `Transfer`.
    mutating func receive(_ fd: Int32, into buffer: UnsafeMutableRawBufferPointer) -> Transfer
    mutating func send(_ fd: Int32, _ bytes: UnsafeRawBufferPointer) -> Transfer
}

/// The events that a socket's owner wants.
public struct Interest: Equatable, Sendable {
    public var reading: Bool
    public var writing: Bool
    /// The other end sends no more. The loop reports this again and again, so an owner that knows
    /// it must clear the flag.
    public var end: Bool

    public init(reading: Bool, writing: Bool, end: Bool) {
        self.reading = reading
        self.writing = writing
        self.end = end
    }

    /// The interest in a new socket.
    public static let initial = Interest(reading: true, writing: false, end: true)
}

/// A socket that is ready.
public struct Event {
    public let token: UInt64
    public let isReadable: Bool
    public let isWritable: Bool
    /// The other end sends no more; it may still read.
    public let hasEnded: Bool
    /// The socket has failed, or both directions are shut: a read says which.
    public let isBroken: Bool
}

/// The result of a receive or a send.
public enum Transfer: Equatable {
    case bytes(Int)
    /// Nothing can be transferred now; an event follows when it can.
    case wouldBlock
    /// The other end has closed.
    case closed
    case failed(errno: Int32)
}
