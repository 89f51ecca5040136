// SPDX-License-Identifier: Apache-2.0
import Base
import Storage
import Testing

/// Hashes against a model, and the random commands.
@Suite struct HashModelTests {
    let database = Database()

    private func run(_ words: String...) -> String { database.run(words.map { Array($0.utf8) }) }

    /// The lines of a reply that are not headers; for elements without line breaks, `$`, `*` and
    /// `:`.
    private func elements(_ reply: String) -> [String] {
        reply.split(separator: "\r\n", omittingEmptySubsequences: false).map(String.init)
            .filter { line in !line.isEmpty && !"$*:%".contains(line.prefix(1)) }
    }

    /// Fields of any bytes, values of any ASCII, counts that cross both thresholds up and down.
    @Test(arguments: [1, 2, 3, 4] as [UInt64])
    func agreesWithADictionary(seed: UInt64) {
        var random = Random(seed: seed)
        var model: [[UInt8]: [UInt8]] = [:]
        database.settings.values.pointee.hashMaxPackedEntries.set(seed % 2 == 0 ? 16 : 128)
        let key = Array("h".utf8)
        func bytes(_ sizeMax: UInt64, below: UInt64) -> [UInt8] {
            let size = random.next(below: 20) == 0 ? sizeMax * 5 : sizeMax
            return (0..<random.next(below: size + 1)).map { _ in UInt8(random.next(below: below)) }
        }
        for step in 0..<6000 {
            // Phases of growth and of removal.
            let isGrowing = step / 1000 % 2 == 0
            let known = random.next(below: 3) == 0 ? nil : model.keys.randomElement()
            let field = known ?? bytes(3, below: 256)
            switch random.next(below: isGrowing ? 6 : 12) {
            case 0...3:
                let value = bytes(random.next(below: 2) == 0 ? 10 : 40, below: 128)
                let reply = database.run([Array("HSET".utf8), key, field, value])
                #expect(reply == (model[field] == nil ? ":1\r\n" : ":0\r\n"))
                model[field] = value
            case 4:
                let value = bytes(5, below: 128)
                let reply = database.run([Array("HSETNX".utf8), key, field, value])
                #expect(reply == (model[field] == nil ? ":1\r\n" : ":0\r\n"))
                if model[field] == nil { model[field] = value }
            case 5:
                let reply = database.run([Array("HSTRLEN".utf8), key, field])
                #expect(reply == ":\(model[field]?.count ?? 0)\r\n")
            default:
                let reply = database.run([Array("HDEL".utf8), key, field])
                #expect(reply == (model.removeValue(forKey: field) == nil ? ":0\r\n" : ":1\r\n"))
            }
            #expect(run("HLEN", "h") == ":\(model.count)\r\n")
            if step % 500 == 499 { check(model, key) }
        }
        for field in model.keys { _ = database.run([Array("HDEL".utf8), key, field]) }
        #expect(database.charged == 0)
    }

    private func check(_ model: [[UInt8]: [UInt8]], _ key: [UInt8]) {
        #expect(database.charged == database.measured)
        #expect(run("HGETALL", "h").hasPrefix("*\(model.count * 2)\r\n"))
        for (field, value) in model {
            let reply = database.run([Array("HGET".utf8), key, field])
            #expect(reply == "$\(value.count)\r\n\(String(decoding: value, as: UTF8.self))\r\n")
        }
    }

