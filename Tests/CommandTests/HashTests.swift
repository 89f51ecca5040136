// SPDX-License-Identifier: Apache-2.0
import Base
import Storage
import Testing

/// Hashes as a client sees them. The expected replies are redis-server's.
@Suite struct HashTests {
    let database = Database()

    private func run(_ words: String...) -> String { database.run(words.map { Array($0.utf8) }) }

    private func setLimits(fields: Int, size: Int) {
        database.settings.values.pointee.hashMaxPackedEntries.set(fields)
        database.settings.values.pointee.hashMaxPackedValueSize.set(size)
    }

    private func encoding(_ key: String) -> String? {
        Array(key.utf8).withBytes { key in
            database.entry(key).map { String(describing: $0.encodingName) }
        }
    }

    /// A row whose columns are all null: no command may meet a hash without fields to choose from.
    @Test func aHashWithoutFieldsIsNoKey() {
        let worker = database.worker
        let keyspace = database.registry.keyspace(database.registry.server, 0)
        #expect(run("HSET", "h", "a", "1") == ":1\r\n")
        Array("h".utf8).withBytes { key in
            let keys = Hold(worker, key, in: keyspace, creating: true)
            keys.setHash(0, [], until: keys.now + 100)
        }
        #expect(run("HRANDFIELD", "h") == "$-1\r\n")
        #expect(run("HRANDFIELD", "h", "-5") == "*0\r\n")
        #expect(run("HGETALL", "h") == "*0\r\n")
        #expect(run("EXISTS", "h") == ":0\r\n")
        #expect(run("HSET", "h", "b", "2") == ":1\r\n")
        #expect(run("HGETALL", "h") == "*2\r\n$1\r\nb\r\n$1\r\n2\r\n")
    }

    @Test func setsAndGets() {
        #expect(run("HSET", "h", "a", "1", "b", "2") == ":2\r\n")
        #expect(run("HSET", "h", "a", "one", "c", "3") == ":1\r\n")
        #expect(run("HSET", "h", "d", "1", "d", "2") == ":1\r\n")
        #expect(run("HGET", "h", "a") == "$3\r\none\r\n")
        #expect(run("HGET", "h", "x") == "$-1\r\n")
        #expect(run("HGET", "none", "x") == "$-1\r\n")
        #expect(run("HMGET", "h", "d", "x", "b") == "*3\r\n$1\r\n2\r\n$-1\r\n$1\r\n2\r\n")
        #expect(run("HMGET", "none", "d", "x") == "*2\r\n$-1\r\n$-1\r\n")
        #expect(run("HLEN", "h") == ":4\r\n")
        #expect(run("HSTRLEN", "h", "a") == ":3\r\n")
        #expect(run("HSTRLEN", "h", "x") == ":0\r\n")
        #expect(run("HEXISTS", "h", "a") == ":1\r\n")
        #expect(run("HEXISTS", "h", "x") == ":0\r\n")
        #expect(run("HMSET", "h", "a", "", "", "z") == "+OK\r\n")
        #expect(run("HGET", "h", "a") == "$0\r\n\r\n")
        #expect(run("HGET", "h", "") == "$1\r\nz\r\n")
        #expect(run("HSETNX", "h", "a", "q") == ":0\r\n")
        #expect(run("HSETNX", "h", "n", "q") == ":1\r\n")
        #expect(run("HSETNX", "new", "n", "q") == ":1\r\n")
        #expect(run("HGET", "new", "n") == "$1\r\nq\r\n")
    }

    @Test func walksInBothProtocols() {
        _ = run("HSET", "h", "a", "1", "b", "2")
        #expect(run("HGETALL", "h") == "*4\r\n$1\r\na\r\n$1\r\n1\r\n$1\r\nb\r\n$1\r\n2\r\n")
        #expect(run("HKEYS", "h") == "*2\r\n$1\r\na\r\n$1\r\nb\r\n")
        #expect(run("HVALS", "h") == "*2\r\n$1\r\n1\r\n$1\r\n2\r\n")
        #expect(run("HGETALL", "none") == "*0\r\n")
        #expect(run("HKEYS", "none") == "*0\r\n")
        #expect(run("HVALS", "none") == "*0\r\n")
        database.version = 3
        #expect(run("HGETALL", "h") == "%2\r\n$1\r\na\r\n$1\r\n1\r\n$1\r\nb\r\n$1\r\n2\r\n")
        #expect(run("HGETALL", "none") == "%0\r\n")
        #expect(run("HGET", "h", "x") == "_\r\n")
    }

