// SPDX-License-Identifier: Apache-2.0
import Commands
import Testing

/// CONFIG, INFO and SHUTDOWN: what a session asks of the server, and how it replies.
@Suite struct ConfigCommandTests {
    @Test func badForms() {
        Client(Host()).converse(
            """
            CONFIG => -ERR wrong number of arguments for 'config' command
            CONFIG NOSUCH => -ERR unknown subcommand 'NOSUCH'. Try CONFIG HELP.
            CONFIG GET => -ERR wrong number of arguments for 'config|get' command
            CONFIG SET => -ERR wrong number of arguments for 'config|set' command
            CONFIG SET maxmemory => -ERR wrong number of arguments for 'config|set' command
            CONFIG SET maxmemory 1 x => -ERR syntax error
            CONFIG REWRITE x => -ERR wrong number of arguments for 'config|rewrite' command
            CONFIG RESETSTAT x => -ERR wrong number of arguments for 'config|resetstat' command
            CONFIG HELP x => -ERR wrong number of arguments for 'config|help' command
            SHUTDOWN x => -ERR syntax error
            SHUTDOWN SAVE NOSAVE => -ERR syntax error
            SHUTDOWN ABORT NOW => -ERR syntax error
            TIME x => -ERR wrong number of arguments for 'time' command
            """)
    }

    @Test func whatIsGotAndSet() {
        let (host, server) = StageServer.host {
            $0.configuration = [("maxmemory", "0"), ("save", "")]
        }
        let client = Client(host)
        client.converse(
            """
            CONFIG GET max* save => *4 $9 maxmemory $1 0 $4 save $0
            CONFIG SET a 1 b '' => +OK
            CONFIG REWRITE => +OK
            CONFIG RESETSTAT => +OK
            """)
        #expect(server.notes == ["get max* save", "set a=1 b=", "rewrite", "reset"])
        server.configuration = []
        client.send(["HELLO", "3"])
        _ = client.takeReplies()
        client.converse("CONFIG GET nosuch => %0")
    }

    @Test func refusalsBecomeErrors() {
        let (host, _) = StageServer.host { $0.refusal = "the reason" }
        Client(host).converse(
            """
            CONFIG SET a 1 => -ERR the reason
            CONFIG REWRITE => -ERR the reason
            SHUTDOWN => -ERR Errors trying to SHUTDOWN. Check logs.
            SHUTDOWN ABORT => -ERR No shutdown in progress.
            """)
    }

    @Test func shutdownEndsTheSession() {
        let (host, server) = StageServer.host()
        let client = Client(host)
        client.converse(
            """
            SHUTDOWN SAVE => -ERR Errors trying to SHUTDOWN. Check logs.
            SHUTDOWN ABORT => +OK
            SHUTDOWN nosave now force =>
            """)
        #expect(client.next == .close && server.notes == ["abort", "shutdown"])
    }

    @Test func sectionsReachTheServerInLowerCase() throws {
        let (host, server) = StageServer.host()
        try host.registry.create(id: Array("acme".utf8), plan: nil, secretDigest: nil)
        let own = String(host.registry.server.id.string)
        let client = Client(host)
        client.converse("INFO => $\(own.utf8.count + 4) # \(own)")
        client.converse("INFO Server CPU => $\(own.utf8.count + 4) # \(own)")
        client.send(["HELLO", "3"])
        _ = client.takeReplies()
        client.converse("INFO x => =\(own.utf8.count + 8) txt:# \(own)")
        // A tenant may ask; the server learns which one asks.
        Client(host, tenant: "acme").converse("INFO => $8 # acme")
        #expect(
            server.notes
                == ["information ", "information server cpu", "information x", "information "])
    }

    @Test func aTenantsSessionMayNotAdminister() throws {
        let (host, server) = StageServer.host()
        try host.registry.create(id: Array("acme".utf8), plan: nil, secretDigest: nil)
        Client(host, tenant: "acme").converse(
            """
            CONFIG GET x => -NOPERM this user has no permissions to run the 'config|get' command
            CONFIG SET a 1 => -NOPERM this user has no permissions to run the 'config|set' command
            CONFIG REWRITE => -NOPERM this user has no permissions to run the 'config|rewrite'
              command
            CONFIG RESETSTAT => -NOPERM this user has no permissions to run the
              'config|resetstat' command
            SHUTDOWN => -NOPERM this user has no permissions to run the 'shutdown' command
            """)
        #expect(server.notes == [])
    }
}
