// SPDX-License-Identifier: Apache-2.0
import Base
import Commands
import Testing

/// SLOWLOG and LATENCY. Errors are those of redis-server 7.0.15.
@Suite struct ObservationTests {
    /// A host that observes every request, as the server's settings make it do.
    private static func host(
        slowLogMicroseconds: Int = 0, countMax: Int = 128, latencyThreshold: Int = 0
    ) -> Host {
        let host = Host()
        let settings = host.settings.values
        settings.pointee.observedTicks.set(0)
        settings.pointee.slowLogMicroseconds.set(slowLogMicroseconds)
        settings.pointee.slowLogCountMax.set(countMax)
        settings.pointee.latencyThresholdMilliseconds.set(latencyThreshold)
        return host
    }

    private static func words(_ entries: [SlowLog.Entry]) -> [String] {
        entries.map { entry in
            entry.arguments.map { String(decoding: $0, as: UTF8.self) }.joined(separator: " ")
        }
    }

    @Test func badForms() {
        Client(Host()).converse(
            """
            SLOWLOG => -ERR wrong number of arguments for 'slowlog' command
            SLOWLOG NOSUCH => -ERR unknown subcommand 'NOSUCH'. Try SLOWLOG HELP.
            SLOWLOG GET x => -ERR count should be greater than or equal to -1
            SLOWLOG GET -2 => -ERR count should be greater than or equal to -1
            SLOWLOG GET 1 2 => -ERR unknown subcommand or wrong number of arguments for 'GET'. Try
              SLOWLOG HELP.
            SLOWLOG LEN x => -ERR wrong number of arguments for 'slowlog|len' command
            SLOWLOG GET -1 => *0
            SLOWLOG LEN => :0
            SLOWLOG RESET => +OK
            LATENCY => -ERR wrong number of arguments for 'latency' command
            LATENCY NOSUCH => -ERR unknown subcommand 'NOSUCH'. Try LATENCY HELP.
            LATENCY HISTORY => -ERR wrong number of arguments for 'latency|history' command
            LATENCY HISTORY nosuch => *0
            LATENCY LATEST => *0
            LATENCY LATEST x => -ERR wrong number of arguments for 'latency|latest' command
            LATENCY RESET => :0
            LATENCY RESET command x => :0
            LATENCY HISTOGRAM nosuch get => *0
            """)
    }

    @Test func aTenantSeesNothing() throws {
        let host = Host()
        try host.registry.create(id: Array("acme".utf8), plan: nil, secretDigest: nil)
        let client = Client(host, tenant: "acme")
        for words in [["SLOWLOG", "GET"], ["SLOWLOG", "LEN"], ["LATENCY", "LATEST"]] {
            #expect(client.ask(words).hasPrefix("-NOPERM"), "\(words)")
        }
    }

    /// A name is as long as its client likes, and entries stay when the client has gone.
    @Test func aLongNameIsCut() {
        let host = Self.host(countMax: 3)
        let client = Client(host)
        client.send(["CLIENT", "SETNAME", String(repeating: "n", count: 100_000)], ["GET", "a"])
        #expect(host.server.slowLog.newest(.max).allSatisfy { $0.name.count <= 128 })
        #expect(host.server.slowLog.newest(1)[0].name.count == 128)
    }

