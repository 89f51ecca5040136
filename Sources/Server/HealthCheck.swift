// SPDX-License-Identifier: Apache-2.0
import Base
import Glibc
import Networking

/// The verb `healthcheck`: does the server of this configuration answer PING in time?
///
/// It connects to the first TCP address of the server, or to its unix socket if it has no port. A
/// server whose only credentials are tenants' secrets answers NOAUTH, which also shows that it
/// serves.
enum HealthCheck {
    private static let timeoutSeconds = 3
    private static let replySizeMax = 4096

    static func run(_ configuration: Configuration) -> Int32 {
        guard let problem = problem(configuration) else { return 0 }
        Program.complain("healthcheck: \(problem)")
        return 1
    }

    /// The problem, or nil.
    private static func problem(_ configuration: Configuration) -> String? {
        let descriptor: Int32
        do throws(Socket.Failure) { descriptor = try connect(configuration) } catch {
            return error.message
        }
        defer { close(descriptor) }
        let password = configuration.text("requirepass")
        var request = ""
        if !password.isEmpty {
            request = "*2\r\n$4\r\nAUTH\r\n$\(password.utf8.count)\r\n\(password)\r\n"
        }
        request += "*1\r\n$4\r\nPING\r\n"
        let bytes = Array(request.utf8)
        guard send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL)) == bytes.count else {
            return "the server does not accept the request"
        }
        let lineCount = password.isEmpty ? 1 : 2
        guard let reply = receive(descriptor, lineCount: lineCount) else {
            return "no answer within \(timeoutSeconds) seconds"
        }
        guard reply != "+PONG", !(password.isEmpty && reply.hasPrefix("-NOAUTH")) else {
            return nil
        }
        return "the server answered '\(reply)'"
    }

    private static func connect(_ configuration: Configuration) throws(Socket.Failure) -> Int32 {
        let port = configuration.integer("port")
        guard port > 0 else {
            let path = TextFile.resolve(
                configuration.text("unixsocket"), in: configuration.text("dir"))
            return try Socket.connect(path: path, timeoutSeconds: timeoutSeconds)
        }
        let word = configuration.words("bind").first ?? "127.0.0.1"
        let address = word.hasPrefix("-") ? String(word.dropFirst()) : word
        let target =
            switch address {
            case "*", "0.0.0.0": "127.0.0.1"
            case "::*", "::": "::1"
            default: address
            }
        return try Socket.connect(address: target, port: port, timeoutSeconds: timeoutSeconds)
    }

    /// The last of the first `lineCount` lines, without its line break; nil if they do not arrive
    /// in time.
    private static func receive(_ descriptor: Int32, lineCount: Int) -> String? {
        let deadline = Clock.nowMilliseconds + Milliseconds(timeoutSeconds) * 1000
        var reply: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 512)
        while Clock.nowMilliseconds < deadline, reply.count < replySizeMax {
            let count = recv(descriptor, &chunk, chunk.count, 0)
            if count > 0 { reply += chunk[..<count] }
            let lines = reply.split(separator: 10, omittingEmptySubsequences: false)
            if lines.count > lineCount {
                return String(decoding: lines[lineCount - 1].dropLast(), as: UTF8.self)
            }
            // Why a lone line counts: a refusal is one line, and the server closes the connection
            // behind it.
            if count <= 0 {
                return lines.count > 1 ? String(decoding: lines[0].dropLast(), as: UTF8.self) : nil
            }
        }
        return nil
    }
}
