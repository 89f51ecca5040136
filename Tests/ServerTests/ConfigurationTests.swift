// SPDX-License-Identifier: Apache-2.0
import Base
import Glibc
import Synchronization
import Tenancy
import Testing

@testable import Server

/// A temporary folder for one test, removed afterwards.
final class TemporaryFolder {
    let path: String

    init() {
        var template = Array("/tmp/martlet-test-XXXXXX".utf8CString)
        path = mkdtemp(&template).map { String(cString: $0) } ?? "/tmp"
    }

    func write(_ name: String, _ text: String) -> String {
        let path = "\(self.path)/\(name)"
        try? TextFile.write(text, to: path, mode: 0o600)
        return path
    }

    func read(_ name: String) -> String {
        String(decoding: (try? TextFile.read("\(path)/\(name)")) ?? [], as: UTF8.self)
    }

    deinit {
        guard path != "/tmp", let folder = opendir(path) else { return }
        while let entry = Glibc.readdir(folder) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) {
                String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            unlink("\(path)/\(name)")
        }
        closedir(folder)
        rmdir(path)
    }
}

func configuration(
    _ arguments: String..., environment: [String: String] = [:]
) throws(ConfigurationError) -> Configuration {
    try Configuration(
        arguments: arguments, environment: environment, settings: SettingsReference())
}

func refusal(_ arguments: String..., environment: [String: String] = [:]) -> String? {
    do throws(ConfigurationError) {
        _ = try Configuration(
            arguments: arguments, environment: environment, settings: SettingsReference())
        return nil
    } catch {
        return error.description
    }
}

extension Configuration {
    func get(_ pattern: String) -> [String] {
        (get([Array(pattern.utf8)]) ?? []).flatMap { [$0.name, $0.value] }
    }

    func set(_ words: String...) -> String? {
        var changes: [(name: [UInt8], value: [UInt8])] = []
        for index in stride(from: 0, to: words.count, by: 2) {
            changes.append((Array(words[index].utf8), Array(words[index + 1].utf8)))
        }
        return set(changes)
    }
}

@Suite struct ConfigurationTests {
    @Test func commandLineOverEnvironmentOverFile() throws {
        let folder = TemporaryFolder()
        let file = folder.write(
            "a.conf",
            "# comment\nmaxclients 100\n TIMEOUT  50 \nmaxmemory-samples 3\nmaxmemory 1kb\n")
        let found = try configuration(
            "serve", file, "--maxmemory-samples", "6", "--bind", "127.0.0.1", "::1",
            environment: ["MARTLET_TIMEOUT": "60", "MARTLET_MAXMEMORY_SAMPLES": "4", "HOME": "/"])
        #expect(found.integer("maxclients") == 100)
        #expect(found.integer("timeout") == 60)
        #expect(found.integer("maxmemory-samples") == 6)
        #expect(found.words("bind") == ["127.0.0.1", "::1"])
        #expect(found.settings.memoryMax == 1024)
        #expect(found.settings.idleTimeoutSeconds == 60)
        #expect(found.tenantsPath == "\(folder.path)/tenants.conf")
    }

