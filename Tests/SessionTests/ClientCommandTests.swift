// SPDX-License-Identifier: Apache-2.0
import Base
import Commands
import Storage
import Testing

/// CLIENT and related commands, each form and each way to get it wrong. The replies are those of
/// redis-server 7.0, except where a comment says 7.2.
@Suite struct ClientCommandTests {
    @Test func namesRepliesAndPauses() {
        Client(Host()).converse(
            """
            CLIENT => -ERR wrong number of arguments for 'client' command
            CLIENT NOSUCH => -ERR unknown subcommand 'NOSUCH'. Try CLIENT HELP.
            CLIENT ID x => -ERR wrong number of arguments for 'client|id' command
            CLIENT GETNAME => $-1
            CLIENT GETNAME x => -ERR wrong number of arguments for 'client|getname' command
            CLIENT SETNAME => -ERR wrong number of arguments for 'client|setname' command
            CLIENT SETNAME foo => +OK
            CLIENT GETNAME => $3 foo
            CLIENT SETNAME 'a b' => -ERR Client names cannot contain spaces, newlines or special
              characters.
            CLIENT GETNAME => $3 foo
            CLIENT SETNAME '' => +OK
            CLIENT GETNAME => $-1
            CLIENT REPLY => -ERR wrong number of arguments for 'client|reply' command
            CLIENT REPLY x => -ERR syntax error
            CLIENT REPLY ON => +OK
            CLIENT REPLY ON x => -ERR wrong number of arguments for 'client|reply' command
            MULTI => +OK
            CLIENT REPLY OFF => -ERR Command not allowed inside a transaction
            EXEC => -EXECABORT Transaction discarded because of previous errors.
            MULTI => +OK
            CLIENT REPLY ON => -ERR Command not allowed inside a transaction
            DISCARD => +OK
            CLIENT NO-EVICT => -ERR wrong number of arguments for 'client|no-evict' command
            CLIENT NO-EVICT x => -ERR syntax error
            CLIENT NO-EVICT on => +OK
            CLIENT NO-EVICT OFF => +OK
            CLIENT PAUSE => -ERR wrong number of arguments for 'client|pause' command
            CLIENT PAUSE x => -ERR timeout is not an integer or out of range
            CLIENT PAUSE -1 => -ERR timeout is negative
            CLIENT PAUSE 1.5 => -ERR timeout is not an integer or out of range
            CLIENT PAUSE 1 x => -ERR CLIENT PAUSE mode must be WRITE or ALL
            CLIENT PAUSE x y => -ERR CLIENT PAUSE mode must be WRITE or ALL
            CLIENT PAUSE 1 ALL x => -ERR unknown subcommand or wrong number of arguments for
              'PAUSE'. Try CLIENT HELP.
            CLIENT pause 1 ALL x => -ERR unknown subcommand or wrong number of arguments for
              'pause'. Try CLIENT HELP.
            CLIENT UNPAUSE => +OK
            CLIENT UNPAUSE x => -ERR wrong number of arguments for 'client|unpause' command
            """)
    }

    @Test func aTransactionThatLooksAtItself() {
        let (host, server) = StageServer.host()
        let client = Client(host)
        server.sessions = [client.state]
        client.send(["MULTI"], ["CLIENT", "INFO"], ["CLIENT", "LIST"], ["EXEC"])
        let lines = client.takeReplies().split(whereSeparator: \.isNewline).filter {
            $0.hasPrefix("id=")
        }
        #expect(lines.count == 2)
        for line in lines {
            let fields = line.split(separator: " ")
            #expect(fields.contains("flags=x") && fields.contains("multi=2"), "\(line)")
            #expect(fields.contains("cmd=exec"), "\(line)")
        }
        #expect(client.ask("CLIENT", "INFO").contains(" multi=-1 "))
    }

