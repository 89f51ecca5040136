// SPDX-License-Identifier: Apache-2.0
import Base
import Commands
import Sessions
import Storage
import TestSupport
import Testing

/// A session whose keys another thread holds for long waits instead of its thread.
@Suite struct BusyShardTests {
    /// Holds the shard of `key` as another thread would, while `body` runs.
    private func whileHeld(_ key: String, _ host: Host, _ body: () -> Void) {
        let other = Worker.make(registry: host.registry, settings: host.settings)
        defer { other.destroy() }
        Array(key.utf8).withBytes { key in
            let keyspace = host.registry.keyspace(host.registry.server, 0)
            let hold = Hold(other, key, in: keyspace, creating: false)
            body()
            hold.end()
        }
    }

    @Test(arguments: [
        ["GET", "k"], ["SET", "k", "v"], ["MGET", "a", "k", "b"], ["DEL", "k", "a"],
        ["SUNIONSTORE", "a", "k"],
    ])
    func aCommandOnAHeldKeyWaits(words: [String]) {
        let host = Host()
        let client = Client(host)
        #expect(client.ask("SADD", "a", "1") == ":1\r\n")
        let undisturbed = Client(Host())
        #expect(undisturbed.ask("SADD", "a", "1") == ":1\r\n")
        whileHeld("k", host) {
            client.send(words, ["PING"])
            #expect(client.suspension == .busy && client.takeReplies() == "")
            client.resume()
            #expect(client.suspension == .busy && client.takeReplies() == "")
        }
        client.resume()
        undisturbed.send(words, ["PING"])
        #expect(client.suspension == nil && client.takeReplies() == undisturbed.takeReplies())
    }

    @Test func aTransactionWaitsWhole() {
        let host = Host()
        let client = Client(host)
        client.send(["MULTI"], ["SET", "a", "1"], ["SET", "k", "2"])
        _ = client.takeReplies()
        whileHeld("k", host) {
            client.send([["EXEC"], ["GET", "a"]].map(RESP.request).joined())
            #expect(client.suspension == .busy)
            #expect(Client(host, id: 2).ask("GET", "a") == "$-1\r\n")
        }
        client.resume()
        #expect(client.takeReplies() == "*2\r\n+OK\r\n+OK\r\n$1\r\n1\r\n")
    }

    /// Commands without keys are counted on a shard of their tenant.
    @Test func aCommandWithoutKeysWaitsForItsHome() {
        let host = Host()
        let client = Client(host)
        #expect(client.ask("PING") == "+PONG\r\n")
        let home = (0..<10_000).map { "k\($0)" }.first { isAtHome($0, host) }
        whileHeld(home ?? "", host) {
            client.send(["PING"])
            #expect(client.suspension == .busy)
        }
        client.resume()
        #expect(client.takeReplies() == "+PONG\r\n")
    }

    private func isAtHome(_ key: String, _ host: Host) -> Bool {
        let keyspace = host.registry.keyspace(host.registry.server, 0)
        return Array(key.utf8).withBytes { keyspace.shard(Hash($0)) == keyspace.shard(at: 0) }
    }
}
