// SPDX-License-Identifier: Apache-2.0
import Base
import Commands
import Storage
import Testing

/// CLIENT PAUSE as keys see it: while it lasts, expired keys are unseen and stay in place.
@Suite struct PauseTests {
    private func keyCount(_ database: SessionDatabase) -> Int {
        database.registry.keyspace(database.registry.server, 0).keyCount
    }

    private func paused() throws -> SessionDatabase {
        let database = try SessionDatabase()
        database.run("SET", "a", "1", "PX", "10")
        database.run("HSET", "h", "f", "v")
        database.run("PEXPIRE", "h", "10")
        let worker = database.worker
        worker.pointee.now += 20
        worker.settings.values.pointee.expiryPausedUntil.set(Int(worker.now) + 100)
        return database
    }

    @Test func readersSeeNothingAndRemoveNothing() throws {
        let database = try paused()
        #expect(database.run("GET", "a") == "$-1\r\n")
        #expect(database.run("EXISTS", "a", "h") == ":0\r\n")
        #expect(database.run("HGETALL", "h") == "*0\r\n")
        #expect(database.run("TTL", "a") == ":-2\r\n")
        #expect(database.run("KEYS", "*") == "*0\r\n")
        #expect(database.run("RANDOMKEY") == "$-1\r\n")
        #expect(database.scanAll() == [])
        #expect(database.worker.sweepExpired(budgetMicroseconds: 100_000) != nil)
        #expect(keyCount(database) == 2)
        #expect(database.worker.pointee.statistics.pointee.expiredKeys.value == 0)
        database.worker.settings.values.pointee.expiryPausedUntil.set(0)
        #expect(database.run("GET", "a") == "$-1\r\n")
        #expect(database.run("HGET", "h", "f") == "$-1\r\n")
        #expect(keyCount(database) == 0)
        #expect(database.worker.pointee.statistics.pointee.expiredKeys.value == 2)
    }

    /// A transaction that begins a pause may go on writing; no key may then exist twice.
    @Test func writersRemoveWhatTheyReplace() throws {
        let database = try paused()
        #expect(database.run("SET", "a", "2", "GET") == "$-1\r\n")
        #expect(database.run("GETSET", "h", "x") == "$-1\r\n")
        #expect(keyCount(database) == 2)
        #expect(database.run("MGET", "a", "h") == "*2\r\n$1\r\n2\r\n$1\r\nx\r\n")
        #expect(database.database.violations == [])
    }

    @Test func sweepGoesOnWhenThePauseIsOver() throws {
        let database = try paused()
        let worker = database.worker
        let due = worker.sweepExpired(budgetMicroseconds: 100_000)
        #expect(due == worker.now + 100)
        worker.pointee.now += 100
        _ = worker.sweepExpired(budgetMicroseconds: 100_000)
        #expect(keyCount(database) == 0)
    }
}

/// WATCH of keys that had already expired.
@Suite struct WatchOfExpiredTests {
    private func watching(_ key: String, in number: Int = 0) throws -> SessionDatabase {
        let database = try SessionDatabase()
        database.run("SET", "stale", "1", "PX", "10")
        database.run("SET", "fresh", "1")
        database.worker.pointee.now += 20
        database.select(number)
        watch(database, key)
        return database
    }

    private func watch(_ database: SessionDatabase, _ key: String) {
        let number = database.database.number
        let keyspace = database.registry.keyspace(database.registry.server, number)
        Array(key.utf8).withBytes { database.worker.watch($0, database.session, keyspace) }
    }

    @Test(arguments: [["EXISTS", "stale"], ["DEL", "stale"], ["FLUSHDB"], ["SWAPDB", "0", "1"]])
    func removalIsNoChange(_ request: [String]) throws {
        let database = try watching("stale")
        database.run(request)
        #expect(!database.worker.isBroken(database.session), "\(request)")
        database.run("SET", "stale", "2")
        #expect(database.worker.isBroken(database.session), "\(request)")
        database.worker.unwatchAll(database.session)
    }

    /// An expired key stays during a pause; its removal afterwards does not break a watch either.
    @Test func nothingChangesInAPause() throws {
        let database = try watching("fresh")
        let worker = database.worker
        worker.unwatchAll(database.session)
        database.run("SET", "stale", "1", "PX", "10")
        worker.pointee.now += 20
        worker.pointee.settings.values.pointee.expiryPausedUntil.set(Int(worker.pointee.now) + 100)
        watch(database, "stale")
        #expect(database.run("GET", "stale") == "$-1\r\n")
        #expect(!worker.isBroken(database.session))
        database.run("SWAPDB", "0", "1")
        #expect(!worker.isBroken(database.session))
        database.run("SWAPDB", "0", "1")
        #expect(!worker.isBroken(database.session))
        worker.pointee.now += 200
        #expect(!worker.isBroken(database.session))
        _ = worker.sweepExpired(budgetMicroseconds: 100_000)
        #expect(database.run("DBSIZE") == ":1\r\n")
        #expect(!worker.isBroken(database.session))
        database.run("SET", "stale", "2")
        #expect(worker.isBroken(database.session))
        worker.unwatchAll(database.session)
    }

    @Test func sweepIsNoChange() throws {
        let database = try watching("stale")
        _ = database.worker.sweepExpired(budgetMicroseconds: 100_000)
        #expect(!database.worker.isBroken(database.session))
        database.worker.unwatchAll(database.session)
    }

    @Test func anExpiredKeyReplacingNothingIsNoChange() throws {
        let database = try watching("stale", in: 1)
        database.run("SWAPDB", "0", "1")
        #expect(!database.worker.isBroken(database.session))
        database.worker.unwatchAll(database.session)
    }

    @Test func aLiveKeyReplacingAnExpiredOneIsAChange() throws {
        let database = try watching("stale")
        database.select(1)
        database.run("SET", "stale", "live")
        database.select(0)
        database.run("SWAPDB", "0", "1")
        #expect(database.worker.isBroken(database.session))
        database.worker.unwatchAll(database.session)
    }

    @Test func whatExpiresUnderWatchIsAChange() throws {
        let database = try watching("fresh")
        database.run("PEXPIRE", "fresh", "10")
        database.worker.unwatchAll(database.session)
        watch(database, "fresh")
        database.worker.pointee.now += 20
        #expect(database.worker.isBroken(database.session))
        database.run("EXISTS", "fresh")
        #expect(database.worker.isBroken(database.session))
        database.worker.unwatchAll(database.session)
    }
}

/// The answer of COMMAND GETKEYSANDFLAGS for SET depends on its options.
@Suite struct KeyAccessTests {
    @Test(arguments: [
        (["SET", "k", "v"], ["OW", "update"]), (["SET", "get", "get"], ["OW", "update"]),
        (["SET", "k", "v", "NX", "gEt"], ["RW", "access", "update"]),
        (["GETSET", "k", "v"], ["RW", "access", "update"]),
    ])
    func access(_ request: [String], _ flags: [String]) throws {
        let database = try SessionDatabase()
        let key = request[1]
        let expected =
            "*1\r\n*2\r\n$\(key.utf8.count)\r\n\(key)\r\n*\(flags.count)\r\n"
            + flags.map { "+\($0)\r\n" }.joined()
        #expect(database.run(["COMMAND", "GETKEYSANDFLAGS"] + request) == expected)
    }
}
