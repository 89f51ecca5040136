// SPDX-License-Identifier: Apache-2.0
import Base
import Commands
import Storage
import Synchronization
import Tenancy
import Testing

@Suite struct KeyTests {
    private let ok = "+OK\r\n"
    private let sameObject = "-ERR source and destination objects are the same\r\n"

    /// Checks that every table of every tenant is sound and charged at its true size.
    private func violations(_ database: SessionDatabase) -> [String] {
        var broken: [String] = []
        database.registry.forEachTenant { tenant in
            tenant.forEachKeyspace { keyspace in
                keyspace.forEachShard(isLocked: false) {
                    broken += $0.pointee.table.invariantViolations
                }
            }
        }
        return broken
    }

    private func fillSet(_ database: SessionDatabase, _ key: String, _ count: Int) {
        for start in stride(from: 0, to: count, by: 500) {
            let members = (start..<min(start + 500, count)).map { "member:\($0)" }
            database.run(["SADD", key] + members)
        }
    }

    @Test func deletionCountsWhatWasThere() throws {
        let database = try SessionDatabase()
        database.run("MSET", "a", "1", "b", "2", "c", "3")
        #expect(database.run("EXISTS", "a", "b", "a", "x") == ":3\r\n")
        #expect(database.run("TOUCH", "a", "x") == ":1\r\n")
        #expect(database.run("DEL", "a", "a", "x", "b") == ":2\r\n")
        #expect(database.run("UNLINK", "c", "c") == ":1\r\n")
        #expect(database.run("DBSIZE") == ":0\r\n")
        #expect(database.run("TYPE", "a") == "+none\r\n")
    }

    @Test func typesAndEncodings() throws {
        let database = try SessionDatabase()
        database.run("SET", "i", "12")
        database.run("SET", "e", String(repeating: "x", count: 44))
        database.run("SET", "r", String(repeating: "x", count: 45))
        database.run("SADD", "s", "1", "2")
        database.run("SADD", "p", "a")
        fillSet(database, "h", 200)
        let expected = [
            "i": "int", "e": "embstr", "r": "raw", "s": "intset", "p": "listpack", "h": "hashtable",
        ]
        for (key, name) in expected {
            #expect(database.run("OBJECT", "ENCODING", key) == "$\(name.utf8.count)\r\n\(name)\r\n")
        }
        #expect(database.run("TYPE", "h") == "+set\r\n")
        #expect(database.run("OBJECT", "ENCODING", "none") == "$-1\r\n")
        #expect(database.run("OBJECT", "REFCOUNT", "e") == ":1\r\n")
        database.database.advance(milliseconds: 5000)
        #expect(database.run("OBJECT", "IDLETIME", "i") == ":5\r\n")
        #expect(database.run("TOUCH", "i") == ":1\r\n")
        #expect(database.run("OBJECT", "IDLETIME", "i") == ":0\r\n")
        #expect(database.run("OBJECT", "FREQ", "i").hasPrefix("-ERR An LFU maxmemory policy"))
        #expect(database.run("OBJECT", "HELP").hasPrefix("*15\r\n+OBJECT <subcommand>"))
    }

    @Test func renameMovesValueAndExpiry() throws {
        let database = try SessionDatabase()
        #expect(database.run("RENAME", "no", "x") == "-ERR no such key\r\n")
        #expect(database.run("RENAME", "no", "no") == "-ERR no such key\r\n")
        fillSet(database, "big", 1000)
        database.run("PEXPIRE", "big", "50000")
        database.run("SET", "other", "v")
        #expect(database.run("RENAME", "big", "big") == ok)
        #expect(database.run("RENAMENX", "big", "big") == ":0\r\n")
        #expect(database.run("RENAMENX", "big", "other") == ":0\r\n")
        #expect(database.run("RENAME", "big", "other") == ok)
        #expect(database.run("SCARD", "other") == ":1000\r\n")
        #expect(database.run("PTTL", "other") == ":50000\r\n")
        #expect(database.run("EXISTS", "big") == ":0\r\n")
        #expect(database.run("RENAMENX", "other", "free") == ":1\r\n")
        #expect(database.run("SISMEMBER", "free", "member:999") == ":1\r\n")
        #expect(violations(database) == [])
    }

    @Test func renameCrossesTenants() throws {
        let database = try SessionDatabase(patterns: ["t:{tenant}:*"])
        fillSet(database, "t:a:set", 500)
        #expect(database.run("RENAME", "t:a:set", "t:b:set") == ok)
        #expect(database.run("SCARD", "t:b:set") == ":500\r\n")
        #expect(database.run("COPY", "t:b:set", "plain") == ":1\r\n")
        #expect(database.run("DEL", "t:b:set") == ":1\r\n")
        #expect(database.run("SCARD", "plain") == ":500\r\n")
        #expect(database.registry.tenantCount == 1)
        #expect(violations(database) == [])
    }

