// SPDX-License-Identifier: Apache-2.0
import Commands
import Testing
import Wire

/// COMMAND and its subcommands. The replies are those of redis-server 7.0.
@Suite struct CommandCommandTests {
    @Test func lists() {
        Client(Host()).converse(
            """
            COMMAND NOSUCH => -ERR unknown subcommand 'NOSUCH'. Try COMMAND HELP.
            COMMAND COUNT x => -ERR wrong number of arguments for 'command|count' command
            COMMAND LIST x => -ERR syntax error
            COMMAND LIST FILTERBY => -ERR syntax error
            COMMAND LIST FILTERBY x => -ERR syntax error
            COMMAND LIST FILTERBY x y => -ERR syntax error
            COMMAND LIST FILTERBY MODULE => -ERR syntax error
            COMMAND LIST FILTERBY MODULE x => *0
            COMMAND LIST FILTERBY PATTERN a b => -ERR syntax error
            COMMAND LIST FILTERBY PATTERN xx* => *0
            COMMAND LIST FILTERBY PATTERN GETR* => *1 $8 getrange
            COMMAND LIST FILTERBY PATTERN config|g* => *1 $10 config|get
            COMMAND LIST FILTERBY ACLCAT x => *0
            """)
    }

    @Test func tips() {
        let table = CommandTable(Families.all)
        let expected = [
            "scan": [
                "nondeterministic_output", "request_policy:special", "response_policy:special",
            ],
            "randomkey": [
                "request_policy:all_shards", "response_policy:special", "nondeterministic_output",
            ],
            "msetnx": [], "mset": ["request_policy:multi_shard", "response_policy:all_succeeded"],
            "client|setname": ["request_policy:all_nodes", "response_policy:all_succeeded"],
            "config|rewrite": ["request_policy:all_nodes", "response_policy:all_succeeded"],
        ]
        let all = table.all.flatMap { [$0] + $0.subcommands.map { $0.pointee } }
        for (name, tips) in expected {
            #expect(all.first { $0.spec.name == name }?.spec.tips == tips, "\(name)")
        }
    }

    @Test func information() {
        Client(Host()).converse(
            """
            COMMAND INFO nosuch => *1 $-1
            COMMAND INFO config|nosuch => *1 $-1
            COMMAND INFO get|x => *1 $-1
            COMMAND INFO |get => *1 $-1
            COMMAND INFO GET nosuch config|get => *3 *10 $3 get :2 *2 +readonly +fast :1 :1 :1 *3
              +@read +@string +@fast *0 *1 *6 $5 flags *2 +RO +access $12 begin_search *4 $4 type
              $5 index $4 spec *2 $5 index :1 $9 find_keys *4 $4 type $5 range $4 spec *6 $7
              lastkey :0 $7 keystep :1 $5 limit :0 *0 $-1 *10 $10 config|get :-3 *4 +admin
              +noscript +loading +stale :0 :0 :0 *3 +@admin +@slow +@dangerous *0 *0 *0
            COMMAND INFO flushall => *1 *10 $8 flushall :-1 *1 +write :0 :0 :0 *4 +@keyspace
              +@write +@slow +@dangerous *2 $25 request_policy:all_shards $29
              response_policy:all_succeeded *0 *0
            COMMAND INFO keys => *1 *10 $4 keys :2 *1 +readonly :0 :0 :0 *4 +@keyspace +@read
              +@slow +@dangerous *2 $25 request_policy:all_shards $29
              nondeterministic_output_order *0 *0
            COMMAND INFO mset => *1 *10 $4 mset :-3 *2 +write +denyoom :1 :-1 :2 *3 +@write
              +@string +@slow *2 $26 request_policy:multi_shard $29 response_policy:all_succeeded
              *1 *6 $5 flags *2 +OW +update $12 begin_search *4 $4 type $5 index $4 spec *2 $5
              index :1 $9 find_keys *4 $4 type $5 range $4 spec *6 $7 lastkey :-1 $7 keystep :2 $5
              limit :0 *0
            COMMAND INFO sintercard => *1 *10 $10 sintercard :-3 *2 +readonly +movablekeys :0 :0
              :0 *3 +@read +@set +@slow *0 *1 *6 $5 flags *2 +RO +access $12 begin_search *4 $4
              type $5 index $4 spec *2 $5 index :1 $9 find_keys *4 $4 type $6 keynum $4 spec *6 $9
              keynumidx :0 $8 firstkey :1 $7 keystep :1 *0
            COMMAND INFO copy => *1 *10 $4 copy :-3 *2 +write +denyoom :1 :2 :1 *3 +@keyspace
              +@write +@slow *0 *2 *6 $5 flags *2 +RO +access $12 begin_search *4 $4 type $5 index
              $4 spec *2 $5 index :1 $9 find_keys *4 $4 type $5 range $4 spec *6 $7 lastkey :0 $7
              keystep :1 $5 limit :0 *6 $5 flags *2 +OW +update $12 begin_search *4 $4 type $5
              index $4 spec *2 $5 index :2 $9 find_keys *4 $4 type $5 range $4 spec *6 $7 lastkey
              :0 $7 keystep :1 $5 limit :0 *0
            COMMAND DOCS nosuch => *0
            COMMAND DOCS config|nosuch => *0
            """)
    }

