// SPDX-License-Identifier: Apache-2.0
import Glibc
import LoadKit

/// Logs in on a new connection, while it still blocks, with HELLO or AUTH as the options say.
enum Handshake {
    static func perform(
        _ descriptor: Int32, _ options: LoadOptions, tenant: Int
    ) throws(LoadError) {
        var name = options.user
        var secret = options.password
        if let credentials = options.tenantCredentials {
            let credential = credentials.credential(of: tenant)
            name = credential.name
            secret = credential.secret
        }
        if options.usesRESP3 {
            var words = ["HELLO", "3"]
            if let secret { words += ["AUTH", name ?? "default", secret] }
            try exchange(descriptor, words)
        } else if let secret {
            try exchange(descriptor, ["AUTH"] + (name.map { [$0] } ?? []) + [secret])
        }
    }

    private static func exchange(_ descriptor: Int32, _ words: [String]) throws(LoadError) {
        var request = "*\(words.count)\r\n"
        for word in words { request += "$\(word.utf8.count)\r\n\(word)\r\n" }
        let bytes = Array(request.utf8)
        guard send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL)) == bytes.count
        else { throw .system("\(words[0]) could not be sent") }
        var scanner = ReplyScanner()
        var pending: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = recv(descriptor, &chunk, chunk.count, 0)
            guard count > 0 else {
                if count == 0 { throw LoadError("\(words[0]): the server closed the connection") }
                throw .system("\(words[0]) was not answered")
            }
            pending += chunk[..<count]
            var position = 0
            switch scanner.next(pending.span, at: &position) {
            case .reply(let reply):
                if let text = reply.errorText { throw LoadError("\(words[0]): \(text)") }
                return
            case .malformed:
                throw LoadError("\(words[0]): the server does not speak RESP")
            case .push, .incomplete:
                pending.removeFirst(position)
            }
        }
    }
}