    @Test func slowRequestsAreKeptNewestFirst() {
        let host = Self.host(countMax: 3)
        let client = Client(host)
        client.send(["CLIENT", "SETNAME", "me"], ["SET", "a", "1"], ["GET", "a"], ["NOSUCH"])
        client.send(["MULTI"], ["INCR", "a"], ["EXEC"])
        let log = host.server.slowLog
        // The slow log keeps the commands of a transaction, but not EXEC. It keeps no unknown
        // command.
        #expect(Self.words(log.newest(.max)) == ["INCR a", "MULTI", "GET a"])
        #expect(Self.words(log.newest(1)) == ["INCR a"])
        #expect(log.newest(1)[0].id == 4 && log.newest(1)[0].name == Array("me".utf8))
        #expect(log.newest(1)[0].address == "127.0.0.1:1")
        _ = client.takeReplies()
        let reply = client.ask("SLOWLOG", "GET", "1")
        #expect(reply.hasPrefix("*1\r\n*6\r\n:4\r\n:\(host.worker.now / 1000)\r\n:"), "\(reply)")
        #expect(
            reply.hasSuffix("*2\r\n$4\r\nINCR\r\n$1\r\na\r\n$11\r\n127.0.0.1:1\r\n$2\r\nme\r\n"))
        #expect(client.ask("SLOWLOG", "RESET") == "+OK\r\n")
        // Ids go on: a reader tells new entries from old ones by them.
        #expect(log.newest(.max).map(\.id) == [6] && log.count == 1)
        #expect(Self.words(log.newest(.max)) == ["SLOWLOG RESET"])
    }

    @Test func onlySlowRequestsAreKept() {
        let host = Self.host(slowLogMicroseconds: 60_000_000)
        Client(host).send(["SET", "a", "1"])
        #expect(host.server.slowLog.count == 0)
        host.settings.values.pointee.slowLogMicroseconds.set(-1)
        Client(host).send(["SET", "a", "1"])
        #expect(host.server.slowLog.count == 0)
        host.settings.values.pointee.slowLogMicroseconds.set(0)
        host.settings.values.pointee.slowLogCountMax.set(0)
        Client(host).send(["SET", "a", "1"])
        #expect(host.server.slowLog.count == 0)
    }

    @Test func longRequestsAreCut() {
        let host = Self.host()
        let client = Client(host)
        client.send(["SET", "a", String(repeating: "x", count: 130)])
        let long = String(repeating: "x", count: 128) + "... (2 more bytes)"
        #expect(Self.words(host.server.slowLog.newest(1)) == ["SET a \(long)"])
        client.send(["DEL"] + (1...32).map { "\($0)" })
        let kept = host.server.slowLog.newest(1)[0].arguments
        #expect(kept.count == 32)
        #expect(kept[30] == Array("30".utf8) && kept[31] == Array("... (2 more arguments)".utf8))
        client.send(["DEL"] + (1...31).map { "\($0)" })
        #expect(host.server.slowLog.newest(1)[0].arguments.last == Array("31".utf8))
    }

    @Test func secretsAreNotShown() {
        let host = Self.host()
        let client = Client(host)
        client.send(
            ["AUTH", "sesame"], ["HELLO", "3", "AUTH", "default", "sesame"],
            ["CONFIG", "SET", "requirepass", "sesame"],
            ["TENANT", "CREATE", "a", "SECRET", "sesame"],
            ["TENANT", "SECRET", "a", "sesame"], ["MULTI"], ["AUTH", "sesame"], ["EXEC"])
        let words = Self.words(host.server.slowLog.newest(.max))
        #expect(words.count == 7 && words[1] == "MULTI", "\(words)")
        #expect(words[0] == "AUTH (redacted)")
        #expect(words[4] == "CONFIG SET (redacted) (redacted)")
        #expect(!words.contains { $0.contains("sesame") }, "\(words)")
    }

    @Test func eventsByKind() {
        let events = LatencyEvents()
        events.add(.command, time: 100, milliseconds: 20)
        events.add(.command, time: 100, milliseconds: 50)
        events.add(.command, time: 100, milliseconds: 30)
        events.add(.command, time: 101, milliseconds: 10)
        events.add(.fastCommand, time: 101, milliseconds: 5)
        let series = events.series(of: .command)
        #expect(series?.samples.map(\.time) == [100, 101])
        #expect(series?.samples.map(\.milliseconds) == [50, 10])
        #expect(series?.millisecondsMax == 50)
        #expect(events.reset(.command) && !events.reset(.command))
        #expect(events.series(of: .fastCommand)?.samples.count == 1)
        for time in 0..<200 { events.add(.expireCycle, time: time, milliseconds: time) }
        let last = events.series(of: .expireCycle)?.samples ?? []
        #expect(last.count == 160 && last.first?.time == 40 && last.last?.time == 199)
    }

    @Test func slowCommandsAreEvents() {
        let host = Self.host(latencyThreshold: 1)
        host.settings.values.pointee.debugCommand.set(1)
        host.settings.values.pointee.rightsGeneration.wrappingAdd(1, ordering: .relaxed)
        let client = Client(host)
        client.send(["DEBUG", "SLEEP", "0.01"])
        _ = client.takeReplies()
        host.settings.values.pointee.latencyThresholdMilliseconds.set(0)
        let time = host.worker.now / 1000
        let reply = client.ask("LATENCY", "LATEST")
        #expect(reply.hasPrefix("*1\r\n*4\r\n$7\r\ncommand\r\n:\(time)\r\n:"), "\(reply)")
        let history = client.ask("LATENCY", "HISTORY", "command")
        #expect(history.hasPrefix("*1\r\n*2\r\n:\(time)\r\n:"), "\(history)")
        #expect(client.ask("LATENCY", "RESET", "command", "x") == ":1\r\n")
        #expect(client.ask("LATENCY", "LATEST") == "*0\r\n")
    }

    @Test func timesAreCountedWhileTrackingIsOn() {
        let host = Self.host(slowLogMicroseconds: -1)
        let client = Client(host)
        func count(_ name: String) -> Int? {
            let entry = Array(name.utf8).withBytes { host.server.commands.find($0) }
            return entry.flatMap { host.thread.latencies[$0.pointee.number]?.total }
        }
        client.send(["SET", "a", "1"])
        #expect(count("set") == nil)
        host.settings.values.pointee.latencyTracking.set(1)
        client.send(["SET", "a", "1"], ["SET", "a", "2"], ["GET", "a"], ["GET"])
        #expect(count("set") == 2 && count("get") == 1 && count("del") == nil)
        host.thread.latencies.reset()
        #expect(count("set") == nil)
    }
}