    @Test func keysOfRequests() {
        Client(Host()).converse(
            """
            COMMAND GETKEYS => -ERR wrong number of arguments for 'command|getkeys' command
            COMMAND GETKEYS nosuch a => -ERR Invalid command specified
            COMMAND GETKEYS get a => *1 $1 a
            COMMAND GETKEYS get a b => -ERR Invalid number of arguments specified for command
            COMMAND GETKEYS mset a b c d => *2 $1 a $1 c
            COMMAND GETKEYS ping x => -ERR The command has no key arguments
            COMMAND GETKEYS config get x => -ERR The command has no key arguments
            COMMAND GETKEYS config nosuch x => -ERR Invalid command specified
            COMMAND GETKEYS object encoding x => *1 $1 x
            COMMAND GETKEYS memory usage x => *1 $1 x
            COMMAND GETKEYS sintercard 2 a b => *2 $1 a $1 b
            COMMAND GETKEYS sintercard 3 a b => -ERR Invalid arguments specified for command
            COMMAND GETKEYS sintercard x a b => -ERR Invalid arguments specified for command
            COMMAND GETKEYS sintercard 0 a b => -ERR Invalid arguments specified for command
            COMMAND GETKEYS copy a b => *2 $1 a $1 b
            COMMAND GETKEYS sinterstore a b c => *3 $1 a $1 b $1 c
            COMMAND GETKEYS SMOVE a b c => *2 $1 a $1 b
            COMMAND GETKEYSANDFLAGS get a => *1 *2 $1 a *2 +RO +access
            COMMAND GETKEYSANDFLAGS set a b => *1 *2 $1 a *2 +OW +update
            COMMAND GETKEYSANDFLAGS set a b get => *1 *2 $1 a *3 +RW +access +update
            COMMAND GETKEYSANDFLAGS mset a b c d => *2 *2 $1 a *2 +OW +update *2 $1 c *2 +OW
              +update
            COMMAND GETKEYSANDFLAGS rename a b => *2 *2 $1 a *3 +RW +access +delete *2 $1 b *2 +OW
              +update
            COMMAND GETKEYSANDFLAGS copy a b => *2 *2 $1 a *2 +RO +access *2 $1 b *2 +OW +update
            COMMAND GETKEYSANDFLAGS sintercard 2 a b => *2 *2 $1 a *2 +RO +access *2 $1 b *2 +RO
              +access
            COMMAND GETKEYSANDFLAGS sinterstore a b c => *3 *2 $1 a *2 +RW +update *2 $1 b *2 +RO
              +access *2 $1 c *2 +RO +access
            COMMAND GETKEYSANDFLAGS getex a persist => *1 *2 $1 a *3 +RW +access +update
            COMMAND GETKEYSANDFLAGS del a b => *2 *2 $1 a *2 +RM +delete *2 $1 b *2 +RM +delete
            COMMAND GETKEYSANDFLAGS append a b => *1 *2 $1 a *2 +RW +insert
            COMMAND GETKEYSANDFLAGS ping a => -ERR The command has no key arguments
            COMMAND HELP x => -ERR wrong number of arguments for 'command|help' command
            """)
    }

    /// 7.2 accepts a request without arguments.
    @Test func newerForms() {
        let host = Host()
        Client(host).converse(
            """
            COMMAND GETKEYS get => -ERR Invalid number of arguments specified for command
            COMMAND GETKEYS ping => -ERR The command has no key arguments
            COMMAND GETKEYSANDFLAGS nosuch => -ERR Invalid command specified
            COMMAND COUNT => :\(host.server.commands.all.count)
            """)
    }

    private static func list(_ words: String...) -> Set<String> {
        let client = Client(Host())
        client.send(["COMMAND", "LIST"] + words)
        let lines = client.takeReplies().split(separator: "\r\n")
        return Set(lines.filter { !$0.hasPrefix("$") && !$0.hasPrefix("*") }.map(String.init))
    }

