// SPDX-License-Identifier: Apache-2.0
import Base
import Storage
import Testing

import Commands

/// Reads replies of integers, bulk strings, arrays and sets.
struct SetReply {
    var bytes: [UInt8]
    var position = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    mutating func line() -> [UInt8] {
        let end = bytes[position...].firstIndex(of: 13) ?? bytes.count
        defer { position = end + 2 }
        return Array(bytes[position..<end])
    }

    mutating func number() -> Int {
        Int(String(decoding: line().dropFirst(), as: UTF8.self)) ?? -1
    }

    mutating func bulk() -> [UInt8] {
        let size = number()
        defer { position += size + 2 }
        return Array(bytes[position..<position + size])
    }

    mutating func list() -> [[UInt8]] {
        (0..<number()).map { _ in bulk() }
    }
}

private func words(_ words: String...) -> [[UInt8]] { words.map { Array($0.utf8) } }

extension Database {
    fileprivate func list(_ words: String...) -> [String] {
        var reply = SetReply(runBytes(words.map { Array($0.utf8) }))
        return reply.list().map { String(decoding: $0, as: UTF8.self) }.sorted()
    }

    /// Calls `body` with the right to use `names` as keys.
    func withKeys(_ names: [String], _ body: (borrowing Hold) -> Void) {
        let keyspace = registry.keyspace(registry.server, number)
        let storage = Array(names.joined().utf8)
        storage.withBytes { bytes in
            var slices: [Bytes] = []
            var start = 0
            for name in names {
                slices.append(bytes[start..<start + name.utf8.count])
                start += name.utf8.count
            }
            let list = KeyList(worker)
            for slice in slices { list.add(slice, in: keyspace, creating: true) }
            guard let hold = list.hold() else {
                Issue.record("no keyspace was dropped")
                return
            }
            body(hold)
            hold.end()
        }
    }

    /// The set's encoding, as OBJECT ENCODING reports it.
    func encoding(_ key: String) -> String {
        var name = "none"
        withKeys([key]) { keys in
            if case .found(let found) = keys.find(0, as: .set) {
                name = found.entry.encodingName.description
            }
        }
        return name
    }

    /// Milliseconds until the key expires; nil without an expiry.
    fileprivate func timeLeft(_ key: String) -> Int64? {
        var left: Int64?
        withKeys([key]) { keys in
            if let expiry = keys.find(0)?.entry.expiry { left = expiry - keys.now }
        }
        return left
    }

    fileprivate func expire(_ key: String, in milliseconds: Int64) {
        withKeys([key]) { keys in
            if let found = keys.find(0) {
                keys.setExpiry(found, keys.now + milliseconds)
            }
        }
    }

    fileprivate func addRange(_ key: String, _ range: Range<Int>, prefix: String = "") {
        for value in range { _ = run("SADD", key, "\(prefix)\(value)") }
    }
}

@Suite struct SetTests {
    @Test func addAndRemove() {
        let database = Database()
        #expect(database.run("SADD", "s", "a", "b", "a") == ":2\r\n")
        #expect(database.run("SADD", "s", "b", "c") == ":1\r\n")
        #expect(database.run("SCARD", "s") == ":3\r\n")
        #expect(database.run("SISMEMBER", "s", "a") == ":1\r\n")
        #expect(database.run("SISMEMBER", "s", "z") == ":0\r\n")
        #expect(database.run("SISMEMBER", "no", "z") == ":0\r\n")
        #expect(database.run("SMISMEMBER", "s", "a", "z", "b") == "*3\r\n:1\r\n:0\r\n:1\r\n")
        #expect(database.run("SMISMEMBER", "no", "a") == "*1\r\n:0\r\n")
        #expect(database.list("SMEMBERS", "s") == ["a", "b", "c"])
        #expect(database.run("SREM", "s", "a", "z", "b") == ":2\r\n")
        #expect(database.run("SREM", "s", "c", "c") == ":1\r\n")
        #expect(database.encoding("s") == "none")
        #expect(database.run("SREM", "s", "c") == ":0\r\n")
        #expect(database.run("SCARD", "s") == ":0\r\n")
        #expect(database.run("SMEMBERS", "s") == "*0\r\n")
    }

