// SPDX-License-Identifier: Apache-2.0
import Base
import Commands
import Storage
import Testing

/// OBJECT, MEMORY and LOLWUT. The replies of the conversation are those of redis-server 7.0.
@Suite struct InspectionCommandTests {
    @Test func everyFormAndEveryError() {
        Client(Host()).converse(
            """
            OBJECT => -ERR wrong number of arguments for 'object' command
            OBJECT NOSUCH => -ERR unknown subcommand 'NOSUCH'. Try OBJECT HELP.
            OBJECT NOSUCH x => -ERR unknown subcommand 'NOSUCH'. Try OBJECT HELP.
            OBJECT ENCODING => -ERR wrong number of arguments for 'object|encoding' command
            OBJECT ENCODING x => $-1
            OBJECT ENCODING x y => -ERR wrong number of arguments for 'object|encoding' command
            OBJECT REFCOUNT x => $-1
            OBJECT IDLETIME x => $-1
            OBJECT FREQ x => $-1
            OBJECT HELP x => -ERR wrong number of arguments for 'object|help' command
            SET s abc => +OK
            SET i 12 => +OK
            SET l aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa => +OK
            HSET h a b => :1
            SADD is 1 => :1
            OBJECT ENCODING s => $6 embstr
            OBJECT ENCODING i => $3 int
            OBJECT ENCODING l => $3 raw
            OBJECT ENCODING h => $8 listpack
            OBJECT ENCODING is => $6 intset
            APPEND s d => :4
            OBJECT ENCODING s => $3 raw
            OBJECT REFCOUNT s => :1
            OBJECT IDLETIME s => :0
            OBJECT FREQ s => -ERR An LFU maxmemory policy is not selected, access frequency not
              tracked. Please note that when switching between policies at runtime LRU and LFU
              data will take some time to adjust.
            MEMORY => -ERR wrong number of arguments for 'memory' command
            MEMORY NOSUCH => -ERR unknown subcommand 'NOSUCH'. Try MEMORY HELP.
            MEMORY USAGE => -ERR wrong number of arguments for 'memory|usage' command
            MEMORY USAGE x => $-1
            MEMORY USAGE x SAMPLES => -ERR syntax error
            MEMORY USAGE x SAMPLES x => -ERR value is not an integer or out of range
            MEMORY USAGE x SAMPLES -1 => -ERR syntax error
            MEMORY USAGE x SAMPLES 0 => $-1
            MEMORY USAGE x foo 5 => -ERR syntax error
            MEMORY USAGE x SAMPLES 5 y => -ERR syntax error
            MEMORY USAGE x SAMPLES 5 samples 6 => $-1
            MEMORY USAGE x SAMPLES 5 SAMPLES -6 => -ERR syntax error
            MEMORY DOCTOR x => -ERR wrong number of arguments for 'memory|doctor' command
            MEMORY STATS x => -ERR wrong number of arguments for 'memory|stats' command
            MEMORY PURGE => +OK
            MEMORY PURGE x => -ERR wrong number of arguments for 'memory|purge' command
            MEMORY MALLOC-STATS x => -ERR wrong number of arguments for 'memory|malloc-stats'
              command
            MEMORY HELP x => -ERR wrong number of arguments for 'memory|help' command
            """)
    }

    // MARK: - OBJECT