    @Test func listNamesSubcommands() {
        let all = Self.list()
        #expect(all == Self.list("FILTERBY", "PATTERN", "*"))
        #expect(all.isSuperset(of: ["get", "config", "config|get", "client|no-evict"]))
        let table = CommandTable(Families.all)
        #expect(all.count == table.count)
        #expect(
            Self.list("FILTERBY", "PATTERN", "*|GET") == ["config|get", "slowlog|get"])
    }

    /// The commands that Redis puts into the category, as far as Martlet has them.
    @Test func categories() {
        #expect(
            Self.list("FILTERBY", "ACLCAT", "transaction")
                == ["discard", "exec", "multi", "unwatch", "watch"])
        let dangerous = Self.list("FILTERBY", "ACLCAT", "Dangerous")
        for name in ["keys", "flushall", "flushdb", "swapdb", "info", "debug", "config|set"] {
            #expect(dangerous.contains(name), "\(name)")
        }
        for name in ["get", "set", "scan", "del", "config", "config|help", "dbsize", "ping"] {
            #expect(!dangerous.contains(name), "\(name)")
        }
        let keyspace = Self.list("FILTERBY", "ACLCAT", "keyspace")
        for name in ["keys", "flushall", "flushdb", "swapdb", "dbsize", "object|freq", "del"] {
            #expect(keyspace.contains(name), "\(name)")
        }
        #expect(!keyspace.contains("object") && !keyspace.contains("get"))
    }

    @Test func setsAndMapsInTheNewerProtocol() {
        let client = Client(Host())
        client.send(["HELLO", "3"])
        _ = client.takeReplies()
        client.converse(
            """
            COMMAND INFO nosuch => *1 _
            COMMAND INFO ping => *1 *10 $4 ping :-1 ~1 +fast :0 :0 :0 ~2 +@fast +@connection
              ~2 $25 request_policy:all_shards $29 response_policy:all_succeeded ~0 ~0
            COMMAND DOCS nosuch => %0
            """)
    }

    // MARK: - DOCS

    /// The reply about one command: values by name, nested ones in RESP.
    private static func docs(_ name: String) -> String {
        let client = Client(Host())
        client.send(["COMMAND", "DOCS", name])
        return client.flatReply()
    }

    @Test func docsSayWhatThereIs() {
        let ping = Self.docs("PING")
        #expect(ping.hasPrefix("*2 $4 ping *10 $7 summary $"))
        #expect(ping.contains(" $5 since $5 1.0.0 $5 group $10 connection $10 complexity $4 O(1) "))
        #expect(
            ping.hasSuffix(
                " $9 arguments *1 *8 $4 name $7 message $4 type $6 string $12 display_text "
                    + "$7 message $5 flags *1 +optional"))
    }

    @Test func keysNameTheirSpecification() {
        // Two keys with one specification, and two with two, as in redis-server's answer.
        #expect(Self.docs("lcs").components("key_spec_index ") == [":0", ":0"])
        #expect(Self.docs("copy").components("key_spec_index ") == [":0", ":1"])
        #expect(Self.docs("sinterstore").components("key_spec_index ") == [":0", ":1"])
        #expect(Self.docs("mset").components("key_spec_index ") == [":0"])
        #expect(Self.docs("mset").components("$5 flags *1 ") == ["+multiple"])
    }

    @Test func containersHaveTheirSubcommands() {
        let memory = Self.docs("memory")
        #expect(memory.contains(" $11 subcommands *12 $"))
        for name in ["usage", "stats", "doctor", "malloc-stats", "purge", "help"] {
            #expect(memory.contains(" memory|\(name) *"), "\(name)")
        }
        #expect(Self.docs("memory|purge").hasPrefix("*2 $12 memory|purge *8 $7 summary "))
    }

    /// Not compared with redis-server, which finds such a name once in a while: it compares names
    /// up to the first zero, but looks for them by the hash of all their bytes.
    @Test(arguments: [
        ["GET\0", "a"], ["\0"], ["PING\0\0"], ["PI\0NG"], ["CLIENT\0", "ID"], ["CLIENT", "ID\0"],
        ["OBJECT\0", "HELP"],
    ])
    func aNameWithZerosIsAnotherName(words: [String]) {
        let kind = words[0] == "CLIENT" ? "subcommand" : "command"
        let client = Client(Host())
        client.send(words)
        #expect(client.takeReplies().hasPrefix("-ERR unknown \(kind) '"))
    }
}

extension String {
    /// The words that follow each `mark`.
    fileprivate func components(_ mark: String) -> [String] {
        var found: [String] = []
        var rest = self[...]
        while let range = rest.firstRange(of: mark) {
            rest = rest[range.upperBound...]
            found.append(String(rest.prefix { $0 != " " }))
        }
        return found
    }
}
