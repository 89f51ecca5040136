// SPDX-License-Identifier: Apache-2.0
import Base
import CLinux
import Glibc

/// Listening sockets and what is set on accepted ones.
public enum Socket {
    public struct Failure: Error {
        public let what: String
        public let errno: Int32
        public var message: String { "\(what): \(String(cString: strerror(errno)))" }
    }

    /// Listens on `address` (IPv4, IPv6, "*" for all IPv4, "::*" or "::" for all IPv6) and `port`.
    public static func listen(address: String, port: Int, backlog: Int) throws(Failure) -> Int32 {
        let isSix = address.utf8.contains(UInt8(ascii: ":"))
        let what = "cannot listen on \(address) port \(port)"
        let fd = socket(isSix ? AF_INET6 : AF_INET, Int32(SOCK_STREAM.rawValue) | flags, 0)
        guard fd >= 0 else { throw Failure(what: what, errno: errno) }
        set(fd, SOL_SOCKET, SO_REUSEADDR, 1)
        var status: Int32 = -1
        if isSix {
            set(fd, Int32(IPPROTO_IPV6), IPV6_V6ONLY, 1)
            var name = sockaddr_in6()
            name.sin6_family = sa_family_t(AF_INET6)
            name.sin6_port = in_port_t(port).bigEndian
            let text = address == "::*" ? "::" : address
            guard inet_pton(AF_INET6, text, &name.sin6_addr) == 1 else {
                close(fd)
                throw Failure(what: what, errno: EINVAL)
            }
            status = withUnsafePointer(to: &name) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    Glibc.bind(fd, $0, socklen_t(MemoryLayout<sockaddr_in6>.size))
                }
            }
        } else {
            var name = sockaddr_in()
            name.sin_family = sa_family_t(AF_INET)
            name.sin_port = in_port_t(port).bigEndian
            let text = address == "*" ? "0.0.0.0" : address == "localhost" ? "127.0.0.1" : address
            guard inet_pton(AF_INET, text, &name.sin_addr) == 1 else {
                close(fd)
                throw Failure(what: what, errno: EINVAL)
            }
            status = withUnsafePointer(to: &name) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    Glibc.bind(fd, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
                }
            }
        }
        guard status == 0, Glibc.listen(fd, Int32(clamping: backlog)) == 0 else {
            let code = errno
            close(fd)
            throw Failure(what: what, errno: code)
        }
        return fd
    }

    /// Listens on a unix socket; a file that an earlier server left there is replaced.
    public static func listen(path: String, permissions: Int, backlog: Int) throws(Failure) -> Int32 {
        let what = "cannot listen on unix socket \(path)"
        var name = sockaddr_un()
        let bytes = Array(path.utf8)
        guard bytes.count < MemoryLayout.size(ofValue: name.sun_path) else {
            throw Failure(what: what, errno: ENAMETOOLONG)
        }
        let fd = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | flags, 0)
        guard fd >= 0 else { throw Failure(what: what, errno: errno) }
        unlink(path)
        name.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &name.sun_path) { $0.copyBytes(from: bytes) }
        let status = withUnsafePointer(to: &name) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.bind(fd, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard status == 0, Glibc.listen(fd, Int32(clamping: backlog)) == 0 else {
            let code = errno
            close(fd)
            throw Failure(what: what, errno: code)
        }
        if permissions > 0 { chmod(path, mode_t(permissions)) }
        return fd
    }

    private static let flags = Int32(SOCK_NONBLOCK.rawValue) | Int32(SOCK_CLOEXEC.rawValue)

    /// An accepted connection, with the names of both ends.
    public struct Accepted: Sendable {
        public let fd: Int32
        public let remote: String
        public let local: String
        public let isLoopback: Bool
        public let isUnixSocket: Bool
    }

    /// The next waiting connection of `listener`, or nil where there is none now.
    public static func accept(_ listener: Int32, unixPath: String?, keepAliveSeconds: Int) -> Accepted? {
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

    /// Sets `tcp-keepalive`: probes after so many idle seconds, three of them a third of that
    /// apart.
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

    /// "address:port" and whether the address is this machine's own.
    private static func describe(_ storage: inout sockaddr_storage) -> (text: String, isLoopback: Bool) {
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
