// SPDX-License-Identifier: Apache-2.0
import Base
import Storage
import Tenancy
import Testing

/// INFO's avg_ttl is an estimate: it must be close, whatever else the database holds.
@Suite struct TimeToLiveSampleTests {
    private static func estimate(_ database: Database, _ tenants: [String] = []) -> Milliseconds {
        var keyspaces = [database.registry.keyspace(database.registry.server, 0)]
        for id in tenants {
            let tenant = Array(id.utf8).withBytes { database.registry.find($0) }
            if let keyspace = tenant?.keyspace(0) { keyspaces.append(keyspace) }
        }
        return database.worker.estimatedTimeToLive(in: keyspaces)
    }

    @Test func nothingExpires() {
        let database = Database()
        #expect(Self.estimate(database) == 0)
        database.run("SET", "a", "1")
        #expect(Self.estimate(database) == 0)
        #expect(database.worker.estimatedTimeToLive(in: []) == 0)
    }

    @Test func oneEntryIsItsOwnAverage() {
        let database = Database()
        database.run("SET", "a", "1", "PX", "5000")
        #expect(Self.estimate(database) == 5000)
        database.advance(milliseconds: 1000)
        #expect(Self.estimate(database) == 4000)
        database.advance(milliseconds: 4000)
        #expect(Self.estimate(database) == 0, "an expired entry was counted")
    }

    @Test func theShareOfExpiredEntriesThatAreStillThere() {
        let database = Database()
        func share() -> Double {
            let keyspace = database.registry.keyspace(database.registry.server, 0)
            return database.worker.estimatedStaleShare(of: [keyspace])
        }
        #expect(share() == 0)
        for number in 0..<2000 {
            database.run(
                "SET", "k\(number)", "v", "PX", number.isMultiple(of: 4) ? "1000" : "90000")
        }
        #expect(share() == 0)
        database.advance(milliseconds: 2000)
        let average = (0..<100).reduce(0) { sum, _ in sum + share() } / 100
        #expect(abs(average - 0.25) < 0.05, "\(average)")
    }

    @Test func manyEntriesAmongMoreThatDoNotExpire() {
        let database = Database()
        for number in 0..<20_000 { database.run("SET", "k\(number)", "v") }
        // Even and odd lifetimes, 10 and 30 seconds: 20 on average.
        for number in 0..<4000 {
            database.run("PEXPIRE", "k\(number * 5)", number.isMultiple(of: 2) ? "10000" : "30000")
        }
        var sum: Milliseconds = 0
        for _ in 0..<100 { sum += Self.estimate(database) }
        #expect(abs(sum / 100 - 20_000) < 1000, "\(sum / 100)")
    }

    @Test func tenantsWeighAsMuchAsTheyHave() throws {
        let database = Database(patterns: [try KeyPattern("t:{tenant}:*")])
        for number in 0..<300 { database.run("SET", "t:a:\(number)", "v", "PX", "10000") }
        for number in 0..<100 { database.run("SET", "t:b:\(number)", "v", "PX", "50000") }
        #expect(Self.estimate(database, ["a", "b"]) == 20_000)
        #expect(Self.estimate(database, ["b"]) == 50_000)
    }
}
