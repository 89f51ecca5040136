// SPDX-License-Identifier: Apache-2.0
import Base
import Commands
import Storage
import Testing

@Suite struct ExpiryTests {
    @Test func conditionsAndConflicts() throws {
        let database = try SessionDatabase()
        database.run("SET", "k", "v")
        #expect(database.run("EXPIRE", "k", "10", "XX") == ":0\r\n")
        #expect(database.run("EXPIRE", "k", "10", "GT") == ":0\r\n")
        #expect(database.run("EXPIRE", "k", "10", "LT") == ":1\r\n")
        #expect(database.run("EXPIRE", "k", "20", "NX") == ":0\r\n")
        #expect(database.run("EXPIRE", "k", "20", "xx", "gt") == ":1\r\n")
        #expect(database.run("EXPIRE", "k", "20", "GT") == ":0\r\n")
        #expect(database.run("EXPIRE", "k", "30", "LT") == ":0\r\n")
        #expect(database.run("TTL", "k") == ":20\r\n")
        #expect(database.run("PERSIST", "k") == ":1\r\n")
        #expect(database.run("PERSIST", "k") == ":0\r\n")
        #expect(
            database.run("EXPIRE", "k", "10", "NX", "XX")
                == "-ERR NX and XX, GT or LT options at the same time are not compatible\r\n")
        #expect(
            database.run("EXPIRE", "k", "10", "GT", "LT")
                == "-ERR GT and LT options at the same time are not compatible\r\n")
        #expect(database.run("EXPIRE", "no", "x", "foo") == "-ERR Unsupported option foo\r\n")
        #expect(database.run("EXPIRE", "no", "10") == ":0\r\n")
    }

    @Test func momentsThatDoNotFit() throws {
        let database = try SessionDatabase()
        database.run("SET", "k", "v")
        #expect(
            database.run("EXPIRE", "k", "9223372036854775807")
                == "-ERR invalid expire time in 'expire' command\r\n")
        #expect(
            database.run("PEXPIRE", "k", "9223372036854775807")
                == "-ERR invalid expire time in 'pexpire' command\r\n")
        #expect(
            database.run("EXPIREAT", "k", "-9223372036854775808")
                == "-ERR invalid expire time in 'expireat' command\r\n")
        #expect(database.run("PEXPIREAT", "k", "9223372036854775806") == ":1\r\n")
        #expect(database.run("PEXPIRETIME", "k") == ":9223372036854775806\r\n")
        #expect(database.run("EXPIRETIME", "k") == ":9223372036854776\r\n")
        #expect(database.run("PEXPIRE", "k", "-9223372036854775808") == ":1\r\n")
        #expect(database.run("EXISTS", "k") == ":0\r\n")
    }

    @Test func timesToLiveAreRounded() throws {
        let database = try SessionDatabase()
        #expect(database.run("TTL", "k") == ":-2\r\n")
        database.run("SET", "k", "v")
        #expect(database.run("EXPIRETIME", "k") == ":-1\r\n")
        database.run("PEXPIRE", "k", "1500")
        #expect(database.run("TTL", "k") == ":2\r\n")
        database.run("PEXPIRE", "k", "1499")
        #expect(database.run("TTL", "k") == ":1\r\n")
        database.database.advance(milliseconds: 1000)
        #expect(database.run("TTL", "k") == ":0\r\n")
        #expect(database.run("PTTL", "k") == ":499\r\n")
        database.database.advance(milliseconds: 500)
        #expect(database.run("PTTL", "k") == ":-2\r\n")
        database.run("SET", "k", "v")
        #expect(database.run("EXPIRE", "k", "0") == ":1\r\n")
        #expect(database.run("EXISTS", "k") == ":0\r\n")
    }

    @Test func theSweepRemovesWhatHasExpired() throws {
        let database = try SessionDatabase(patterns: ["t:{tenant}:*"])
        let worker = database.worker
        #expect(worker.sweepExpired(budgetMicroseconds: 1_000_000) == nil)
        for number in 0..<20_000 {
            let time = number % 2 == 0 ? "100" : "100000"
            let key = number % 5 == 0 ? "t:\(number % 400):\(number)" : "key:\(number)"
            database.run("SET", key, "v", "PX", time)
        }
        database.run("SET", "stays", "v")
        let start = worker.now
        #expect(worker.sweepExpired(budgetMicroseconds: 10_000_000) == start + 100)
        #expect(database.run("DBSIZE") == ":20001\r\n")
        database.database.advance(milliseconds: 150)
        // A small budget does a part of the work and reports that more is left.
        var calls = 0
        var due: Milliseconds?
        repeat {
            due = worker.sweepExpired(budgetMicroseconds: 200)
            calls += 1
        } while due ?? .max <= worker.now + 4 && calls < 100_000
        #expect(calls > 1)
        #expect(due == start + 100_000)
        #expect(database.run("DBSIZE") == ":10001\r\n")
        database.database.advance(milliseconds: 200_000)
        #expect(worker.sweepExpired(budgetMicroseconds: 10_000_000) == nil)
        #expect(database.run("DBSIZE") == ":1\r\n")
        #expect(database.registry.tenantCount == 1)
        database.registry.server.forEachKeyspace { keyspace in
            keyspace.forEachShard(isLocked: false) {
                #expect($0.pointee.table.invariantViolations == [])
            }
        }
    }

    /// A negative entry was never a key to anyone, so its end does not count as an expired key.
    @Test func theEndOfANegativeEntryIsNotCounted() throws {
        let database = Database()
        let worker = database.worker
        let keyspace = database.registry.keyspace(database.registry.server, 0)
        for isSwept in [false, true] {
            Array("record".utf8).withBytes { key in
                let keys = Hold(worker, key, in: keyspace, creating: true)
                keys.setAbsent(0, until: keys.now + 10)
            }
            database.advance(milliseconds: 20)
            if isSwept {
                _ = worker.sweepExpired(budgetMicroseconds: 1_000_000)
            } else {
                #expect(database.run("GET", "record") == "$-1\r\n")
            }
            #expect(keyspace.keyCount == 0)
        }
        #expect(worker.pointee.statistics.pointee.expiredKeys.value == 0)
        #expect(database.registry.server.usage.expired == 0)
    }

    @Test func theSweepCanBeSwitchedOff() throws {
        let database = try SessionDatabase()
        database.run("SET", "k", "v", "PX", "1")
        database.database.advance(milliseconds: 10)
        database.database.settings.values.pointee.activeExpiryEnabled.set(0)
        #expect(database.worker.sweepExpired(budgetMicroseconds: 1_000_000) == nil)
        #expect(database.run("DBSIZE") == ":1\r\n")
    }
}