    @Test func killsAndLists() {
        Client(Host()).converse(
            """
            CLIENT KILL => -ERR wrong number of arguments for 'client|kill' command
            CLIENT KILL x => -ERR No such client
            CLIENT KILL 1.2.3.4:5 => -ERR No such client
            CLIENT KILL ID => -ERR No such client
            CLIENT KILL ID x => -ERR client-id should be greater than 0
            CLIENT KILL ID 0 => -ERR client-id should be greater than 0
            CLIENT KILL ID -1 => -ERR client-id should be greater than 0
            CLIENT KILL ID 99999 => :0
            CLIENT KILL ID 99999 SKIPME => -ERR syntax error
            CLIENT KILL ID 99999 SKIPME x => -ERR syntax error
            CLIENT KILL ID 99999 SKIPME yes => :0
            CLIENT KILL TYPE x => -ERR Unknown client type 'x'
            CLIENT KILL TYPE master => :0
            CLIENT KILL TYPE replica => :0
            CLIENT KILL TYPE slave => :0
            CLIENT KILL TYPE pubsub => :0
            CLIENT KILL USER x => -ERR No such user 'x'
            CLIENT KILL ADDR x => :0
            CLIENT KILL LADDR x => :0
            CLIENT KILL ADDR x LADDR y TYPE normal => :0
            CLIENT KILL NOSUCH x => -ERR syntax error
            CLIENT KILL NOSUCH x y => -ERR syntax error
            CLIENT LIST x => -ERR syntax error
            CLIENT LIST ID => -ERR syntax error
            CLIENT LIST ID x => -ERR Invalid client ID
            CLIENT LIST ID 1.5 => -ERR Invalid client ID
            CLIENT LIST ID 99999 => $0
            CLIENT LIST ID -1 0 => $0
            CLIENT LIST TYPE => -ERR syntax error
            CLIENT LIST TYPE x => -ERR Unknown client type 'x'
            CLIENT LIST TYPE master => $0
            CLIENT LIST TYPE pubsub => $0
            CLIENT LIST TYPE normal x => -ERR syntax error
            CLIENT LIST ID 99999 TYPE normal => -ERR Invalid client ID
            CLIENT INFO x => -ERR wrong number of arguments for 'client|info' command
            CLIENT HELP x => -ERR wrong number of arguments for 'client|help' command
            """)
    }

    @Test func neighbours() {
        Client(Host()).converse(
            """
            SELECT => -ERR wrong number of arguments for 'select' command
            SELECT x => -ERR value is not an integer or out of range
            SELECT -1 => -ERR DB index is out of range
            SELECT 99 => -ERR DB index is out of range
            SELECT 2147483648 => -ERR value is out of range, value must between -2147483648 and
              2147483647
            SELECT 01 => -ERR value is not an integer or out of range
            SELECT 3 => +OK
            ECHO => -ERR wrong number of arguments for 'echo' command
            ECHO '' => $0
            PING => +PONG
            PING a => $1 a
            PING a b => -ERR wrong number of arguments for 'ping' command
            HELLO 1 => -NOPROTO unsupported protocol version
            HELLO x => -ERR Protocol version is not an integer or out of range
            HELLO 2 x => -ERR Syntax error in HELLO option 'x'
            HELLO 2 x y => -ERR Syntax error in HELLO option 'x'
            HELLO 2 AUTH a => -ERR Syntax error in HELLO option 'AUTH'
            HELLO 2 SETNAME => -ERR Syntax error in HELLO option 'SETNAME'
            HELLO 2 SETNAME 'a b' => -ERR Client names cannot contain spaces, newlines or special
              characters.
            AUTH => -ERR wrong number of arguments for 'auth' command
            AUTH x y => -WRONGPASS invalid username-password pair or user is disabled.
            AUTH x y z => -ERR syntax error
            RESET x => -ERR wrong number of arguments for 'reset' command
            RESET => +RESET
            """)
    }