    @Test func copyIsDeepAndReachesOtherDatabases() throws {
        let database = try SessionDatabase()
        fillSet(database, "s", 300)
        database.run("EXPIRE", "s", "100")
        #expect(database.run("COPY", "s", "s") == sameObject)
        #expect(database.run("COPY", "s", "c") == ":1\r\n")
        #expect(database.run("COPY", "s", "c") == ":0\r\n")
        database.run("SREM", "s", "member:1")
        #expect(database.run("SCARD", "c") == ":300\r\n")
        #expect(database.run("COPY", "s", "c", "REPLACE") == ":1\r\n")
        #expect(database.run("SCARD", "c") == ":299\r\n")
        #expect(database.run("TTL", "c") == ":100\r\n")
        #expect(database.run("COPY", "s", "s", "DB", "1") == ":1\r\n")
        #expect(database.run("COPY", "s", "s", "DB", "1") == ":0\r\n")
        #expect(database.run("COPY", "s", "x", "DB", "99") == "-ERR DB index is out of range\r\n")
        #expect(database.run("COPY", "s", "x", "DB") == "-ERR syntax error\r\n")
        #expect(
            database.run("COPY", "s", "x", "DB", "99999999999", "foo")
                == "-ERR value is out of range, value must between -2147483648 and 2147483647\r\n")
        database.select(1)
        #expect(database.run("SCARD", "s") == ":299\r\n")
        #expect(database.run("DBSIZE") == ":1\r\n")
        #expect(violations(database) == [])
    }

    @Test func nothingGoesToADatabaseThatSELECTDoesNotReach() throws {
        let database = try SessionDatabase()
        database.database.settings.values.pointee.databaseCount.set(4)
        let outOfRange = "-ERR DB index is out of range\r\n"
        database.run("SET", "k", "v")
        for number in ["4", "15", "-1"] {
            #expect(database.run("SELECT", number) == outOfRange)
            #expect(database.run("MOVE", "k", number) == outOfRange)
            #expect(database.run("COPY", "k", "c", "DB", number) == outOfRange)
            #expect(database.run("SWAPDB", "0", number) == outOfRange)
        }
        #expect(database.run("COPY", "k", "k", "DB", "3") == ":1\r\n")
        #expect(database.run("SWAPDB", "0", "3") == "+OK\r\n")
        #expect(database.run("DBSIZE") == ":1\r\n")
    }

    @Test func moveGoesToAnotherDatabase() throws {
        let database = try SessionDatabase()
        database.run("SET", "k", "v", "EX", "100")
        #expect(database.run("MOVE", "k", "0") == sameObject)
        #expect(
            database.run("MOVE", "no", "0x")
                == "-ERR value is not an integer or out of range\r\n")
        #expect(database.run("MOVE", "k", "16") == "-ERR DB index is out of range\r\n")
        #expect(database.run("MOVE", "no", "3") == ":0\r\n")
        #expect(database.run("MOVE", "k", "3") == ":1\r\n")
        #expect(database.run("EXISTS", "k") == ":0\r\n")
        database.run("SET", "k", "w")
        #expect(database.run("MOVE", "k", "3") == ":0\r\n")
        database.select(3)
        #expect(database.run("GET", "k") == "$1\r\nv\r\n")
        #expect(database.run("TTL", "k") == ":100\r\n")
        #expect(violations(database) == [])
    }

    @Test func flushesEmptyWhatTheSessionSees() throws {
        let database = try SessionDatabase(patterns: ["t:{tenant}:*"])
        database.run("MSET", "a", "1", "t:x:1", "1", "t:y:1", "2")
        database.select(2)
        database.run("SET", "t:x:2", "1")
        #expect(database.run("FLUSHDB", "LATER") == "-ERR syntax error\r\n")
        #expect(database.run("FLUSHDB", "ASYNC", "SYNC") == "-ERR syntax error\r\n")
        #expect(database.run("FLUSHDB") == ok)
        #expect(database.run("DBSIZE") == ":0\r\n")
        database.select(0)
        #expect(database.run("DBSIZE") == ":3\r\n")
        database.run("MSET", "a", "1")
        #expect(database.run("FLUSHALL", "ASYNC") == ok)
        #expect(database.run("DBSIZE") == ":0\r\n")
        #expect(database.registry.tenantCount == 1)
    }

    @Test func swapExchangesDatabasesOfEveryTenant() throws {
        let database = try SessionDatabase(patterns: ["t:{tenant}:*"])
        database.run("MSET", "a", "1", "t:x:1", "one")
        database.select(1)
        database.run("SET", "b", "2")
        #expect(database.run("SWAPDB", "0", "b") == "-ERR invalid second DB index\r\n")
        #expect(database.run("SWAPDB", "x", "1") == "-ERR invalid first DB index\r\n")
        #expect(database.run("SWAPDB", "0", "16") == "-ERR DB index is out of range\r\n")
        #expect(database.run("SWAPDB", "0", "1") == ok)
        #expect(database.run("MGET", "a", "b", "t:x:1") == "*3\r\n$1\r\n1\r\n$-1\r\n$3\r\none\r\n")
        database.select(0)
        #expect(database.run("MGET", "a", "b", "t:x:1") == "*3\r\n$-1\r\n$1\r\n2\r\n$-1\r\n")
        #expect(violations(database) == [])
    }

    @Test func swapTellsWhoWatchesWhatChanges() throws {
        let database = try SessionDatabase()
        let session = database.session
        database.run("SET", "k", "0")
        database.select(1)
        database.run("SET", "other", "1")
        database.select(0)
        func watch(_ key: String) {
            let keyspace = database.registry.keyspace(database.registry.server, 0)
            Array(key.utf8).withBytes { database.worker.watch($0, session, keyspace) }
        }
        for (key, isTouched) in [("k", true), ("other", true), ("neither", false)] {
            watch(key)
            database.run("SWAPDB", "0", "1")
            #expect(database.worker.isBroken(session) == isTouched, "\(key)")
            database.worker.unwatchAll(session)
            database.run("SWAPDB", "0", "1")
        }
        watch("neither")
        database.run("SWAPDB", "0", "1")
        database.run("SET", "neither", "now")
        #expect(database.worker.isBroken(session))
        database.worker.unwatchAll(session)
    }

    @Test func negativeEntriesAreInvisible() throws {
        let database = try SessionDatabase()
        let worker = database.worker
        let keyspace = database.registry.keyspace(database.registry.server, 0)
        let key = Array("record".utf8)
        func setAbsent() {
            key.withBytes { key in
                let keys = Hold(worker, key, in: keyspace, creating: true)
                keys.setAbsent(0, until: worker.now + 100_000)
            }
        }
        setAbsent()
        #expect(database.run("EXISTS", "record") == ":0\r\n")
        #expect(database.run("TYPE", "record") == "+none\r\n")
        #expect(database.run("TTL", "record") == ":-2\r\n")
        #expect(database.run("GET", "record") == "$-1\r\n")
        #expect(database.run("DBSIZE") == ":0\r\n")
        #expect(database.run("KEYS", "*") == "*0\r\n")
        #expect(database.run("RANDOMKEY") == "$-1\r\n")
        #expect(database.scanAll() == [])
        // Reads do not remove it.
        #expect(keyspace.keyCount == 1)
        // A command that reads first and then writes must not leave the negative entry there.
        #expect(database.run("GETSET", "record", "v") == "$-1\r\n")
        #expect(keyspace.keyCount == 1 && database.run("DEL", "record") == ":1\r\n")
        setAbsent()
        #expect(database.run("SET", "record", "v", "GET") == "$-1\r\n")
        #expect(keyspace.keyCount == 1 && database.run("DEL", "record") == ":1\r\n")
        setAbsent()
        #expect(database.run("SETNX", "record", "v") == ":1\r\n")
        #expect(database.run("TTL", "record") == ":-1\r\n")
        setAbsent()
        #expect(database.run("RENAME", "record", "x") == "-ERR no such key\r\n")
        setAbsent()
        #expect(database.run("DEL", "record") == ":0\r\n")
        database.run("SET", "a", "1")
        setAbsent()
        #expect(database.run("RENAMENX", "a", "record") == ":1\r\n")
        #expect(database.run("DBSIZE") == ":1\r\n")
        setAbsent()
        #expect(database.run("SADD", "record", "m") == ":1\r\n")
        #expect(violations(database) == [])
    }

    @Test func hugeCollectionsGoAtOnce() throws {
        let database = try SessionDatabase()
        fillSet(database, "s", 200_000)
        let start = Clock.monotonicNanoseconds
        #expect(database.run("DEL", "s") == ":1\r\n")
        #expect(Clock.monotonicNanoseconds - start < 100_000_000)
        #expect(violations(database) == [])
    }
}
