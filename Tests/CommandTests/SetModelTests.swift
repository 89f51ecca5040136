// SPDX-License-Identifier: Apache-2.0
import Base
import Storage
import Testing

/// Random set commands compared with Swift's own sets, over all forms and the limits between them.
@Suite struct SetModelTests {
    @Test(arguments: [1, 2, 3, 4, 5, 6]) func agreesWithSwiftsSets(seed: UInt64) {
        var model = SetModel(seed: seed)
        if seed % 2 == 0 { model.lowerLimits() }
        for step in 0..<2_500 {
            guard model.step() else {
                Issue.record("seed \(seed), step \(step): \(model.complaint)")
                return
            }
        }
        #expect(model.forms.isSuperset(of: ["intset", "listpack", "hashtable"]))
        model.removeAll()
        #expect(model.database.chargedSize == 0)
    }

    @Test func scanReturnsAllThatStaysWhileTheSetChanges() {
        let database = Database()
        let staying = Set((0..<2_000).map { Array("stays\($0)".utf8) })
        _ = database.runBytes([Array("SADD".utf8), Array("s".utf8)] + Array(staying))
        var seen: Set<[UInt8]> = []
        var cursor = Array("0".utf8)
        var page = 0
        repeat {
            var reply = SetReply(
                database.runBytes([Array("SSCAN".utf8), Array("s".utf8), cursor]))
            _ = reply.number()
            cursor = reply.bulk()
            for member in reply.list() where staying.contains(member) {
                #expect(seen.insert(member).inserted)
            }
            for other in 0..<40 {
                let name = "goes\(page % 120)-\(other)"
                _ = database.run(page % 240 < 120 ? "SADD" : "SREM", "s", name)
            }
            page += 1
        } while cursor != Array("0".utf8) && page < 10_000
        #expect(seen == staying)
    }

    @Test func everyMemberIsDrawnAlike() {
        let database = Database()
        for (key, prefix, count) in [("i", "", 100), ("p", "x", 100), ("t", "y", 400)] {
            for number in 0..<count { _ = database.run("SADD", key, "\(prefix)\(number)") }
            var counts: [[UInt8]: Int] = [:]
            var reply = SetReply(
                database.runBytes(
                    ["SRANDMEMBER", key, "-\(count * 100)"].map { Array($0.utf8) }))
            for member in reply.list() { counts[member, default: 0] += 1 }
            // Chi squared with `count` - 1 degrees of freedom: that is its mean, and six deviations
            // are allowed.
            let squares = counts.values.reduce(0.0) { $0 + Double(($1 - 100) * ($1 - 100)) }
            let chi = squares / 100 + Double(count - counts.count) * 100
            #expect(chi < Double(count) + 6 * (2 * Double(count)).squareRoot())
            var sampled: [[UInt8]: Int] = [:]
            for _ in 0..<400 {
                var reply = SetReply(
                    database.runBytes(
                        ["SRANDMEMBER", key, "\(count / 4)"].map { Array($0.utf8) }))
                let list = reply.list()
                #expect(Set(list).count == count / 4)
                for member in list { sampled[member, default: 0] += 1 }
            }
            #expect(sampled.count == count && sampled.values.allSatisfy { (45...155).contains($0) })
        }
    }

    @Test func repliesThatRepeatAreBounded() {
        let database = Database()
        _ = database.run("SADD", "s", String(repeating: "x", count: 1 << 20))
        #expect(
            database.run("SRANDMEMBER", "s", "-9223372036854775807")
                == "-ERR value is out of range\r\n")
    }
}

/// A database and what its sets should be.
private struct SetModel {
    let database = Database()
    var random: Random
    var sets: [[UInt8]: Set<[UInt8]>] = [:]
    /// The encodings seen.
    var forms: Set<String> = []
    var complaint = ""
    private let names = ["a", "b", "c", "{tag}long key name that is not so short"].map {
        Array($0.utf8)
    }

    init(seed: UInt64) { random = Random(seed: seed) }