    /// Forms that are new in 7.2.
    @Test func newerForms() {
        let client = Client(Host())
        client.converse(
            """
            CLIENT SETNAME é => -ERR Client names cannot contain spaces, newlines or special
              characters.
            CLIENT SETINFO LIB-NAME => -ERR wrong number of arguments for 'client|setinfo' command
            CLIENT SETINFO x y => -ERR Unrecognized option 'x'
            CLIENT SETINFO LIB-NAME 'a b' => -ERR LIB-NAME cannot contain spaces, newlines or
              special characters.
            CLIENT SETINFO lib-ver 'a b' => -ERR lib-ver cannot contain spaces, newlines or
              special characters.
            CLIENT SETINFO LIB-NAME lib => +OK
            CLIENT SETINFO lib-ver 1.2 => +OK
            CLIENT NO-TOUCH => -ERR wrong number of arguments for 'client|no-touch' command
            CLIENT NO-TOUCH x => -ERR syntax error
            CLIENT NO-TOUCH on => +OK
            CLIENT KILL MAXAGE x => -ERR maxage is not an integer or out of range
            CLIENT KILL MAXAGE 0 => -ERR maxage is not an integer or out of range
            CLIENT PAUSE 9223372036854775807 => -ERR timeout is out of range
            """)
        let line = Self.fields(client.ask("CLIENT", "INFO"))[0]
        #expect(line["lib-name"] == "lib" && line["lib-ver"] == "1.2" && line["flags"] == "T")
        client.converse("CLIENT SETINFO LIB-NAME '' => +OK\nCLIENT NO-TOUCH off => +OK")
        let later = Self.fields(client.ask("CLIENT", "INFO"))[0]
        #expect(later["lib-name"] == "" && later["flags"] == "N")
    }

    // MARK: - Several sessions

