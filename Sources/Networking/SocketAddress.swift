// SPDX-License-Identifier: Apache-2.0
import CLinux
import Glibc

/// A socket address of any family, in the form that system calls take.
public struct SocketAddress {
    private var storage = sockaddr_storage()
    private let size: Int
    var family: Int32 { Int32(storage.ss_family) }

    /// The addresses that `host` names: one if it is an address, else all that the system knows for
    /// the name. "*" means all of IPv4, "::*" all of IPv6.
    public static func all(
        _ host: String, port: Int, what: String
    ) throws(Socket.Failure) -> [SocketAddress] {
        if let address = SocketAddress(host, port: port) { return [address] }
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        hints.ai_flags = AI_NUMERICSERV
        var list: UnsafeMutablePointer<addrinfo>?
        let code = getaddrinfo(host, String(port), &hints, &list)
        guard code == 0 else {
            if code == EAI_SYSTEM { throw Socket.Failure(what: what, errno: errno) }
            throw Socket.Failure(
                what: what, errno: 0, isUnknownName: true,
                reason: String(cString: gai_strerror(code)))
        }
        defer { freeaddrinfo(list) }
        var addresses: [SocketAddress] = []
        var next = list
        while let entry = next {  // Bound: ends with the list.
            if let address = SocketAddress(entry.pointee) { addresses.append(address) }
            next = entry.pointee.ai_next
        }
        return addresses
    }

    /// An IPv4 or IPv6 address, or nil.
    private init?(_ text: String, port: Int) {
        if text.utf8.contains(UInt8(ascii: ":")) {
            var name = sockaddr_in6()
            name.sin6_family = sa_family_t(AF_INET6)
            name.sin6_port = in_port_t(port).bigEndian
            guard inet_pton(AF_INET6, text == "::*" ? "::" : text, &name.sin6_addr) == 1 else {
                return nil
            }
            size = MemoryLayout<sockaddr_in6>.size
            store(name)
        } else {
            var name = sockaddr_in()
            name.sin_family = sa_family_t(AF_INET)
            name.sin_port = in_port_t(port).bigEndian
            guard inet_pton(AF_INET, text == "*" ? "0.0.0.0" : text, &name.sin_addr) == 1 else {
                return nil
            }
            size = MemoryLayout<sockaddr_in>.size
            store(name)
        }
    }

    /// An address that the system found for a name; nil if it has no room.
    private init?(_ entry: addrinfo) {
        size = Int(entry.ai_addrlen)
        guard let address = entry.ai_addr, size <= MemoryLayout<sockaddr_storage>.size else {
            return nil
        }
        let source = UnsafeRawBufferPointer(start: address, count: size)
        // Safety: the address has `size` bytes, and they fit.
        withUnsafeMutableBytes(of: &storage) { $0.copyMemory(from: source) }
    }

    /// A unix socket. With `mayBeNameless`, a path that begins with @ is a name without a file.
    public init(
        path: String, what: String, mayBeNameless: Bool = false
    ) throws(Socket.Failure) {
        var name = sockaddr_un()
        name.sun_family = sa_family_t(AF_UNIX)
        var bytes = Array(path.utf8)
        guard bytes.count < MemoryLayout.size(ofValue: name.sun_path) else {
            throw Socket.Failure(what: what, errno: ENAMETOOLONG)
        }
        let isNameless = mayBeNameless && bytes.first == UInt8(ascii: "@")
        if isNameless { bytes[0] = 0 }
        withUnsafeMutableBytes(of: &name.sun_path) { $0.copyBytes(from: bytes) }
        // Why: every byte of a name without a file counts, zero bytes too.
        let whole = MemoryLayout<sockaddr_un>.size
        size =
            isNameless
            ? whole - MemoryLayout.size(ofValue: name.sun_path) + bytes.count : whole
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

extension SocketAddress: Equatable {
    public static func == (left: SocketAddress, right: SocketAddress) -> Bool {
        guard left.size == right.size else { return false }
        return withUnsafeBytes(of: left.storage) { left in
            withUnsafeBytes(of: right.storage) { right in left.elementsEqual(right) }
        }
    }
}
