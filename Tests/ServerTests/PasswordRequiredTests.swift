// SPDX-License-Identifier: Apache-2.0
import Base
import Glibc
import Synchronization
import Testing

@testable import Server
@testable import Storage

/// Whether sessions begin unauthenticated, while several threads change secrets.
@Suite struct PasswordRequiredTests {
    private final class Begin: Sendable { let count = Atomic<Int>(0) }

    @Test func aSecretIsNeverOverlooked() throws {
        let folder = TemporaryFolder()
        let configuration = try Configuration(
            arguments: [
                "serve", "--port", "0", "--unixsocket", "\(folder.path)/socket", "--tenants-file",
                "\(folder.path)/tenants",
            ], environment: [:], settings: SettingsReference())
        let server = try Server(configuration: configuration)
        defer { for listener in server.listeners { close(listener.fd) } }
        let ids = [Array("a".utf8), Array("b".utf8)]
        for id in ids { try server.registry.create(id: id, plan: nil, secretDigest: nil) }
        var overlooked = 0
        for _ in 0..<1000 {
            try server.registry.setSecret(id: ids[0], digest: [1])
            try server.registry.setSecret(id: ids[1], digest: nil)
            server.refreshPasswordRequired()
            let begin = Begin()
            let threads = try (0..<2).map { number in
                try #require(
                    Thread("secret \(number)") {
                        begin.count.wrappingAdd(1, ordering: .sequentiallyConsistent)
                        while begin.count.load(ordering: .sequentiallyConsistent) < 2 {
                            sched_yield()
                        }
                        // One tenant loses its secret while the other gets one.
                        try? server.registry.setSecret(
                            id: ids[number], digest: number == 0 ? nil : [2])
                        server.refreshPasswordRequired()
                    })
            }
            for thread in threads { thread.join() }
            if server.settings.values.pointee.passwordRequired.value == 0 { overlooked += 1 }
        }
        #expect(overlooked == 0)
    }
}