    func lowerLimits() {
        database.settings.values.pointee.setMaxIntegerEntries.set(14)
        database.settings.values.pointee.setMaxPackedEntries.set(9)
        database.settings.values.pointee.setMaxPackedValueSize.set(7)
    }

    private mutating func below(_ bound: Int) -> Int { Int(random.next(below: UInt64(bound))) }
    private mutating func name() -> [UInt8] { names[below(names.count)] }

    private mutating func member() -> [UInt8] {
        switch below(20) {
        case 0: return []
        case 1: return [UInt8](repeating: UInt8(below(3)), count: 60 + below(300))
        case 2: return (0..<below(4)).map { _ in UInt8(below(256)) }
        case 3:
            let borders: [Int64] = [.max, .min, 32_767, -32_769, 2_147_483_648, -2_147_483_649]
            return Array("\(borders[below(6)])".utf8)
        case 4: return Array("0\(below(5))".utf8)
        default: return Array("\(below(700) - 300)".utf8)
        }
    }

    private mutating func ask(_ words: [[UInt8]]) -> SetReply {
        SetReply(database.runBytes(words))
    }

    private mutating func expect(_ isRight: Bool, _ words: [[UInt8]]) -> Bool {
        if !isRight {
            complaint = words.map { String(decoding: $0, as: UTF8.self) }.joined(separator: " ")
        }
        return isRight
    }

    /// Runs a random command. Returns false if its reply, the sets or the accounting are wrong.
    mutating func step() -> Bool {
        let key = name()
        if below(100) == 0 {
            let broken = database.invariantViolations
            guard broken.isEmpty else {
                complaint = broken.joined(separator: "; ")
                return false
            }
        }
        let isRight: Bool
        switch below(12) {
        case 0...4: isRight = add(key)
        case 5, 6: isRight = remove(key)
        case 7: isRight = move(key)
        case 8: isRight = pop(key)
        case 9: isRight = sample(key)
        default: isRight = combine(key)
        }
        return isRight && hasMembers(key) && isAccounted()
    }

    private mutating func add(_ key: [UInt8]) -> Bool {
        // Why only numbers in some rounds: a set of integers must be able to grow beyond its limit.
        let onlyNumbers = below(3) > 0
        let members = (0..<1 + below(below(10) == 0 ? 150 : 6)).map { _ in
            onlyNumbers ? Array("\(below(1500))".utf8) : member()
        }
        let words = [Array("SADD".utf8), key] + members
        var reply = ask(words)
        let before = sets[key]?.count ?? 0
        sets[key, default: []].formUnion(members)
        return expect(reply.number() == (sets[key]?.count ?? 0) - before, words)
    }

    private mutating func remove(_ key: [UInt8]) -> Bool {
        let members = (0..<1 + below(8)).map { _ in
            below(2) == 0 ? member() : sets[key]?.randomElement() ?? []
        }
        let words = [Array("SREM".utf8), key] + members
        var reply = ask(words)
        let before = sets[key]?.count ?? 0
        sets[key]?.subtract(members)
        return expect(reply.number() == before - (sets[key]?.count ?? 0), words)
    }

    private mutating func move(_ key: [UInt8]) -> Bool {
        let target = name()
        let moved = sets[key]?.randomElement() ?? member()
        let words = [Array("SMOVE".utf8), key, target, moved]
        var reply = ask(words)
        let isThere = sets[key]?.remove(moved) != nil
        if isThere { sets[target, default: []].insert(moved) }
        return expect(reply.number() == (isThere ? 1 : 0), words) && hasMembers(target)
    }

    private mutating func pop(_ key: [UInt8]) -> Bool {
        let before = sets[key] ?? []
        let count = below(3) == 0 ? below(before.count + 3) : below(4)
        let words = [Array("SPOP".utf8), key, Array("\(count)".utf8)]
        var reply = ask(words)
        let popped = reply.list()
        sets[key]?.subtract(popped)
        return expect(
            popped.count == min(count, before.count) && Set(popped).count == popped.count
                && before.isSuperset(of: popped), words)
    }