    @Test func setsAreSetsInRESP3() {
        let database = Database()
        _ = database.run("SADD", "s", "1")
        database.version = 3
        #expect(database.run("SMEMBERS", "s") == "~1\r\n$1\r\n1\r\n")
        #expect(database.run("SINTER", "s", "s") == "~1\r\n$1\r\n1\r\n")
        #expect(database.run("SUNION", "s", "no") == "~1\r\n$1\r\n1\r\n")
        #expect(database.run("SDIFF", "s", "s") == "~0\r\n")
        #expect(database.run("SRANDMEMBER", "s", "1") == "*1\r\n$1\r\n1\r\n")
        #expect(database.run("SPOP", "s", "0") == "~0\r\n")
        #expect(database.run("SPOP", "s", "1") == "~1\r\n$1\r\n1\r\n")
        #expect(database.run("SPOP", "s", "1") == "~0\r\n")
        #expect(database.run("SPOP", "s") == "_\r\n")
        #expect(database.run("SRANDMEMBER", "s", "1") == "*0\r\n")
        #expect(database.run("SINTER", "s") == "~0\r\n")
    }

    @Test func integersAreKeptAsIntegers() {
        let database = Database()
        let numbers = [
            "0", "-1", "32767", "-32768", "32768", "-32769", "2147483647", "-2147483648",
            "2147483648", "-2147483649", "9223372036854775807", "-9223372036854775808",
        ]
        var known: Set<String> = []
        for number in numbers {
            #expect(database.run("SADD", "s", number) == ":1\r\n")
            #expect(database.run("SADD", "s", number) == ":0\r\n")
            known.insert(number)
            #expect(database.list("SMEMBERS", "s") == known.sorted())
        }
        #expect(database.encoding("s") == "intset")
        for number in numbers { #expect(database.run("SISMEMBER", "s", number) == ":1\r\n") }
        for other in ["00", "+1", "-0", "9223372036854775808", "", "1 "] {
            #expect(database.run("SISMEMBER", "s", other) == ":0\r\n")
            #expect(database.run("SREM", "s", other) == ":0\r\n")
        }
        #expect(database.run("SADD", "s", "-0") == ":1\r\n")
        #expect(database.encoding("s") == "listpack")
        #expect(database.list("SMEMBERS", "s") == (numbers + ["-0"]).sorted())
        for number in numbers { #expect(database.run("SREM", "s", number) == ":1\r\n") }
        #expect(database.list("SMEMBERS", "s") == ["-0"])
    }

    @Test func formsAreLeftAtTheirLimits() {
        let database = Database()
        database.addRange("i", 0..<512)
        #expect(database.encoding("i") == "intset")
        database.addRange("i", 512..<513)
        #expect(database.encoding("i") == "hashtable")
        database.addRange("p", 0..<128, prefix: "x")
        #expect(database.encoding("p") == "listpack")
        database.addRange("p", 128..<129, prefix: "x")
        #expect(database.encoding("p") == "hashtable")
        #expect(database.run("SCARD", "p") == ":129\r\n")
        _ = database.run("SADD", "v", String(repeating: "v", count: 64))
        #expect(database.encoding("v") == "listpack")
        _ = database.run("SADD", "v", String(repeating: "v", count: 65))
        #expect(database.encoding("v") == "hashtable")
        _ = database.run("SADD", "w", String(repeating: "v", count: 65))
        #expect(database.encoding("w") == "hashtable")
        // A string joins a set of integers: 127 of them still fit a packed set, 128 do not.
        database.addRange("m", 0..<127)
        _ = database.run("SADD", "m", "x")
        #expect(database.encoding("m") == "listpack")
        database.addRange("n", 0..<128)
        _ = database.run("SADD", "n", "x")
        #expect(database.encoding("n") == "hashtable")
        #expect(database.run("SISMEMBER", "n", "127") == ":1\r\n")
        // A set that has become a table stays one.
        for value in 1..<129 { _ = database.run("SREM", "p", "x\(value)") }
        #expect(database.encoding("p") == "hashtable")
        #expect(database.list("SMEMBERS", "p") == ["x0"])
    }

    @Test func manyAtOnceBeginAsATable() {
        let database = Database()
        _ = database.run(words("SADD", "s") + (0..<129).map { Array("x\($0 % 10)".utf8) })
        #expect(database.encoding("s") == "hashtable")
        #expect(database.run("SCARD", "s") == ":10\r\n")
        _ = database.run(words("SADD", "i") + (0..<513).map { Array("\($0 % 10)".utf8) })
        #expect(database.encoding("i") == "hashtable")
        _ = database.run("SADD", "t", "x")
        _ = database.run(words("SADD", "t") + (0..<129).map { _ in Array("x".utf8) })
        #expect(database.encoding("t") == "hashtable")
        #expect(database.list("SMEMBERS", "t") == ["x"])
    }

    @Test func otherTypesAreRefused() {
        let database = Database()
        let wrong = "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"
        database.withKeys(["str"]) { keys in
            keys.setString(0, Bytes("x" as StaticString), replacing: nil, .remove)
        }
        _ = database.run("SADD", "s", "a")
        for command in ["SADD", "SREM", "SISMEMBER", "SMISMEMBER"] {
            #expect(database.run(command, "str", "a") == wrong)
        }
        for command in ["SCARD", "SMEMBERS", "SPOP", "SRANDMEMBER", "SINTER", "SUNION", "SDIFF"] {
            #expect(database.run(command, "str") == wrong)
        }
        #expect(database.run("SINTER", "no", "str") == wrong)
        #expect(database.run("SUNION", "no", "str") == wrong)
        #expect(database.run("SDIFF", "no", "str") == wrong)
        #expect(database.run("SINTERSTORE", "d", "str") == wrong)
        #expect(database.run("SSCAN", "str", "0", "foo") == wrong)
        #expect(database.run("SMOVE", "s", "str", "z") == wrong)
        #expect(database.run("SMOVE", "str", "s", "z") == wrong)
        #expect(database.run("SMOVE", "no", "str", "z") == ":0\r\n")
        #expect(database.run("SINTERSTORE", "str", "s") == ":1\r\n")
        #expect(database.list("SMEMBERS", "str") == ["a"])
    }

    @Test func moving() {
        let database = Database()
        _ = database.run("SADD", "a", "1", "x", "y")
        #expect(database.run("SMOVE", "a", "b", "x") == ":1\r\n")
        #expect(database.list("SMEMBERS", "b") == ["x"])
        #expect(database.run("SMOVE", "a", "b", "x") == ":0\r\n")
        #expect(database.run("SMOVE", "a", "a", "y") == ":1\r\n")
        #expect(database.run("SMOVE", "a", "a", "z") == ":0\r\n")
        #expect(database.run("SMOVE", "a", "c", "1") == ":1\r\n")
        #expect(database.encoding("c") == "intset")
        _ = database.run("SADD", "b", "y")
        #expect(database.run("SMOVE", "a", "b", "y") == ":1\r\n")
        #expect(database.encoding("a") == "none")
        #expect(database.list("SMEMBERS", "b") == ["x", "y"])
    }

    @Test func combinations() {
        let database = Database()
        _ = database.run("SADD", "a", "1", "2", "3", "x")
        _ = database.run("SADD", "b", "2", "3", "4")
        _ = database.run("SADD", "c", "3", "x")
        #expect(database.list("SINTER", "a", "b") == ["2", "3"])
        #expect(database.list("SINTER", "a", "b", "c", "a") == ["3"])
        #expect(database.list("SINTER", "a", "no") == [])
        #expect(database.list("SUNION", "a", "b", "no") == ["1", "2", "3", "4", "x"])
        #expect(database.list("SDIFF", "a", "b") == ["1", "x"])
        #expect(database.list("SDIFF", "a", "b", "c", "no") == ["1"])
        #expect(database.list("SDIFF", "a", "b", "a") == [])
        #expect(database.list("SDIFF", "no", "a") == [])
        #expect(database.run("SINTERCARD", "2", "a", "b") == ":2\r\n")
        #expect(database.run("SINTERCARD", "2", "a", "b", "LIMIT", "1") == ":1\r\n")
        #expect(database.run("SINTERCARD", "2", "a", "b", "limit", "0") == ":2\r\n")
        #expect(database.run("SINTERSTORE", "d", "a", "b") == ":2\r\n")
        #expect(database.encoding("d") == "intset")
        #expect(database.run("SUNIONSTORE", "d", "d", "c") == ":3\r\n")
        #expect(database.list("SMEMBERS", "d") == ["2", "3", "x"])
        #expect(database.encoding("d") == "listpack")
        #expect(database.run("SDIFFSTORE", "d", "d", "c") == ":1\r\n")
        #expect(database.list("SMEMBERS", "d") == ["2"])
        #expect(database.encoding("d") == "intset")
        #expect(database.run("SINTERSTORE", "d", "d", "no") == ":0\r\n")
        #expect(database.encoding("d") == "none")
        #expect(database.run("SDIFFSTORE", "a", "a", "a") == ":0\r\n")
        #expect(database.encoding("a") == "none")
    }

    @Test func expiryStaysThroughEveryFormAndGoesWithAStoredResult() {
        let database = Database()
        _ = database.run("SADD", "s", "1")
        database.expire("s", in: 1_000)
        database.addRange("s", 0..<100)
        _ = database.run("SADD", "s", "x")
        #expect(database.encoding("s") == "listpack")
        #expect(database.timeLeft("s") == 1_000)
        database.addRange("s", 100..<1_000)
        #expect(database.encoding("s") == "hashtable")
        #expect(database.timeLeft("s") == 1_000)
        #expect(database.list("SPOP", "s", "995").count == 995)
        #expect(database.encoding("s") == "listpack")
        #expect(database.run("SCARD", "s") == ":6\r\n")
        #expect(database.timeLeft("s") == 1_000)
        _ = database.run("SUNIONSTORE", "t", "s", "s")
        #expect(database.timeLeft("t") == nil)
        _ = database.run("SUNIONSTORE", "s", "s")
        #expect(database.timeLeft("s") == nil)
        #expect(database.run("SCARD", "s") == ":6\r\n")
    }

    @Test func whatHasExpiredIsNotThere() {
        let database = Database()
        // Why so many: sources and targets then share segments, in which a removal moves entries.
        for number in 0..<300 {
            _ = database.run("SADD", "k\(number)", "m", "n\(number)")
            if number % 2 == 1 { database.expire("k\(number)", in: 10) }
        }
        database.advance(milliseconds: 11)
        #expect(database.run("SMOVE", "k0", "k1", "m") == ":1\r\n")
        #expect(database.list("SMEMBERS", "k1") == ["m"])
        #expect(database.run("SMOVE", "k3", "k0", "m") == ":0\r\n")
        #expect(database.list("SINTER", "k2", "k5") == [])
        #expect(database.list("SUNION", "k2", "k7", "k4") == ["m", "n2", "n4"])
        let all = (0..<300).filter { $0 != 0 && $0 != 1 }.map { Array("k\($0)".utf8) }
        #expect(database.run(words("SUNIONSTORE", "k9") + all) == ":150\r\n")
        #expect(database.run("SADD", "k11", "z") == ":1\r\n")
        #expect(database.list("SMEMBERS", "k11") == ["z"])
        #expect(database.run("SPOP", "k13") == "$-1\r\n")
    }

    @Test func wordsOfErrors() {
        let database = Database()
        _ = database.run("SADD", "s", "a", "b")
        let positive = "-ERR value is out of range, must be positive\r\n"
        #expect(database.run("SPOP", "s", "-1") == positive)
        #expect(database.run("SPOP", "no", "x") == positive)
        #expect(database.run("SPOP", "s", "1", "2") == "-ERR syntax error\r\n")
        #expect(
            database.run("SRANDMEMBER", "s", "x")
                == "-ERR value is not an integer or out of range\r\n")
        #expect(
            database.run("SRANDMEMBER", "s", "-9223372036854775808")
                == "-ERR value is out of range, value must between -9223372036854775807 and "
                + "9223372036854775807\r\n")
        #expect(database.run("SRANDMEMBER", "s", "1", "2") == "-ERR syntax error\r\n")
        for number in ["0", "x", "-1"] {
            #expect(
                database.run("SINTERCARD", number, "s")
                    == "-ERR numkeys should be greater than 0\r\n")
        }
        #expect(
            database.run("SINTERCARD", "2", "s")
                == "-ERR Number of keys can't be greater than number of args\r\n")
        #expect(database.run("SINTERCARD", "1", "s", "LIMIT") == "-ERR syntax error\r\n")
        #expect(database.run("SINTERCARD", "1", "s", "foo", "1") == "-ERR syntax error\r\n")
        #expect(
            database.run("SINTERCARD", "1", "s", "LIMIT", "-1")
                == "-ERR LIMIT can't be negative\r\n")
        #expect(database.run("SSCAN", "s", "x") == "-ERR invalid cursor\r\n")
        #expect(database.run("SSCAN", "s", "0", "foo") == "-ERR syntax error\r\n")
        #expect(database.run("SSCAN", "no", "0", "foo") == "*2\r\n$1\r\n0\r\n*0\r\n")
    }
}
