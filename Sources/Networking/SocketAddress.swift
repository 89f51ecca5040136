// SPDX-License-Identifier: Apache-2.0
import Glibc

/// A socket address of any family, in the form that system calls take.
struct SocketAddress {
    private var storage = sockaddr_storage()
    private let size: Int
    var family: Int32 { Int32(storage.ss_family) }

    /// An IPv4 or IPv6 address; "*" means all of IPv4, "::*" all of IPv6.
    init(_ text: String, port: Int, what: String) throws(Socket.Failure) {
        if text.utf8.contains(UInt8(ascii: ":")) {
            var name = sockaddr_in6()
            name.sin6_family = sa_family_t(AF_INET6)
            name.sin6_port = in_port_t(port).bigEndian
            guard inet_pton(AF_INET6, text == "::*" ? "::" : text, &name.sin6_addr) == 1 else {
                throw Socket.Failure(what: what, errno: EINVAL)
            }
            size = MemoryLayout<sockaddr_in6>.size
            store(name)
        } else {
            let host = text == "*" ? "0.0.0.0" : text == "localhost" ? "127.0.0.1" : text
            var name = sockaddr_in()
            name.sin_family = sa_family_t(AF_INET)
            name.sin_port = in_port_t(port).bigEndian
            guard inet_pton(AF_INET, host, &name.sin_addr) == 1 else {
                throw Socket.Failure(what: what, errno: EINVAL)
            }
            size = MemoryLayout<sockaddr_in>.size
            store(name)
        }
    }

    /// A unix socket.
    init(path: String, what: String) throws(Socket.Failure) {
        var name = sockaddr_un()
        name.sun_family = sa_family_t(AF_UNIX)
        let bytes = Array(path.utf8)
        guard bytes.count < MemoryLayout.size(ofValue: name.sun_path) else {
            throw Socket.Failure(what: what, errno: ENAMETOOLONG)
        }
        withUnsafeMutableBytes(of: &name.sun_path) { $0.copyBytes(from: bytes) }
        size = MemoryLayout<sockaddr_un>.size
        store(name)
    }

    private mutating func store<Name>(_ name: Name) {
        // Safety: sockaddr_storage has room for the address of any family.
        withUnsafeMutableBytes(of: &storage) { $0.storeBytes(of: name, as: Name.self) }
    }

    /// Calls `body` with the address in the form that system calls take.
    mutating func with<Result>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Result) -> Result {
        let size = socklen_t(size)
        return withUnsafePointer(to: &storage) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, size) }
        }
    }
}