    /// The lines of CLIENT LIST, as fields by name.
    private static func fields(_ reply: String) -> [[String: String]] {
        reply.split { $0.isNewline }.filter { $0.hasPrefix("id=") }.map { line in
            var fields: [String: String] = [:]
            for word in line.split(separator: " ") {
                let parts = word.split(
                    separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
                fields[String(parts[0])] = String(parts[1])
            }
            return fields
        }
    }

    private struct Crowd {
        let host: Host
        let server: StageServer
        let clients: [Client]

        init() {
            (host, server) = StageServer.host()
            let host = host
            clients = [30, 10, 20].map { id in
                Client(host, id: id, address: "127.0.0.1:\(id)", isUnixSocket: id == 20)
            }
            server.sessions = clients.map(\.state)
        }
    }

    @Test func listsAreSortedAndFiltered() {
        let crowd = Crowd()
        let asker = crowd.clients[0]
        crowd.clients[1].send(["SELECT", "5"], ["CLIENT", "SETNAME", "ten"], ["MULTI"], ["PING"])
        crowd.host.advance(milliseconds: 61_500)
        let all = Self.fields(asker.ask("CLIENT", "LIST"))
        #expect(all.map { $0["id"] } == ["10", "20", "30"])
        #expect(all.map { $0["flags"] } == ["x", "U", "N"])
        #expect(all.map { $0["cmd"] } == ["multi", "NULL", "client|list"])
        #expect(all.map { $0["db"] } == ["5", "0", "0"])
        #expect(all.map { $0["multi"] } == ["1", "-1", "-1"])
        #expect(all.map { $0["name"] } == ["ten", "", ""])
        #expect(all.map { $0["addr"] } == ["127.0.0.1:10", "127.0.0.1:20", "127.0.0.1:30"])
        #expect(all.allSatisfy { $0["age"] == "61" && $0["laddr"] == "127.0.0.1:2" })
        #expect(all.allSatisfy { $0["user"] == "default" && $0["resp"] == "2" })
        let some = Self.fields(asker.ask("CLIENT", "LIST", "ID", "20", "7", "10"))
        #expect(some.map { $0["id"] } == ["10", "20"])
        #expect(Self.fields(asker.ask("CLIENT", "LIST", "TYPE", "normal")).count == 3)
        #expect(asker.ask("CLIENT", "LIST", "TYPE", "replica") == "$0\r\n\r\n")
        asker.send(["HELLO", "3"])
        _ = asker.takeReplies()
        #expect(asker.ask("CLIENT", "LIST", "ID", "30").hasPrefix("="))
    }

    @Test func killsByEveryFilter() {
        let crowd = Crowd()
        let asker = crowd.clients[0]
        func killed(_ words: String...) -> [UInt64] {
            crowd.server.closed = []
            asker.send(["CLIENT", "KILL"] + words)
            let count = asker.takeReplies()
            #expect(count == ":\(crowd.server.closed.count)\r\n", "\(words)")
            return crowd.server.closed
        }
        #expect(killed("ID", "20") == [20])
        #expect(killed("ADDR", "127.0.0.1:10") == [10])
        #expect(killed("LADDR", "127.0.0.1:2") == [10, 20])
        #expect(killed("TYPE", "normal") == [10, 20])
        #expect(killed("USER", "default", "ID", "10") == [10])
        #expect(killed("SKIPME", "yes") == [10, 20])
        #expect(killed("MAXAGE", "60") == [])
        crowd.host.advance(milliseconds: 60_000)
        #expect(killed("MAXAGE", "60") == [10, 20])
        #expect(killed("MAXAGE", "61") == [])
        #expect(killed("ID", "30") == [], "it killed itself although it skips itself")
        #expect(asker.next == .receive)
        #expect(asker.ask("CLIENT", "KILL", "127.0.0.1:10") == "+OK\r\n")
        #expect(crowd.server.closed == [10])
    }

    @Test func aClientThatKillsItselfIsAnsweredFirst() {
        let crowd = Crowd()
        #expect(crowd.clients[0].ask("CLIENT", "KILL", "ID", "30", "SKIPME", "no") == ":1\r\n")
        #expect(crowd.clients[0].next == .close && crowd.server.closed == [])
        #expect(crowd.clients[1].ask("CLIENT", "KILL", "127.0.0.1:10") == "+OK\r\n")
        #expect(crowd.clients[1].next == .close && crowd.server.closed == [])
    }

    @Test func pausesReachTheServer() {
        let (host, server) = StageServer.host()
        Client(host).converse(
            """
            CLIENT PAUSE 5000 => +OK
            CLIENT PAUSE 7000 write => +OK
            CLIENT PAUSE 0 ALL => +OK
            CLIENT UNPAUSE => +OK
            """)
        #expect(server.notes == ["pause 5 all", "pause 7 writes", "pause 0 all", "unpause"])
    }

    @Test func aTenantsSessionMayNotLookAtOthers() throws {
        let host = Host()
        try host.registry.create(id: Array("acme".utf8), plan: nil, secretDigest: nil)
        let client = Client(host, tenant: "acme")
        for words in [["LIST"], ["KILL", "x"], ["PAUSE", "1"], ["UNPAUSE"], ["NO-EVICT", "on"]] {
            client.send(["CLIENT"] + words)
            let name = "client|\(words[0].lowercased())"
            #expect(
                client.takeReplies()
                    == "-NOPERM this user has no permissions to run the '\(name)' command\r\n")
        }
        client.converse("CLIENT ID => :1\nCLIENT GETNAME => $-1\nCLIENT SETNAME a => +OK")
    }

    // MARK: - HELP

    /// Every subcommand has a line in its container's HELP, and HELP has no other lines.
    @Test func helpNamesEverySubcommand() {
        let host = Host()
        let client = Client(host)
        for entry in host.server.commands.all where !entry.subcommands.isEmpty {
            client.send([entry.spec.name, "HELP"])
            let lines = client.takeReplies().split(separator: "\r\n").dropFirst(2)
            let named = Set(
                lines.filter { !$0.hasPrefix("+ ") }.map {
                    $0.dropFirst().prefix { $0 != " " }.lowercased()
                })
            let declared = Set(
                entry.subcommands.map { String($0.pointee.spec.name.split(separator: "|")[1]) })
            let extra: Set = entry.spec.name == "command" ? ["(no"] : []
            #expect(named == declared.union(extra), "\(entry.spec.name)")
        }
    }
}
