// SPDX-License-Identifier: Apache-2.0
import Base
import Commands
import Storage
import Tenancy
import Testing

/// What parsing a batch finds out about a key may be wrong when the key's turn comes.
@Suite struct BatchTests {
    private func host() throws -> Host {
        Host(patterns: [try KeyPattern("tenant:{tenant}:*")])
    }

    private func answer(_ client: Client, _ requests: [[String]]) -> String {
        client.send(requests.map { RESP.request($0) }.joined())
        return client.takeReplies()
    }

    @Test func aTenantComesAndGoesWithinABatch() throws {
        let client = Client(try host())
        let get = ["GET", "tenant:a:1"]
        let set = ["SET", "tenant:a:1", "x"]
        let expected = "$-1\r\n+OK\r\n$1\r\nx\r\n:1\r\n$-1\r\n+OK\r\n$1\r\nx\r\n"
        #expect(answer(client, [get, set, get, ["DEL", "tenant:a:1"], get, set, get]) == expected)
        #expect(
            answer(client, [["DEL", "tenant:a:1"], get, set, get])
                == ":1\r\n$-1\r\n+OK\r\n$1\r\nx\r\n")
    }

    @Test func anotherDatabaseWithinABatch() throws {
        let client = Client(try host())
        let get = [["GET", "k"], ["GET", "tenant:a:1"]]
        _ = answer(client, [["SET", "k", "0"], ["SET", "tenant:a:1", "0"]])
        #expect(
            answer(client, get + [["SELECT", "1"]] + get + [["SELECT", "0"]] + get)
                == "$1\r\n0\r\n$1\r\n0\r\n+OK\r\n$-1\r\n$-1\r\n+OK\r\n$1\r\n0\r\n$1\r\n0\r\n")
    }

    @Test func aFlushWithinABatch() throws {
        let client = Client(try host())
        let set = ["SET", "tenant:a:1", "x"]
        let get = ["GET", "tenant:a:1"]
        #expect(
            answer(client, [set, get, ["FLUSHALL"], get, set, get])
                == "+OK\r\n$1\r\nx\r\n+OK\r\n$-1\r\n+OK\r\n$1\r\nx\r\n")
    }
}
