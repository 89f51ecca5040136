// SPDX-License-Identifier: Apache-2.0
import Base
import Commands
import Storage
import Testing

@Suite struct ScanTests {
    private func fill(_ database: SessionDatabase, _ keys: [String]) {
        for start in stride(from: 0, to: keys.count, by: 1000) {
            let part = keys[start..<min(start + 1000, keys.count)]
            database.run(["MSET"] + part.flatMap { [$0, "v"] })
        }
    }

    @Test func everyKeyIsReturnedOnce() throws {
        let database = try SessionDatabase()
        #expect(database.run("SCAN", "0") == "*2\r\n$1\r\n0\r\n*0\r\n")
        let keys = (0..<20_000).map { "key:\($0)" }
        fill(database, keys)
        for count in ["1", "10", "1000", "100000"] where count != "1" {
            #expect(database.scanAll(["COUNT", count]).sorted() == keys.sorted(), "COUNT \(count)")
        }
    }

    @Test func whatStaysIsReturnedOnceWhileTheTableGrows() throws {
        let database = try SessionDatabase()
        let keys = (0..<3000).map { "stays:\($0)" }
        fill(database, keys)
        var next = 0
        let found = database.scanAll(["COUNT", "50", "MATCH", "stays:*"]) { step in
            guard step < 50 else { return }
            self.fill(database, (next..<next + 1000).map { "new:\($0)" })
            next += 1000
        }
        let isExact = found.sorted() == keys.sorted()
        #expect(isExact, "\(found.count) of \(keys.count)")
    }

    @Test func whatStaysIsReturnedOnceWhileTheTableShrinks() throws {
        let database = try SessionDatabase()
        let keys = (0..<500).map { "stays:\($0)" }
        fill(database, keys)
        let going = (0..<30_000).map { "goes:\($0)" }
        fill(database, going)
        var next = 0
        let found = database.scanAll(["COUNT", "200", "MATCH", "stays:*"]) { _ in
            guard next < going.count else { return }
            database.run(["DEL"] + going[next..<next + 1000])
            next += 1000
        }
        #expect(next > 10_000)
        let isExact = found.sorted() == keys.sorted()
        #expect(isExact, "\(found.count) of \(keys.count)")
    }

    @Test func tenantsAreOneDatabaseToTheApplication() throws {
        let database = try SessionDatabase(patterns: ["t:{tenant}:*"])
        var keys = (0..<200).map { "plain:\($0)" }
        for number in 0..<3000 { keys.append("t:tenant\(number % 300):\(number / 300)") }
        keys += (0..<2000).map { "t:large:\($0)" }
        fill(database, keys)
        #expect(database.run("DBSIZE") == ":\(keys.count)\r\n")
        #expect(database.scanAll().sorted() == keys.sorted())
        let matching = SessionDatabase.strings(database.run("KEYS", "t:tenant7:*"))
        #expect(matching.sorted() == (0..<10).map { "t:tenant7:\($0)" })
        #expect(keys.contains(SessionDatabase.strings(database.run("RANDOMKEY"))[0]))
        // Tenants come and go between the steps; those that stay are met once.
        let stays = keys.filter { !$0.hasPrefix("t:tenant1") }
        var step = 0
        let found = database.scanAll(["COUNT", "20"]) { _ in
            step += 1
            database.run("SET", "t:late\(step):1", "v")
            if step < 100 {
                database.run(["DEL"] + (0..<10).map { "t:tenant1\(step):\($0)" })
            }
        }
        let counted = Dictionary(grouping: found) { $0 }.mapValues(\.count)
        #expect(counted.values.allSatisfy { $0 == 1 })
        #expect(stays.allSatisfy { counted[$0] == 1 })
    }

    @Test func optionsAndErrors() throws {
        let database = try SessionDatabase()
        database.run("SET", "string", "v")
        database.run("SADD", "set", "v")
        #expect(database.scanAll(["TYPE", "SET"]) == ["set"])
        #expect(database.scanAll(["TYPE", "none"]) == [])
        #expect(database.scanAll(["MATCH", "str?ng"]) == ["string"])
        #expect(database.run("SCAN", "x") == "-ERR invalid cursor\r\n")
        #expect(database.run("SCAN", " 1") == "-ERR invalid cursor\r\n")
        #expect(database.run("SCAN", "99999999999999999999") == "-ERR invalid cursor\r\n")
        #expect(database.run("SCAN", "18446744073709551615") == "*2\r\n$1\r\n0\r\n*0\r\n")
        #expect(database.run("SCAN", "0", "COUNT", "0") == "-ERR syntax error\r\n")
        #expect(database.run("SCAN", "0", "COUNT") == "-ERR syntax error\r\n")
        #expect(
            database.run("SCAN", "0", "COUNT", "x")
                == "-ERR value is not an integer or out of range\r\n")
    }

    @Test func expiredKeysAreRemovedWhereTheyWereAskedFor() throws {
        let database = try SessionDatabase()
        database.run("SET", "string", "v", "PX", "10")
        database.run("SADD", "set", "v")
        database.run("PEXPIRE", "set", "10")
        database.run("SET", "stays", "v")
        database.database.advance(milliseconds: 20)
        #expect(database.run("DBSIZE") == ":3\r\n")
        #expect(database.run("KEYS", "*") == "*1\r\n$5\r\nstays\r\n")
        #expect(database.run("DBSIZE") == ":3\r\n")
        #expect(database.scanAll(["TYPE", "string"]) == ["stays"])
        #expect(database.run("DBSIZE") == ":2\r\n")
        #expect(database.scanAll() == ["stays"])
        #expect(database.run("DBSIZE") == ":1\r\n")
    }
}