    @Test(arguments: [128, 0])
    func aHashGoesWithItsLastField(packedFields: Int) {
        setLimits(fields: packedFields, size: 64)
        _ = run("HSET", "h", "a", "1", "b", "2")
        #expect(encoding("h") == (packedFields == 0 ? "hashtable" : "listpack"))
        #expect(run("HDEL", "h", "x", "a", "a") == ":1\r\n")
        #expect(run("HDEL", "h", "b", "a", "b") == ":1\r\n")
        #expect(database.entry(Bytes("h")) == nil)
        #expect(run("HDEL", "h", "b") == ":0\r\n")
        #expect(database.charged == 0)
    }

    @Test func errorsAreRedis() {
        let wrongType = "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"
        _ = run("SET", "s", "x")
        for words in [
            ["HSET", "s", "a", "1"], ["HSETNX", "s", "a", "1"], ["HMSET", "s", "a", "1"],
            ["HGET", "s", "a"], ["HMGET", "s", "a"], ["HDEL", "s", "a"], ["HEXISTS", "s", "a"],
            ["HLEN", "s"], ["HSTRLEN", "s", "a"], ["HGETALL", "s"], ["HKEYS", "s"], ["HVALS", "s"],
            ["HINCRBY", "s", "a", "1"], ["HINCRBYFLOAT", "s", "a", "1"], ["HRANDFIELD", "s"],
            ["HSCAN", "s", "0", "COUNT", "0"],
        ] {
            #expect(database.run(words.map { Array($0.utf8) }) == wrongType, "\(words)")
        }
        #expect(
            run("HSET", "s", "a", "1", "b")
                == "-ERR wrong number of arguments for 'hset' command\r\n")
        #expect(
            run("HMSET", "h", "a", "1", "b")
                == "-ERR wrong number of arguments for 'hmset' command\r\n")
        #expect(database.entry(Bytes("h")) == nil)
    }

    @Test func countsIntegers() {
        #expect(run("HINCRBY", "h", "a", "5") == ":5\r\n")
        #expect(run("HINCRBY", "h", "a", "-7") == ":-2\r\n")
        #expect(run("HGET", "h", "a") == "$2\r\n-2\r\n")
        #expect(
            run("HINCRBY", "h", "a", "x") == "-ERR value is not an integer or out of range\r\n")
        _ = run("HSET", "h", "t", "abc", "e", "", "s", " 1", "big", "9223372036854775807")
        for field in ["t", "e", "s"] {
            #expect(run("HINCRBY", "h", field, "1") == "-ERR hash value is not an integer\r\n")
        }
        #expect(
            run("HINCRBY", "h", "big", "1") == "-ERR increment or decrement would overflow\r\n")
        #expect(run("HINCRBY", "h", "big", "-1") == ":9223372036854775806\r\n")
        #expect(run("HINCRBY", "none", "a", "x").hasPrefix("-ERR value"))
        #expect(database.entry(Bytes("none")) == nil)
    }

    @Test func countsFloats() {
        #expect(run("HINCRBYFLOAT", "h", "a", "3.0e3") == "$4\r\n3000\r\n")
        #expect(run("HINCRBYFLOAT", "h", "a", "-3000") == "$1\r\n0\r\n")
        #expect(run("HINCRBYFLOAT", "h", "b", "0.1") == "$3\r\n0.1\r\n")
        #expect(run("HINCRBYFLOAT", "h", "b", "1e-20") == "$3\r\n0.1\r\n")
        #expect(run("HINCRBYFLOAT", "h", "c", "0x10") == "$2\r\n16\r\n")
        #expect(
            run("HINCRBYFLOAT", "h", "d", "1e30")
                == "$31\r\n1000000000000000000024696061952\r\n")
        for text in ["nan", "abc", " 1", "", "1e5000"] {
            #expect(run("HINCRBYFLOAT", "h", "a", text) == "-ERR value is not a valid float\r\n")
        }
        #expect(run("HINCRBYFLOAT", "h", "a", "-inf") == "-ERR value is NaN or Infinity\r\n")
        _ = run("HSET", "h", "t", "abc", "e", "", "s", " 1", "inf", "inf")
        for field in ["t", "e", "s"] {
            #expect(run("HINCRBYFLOAT", "h", field, "1") == "-ERR hash value is not a float\r\n")
        }
        #expect(
            run("HINCRBYFLOAT", "h", "inf", "1")
                == "-ERR increment would produce NaN or Infinity\r\n")
    }

    @Test func outgrowsItsPackedForm() {
        setLimits(fields: 3, size: 8)
        _ = run("HSET", "h", "a", "1", "b", "2", "c", "3")
        #expect(encoding("h") == "listpack")
        _ = run("HSET", "h", "c", "12345678")
        #expect(encoding("h") == "listpack")
        _ = run("HSET", "h", "d", "4")
        #expect(encoding("h") == "hashtable")
        #expect(run("HMGET", "h", "a", "d") == "*2\r\n$1\r\n1\r\n$1\r\n4\r\n")
        _ = run("HDEL", "h", "b", "c", "d")
        #expect(encoding("h") == "hashtable")
        _ = run("HSET", "long", "a", "1")
        _ = run("HSET", "long", "a", "123456789")
        #expect(encoding("long") == "hashtable")
        _ = run("HSET", "field", "123456789", "1")
        #expect(encoding("field") == "hashtable")
        _ = run("HSETNX", "one", "a", "123456789")
        #expect(encoding("one") == "hashtable")
        _ = run("HINCRBY", "number", "a", "123456789")
        #expect(encoding("number") == "hashtable")
        _ = run("HSET", "four", "a", "1", "a", "2", "a", "3", "a", "4")
        #expect(encoding("four") == "hashtable")
        #expect(run("HGETALL", "four") == "*2\r\n$1\r\na\r\n$1\r\n4\r\n")
        #expect(database.charged == database.measured)
    }

    @Test func longElementsStayPackedWhereAllowed() {
        setLimits(fields: 1000, size: 1 << 30)
        for size in [253, 254, 255, 256, 1000, 70_000, 5] {
            let value = String(repeating: "v", count: size)
            let field = String(repeating: "f", count: size)
            #expect(run("HSET", "h", field, value, "same", value).hasPrefix(":"))
            #expect(run("HGET", "h", field) == "$\(size)\r\n\(value)\r\n")
            #expect(run("HGET", "h", "same") == "$\(size)\r\n\(value)\r\n")
        }
        #expect(encoding("h") == "listpack")
        #expect(run("HLEN", "h") == ":8\r\n")
        _ = run("HSET", "h", "huge", String(repeating: "v", count: 9 << 20))
        #expect(encoding("h") == "hashtable")
        #expect(run("HSTRLEN", "h", "huge") == ":\(9 << 20)\r\n")
        #expect(run("HLEN", "h") == ":9\r\n")
        // A field may be longer than any key.
        let field = String(repeating: "f", count: 17 << 20)
        #expect(run("HSET", "h", field, "v") == ":1\r\n")
        #expect(run("HGET", "h", field) == "$1\r\nv\r\n")
        #expect(database.charged == database.measured)
    }
}

extension Database {
    private var allShards: [ShardReference] {
        let keyspace = registry.keyspace(registry.server, number)
        return (0..<keyspace.shardCount).map { keyspace.shard(at: $0) }
    }

    /// The size that the tables report.
    var charged: Int { allShards.reduce(0) { $0 + $1.pointee.table.allocatedSize } }

    /// Their size measured by the allocator, block by block.
    var measured: Int { allShards.reduce(0) { $0 + $1.pointee.table.measuredSize } }

    func entry(_ key: Bytes) -> Entry? {
        let hash = Hash(key)
        let shard = registry.keyspace(registry.server, number).shard(hash)
        return shard.pointee.table.find(hash, key)?.entry
    }
}
