// SPDX-License-Identifier: Apache-2.0
import Base
import Glibc
import Networking

/// The verb `healthcheck`: does the server of this configuration answer PING in time?
///
/// It asks at every address of the server at once. One answer is enough, and any answer shows that
/// the server serves: it may want a password, or have no place for another client.
enum HealthCheck {
    private static let patience: Milliseconds = 3000
    private static let replySizeMax = 4096

    static func run(_ configuration: Configuration) -> Int32 {
        guard let problem = problem(configuration) else { return 0 }
        Program.complain("healthcheck: \(problem)")
        return 1
    }

    /// Why no address answers; nil if one does.
    private static func problem(_ configuration: Configuration) -> String? {
        var problems: [String] = []
        var attempts: [Attempt] = []
        for target in targets(configuration) {
            do throws(Socket.Failure) {
                for address in try target.addresses() {
                    let fd = try Socket.beginConnecting(address)
                    attempts.append(Attempt(name: target.name, fd: fd))
                }
            } catch {
                problems.append("\(target.name): \(error.reason)")
            }
        }
        let descriptors = attempts.map(\.fd)
        defer { for fd in descriptors { close(fd) } }
        let deadline = Clock.monotonicMilliseconds + patience
        while !attempts.isEmpty {  // Bound: ends at the deadline.
            let rest = deadline - Clock.monotonicMilliseconds
            guard rest > 0 else {
                let late = "no answer within \(patience / 1000) seconds"
                problems += attempts.map { "\($0.name): \(late)" }
                break
            }
            var ready = attempts.map {
                pollfd(fd: $0.fd, events: Int16($0.hasAsked ? POLLIN : POLLOUT), revents: 0)
            }
            poll(&ready, nfds_t(ready.count), Int32(rest))
            for index in attempts.indices.reversed() where ready[index].revents != 0 {
                switch attempts[index].advance() {
                case .waiting: continue
                case .answered: return nil
                case .failed(let reason):
                    problems.append("\(attempts[index].name): \(reason)")
                    attempts.remove(at: index)
                }
            }
        }
        return problems.isEmpty
            ? "the server has no address: port is 0 and no unixsocket is set"
            : problems.joined(separator: "; ")
    }

    // MARK: - Where to ask

    private struct Target {
        let name: String
        let addresses: () throws(Socket.Failure) -> [SocketAddress]
    }

    private static func targets(_ configuration: Configuration) -> [Target] {
        var targets: [Target] = []
        let port = configuration.integer("port")
        let hosts = configuration.words("bind").flatMap(Server.hosts).map(\.host)
        for host in port > 0 ? hosts : [] {
            let own =
                switch host {
                case "*", "0.0.0.0": "127.0.0.1"
                case "::*", "::": "::1"
                default: host
                }
            targets.append(
                Target(name: "\(own) port \(port)") { () throws(Socket.Failure) in
                    try SocketAddress.all(own, port: port, what: own)
                })
        }
        let path = configuration.text("unixsocket")
        if !path.isEmpty {
            let path = TextFile.resolve(path, in: configuration.text("dir"))
            targets.append(
                Target(name: path) { () throws(Socket.Failure) in
                    [try SocketAddress(path: path, what: path)]
                })
        }
        return targets
    }

    // MARK: - Asking

    private struct Attempt {
        enum State {
            case waiting
            case answered
            case failed(String)
        }

        let name: String
        let fd: Int32
        var hasAsked = false
        private var reply: [UInt8] = []

        init(name: String, fd: Int32) {
            self.name = name
            self.fd = fd
        }

        /// Sends PING or reads the answer; the socket is ready for it.
        mutating func advance() -> State {
            guard hasAsked else {
                if let reason = Socket.connectError(fd) { return .failed(reason) }
                hasAsked = true
                // Why the result does not matter: a server without room for another client answers
                // and closes before it hears anything.
                _ = send(fd, "PING\r\n", 6, Int32(MSG_NOSIGNAL))
                return .waiting
            }
            var chunk = [UInt8](repeating: 0, count: 512)
            let count = recv(fd, &chunk, chunk.count, 0)
            guard count != 0 else { return .failed("closed the connection without an answer") }
            guard count > 0 else {
                return errno == EAGAIN || errno == EINTR
                    ? .waiting : .failed(String(cString: strerror(errno)))
            }
            reply += chunk[..<count]
            let types = Array("+-:$*_#,(!=%~>".utf8)
            guard let type = reply.first, types.contains(type), reply.count <= replySizeMax else {
                return .failed("answers in another protocol")
            }
            return reply.contains(10) ? .answered : .waiting
        }
    }
}
