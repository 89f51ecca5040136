// SPDX-License-Identifier: Apache-2.0
import Base
import Testing

@testable import Server

/// Files made for Redis: their comments, their includes, and directives that have no effect here.
@Suite struct ConfigurationFileTests {
    private let folder = TemporaryFolder()

    @Test func commentsMayHaveQuotes() throws {
        let file = folder.write(
            "a.conf", "# it's a comment\n  # \"another\n\ttimeout 5\n#\n   \nmaxclients 9\r\n")
        let found = try configuration(file)
        #expect(found.integer("timeout") == 5 && found.integer("maxclients") == 9)
        let value = folder.write("b.conf", "requirepass it's # no comment\n")
        #expect(refusal(value) == "\(value):1: a quote is not closed")
        #expect(found.set("timeout", "6") == nil && found.rewrite() == nil)
        #expect(folder.read("a.conf").hasPrefix("# it's a comment\n  # \"another\ntimeout 6\n#\n"))
    }

    @Test func whatHasNoEffectIsNotedOnce() throws {
        let text = "hz 10\nSLAVE-READ-ONLY no\nsave 900 1\nhz 20\n"
        let file = folder.write("a.conf", text + "port 7000\n")
        let found = try configuration(file)
        #expect(
            found.notes.map(\.text) == [
                "\(file):2: replica-read-only has no effect: there is no replication yet",
                "\(file):3: save has no effect: nothing is saved to disk yet: after a restart the "
                    + "server is empty",
                "\(file):4: hz has no effect: no timer runs at a fixed rate: work is done when it "
                    + "is due",
            ])
        #expect(found.notes.map(\.level) == [.notice, .warning, .notice])
        #expect(found.get("hz") == [] && found.get("save") == ["save", ""])
        #expect(found.set("hz", "1")?.hasPrefix("Unknown option") == true)
        #expect(found.set("timeout", "9") == nil && found.rewrite() == nil)
        #expect(folder.read("a.conf").hasPrefix(text))
    }

    @Test(
        arguments: [
            "appendonly NO", "save \"\"", "cluster-enabled no", "tls-port 0", "daemonize no",
            "notify-keyspace-events \"\"", "replicaof no one", "min-slaves-to-write 0",
        ])
    func whatAsksForNothingIsSilent(line: String) throws {
        let file = folder.write("a.conf", line + "\n")
        #expect(try configuration(file).notes.isEmpty)
    }

    @Test(
        arguments: [
            "rename-command CONFIG \"\"", "rename-command FLUSHALL x", "aclfile /etc/users.acl",
            "user alice on >secret ~* +@all", "tls-port 6380", "tls-replication yes",
            "tls-cluster yes", "appendonly yes", "replicaof 10.0.0.1 6379",
            "slaveof 10.0.0.1 6379", "cluster-enabled yes", "min-replicas-to-write 1",
            "loadmodule /x.so",
        ])
    func whatIsMissedIsRefused(line: String) throws {
        let file = folder.write("a.conf", "\n\(line)\n")
        let name = line.prefix { $0 != " " }.replacing("slaveof", with: "replicaof")
        #expect(refusal(file)?.hasPrefix("\(file):2: \(name): ") == true)
    }

    /// The highest layer decides, as for every directive.
    @Test func aHigherLayerOverrides() throws {
        let file = folder.write("a.conf", "appendonly yes\ncluster-enabled yes\nsave 1 1\n")
        let found = try configuration(
            file, "--appendonly", "no", "--save", "",
            environment: ["MARTLET_CLUSTER_ENABLED": "no"])
        #expect(found.notes.isEmpty)
        let empty = folder.write("b.conf", "cluster-enabled no\n")
        #expect(refusal(empty, "--cluster-enabled", "yes")?.contains("cluster mode") == true)
    }

    @Test func noDirectiveIsDeclaredTwice() {
        for name in UnsupportedDirectives.names {
            #expect(Directive.find(name) == nil, "\(name)")
        }
        #expect(UnsupportedDirectives.names.count > 150)
    }

    @Test func outputLimitsOfAllClasses() throws {
        let file = folder.write(
            "a.conf",
            "client-output-buffer-limit normal 1mb 0 0\n"
                + "client-output-buffer-limit replica 256mb 64mb 60 pubsub 1 2 3\n"
                + "client-output-buffer-limit PUBSUB 32mb 8mb 60\n")
        let found = try configuration(file)
        let name = "client-output-buffer-limit"
        let others = "slave 268435456 67108864 60 pubsub 33554432 8388608 60"
        #expect(found.get(name) == [name, "normal 1048576 0 0 \(others)"])
        #expect(found.settings.values.pointee.outputHardLimit.value == 1 << 20)
        #expect(found.set(name, "slave 7 8 9 normal 4 5 6") == nil)
        let changed = "normal 4 5 6 slave 7 8 9 pubsub 33554432 8388608 60"
        #expect(found.get(name) == [name, changed])
        #expect(found.settings.values.pointee.outputSoftSeconds.value == 6)
        #expect(found.rewrite() == nil)
        #expect(folder.read("a.conf") == "\(name) \(changed)\n")
        #expect(found.set(name, "master 1 2 3")?.contains("Invalid client class") == true)
    }

    @Test func includesMayBePatterns() throws {
        _ = folder.write("1.inc", "timeout 5\n")
        _ = folder.write("2.inc", "timeout 6\n")
        let file = folder.write(
            "a.conf", "include \(folder.path)/*.inc\ninclude \(folder.path)/*.none\n")
        #expect(try configuration(file).integer("timeout") == 6)
        let loop = folder.write("b.conf", "include \(folder.path)/b.conf\n")
        #expect(refusal(loop)?.contains("16 deep at most") == true)
    }
}
