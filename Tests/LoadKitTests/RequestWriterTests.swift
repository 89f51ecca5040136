// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import LoadKit

/// The bytes that are sent, read back word by word.
struct RequestWriterTests {
    private func requests(
        _ arguments: [String], count: Int, tenant: Int? = nil
    ) throws -> [[String]] {
        var options = try LoadOptions(arguments: arguments)
        options.pipeline = count
        var writer = RequestWriter(options, thread: 0)
        var buffer = RequestBuffer(capacity: count * writer.maximumRequestSize)
        var outstanding = OutstandingCommands(capacity: count)
        var tally = Tally()
        writer.write(count, tenant: tenant, into: &buffer, &outstanding, &tally)
        #expect(outstanding.count == count)
        #expect(tally.requests == count)
        return try parse(String(decoding: buffer.bytes, as: UTF8.self))
    }

    /// Reads RESP strictly: every length must be right, and nothing may be left over.
    private func parse(_ text: String) throws -> [[String]] {
        var rest = Array(text.utf8)[...]
        func line(_ type: Character) throws -> Int {
            let end = try #require(rest.firstIndex(of: UInt8(ascii: "\r")))
            let text = String(decoding: rest[rest.startIndex..<end], as: UTF8.self)
            #expect(text.first == type)
            rest = rest[(end + 2)...]
            return try #require(Int(text.dropFirst()))
        }
        var requests: [[String]] = []
        while !rest.isEmpty {
            var words: [String] = []
            for _ in 0..<(try line("*")) {
                let size = try line("$")
                words.append(String(decoding: rest.prefix(size), as: UTF8.self))
                rest = rest.dropFirst(size)
                #expect(Array(rest.prefix(2)) == Array("\r\n".utf8))
                rest = rest.dropFirst(2)
            }
            requests.append(words)
        }
        return requests
    }

    @Test func keysAreSixteenBytesInOrder() throws {
        let written = try requests(["--mix", "get", "--distribution", "sequential"], count: 12)
        #expect(written.first == ["GET", "key:000000000000"])
        #expect(written.last == ["GET", "key:000000000011"])
    }

    @Test(arguments: LoadCommand.allCases)
    func everyCommandIsWellFormed(command: LoadCommand) throws {
        for size in ["0", "32", "0-1200"] {
            let written = try requests(
                [
                    "--mix", command.name, "--value-size", size, "--mget-keys", "3", "--ttl", "9",
                    "--tenants", "7", "--keys", "700",
                ], count: 200)
            #expect(written.count == 200)
            for words in written { #expect(words[0] == command.name.uppercased()) }
            switch command {
            case .set: for words in written { #expect(words[3...] == ["EX", "9"]) }
            case .setex: for words in written { #expect(words[2] == "9" && words.count == 4) }
            case .mget: for words in written { #expect(words.count == 4) }
            case .hset: for words in written { #expect(words[2].hasPrefix("field:")) }
            default: break
            }
        }
    }

    @Test func variableValuesCoverTheirRange() throws {
        let written = try requests(["--mix", "set", "--value-size", "8-11"], count: 400)
        #expect(Set(written.map { $0[2].utf8.count }) == [8, 9, 10, 11])
    }

    @Test func aKeyNamesItsTenant() throws {
        let written = try requests(
            ["--mix", "mget", "--tenants", "50", "--keys", "5000"], count: 300)
        for words in written {
            let parts = words.dropFirst().map { $0.split(separator: ":") }
            #expect(Set(parts.map { $0[1] }).count == 1)
            for part in parts {
                #expect(part[0] == "tenant" && part[2] == "key")
                let number = try #require(Int(part[3]))
                #expect(Int(part[1]) == number % 50)
            }
        }
    }

    @Test func aTenantsConnectionKeepsToItsKeys() throws {
        let written = try requests(
            ["--mix", "get", "--tenants", "10", "--auth-tenants", "t{tenant}:s{tenant}"],
            count: 100, tenant: 4)
        for words in written { #expect(words[1].hasPrefix("key:") && words[1].hasSuffix("4")) }
    }

    @Test func equalSeedsWriteEqualRequests() throws {
        let arguments = ["--mix", "get=1,set=1,sadd=1", "--seed"]
        let first = try requests(arguments + ["5"], count: 50)
        #expect(try requests(arguments + ["5"], count: 50) == first)
        #expect(try requests(arguments + ["6"], count: 50) != first)
    }
}