    @Test func scanReturnsEveryFieldOnce() {
        for index in 0..<3000 { _ = run("HSET", "h", "stay\(index)", "v\(index)") }
        var seen: [String: Int] = [:]
        var cursor = "0"
        var step = 0
        repeat {
            let reply = elements(run("HSCAN", "h", cursor, "COUNT", "20"))
            cursor = reply[0]
            for index in stride(from: 1, to: reply.count, by: 2) {
                seen[reply[index], default: 0] += 1
                let name = reply[index]
                if name.hasPrefix("stay") { #expect(reply[index + 1] == "v" + name.dropFirst(4)) }
            }
            // The table grows to twice its size and shrinks again during the scan.
            for index in 0..<40 {
                if step < 70 {
                    _ = run("HSET", "h", "more\(step * 40 + index)", "v")
                } else {
                    _ = run("HDEL", "h", "more\((step - 70) * 40 + index)")
                }
            }
            step += 1
        } while cursor != "0" && step < 10_000
        #expect(cursor == "0")
        for index in 0..<3000 where seen["stay\(index)"] != 1 {
            Issue.record("stay\(index) was returned \(seen["stay\(index)"] ?? 0) times")
        }
    }

    @Test func scanTakesItsOptions() {
        _ = run("HSET", "h", "ab", "1", "ac", "2", "b", "3")
        #expect(
            run("HSCAN", "h", "0", "MATCH", "a*", "COUNT", "1")
                == "*2\r\n$1\r\n0\r\n*4\r\n$2\r\nab\r\n$1\r\n1\r\n$2\r\nac\r\n$1\r\n2\r\n")
        #expect(
            run("HSCAN", "h", "0", "NOVALUES", "MATCH", "b")
                == "*2\r\n$1\r\n0\r\n*1\r\n$1\r\nb\r\n")
        #expect(run("HSCAN", "h", "7") == run("HSCAN", "h", "0"))
        #expect(run("HSCAN", "none", "0", "COUNT", "0") == "*2\r\n$1\r\n0\r\n*0\r\n")
        #expect(run("HSCAN", "none", "zz") == "-ERR invalid cursor\r\n")
        #expect(run("HSCAN", "h", "1", "COUNT", "0") == "-ERR syntax error\r\n")
        #expect(
            run("HSCAN", "h", "1", "COUNT", "z")
                == "-ERR value is not an integer or out of range\r\n")
        #expect(run("HSCAN", "h", "0", "TYPE", "hash") == "-ERR syntax error\r\n")
    }

    @Test(arguments: [128, 0])
    func randomFields(packedFields: Int) {
        database.settings.values.pointee.hashMaxPackedEntries.set(packedFields)
        #expect(run("HRANDFIELD", "h") == "$-1\r\n")
        #expect(run("HRANDFIELD", "h", "3") == "*0\r\n")
        for index in 0..<60 { _ = run("HSET", "h", "f\(index)", "v\(index)") }
        #expect(run("HRANDFIELD", "h", "0") == "*0\r\n")
        #expect(elements(run("HRANDFIELD", "h")).count == 1)
        for count in [1, 5, 20, 21, 59, 60, 61, 1000] {
            let fields = elements(run("HRANDFIELD", "h", "\(count)"))
            #expect(fields.count == min(count, 60))
            #expect(Set(fields).count == fields.count)
            let pairs = elements(run("HRANDFIELD", "h", "\(count)", "withvalues"))
            #expect(pairs.count == 2 * min(count, 60))
            for index in stride(from: 0, to: pairs.count, by: 2) {
                #expect(pairs[index].dropFirst() == pairs[index + 1].dropFirst())
            }
        }
        for count in [1, 4, 5, 500] {
            let reply = run("HRANDFIELD", "h", "-\(count)", "WITHVALUES")
            #expect(reply.hasPrefix("*\(count * 2)\r\n"))
            #expect(elements(reply).count == count * 2)
        }
        database.version = 3
        #expect(run("HRANDFIELD", "h", "100", "WITHVALUES").hasPrefix("*60\r\n*2\r\n$"))
        #expect(run("HRANDFIELD", "h", "-3", "WITHVALUES").hasPrefix("*3\r\n*2\r\n$"))
        #expect(run("HRANDFIELD", "h", "-3").hasPrefix("*3\r\n$"))
    }

    @Test func randomFieldErrors() {
        _ = run("HSET", "h", "a", "1")
        let range = "-ERR value is out of range"
        #expect(run("HRANDFIELD", "h", "x") == "-ERR value is not an integer or out of range\r\n")
        #expect(run("HRANDFIELD", "h", "3", "values") == "-ERR syntax error\r\n")
        #expect(run("HRANDFIELD", "h", "3", "WITHVALUES", "x") == "-ERR syntax error\r\n")
        #expect(
            run("HRANDFIELD", "h", "-9223372036854775808") == range
                + ", value must between -9223372036854775807 and 9223372036854775807\r\n")
        #expect(run("HRANDFIELD", "h", "4611686018427387904", "WITHVALUES") == range + "\r\n")
        #expect(run("HRANDFIELD", "h", "-4611686018427387904", "WITHVALUES") == range + "\r\n")
        #expect(run("HRANDFIELD", "h", "9223372036854775807") == "*1\r\n$1\r\na\r\n")
    }

    /// Every field has the same chance: the sum of squares stays within six deviations of its mean.
    /// A table that has shrunk to a tenth must be as fair.
    @Test func randomFieldsAreFair() {
        let count = 2000
        for index in 0..<count * 10 { _ = run("HSET", "h", "f\(index)", "v") }
        for index in count..<count * 10 { _ = run("HDEL", "h", "f\(index)") }
        let drawn = count * 100
        for words in [["HRANDFIELD", "h", "-\(drawn)"], ["HRANDFIELD", "h", "500"]] {
            var seen: [String: Int] = [:]
            var total = 0
            while total < drawn {
                let fields = elements(database.run(words.map { Array($0.utf8) }))
                for field in fields { seen[field, default: 0] += 1 }
                total += fields.count
            }
            let expected = Double(total) / Double(count)
            let sum = (0..<count).reduce(0.0) { sum, index in
                let difference = Double(seen["f\(index)"] ?? 0) - expected
                return sum + difference * difference / expected
            }
            let mean = Double(count - 1)
            #expect(sum < mean + 6 * (2 * mean).squareRoot(), "\(words)")
        }
    }
}
