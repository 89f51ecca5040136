// SPDX-License-Identifier: Apache-2.0
import Base
import CLinux
import Glibc

/// Opens sockets that listen or connect, and sets the options of accepted ones.
public enum Socket {
    public struct Failure: Error {
        let what: String
        let errno: Int32
        /// Whether the system found no address for a name.
        public let isUnknownName: Bool
        public let reason: String
        public var message: String { "\(what): \(reason)" }

        init(what: String, errno: Int32) {
            self.init(
                what: what, errno: errno, isUnknownName: false,
                reason: String(cString: strerror(errno)))
        }

        init(what: String, errno: Int32, isUnknownName: Bool, reason: String) {
            self.what = what
            self.errno = errno
            self.isUnknownName = isUnknownName
            self.reason = reason
        }

        /// Whether this machine does not have the address.
        public var isAbsent: Bool {
            [EADDRNOTAVAIL, EAFNOSUPPORT, EPROTONOSUPPORT].contains(errno)
        }
    }

    /// Listens on `address`; `what` begins the text of a failure.
    public static func listen(
        _ address: SocketAddress, backlog: Int, what: String
    ) throws(Failure) -> Int32 {
        var name = address
        let fd = try open(name.family, flags, what)
        set(fd, SOL_SOCKET, SO_REUSEADDR, 1)
        if name.family == AF_INET6 { set(fd, Int32(IPPROTO_IPV6), IPV6_V6ONLY, 1) }
        return try listen(fd, &name, backlog, what)
    }

    /// Listens on a unix socket and replaces a file that an earlier server left there.
    public static func listen(path: String, permissions: Int, backlog: Int) throws(Failure) -> Int32
    {
        let what = "cannot listen on unix socket \(path)"
        var name = try SocketAddress(path: path, what: what)
        let fd = try open(AF_UNIX, flags, what)
        unlink(path)
        let listener = try listen(fd, &name, backlog, what)
        if permissions > 0 { chmod(path, mode_t(permissions)) }
        return listener
    }

    private static func listen(
        _ fd: Int32, _ name: inout SocketAddress, _ backlog: Int, _ what: String
    ) throws(Failure) -> Int32 {
        let status = name.with { Glibc.bind(fd, $0, $1) }
        guard status == 0, Glibc.listen(fd, Int32(clamping: backlog)) == 0 else {
            throw failed(fd, what)
        }
        return fd
    }

    /// Begins to connect to `address`. The socket becomes writable when it is connected, or when it
    /// cannot be.
    public static func beginConnecting(_ address: SocketAddress) throws(Failure) -> Int32 {
        let what = "cannot connect"
        var name = address
        let fd = try open(name.family, flags, what)
        let status = name.with { Glibc.connect(fd, $0, $1) }
        guard status == 0 || errno == EINPROGRESS else { throw failed(fd, what) }
        return fd
    }

