// SPDX-License-Identifier: Apache-2.0
import Base
import Glibc
import Testing

@testable import Server

/// What CONFIG SET and CONFIG REWRITE refuse, in the words of redis-server 7.0.
@Suite struct ConfigurationRefusalTests {
    /// Expects a refusal with `reason`, and no change.
    private static func expectRefusal(
        _ name: String, _ value: String, _ reason: String,
        _ location: SourceLocation = #_sourceLocation
    ) throws {
        let found = try configuration()
        let before = found.get("*")
        let prefix = "CONFIG SET failed (possibly related to argument '\(name)') - "
        #expect(found.set(name, value) == prefix + reason, sourceLocation: location)
        #expect(found.get("*") == before, sourceLocation: location)
    }

    @Test(
        arguments: [
            "timeout", "tcp-keepalive", "maxclients", "maxmemory-samples", "lfu-log-factor",
            "lfu-decay-time", "hash-max-listpack-entries", "hash-max-ziplist-entries",
            "set-max-intset-entries", "set-max-listpack-entries",
        ])
    func integers(name: String) throws {
        for value in ["x", "", "1.5", "1 x", "1gb", "99999999999999999999", "yes"] {
            try Self.expectRefusal(name, value, "argument couldn't be parsed into an integer")
        }
    }

    @Test(
        arguments: [
            ("timeout", "0 and 2147483647"), ("tcp-keepalive", "0 and 2147483647"),
            ("maxclients", "1 and 4294967295"), ("lfu-log-factor", "0 and 2147483647"),
            ("lfu-decay-time", "0 and 2147483647"),
            ("hash-max-listpack-entries", "0 and 9223372036854775807"),
            ("set-max-intset-entries", "0 and 9223372036854775807"),
            ("maxmemory-samples", "1 and 64"),
        ])
    func ranges(name: String, range: String) throws {
        try Self.expectRefusal(name, "-1", "argument must be between \(range) inclusive")
    }

    @Test(
        arguments: [
            "maxmemory", "client-query-buffer-limit", "proto-max-bulk-len",
            "hash-max-listpack-value", "set-max-listpack-value",
        ])
    func sizes(name: String) throws {
        for value in ["x", "1.5", "1 x", "1gx", "-1", "yes"] {
            try Self.expectRefusal(name, value, "argument must be a memory value")
        }
    }

    /// An argument larger than any value must be refused.
    @Test func argumentsAreNoLargerThanValues() throws {
        let range = "argument must be between 1048576 and 536870912 inclusive"
        for value in ["1mb", "512mb"] {
            #expect(try configuration().set("proto-max-bulk-len", value) == nil)
        }
        for value in ["1048575", "536870913", "1gb", "9223372036854775807"] {
            try Self.expectRefusal("proto-max-bulk-len", value, range)
        }
    }

    @Test func choices() throws {
        try Self.expectRefusal(
            "maxmemory-policy", "x",
            "argument(s) must be one of the following: volatile-lru, volatile-lfu, "
                + "volatile-random, volatile-ttl, allkeys-lru, allkeys-lfu, allkeys-random, "
                + "noeviction")
        try Self.expectRefusal(
            "loglevel", "x",
            "argument(s) must be one of the following: debug, verbose, notice, warning")
        try Self.expectRefusal("protected-mode", "x", "argument must be 'yes' or 'no'")
    }

    @Test(
        arguments: [
            "databases", "daemonize", "unixsocket", "tcp-backlog", "enable-debug-command",
            "pidfile", "logfile",
        ])
    func whatOnlyAStartSets(name: String) throws {
        try Self.expectRefusal(name, "x", "can't set immutable config")
    }

    @Test func outputLimits() throws {
        let name = "client-output-buffer-limit"
        for value in ["x", "normal 1 2", "normal 1 2 3 pubsub"] {
            try Self.expectRefusal(
                name, value, "Wrong number of arguments in buffer limit configuration.")
        }
        // Seconds are compared as milliseconds, which must fit a number too.
        for value in [
            "normal 1 x 0", "normal x 1 0", "normal 1 2 -1", "normal 0 1 2147483648",
            "normal 0 1 9223372036854775807",
        ] {
            try Self.expectRefusal(
                name, value,
                "Error in hard, soft or soft_seconds setting in buffer limit configuration.")
        }
        try Self.expectRefusal(
            name, "foo 1 2 3", "Invalid client class specified in buffer limit configuration.")
    }

    @Test func unknownAndTwice() throws {
        let found = try configuration()
        let unknown = "Unknown option or number of arguments for CONFIG SET - "
        #expect(found.set("", "1") == unknown + "''")
        #expect(found.set("nosuch", "1", "nosuch", "1") == unknown + "'nosuch'")
        #expect(found.set("timeout", "9", "nosuch", "1", "port", "1") == unknown + "'nosuch'")
        #expect(
            found.set("timeout", "9", "TIMEOUT", "8")
                == "CONFIG SET failed (possibly related to argument 'TIMEOUT') - "
                + "duplicate parameter")
        #expect(found.integer("timeout") == 0)
        #expect(found.set("TimeOut", "9") == nil)
        #expect(found.get("TIMEOUT") == ["TIMEOUT", "9"])
    }

    @Test func namesAreShownAsTheyWereAskedFor() throws {
        let found = try configuration()
        func names(_ patterns: String...) -> [String] {
            found.get(patterns.map { Array($0.utf8) })?.map(\.name) ?? []
        }
        #expect(names("MAXMEMORY", "maxmemory") == ["MAXMEMORY"])
        #expect(names("maxmemory", "MAXMEMORY") == ["maxmemory"])
        #expect(names("MAXMEM?RY", "MAXMEMORY") == ["maxmemory"])
        #expect(names("maxmemory", "nosuch", "databases") == ["databases", "maxmemory"])
        #expect(names("") == [] && names("max") == [])
    }

    @Test func rewritingWithoutAFile() throws {
        #expect(
            try configuration().rewrite() == "The server is running without a config file")
        let folder = TemporaryFolder()
        let file = folder.write("a.conf", "timeout 5\n")
        let found = try configuration(file)
        unlink(file)
        let refusal = try #require(found.rewrite())
        #expect(refusal.hasPrefix("Rewriting config file: "))
        #expect(refusal.hasSuffix("No such file or directory"))
    }
}
