// SPDX-License-Identifier: Apache-2.0
import Base
import Synchronization
import Testing
import Wire

/// What a thread counts for the requests that it serves.
@Suite struct StatisticsTests {
    private static func errors(_ host: Host) -> [String] {
        var all: [String] = []
        host.thread.errorTally.pointee.forEachWord {
            all.append("\(String(decoding: $0, as: UTF8.self))=\($1)")
        }
        return all
    }

    /// Calls, refusals and failures of a command.
    private static func counts(_ host: Host, _ name: String) -> [Int] {
        guard let entry = Array(name.utf8).withBytes({ host.server.commands.find($0) }) else {
            return []
        }
        let line = host.statistics[entry.pointee.number]
        return [line.pointee.calls.value, line.pointee.rejected.value, line.pointee.failed.value]
    }

    @Test func errorsAreCountedHoweverTheyComeAbout() {
        let host = Host()
        let client = Client(host)
        client.send(["SET", "a", "x"], ["GET", "a"])
        #expect(Self.errors(host).isEmpty)
        client.send(["GET"], ["NOSUCH"], ["HSET", "a", "b", "c"], ["CLIENT", "REPLY", "x"])
        #expect(Self.errors(host) == ["ERR=3", "WRONGTYPE=1"])
        client.send(["CLIENT", "REPLY", "OFF"], ["GET"], ["CLIENT", "REPLY", "ON"])
        #expect(Self.errors(host) == ["ERR=4", "WRONGTYPE=1"])
        client.send("*1\r\n:1\r\n")
        #expect(Self.errors(host) == ["ERR=5", "WRONGTYPE=1"])
        #expect(Client(host, isAuthenticated: false).ask("GET", "a").hasPrefix("-NOAUTH"))
        #expect(Self.errors(host) == ["ERR=5", "WRONGTYPE=1", "NOAUTH=1"])
    }

    @Test func refusalsCountAtTheCommandThatWasFound() {
        let host = Host()
        let client = Client(host)
        client.send(["CONFIG", "NOSUCH"], ["NOSUCH"])
        #expect(Self.counts(host, "config") == [0, 0, 0])
        client.send(["CONFIG"], ["GET"])
        #expect(Self.counts(host, "config") == [0, 1, 0])
        #expect(Self.counts(host, "get") == [0, 1, 0])
        #expect(Self.errors(host) == ["ERR=4"])
    }

    @Test func aTransactionFailsOnlyByItself() {
        let host = Host()
        let client = Client(host)
        client.send(["SET", "a", "x"], ["MULTI"], ["INCR", "a"], ["INCR", "a"], ["EXEC"])
        #expect(Self.errors(host) == ["ERR=2"])
        #expect(Self.counts(host, "incr") == [2, 0, 2])
        #expect(Self.counts(host, "exec") == [1, 0, 0])
        client.send(["MULTI"], ["GET"], ["EXEC"])
        #expect(Self.errors(host) == ["ERR=3", "EXECABORT=1"])
        #expect(Self.counts(host, "get") == [0, 1, 0])
        #expect(Self.counts(host, "exec") == [2, 0, 1])
        client.send(["EXEC"])
        #expect(Self.counts(host, "exec") == [3, 0, 2])
    }
}