    private mutating func sample(_ key: [UInt8]) -> Bool {
        let all = sets[key] ?? []
        let count = below(2) == 0 ? below(all.count + 3) : -below(50)
        let words = [Array("SRANDMEMBER".utf8), key, Array("\(count)".utf8)]
        var reply = ask(words)
        let drawn = reply.list()
        let wanted = count < 0 ? (all.isEmpty ? 0 : -count) : min(count, all.count)
        let areDifferent = count < 0 || Set(drawn).count == drawn.count
        return expect(
            drawn.count == wanted && areDifferent && all.isSuperset(of: drawn), words)
    }

    private mutating func combine(_ target: [UInt8]) -> Bool {
        let keys = (0..<1 + below(4)).map { _ in name() }
        let operands = keys.map { sets[$0] ?? [] }
        let kind = below(3)
        var result = operands[0]
        for other in operands.dropFirst() {
            switch kind {
            case 0: result.formIntersection(other)
            case 1: result.formUnion(other)
            default: result.subtract(other)
            }
        }
        let verb = ["SINTER", "SUNION", "SDIFF"][kind]
        if below(3) > 0 {
            let words = [Array(verb.utf8)] + keys
            var reply = ask(words)
            let list = reply.list()
            return expect(Set(list) == result && list.count == result.count, words)
        }
        let words = [Array((verb + "STORE").utf8), target] + keys
        var reply = ask(words)
        sets[target] = result
        return expect(reply.number() == result.count, words)
    }

    private mutating func hasMembers(_ key: [UInt8]) -> Bool {
        let words = [Array("SMEMBERS".utf8), key]
        var reply = ask(words)
        let list = reply.list()
        let known = sets[key] ?? []
        guard expect(list.count == known.count && Set(list) == known, words) else { return false }
        let form = database.encoding(String(decoding: key, as: UTF8.self))
        forms.insert(form)
        guard expect(allows(form, known), [Array(form.utf8), key]) else { return false }
        let probe = below(2) == 0 ? member() : known.randomElement() ?? []
        let question = [Array("SISMEMBER".utf8), key, probe]
        var answer = ask(question)
        return expect(answer.number() == (known.contains(probe) ? 1 : 0), question)
    }

    /// Whether a set may have this form.
    private func allows(_ form: String, _ set: Set<[UInt8]>) -> Bool {
        let limits = database.settings.values
        switch form {
        case "intset":
            return set.count <= limits.pointee.setMaxIntegerEntries.value
                && set.allSatisfy { $0.withBytes { ASCIIInteger.parse($0) != nil } }
        case "listpack":
            let sizeMax = limits.pointee.setMaxPackedValueSize.value
            return set.count <= limits.pointee.setMaxPackedEntries.value
                && set.allSatisfy { $0.count <= sizeMax }
        case "hashtable":
            return !set.isEmpty
        default:
            return set.isEmpty
        }
    }

    private mutating func isAccounted() -> Bool {
        expect(
            database.chargedSize == database.measuredSize, [Array("accounting".utf8)])
    }

    mutating func removeAll() {
        for (key, set) in sets where !set.isEmpty {
            _ = ask([Array("SPOP".utf8), key, Array("\(set.count)".utf8)])
        }
    }
}

extension Database {
    private var shards: [ShardReference] {
        let keyspace = registry.keyspace(registry.server, number)
        return (0..<keyspace.shardCount).map { keyspace.shard(at: $0) }
    }

    /// The size that the shards report for their tables, and the measured size.
    fileprivate var chargedSize: Int { shards.reduce(0) { $0 + $1.pointee.table.allocatedSize } }
    fileprivate var invariantViolations: [String] {
        shards.flatMap { $0.pointee.table.invariantViolations }
    }
    fileprivate var measuredSize: Int { shards.reduce(0) { $0 + $1.pointee.table.measuredSize } }
}
