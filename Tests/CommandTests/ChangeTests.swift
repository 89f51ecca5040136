// SPDX-License-Identifier: Apache-2.0
import Base
import Commands
import Testing

@testable import Storage

/// Every change is reported before and after it is made: replaying the notifications gives the same
/// database, over random commands of all families, expiry, eviction, flushes, swaps, records and
/// deleted tenants.
@Suite(.serialized) struct ChangeTests {
    static let commandCount = isOptimized ? 1_000_000 : 40_000
    /// The number of commands between two comparisons.
    static let stride = isOptimized ? 5_000 : 1_000

    static let isOptimized: Bool = {
        var isDebug = false
        assert(
            {
                isDebug = true
                return true
            }())
        return !isDebug
    }()

    /// A database on which random commands run.
    private final class Driver {
        let recorder = ChangeRecorder()
        let database: SessionDatabase
        var random: Random

        init(seed: UInt64) throws {
            // The keys k1 and k10 to k19 are records: no other key's value may come to them.
            database = try SessionDatabase(
                patterns: ["t:{tenant}:*"], isReserved: { $0.array.starts(with: "k1".utf8) },
                observer: recorder)
            random = Random(seed: seed)
            // So that small collections leave their packed forms.
            let settings = database.database.settings.values
            settings.pointee.hashMaxPackedEntries.set(16)
            settings.pointee.setMaxPackedEntries.set(16)
            settings.pointee.setMaxIntegerEntries.set(8)
        }

        func below(_ bound: Int) -> Int { Int(random.next(below: UInt64(bound))) }
        func pick(_ choices: [String]) -> String { choices[below(choices.count)] }

        /// Keys of a few types, so that wrong types occur too. Some of them name tenants.
        func key() -> String {
            let number = below(below(10) == 0 ? 3_000 : 40)
            return below(3) == 0 ? "t:\(below(5)):\(number)" : "k\(number)"
        }

        func value() -> String {
            switch below(6) {
            case 0: "\(below(1000))"
            case 1: String(repeating: "x", count: below(200))
            default: "v\(below(100))"
            }
        }

        func members() -> [String] { (0...below(6)).map { _ in value() } }

        func command() -> [String] {
            switch below(34) {
            case 0...3: ["SET", key(), value()] + expiry()
            case 4: ["SET", key(), value(), pick(["NX", "XX", "KEEPTTL", "GET"])]
            case 5: ["MSET", key(), value(), key(), value()]
            case 6: ["APPEND", key(), value()]
            case 7: ["SETRANGE", key(), "\(below(300))", value()]
            case 8: [pick(["INCR", "DECR"]), key()]
            case 9: ["INCRBYFLOAT", key(), "1.5"]
            case 10: [pick(["GETDEL", "GET", "STRLEN"]), key()]
            case 11: ["GETEX", key()] + expiry()
            case 12, 13: ["DEL", key(), key()]
            case 14: [pick(["RENAME", "RENAMENX"]), key(), key()]
            case 15: ["COPY", key(), key(), "DB", "\(below(3))", "REPLACE"]
            case 16: ["MOVE", key(), "\(below(3))"]
            case 17: ["EXPIRE", key(), "\(below(4) - 1)"]
            case 18: ["PERSIST", key()]
            case 19...21: ["HSET", key()] + members().flatMap { [$0, value()] }
            case 22: ["HDEL", key()] + members()
            case 23: ["HINCRBY", key(), value(), "3"]
            case 24...26: ["SADD", key()] + members()
            case 27: ["SREM", key()] + members()
            case 28: ["SPOP", key(), "\(below(5))"]
            case 29: ["SMOVE", key(), key(), value()]
            case 30: [pick(["SUNIONSTORE", "SINTERSTORE", "SDIFFSTORE"]), key(), key(), key()]
            case 31: ["SADD", key()] + (0..<below(30)).map { "m\($0 + below(1000))" } + ["m"]
            case 32: ["HSET", key()] + (0...below(30)).flatMap { ["f\($0)", value()] }
            default: ["MSETNX", key(), value(), key(), value()]
            }
        }

        func expiry() -> [String] { below(3) == 0 ? ["PX", "\(below(500) + 1)"] : [] }

        /// Everything that is not a command on keys.
        func event() {
            let worker = database.worker
            let registry = database.registry
            switch below(60) {
            case 0: database.run("FLUSHDB")
            case 1: database.run("FLUSHALL")
            case 2...4: database.run("SWAPDB", "\(below(3))", "\(below(3))")
            case 5, 6:
                let found = Array("\(below(5))".utf8).withBytes { registry.find($0) }
                if let found { try? registry.delete(found) }
            case 7...14: database.select(below(3))
            case 15...30: database.database.advance(milliseconds: Int64(below(100)))
            case 31...40: tick { _ = worker.sweepExpired(budgetMicroseconds: 10_000) }
            case 41...44:
                tick {
                    let kept = registry.server.keyCount - 3
                    _ = worker.makeRoom(in: registry.server, keysMax: kept, arriving: 3)
                }
            default: tick { install(worker, registry) }
            }
        }

        /// A step of the records thread.
        private func install(_ worker: WorkerReference, _ registry: TenantRegistry) {
            Array(key().utf8).withBytes { key in
                let keyspace = registry.keyspace(registry.server, 0)
                let hold = Hold(worker, key, in: keyspace, creating: false, .record)
                switch below(4) {
                case 0: hold.setAbsent(0, until: hold.now + 50)
                case 1: hold.setHash(0, [(Array("a".utf8), Array("b".utf8))], until: hold.now + 90)
                case 2: if let found = hold.findAny(0) { hold.remove(found) }
                default:
                    let found = hold.findAny(0)
                    hold.setString(0, key, replacing: found, .at(hold.now + 70))
                }
                hold.end()
            }
        }

        private func tick(_ body: () -> Void) {
            database.worker.pointee.participant.enter()
            body()
            database.worker.pointee.participant.leave()
        }
    }

    @Test(arguments: [UInt64.random(in: 1...1_000_000)]) func whatIsToldIsTheDatabase(
        seed: UInt64
    ) throws {
        let driver = try Driver(seed: seed)
        var began = ChangeRecorder.walk(driver.database.registry)
        driver.recorder.beginSnapshot()
        for number in 1...Self.commandCount {
            driver.database.run(driver.command())
            if driver.below(20) == 0 { driver.event() }
            guard number % Self.stride == 0 else { continue }
            let now = ChangeRecorder.walk(driver.database.registry)
            let shadow = ChangeRecorder.differences(driver.recorder.shadow, now)
            try #require(shadow.isEmpty, "seed \(seed), command \(number): the shadow differs")
            let snapshot = ChangeRecorder.differences(driver.recorder.endSnapshot(), began)
            try #require(snapshot.isEmpty, "seed \(seed), command \(number): the snapshot differs")
            began = now
            driver.recorder.beginSnapshot()
        }
        #expect(driver.recorder.toldCount > Self.commandCount / 4)
    }
}