    /// The error of a socket that was connecting; nil if it is connected.
    public static func connectError(_ fd: Int32) -> String? {
        var code: Int32 = 0
        var size = socklen_t(MemoryLayout<Int32>.size)
        if getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &size) != 0 { code = errno }
        return code == 0 ? nil : String(cString: strerror(code))
    }

    /// Sends one datagram to the unix socket at `path`, or to that of a name that begins with @.
    public static func sendDatagram(_ text: String, to path: String) throws(Failure) {
        let what = "cannot send to \(path)"
        var name = try SocketAddress(path: path, what: what, mayBeNameless: true)
        let fd = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | flags, 0)
        guard fd >= 0 else { throw Failure(what: what, errno: errno) }
        defer { close(fd) }
        let bytes = Array(text.utf8)
        let count = name.with { sendto(fd, bytes, bytes.count, Int32(MSG_NOSIGNAL), $0, $1) }
        guard count == bytes.count else { throw Failure(what: what, errno: errno) }
    }

    private static func open(
        _ family: Int32, _ flags: Int32, _ what: String
    ) throws(Failure) -> Int32 {
        let fd = socket(family, Int32(SOCK_STREAM.rawValue) | flags, 0)
        guard fd >= 0 else { throw Failure(what: what, errno: errno) }
        return fd
    }

    /// Closes `fd` and returns errno as a failure.
    private static func failed(_ fd: Int32, _ what: String) -> Failure {
        let code = errno
        close(fd)
        return Failure(what: what, errno: code)
    }

    private static let flags = Int32(SOCK_NONBLOCK.rawValue) | Int32(SOCK_CLOEXEC.rawValue)

    /// An accepted connection, with the addresses of both ends.
    public struct Accepted: Sendable {
        public let fd: Int32
        public let remote: String
        public let local: String
        public let isLoopback: Bool
        public let isUnixSocket: Bool
    }

    /// Accepts the next connection that waits on `listener`. Returns nil, with errno set, if none
    /// waits or it cannot be accepted.
    public static func accept(_ listener: Int32, unixPath: String?, keepAliveSeconds: Int)
        -> Accepted?
    {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let fd = martlet_accept(listener, &storage, &length)
        guard fd >= 0 else { return nil }
        if let unixPath {
            return Accepted(
                fd: fd, remote: "\(unixPath):0", local: "\(unixPath):0", isLoopback: true,
                isUnixSocket: true)
        }
        set(fd, Int32(IPPROTO_TCP), TCP_NODELAY, 1)
        keepAlive(fd, seconds: keepAliveSeconds)
        let remote = describe(&storage)
        var localStorage = sockaddr_storage()
        var localLength = socklen_t(MemoryLayout<sockaddr_storage>.size)
        _ = withUnsafeMutablePointer(to: &localStorage) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                getsockname(fd, $0, &localLength)
            }
        }
        let local = describe(&localStorage)
        return Accepted(
            fd: fd, remote: remote.text, local: local.text, isLoopback: remote.isLoopback,
            isUnixSocket: false)
    }

    /// Sets `tcp-keepalive`: the first probe after `seconds` idle seconds, three probes in all, a
    /// third of that time apart.
    static func keepAlive(_ fd: Int32, seconds: Int) {
        guard seconds > 0 else { return }
        let tcp = Int32(IPPROTO_TCP)
        set(fd, SOL_SOCKET, SO_KEEPALIVE, 1)
        set(fd, tcp, TCP_KEEPIDLE, Int32(clamping: seconds))
        set(fd, tcp, TCP_KEEPINTVL, Int32(clamping: max(1, seconds / 3)))
        set(fd, tcp, TCP_KEEPCNT, 3)
    }

    private static func set(_ fd: Int32, _ level: Int32, _ option: Int32, _ value: Int32) {
        var value = value
        setsockopt(fd, level, option, &value, socklen_t(MemoryLayout<Int32>.size))
    }

    /// "address:port", and whether the address is this machine's own.
    private static func describe(_ storage: inout sockaddr_storage) -> (
        text: String, isLoopback: Bool
    ) {
        var text = [CChar](repeating: 0, count: 64)
        if Int32(storage.ss_family) == AF_INET6 {
            return withUnsafePointer(to: &storage) {
                $0.withMemoryRebound(to: sockaddr_in6.self, capacity: 1) { name in
                    var address = name.pointee.sin6_addr
                    inet_ntop(AF_INET6, &address, &text, socklen_t(text.count))
                    let host = string(text)
                    let port = in_port_t(bigEndian: name.pointee.sin6_port)
                    return ("[\(host)]:\(port)", host == "::1")
                }
            }
        }
        return withUnsafePointer(to: &storage) {
            $0.withMemoryRebound(to: sockaddr_in.self, capacity: 1) { name in
                var address = name.pointee.sin_addr
                inet_ntop(AF_INET, &address, &text, socklen_t(text.count))
                let host = string(text)
                let port = in_port_t(bigEndian: name.pointee.sin_port)
                return ("\(host):\(port)", host.hasPrefix("127."))
            }
        }
    }

    private static func string(_ text: [CChar]) -> String {
        String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }
}