    /// As redis-server 7.0.15 answers.
    @Test func smallIntegersAreShared() {
        let host = Host()
        let client = Client(host)
        client.converse(
            """
            MSET zero 0 last 9999 beyond 10000 below -1 padded 007 float 1.0 => +OK
            OBJECT REFCOUNT zero => :2147483647
            OBJECT REFCOUNT last => :2147483647
            OBJECT REFCOUNT beyond => :1
            OBJECT REFCOUNT below => :1
            OBJECT REFCOUNT padded => :1
            OBJECT REFCOUNT float => :1
            DECR beyond => :9999
            OBJECT REFCOUNT beyond => :2147483647
            INCR last => :10000
            OBJECT REFCOUNT last => :1
            INCRBYFLOAT zero 5 => $1 5
            OBJECT REFCOUNT zero => :1
            APPEND counter 5 => :1
            OBJECT REFCOUNT counter => :2147483647
            SET a 5 => +OK
            APPEND a 5 => :2
            OBJECT REFCOUNT a => :1
            SET a 5 EX 100 => +OK
            OBJECT REFCOUNT a => :2147483647
            SADD set 5 => :1
            OBJECT REFCOUNT set => :1
            HSET hash f 5 => :1
            OBJECT REFCOUNT hash => :1
            """)
        // Entries that need an access time of their own share nothing.
        func count(_ policy: EvictionPolicy, memoryMax: Int) -> String {
            host.settings.values.pointee.evictionPolicy.set(policy.rawValue)
            host.settings.values.pointee.memoryMax.set(memoryMax)
            defer { host.settings.values.pointee.memoryMax.set(0) }
            return client.ask("OBJECT", "REFCOUNT", "a")
        }
        for policy in EvictionPolicy.allCases {
            let isRanked = ["lru", "lfu"].contains { policy.name.hasSuffix($0) }
            #expect(count(policy, memoryMax: 0) == ":2147483647\r\n", "\(policy)")
            #expect(
                count(policy, memoryMax: 1 << 30) == (isRanked ? ":1\r\n" : ":2147483647\r\n"),
                "\(policy)")
        }
    }

    @Test func frequencyOnlyUnderItsPolicy() {
        let host = Host()
        host.settings.values.pointee.evictionPolicy.set(EvictionPolicy.allKeysLFU.rawValue)
        Client(host).converse(
            """
            SET s abc => +OK
            OBJECT FREQ x => $-1
            OBJECT IDLETIME x => $-1
            OBJECT FREQ s => :5
            OBJECT IDLETIME s => -ERR An LFU maxmemory policy is selected, idle time not tracked.
              Please note that when switching between policies at runtime LRU and LFU data will
              take some time to adjust.
            """)
    }

    @Test func inspectionLeavesTheIdleTimeAlone() {
        let host = Host()
        let client = Client(host)
        client.converse("SET s abc => +OK")
        host.advance(milliseconds: 30_000)
        client.converse(
            """
            OBJECT ENCODING s => $6 embstr
            OBJECT REFCOUNT s => :1
            MEMORY USAGE s => :\(AllocationTests.Counter.isThere ? 16 : 12)
            OBJECT IDLETIME s => :30
            CLIENT NO-TOUCH on => +OK
            GET s => $3 abc
            OBJECT IDLETIME s => :30
            CLIENT NO-TOUCH off => +OK
            GET s => $3 abc
            OBJECT IDLETIME s => :0
            """)
    }

    // MARK: - MEMORY

    @Test func usageIsTheTrueSize() {
        let client = Client(Host())
        client.send(["SET", "small", "1"], ["SET", "big", String(repeating: "v", count: 100_000)])
        _ = client.takeReplies()
        func usage(_ key: String) -> Int {
            Int(client.ask("MEMORY", "USAGE", key).filter(\.isNumber)) ?? -1
        }
        #expect(usage("small") > 0 && usage("small") <= 64)
        #expect(usage("big") > 100_000 && usage("big") < 140_000)
        let before = usage("big")
        #expect(client.ask("MEMORY", "USAGE", "big", "SAMPLES", "0") == ":\(before)\r\n")
    }

    @Test func statisticsAreTheServersFigures() {
        let (host, _) = StageServer.host {
            $0.memory.peak = 2000
            $0.memory.allocated = 1000
            $0.memory.startup = 300
            $0.memory.active = 1500
            $0.memory.resident = 3000
            $0.memory.residentSet = 4000
            $0.memory.clients = 50
        }
        let client = Client(host)
        client.send(["SET", "a", "1"], ["SET", "b", "1"])
        _ = client.takeReplies()
        client.send(["MEMORY", "STATS"])
        let words = client.takeReplies().split(separator: "\r\n").map(String.init)
        func value(_ name: String) -> String? {
            guard let index = words.firstIndex(of: name) else { return nil }
            return words[index + 1].hasPrefix("$") ? words[index + 2] : words[index + 1]
        }
        #expect(words[0] == "*38")
        #expect(value("peak.allocated") == ":2000" && value("total.allocated") == ":1000")
        #expect(value("startup.allocated") == ":300" && value("clients.normal") == ":50")
        #expect(value("keys.count") == ":2" && value("allocator.resident") == ":3000")
        #expect(value("peak.percentage") == "50" && value("fragmentation") == "4")
        #expect(value("allocator-fragmentation.ratio") == "1.5")
        #expect(value("allocator-rss.ratio") == "2")
    }

    @Test func theDoctorSaysWhatIsWrong() {
        let (host, server) = StageServer.host()
        let client = Client(host)
        func finding() -> String { client.ask("MEMORY", "DOCTOR") }
        #expect(finding().contains("There is so little data that nothing can be said of it."))
        server.memory.allocated = 100 << 20
        server.memory.peak = 100 << 20
        server.memory.residentSet = 110 << 20
        #expect(finding().contains("No problem was found."))
        server.memory.residentSet = 210 << 20
        #expect(finding().contains("more than twice what is allocated"))
        server.memory.peak = 160 << 20
        #expect(finding().contains("The peak was more than 1.5 times"))
        host.settings.values.pointee.memoryMax.set(1)
        #expect(finding().contains("More than 90 % of maxmemory is in use."))
    }

    @Test func theAllocatorIsTheServers() throws {
        let (host, server) = StageServer.host()
        Client(host).converse(
            """
            MEMORY MALLOC-STATS => $8 a report
            MEMORY PURGE => +OK
            """)
        #expect(server.notes == ["purge"])
        try host.registry.create(id: Array("acme".utf8), plan: nil, secretDigest: nil)
        let client = Client(host, tenant: "acme")
        for name in ["stats", "doctor", "malloc-stats", "purge"] {
            #expect(
                client.ask("MEMORY", name)
                    == "-NOPERM this user has no permissions to run the 'memory|\(name)' command"
                    + "\r\n")
        }
        client.converse("MEMORY USAGE x => $-1")
        #expect(server.notes == ["purge"])
    }

    // MARK: - LOLWUT

    @Test func artAndAVersion() {
        let client = Client(Host())
        client.send(["LOLWUT"])
        let text = client.takeReplies()
        #expect(text.hasPrefix("$"))
        let last = "\n\nMartlet ver. \(Version.martlet), as Redis ver. \(Version.redis)\n\r\n"
        #expect(text.hasSuffix(last))
        let birds = text.split(separator: "\n").filter { $0.contains("~v~") }
        #expect(birds.count == 3)
        let others = (0..<20).map { _ in client.ask("LOLWUT", "VERSION", "5") }
        #expect(Set(others).count > 1, "everyone has the same sky")
        client.converse(
            """
            LOLWUT VERSION x => -ERR value is not an integer or out of range
            HELLO x => -ERR Protocol version is not an integer or out of range
            """)
        client.send(["HELLO", "3"], ["LOLWUT"])
        #expect(client.takeReplies().contains("txt:"))
    }
}
