// SPDX-License-Identifier: Apache-2.0
import Base
import CLinux
import Glibc

/// An event loop over epoll, level-triggered: a socket with unread bytes is reported again.
public struct EpollLoop: EventLoop, ~Copyable {
    private let loop: Int32
    // Safety: `capacity` events, allocated in init and freed in deinit; the kernel fills the first
    // ones, as many as `wait` returns.
    private let events: UnsafeMutablePointer<epoll_event>
    private static let capacity = 512

    public init?() {
        loop = epoll_create1(Int32(EPOLL_CLOEXEC))
        events = .allocate(capacity: EpollLoop.capacity)
        if loop < 0 { return nil }
    }

    deinit {
        close(loop)
        events.deallocate()
    }

    public mutating func add(_ fd: Int32, token: UInt64) -> Bool {
        let mode = EPOLLIN.rawValue | EPOLLRDHUP.rawValue
        return martlet_epoll_control(loop, EPOLL_CTL_ADD, fd, mode, token) == 0
    }

    public mutating func modify(_ fd: Int32, token: UInt64, interest: Interest) {
        var mode: UInt32 = interest.reading ? EPOLLIN.rawValue : 0
        if interest.end { mode |= EPOLLRDHUP.rawValue }
        if interest.writing { mode |= EPOLLOUT.rawValue }
        _ = martlet_epoll_control(loop, EPOLL_CTL_MOD, fd, mode, token)
    }

    public mutating func remove(_ fd: Int32) {
        _ = martlet_epoll_control(loop, EPOLL_CTL_DEL, fd, 0, 0)
    }

    public mutating func wait(timeout: Int?) -> Int {
        let milliseconds = timeout.map { Int32(clamping: max(0, $0)) } ?? -1
        return max(
            0, Int(martlet_epoll_wait(loop, events, Int32(EpollLoop.capacity), milliseconds)))
    }

    public func event(_ index: Int) -> Event {
        precondition(index >= 0 && index < EpollLoop.capacity)
        let mask = events[index].events
        return Event(
            token: martlet_epoll_token(events + index),
            isReadable: mask & EPOLLIN.rawValue != 0,
            isWritable: mask & EPOLLOUT.rawValue != 0,
            hasEnded: mask & EPOLLRDHUP.rawValue != 0,
            isBroken: mask & (EPOLLERR.rawValue | EPOLLHUP.rawValue) != 0)
    }

    @inline(__always)
    public mutating func receive(
        _ fd: Int32, into buffer: UnsafeMutableRawBufferPointer
    ) -> Transfer {
        let count = recv(fd, buffer.baseAddress, buffer.count, 0)
        if count > 0 { return .bytes(count) }
        if count == 0 { return .closed }
        return EpollLoop.failure()
    }

    @inline(__always)
    public mutating func send(_ fd: Int32, _ bytes: UnsafeRawBufferPointer) -> Transfer {
        let count = Glibc.send(fd, bytes.baseAddress, bytes.count, Int32(MSG_NOSIGNAL))
        if count >= 0 { return .bytes(count) }
        return EpollLoop.failure()
    }

    private static func failure() -> Transfer {
        let code = errno
        return code == EAGAIN || code == EINTR ? .wouldBlock : .failed(errno: code)
    }
}
