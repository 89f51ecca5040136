// SPDX-License-Identifier: Apache-2.0
import CLinux
import Glibc
import LoadKit

/// Why a load could not run.
struct LoadError: Error {
    let message: String

    init(_ message: String) { self.message = message }

    /// The message, followed by the text of `errno`.
    static func system(_ message: String) -> LoadError {
        LoadError("\(message): \(String(cString: strerror(errno)))")
    }
}

/// The server's address: looked up once, used for each connection.
struct Endpoint: Sendable {
    private let family: Int32
    private let address: [UInt8]
    private let name: String
    private let timeout: timeval

    init(_ options: LoadOptions) throws(LoadError) {
        name = options.endpointText
        let whole = options.timeoutSeconds.rounded(.down)
        timeout = timeval(
            tv_sec: Int(whole), tv_usec: Int((options.timeoutSeconds - whole) * 1e6))
        if let path = options.unixPath {
            family = AF_UNIX
            address = try Endpoint.unixAddress(path)
        } else {
            (family, address) = try Endpoint.lookUp(options.host, options.port)
        }
    }

    /// A connected blocking socket whose reads and writes time out.
    func connect() throws(LoadError) -> Int32 {
        let descriptor = socket(family, Int32(SOCK_STREAM.rawValue), 0)
        guard descriptor >= 0 else { throw .system("socket") }
        var limit = timeout
        let limitSize = socklen_t(MemoryLayout<timeval>.size)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, limitSize)
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, limitSize)
        if family != AF_UNIX {
            var on: Int32 = 1
            let size = socklen_t(MemoryLayout<Int32>.size)
            setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &on, size)
        }
        let status = address.withUnsafeBytes { bytes -> Int32 in
            // Safety: the bytes are a socket address of this family and of this length.
            guard let base = bytes.baseAddress else { return -1 }
            return Glibc.connect(
                descriptor, base.assumingMemoryBound(to: sockaddr.self), socklen_t(bytes.count))
        }
        guard status == 0 else {
            let error = LoadError.system("cannot connect to \(name)")
            close(descriptor)
            throw error
        }
        return descriptor
    }

    private static func unixAddress(_ path: String) throws(LoadError) -> [UInt8] {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let bytes = Array(path.utf8)
        let fits = withUnsafeMutableBytes(of: &address.sun_path) { place in
            // One byte stays 0 to end the path.
            guard bytes.count < place.count else { return false }
            place.copyBytes(from: bytes)
            return true
        }
        guard fits else { throw LoadError("the socket's path is too long: \(path)") }
        return withUnsafeBytes(of: &address) { Array($0) }
    }

    private static func lookUp(
        _ host: String, _ port: Int
    ) throws(LoadError) -> (Int32, [UInt8]) {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        let status = getaddrinfo(host, String(port), &hints, &list)
        guard status == 0, let found = list, let address = found.pointee.ai_addr else {
            throw LoadError("cannot look up \(host): \(String(cString: gai_strerror(status)))")
        }
        defer { freeaddrinfo(list) }
        // Safety: getaddrinfo returned an address of `ai_addrlen` bytes.
        let bytes = UnsafeRawBufferPointer(start: address, count: Int(found.pointee.ai_addrlen))
        return (found.pointee.ai_family, Array(bytes))
    }
}