    @Test func errorsSayWhatAndWhere() {
        let folder = TemporaryFolder()
        let file = folder.write("a.conf", "\n# x\nfoo 1\n")
        #expect(refusal(file) == "\(file):3: unknown directive 'foo'")
        let second = folder.write("b.conf", "include \"\(file)\"\n")
        #expect(refusal(second) == "\(file):3: unknown directive 'foo'")
        let quote = folder.write("c.conf", "requirepass \"abc\n")
        #expect(refusal(quote) == "\(quote):1: a quote is not closed")
        #expect(
            refusal("--port", "banana")
                == "--port: port: argument couldn't be parsed into an integer")
        #expect(
            refusal("--port", "70000")
                == "--port: port: argument must be between 0 and 65535 inclusive")
        #expect(refusal("--no-such", "1") == "--no-such: unknown directive 'no-such'")
        #expect(refusal("/no/such/file.conf") == "/no/such/file.conf: No such file or directory")
        #expect(
            refusal(environment: ["MARTLET_PROT": "1"]) == "MARTLET_PROT: unknown directive 'prot'")
        #expect(refusal("--port") == "--port: port: wrong number of arguments")
        #expect(refusal("--appendonly", "yes")?.contains("nothing is saved") == true)
        #expect(refusal("--save", "", "--appendonly", "no") == nil)
        #expect(refusal("--http-port", "8079")?.contains("not served yet") == true)
        #expect(refusal("--tenant", "a plan=gold")?.contains("no tenant-plan declares") == true)
    }

    /// All defaults agree, except those that depend on the machine's memory.
    @Test func defaultsAreThoseOfSettings() throws {
        let fresh = SettingsReference()
        let found = try configuration(
            "--maxmemory", "0", "--client-output-buffer-limit", "normal 0 0 0"
        ).settings
        #expect(numbers(found) == numbers(fresh))
    }

    @Test func twoCoresHaveOneThread() throws {
        let counts = [1, 2, 3, 4, 16, 1000].map { Configuration.threadsDefault(cores: $0) }
        #expect(counts == [1, 1, 3, 4, 16, 256])
    }

    @Test func aClientThatNeverReadsIsBounded() throws {
        let values = try configuration().settings.values
        #expect(values.pointee.outputHardLimit.value >= 64 << 20)
        #expect(values.pointee.outputSoftLimit.value == values.pointee.outputHardLimit.value / 4)
        #expect(values.pointee.outputSoftSeconds.value == 60)
    }

    private func numbers(_ settings: SettingsReference) -> [Int] {
        let all = settings.values
        return [
            all.pointee.hashMaxPackedEntries.value, all.pointee.hashMaxPackedValueSize.value,
            all.pointee.setMaxIntegerEntries.value, all.pointee.setMaxPackedEntries.value,
            all.pointee.setMaxPackedValueSize.value, all.pointee.memoryMax.value,
            all.pointee.evictionPolicy.value, all.pointee.evictionSamples.value,
            all.pointee.frequencyLogFactor.value, all.pointee.frequencyDecayMinutes.value,
            all.pointee.bulkSizeMax.value, all.pointee.queryBufferLimit.value,
            all.pointee.outputHardLimit.value, all.pointee.outputSoftLimit.value,
            all.pointee.outputSoftSeconds.value, all.pointee.clientCountMax.value,
            all.pointee.idleTimeoutSeconds.value, all.pointee.keepAliveSeconds.value,
            all.pointee.protectedMode.value, all.pointee.databaseCount.value,
            all.pointee.debugCommand.value,
        ]
    }

    @Test func wordsAndQuotes() {
        #expect(
            ConfigurationText.words("a  \"b c\" 'd\\'e' \"\\x41\\n\"") == [
                "a", "b c", "d'e", "A\n",
            ])
        #expect(ConfigurationText.words("a=\"b c\" d") == ["a=b c", "d"])
        #expect(ConfigurationText.words("\"a\"b") == nil)
        #expect(ConfigurationText.words("'a") == nil)
        for word in ["", "a b", "a\"b\\", "line\nbreak\u{1}", "#x", "plain", "ä"] {
            #expect(ConfigurationText.words(ConfigurationText.quote(word)) == [word])
        }
    }

    @Test func memoryUnits() {
        #expect(MemorySize.parse("1kb") == 1024)
        #expect(MemorySize.parse("1K") == 1000)
        #expect(MemorySize.parse("2Gb") == 2 << 30)
        #expect(MemorySize.parse("100") == 100)
        #expect(MemorySize.parse("-1") == nil)
        #expect(MemorySize.parse("") == nil)
        #expect(MemorySize.parse("1x") == nil)
        #expect(MemorySize.parse("9999999999999999999") == nil)
        #expect(MemorySize.parse("9999999999gb") == nil)
    }

    @Test func plansAndTenants() throws {
        let folder = TemporaryFolder()
        let file = folder.write(
            "a.conf",
            """
            tenant-plan free memory=10mb keys=1000 ops-per-second=5 at-limit=evict
            tenant-plan pro ops-per-day=10 bandwidth-per-day=1gb connections=7
            tenant-key-pattern tenant:{tenant}:*
            tenant acme plan=pro secret="s p"
            tenant beta
            """)
        let found = try configuration(file)
        #expect(found.plans.map(\.name) == ["free", "pro"])
        #expect(found.plans[0].limits.memory == 10 << 20)
        #expect(found.plans[0].limits.atLimit == .evict)
        #expect(found.plans[1].limits.bandwidthPerDay == 1 << 30)
        #expect(found.plans[1].limits.connections == 7)
        #expect(found.keyPatterns.count == 1)
        #expect(found.tenantLines.map(\.id) == ["acme", "beta"])
        #expect(found.tenantLines[0].secretDigest == Secret.digest(Array("s p".utf8)))
        #expect(!found.get("tenant")[1].contains("s p"))
        #expect(
            refusal("--tenant-plan", "a memory=x")?.hasSuffix(
                "memory must be a memory value above 0") == true)
        for limit in ["ops-per-second=9223372036854775807", "memory=8000000gb"] {
            #expect(refusal("--tenant-plan", "a \(limit)")?.contains("must be at most") == true)
        }
        #expect(refusal("--tenant-plan", "a b=1")?.hasSuffix("'b' is no limit of a plan") == true)
        #expect(refusal("--tenant-key-pattern", "abc")?.contains("missing") == true)
    }

    @Test func digestIsSHA256() {
        let digest = ConfigurationText.hexadecimal(Secret.digest(Array("abc".utf8)))
        #expect(digest == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
        #expect(Secret.digest(hexadecimal: digest) == Secret.digest(Array("abc".utf8)))
    }
}

