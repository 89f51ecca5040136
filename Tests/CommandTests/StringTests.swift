// SPDX-License-Identifier: Apache-2.0
import Base
import Commands
import Storage
import Testing

/// What text conversations cannot test of strings: bytes, RESP3, the clock, limits, accounting.
@Suite struct StringTests {
    @Test func nullsInRESP3() {
        let database = Database()
        database.version = 3
        #expect(database.run("GET", "a") == "_\r\n")
        #expect(database.run("SET", "a", "1", "XX") == "_\r\n")
        #expect(database.run("MGET", "a") == "*1\r\n_\r\n")
        #expect(database.run("SET", "a", "1", "GET") == "_\r\n")
        #expect(database.run("LCS", "a", "a", "IDX").hasPrefix("%2\r\n$7\r\nmatches\r\n*1\r\n"))
    }

    @Test func bytesOfAnyKind() {
        let database = Database()
        let every = (0...255).map { UInt8($0) }
        #expect(database.run([Array("SET".utf8), every, every]) == "+OK\r\n")
        #expect(database.run([Array("STRLEN".utf8), every]) == ":256\r\n")
        #expect(database.run([Array("APPEND".utf8), every, [0, 13, 10]]) == ":259\r\n")
        #expect(
            database.run([Array("GETRANGE".utf8), every, [50, 53, 55], [50, 53, 55]]).utf8.count
                == 7)
    }

    @Test func expiredStringsAreGone() {
        let database = Database()
        _ = database.run("SET", "a", "5", "PX", "100")
        database.advance(milliseconds: 99)
        #expect(database.run("GET", "a") == "$1\r\n5\r\n")
        database.advance(milliseconds: 1)
        #expect(database.run("INCR", "a") == ":1\r\n")
    }

    /// A long string that grows byte by byte and by leaps, past the largest size of a short header.
    @Test func growthKeepsWhatIsThere() {
        let database = Database()
        var expected: [UInt8] = []
        for step in 0..<2000 {
            expected.append(UInt8(truncatingIfNeeded: 97 + step % 26))
            let piece = String(decoding: [expected[step]], as: UTF8.self)
            #expect(database.run("APPEND", "a", piece) == ":\(step + 1)\r\n")
        }
        let text = String(decoding: expected, as: UTF8.self)
        #expect(database.run("GET", "a") == "$2000\r\n\(text)\r\n")
        #expect(database.run("SETRANGE", "a", "17000000", "end") == ":17000003\r\n")
        #expect(database.run("GETRANGE", "a", "0", "1999") == "$2000\r\n\(text)\r\n")
        #expect(database.run("GETRANGE", "a", "2000", "2002") == "$3\r\n\0\0\0\r\n")
        #expect(database.run("GETRANGE", "a", "-4", "-1") == "$4\r\n\0end\r\n")
        #expect(database.run("SET", "a", "short") == "+OK\r\n")
        #expect(database.run("GET", "a") == "$5\r\nshort\r\n")
        #expect(database.run("APPEND", "a", "er") == ":7\r\n")
        #expect(database.run("GET", "a") == "$7\r\nshorter\r\n")
    }

    @Test func bulkSizeLimit() {
        let database = Database()
        database.settings.values.pointee.bulkSizeMax.set(10)
        #expect(database.run("SET", "a", "12345678") == "+OK\r\n")
        #expect(database.run("APPEND", "a", "90") == ":10\r\n")
        #expect(
            database.run("APPEND", "a", "1").hasPrefix("-ERR string exceeds maximum allowed size"))
        #expect(database.run("SETRANGE", "a", "10", "1").hasPrefix("-ERR string exceeds"))
        #expect(
            database.run("LCS", "a", "a").hasPrefix("-ERR Insufficient memory, transient memory"))
        #expect(database.run("GET", "a") == "$10\r\n1234567890\r\n")
    }

    @Test func manyKeysAtOnce() {
        let database = Database()
        var request = ["MSET"]
        for number in 0..<5000 { request += ["key:\(number)", "value:\(number)"] }
        #expect(database.run(request.map { Array($0.utf8) }) == "+OK\r\n")
        for number in stride(from: 0, to: 5000, by: 97) {
            let value = "value:\(number)"
            #expect(database.run("GET", "key:\(number)") == "$\(value.utf8.count)\r\n\(value)\r\n")
        }
        #expect(database.keyCount == 5000)
        #expect(database.violations == [])
    }

    /// Random commands on few keys; afterwards every table is sound and charged to the byte.
    @Test func accountingAfterRandomCommands() {
        let database = Database(families: Families.all + [Probes.family])
        var random = SplitRandom(seed: 7)
        for step in 0..<20_000 {
            let key = "k\(random.next(below: 50))"
            let size =
                random.next(below: 10) == 0 ? random.next(below: 3000) : random.next(below: 70)
            let value =
                random.next(below: 3) == 0
                ? String(step) : String(repeating: "x", count: size)
            switch random.next(below: 12) {
            case 0, 1: _ = database.run("SET", key, value)
            case 2: _ = database.run("SET", key, value, "PX", "\(1 + random.next(below: 500))")
            case 3: _ = database.run("SET", key, value, "KEEPTTL")
            case 4: _ = database.run("APPEND", key, value)
            case 5: _ = database.run("SETRANGE", key, "\(random.next(below: 400))", value)
            case 6: _ = database.run("INCR", key)
            case 7: _ = database.run("INCRBYFLOAT", key, "1.5")
            case 8: _ = database.run("GETDEL", key)
            case 9:
                _ = database.run("GETEX", key, random.next(below: 2) == 0 ? "PERSIST" : "EX", "5")
            case 10: _ = database.run("HASH", key)
            default: database.advance(milliseconds: Int64(random.next(below: 20)))
            }
            if step % 1000 == 0 { #expect(database.violations == [], "step \(step)") }
        }
        #expect(database.violations == [])
    }
}