@Suite struct ConfigurationChangeTests {
    @Test func getByPatterns() throws {
        let found = try configuration("--maxmemory", "1g")
        #expect(found.get("MAXmemory") == ["MAXmemory", "1000000000"])
        #expect(found.get("MAXMEM[O]RY") == ["maxmemory", "1000000000"])
        #expect(found.get("maxmemor\\y") == [])
        #expect(found.get("hash-max-*iplist-value") == ["hash-max-ziplist-value", "64"])
        #expect(found.get("save") == ["save", ""])
        #expect(found.get("appendfsync") == [])
        #expect(found.set("save", "900 1")?.contains("nothing is saved to disk yet") == true)
        #expect(found.get([Array("port".utf8), Array("p*t".utf8)])?.count == 1)
    }

    @Test func setAllOrNone() throws {
        let found = try configuration()
        let prefix = "CONFIG SET failed (possibly related to argument"
        #expect(
            found.set("timeout", "5", "foo", "1")
                == "Unknown option or number of arguments for CONFIG SET - 'foo'")
        #expect(found.integer("timeout") == 0)
        #expect(
            found.set("timeout", "5", "maxmemory", "abc")
                == "\(prefix) 'maxmemory') - argument must be a memory value")
        #expect(found.integer("timeout") == 0)
        #expect(
            found.set("databases", "3") == "\(prefix) 'databases') - can't set immutable config")
        #expect(
            found.set("maxmemory", "1", "maxmemory", "2")
                == "\(prefix) 'maxmemory') - duplicate parameter")
        #expect(
            found.set("client-output-buffer-limit", "normal 1 2")
                == "\(prefix) 'client-output-buffer-limit') - "
                + "Wrong number of arguments in buffer limit configuration.")
        #expect(found.set("client-output-buffer-limit", "normal 2mb 1mb 9", "timeout", "7") == nil)
        #expect(found.settings.outputSoftLimit == 1 << 20)
        #expect(found.settings.idleTimeoutSeconds == 7)
        #expect(found.set("maxmemory-policy", "Allkeys-LFU") == nil)
        #expect(
            found.settings.evictionPolicy == EvictionPolicy.allKeysLFU.rawValue
        )
        #expect(found.set("save", "") == nil)
        #expect(found.set("maxclients", "1000000000")?.contains("try with") == true)
    }

    @Test func rewriteKeepsCommentsAndOrder() throws {
        let folder = TemporaryFolder()
        let file = folder.write(
            "a.conf", "# head\ntimeout 5\n\nport 7000\n# tail\nmaxmemory 1kb\nmaxmemory 2kb\n")
        let found = try configuration(
            file, "--loglevel", "warning", environment: ["MARTLET_MAXCLIENTS": "77"])
        #expect(found.set("timeout", "9", "maxmemory", "4096", "requirepass", "a b") == nil)
        #expect(found.rewrite() == nil)
        #expect(
            folder.read("a.conf") == """
                # head
                timeout 9

                port 7000
                # tail
                maxmemory 4096
                # Generated by CONFIG REWRITE
                requirepass "a b"
                loglevel warning

                """)
        let again = try configuration(file)
        #expect(again.text("requirepass") == "a b")
        #expect(again.integer("maxclients") == 10_000)
        #expect(try configuration().rewrite() == "The server is running without a config file")
    }

    @Test func observersHearOfChanges() throws {
        let found = try configuration()
        let heard = Mutex<Set<String>>([])
        found.observe { names in heard.withLock { $0 = names } }
        #expect(found.set("requirepass", "x") == nil)
        #expect(heard.withLock { $0 } == ["requirepass"])
        #expect(found.text("requirepass") == "x")
    }
}
