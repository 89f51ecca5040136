// SPDX-License-Identifier: Apache-2.0
import Base
import Storage
import Synchronization
import Testing

@testable import Commands

/// DEBUG where it is allowed, and where it is not. The replies are those of redis-server 7.0.
@Suite struct DebugCommandTests {
    private static func host() -> Host {
        let host = Host()
        host.settings.values.pointee.debugCommand.set(1)
        return host
    }

    @Test func everyFormAndEveryError() {
        Client(Self.host()).converse(
            """
            DEBUG => -ERR wrong number of arguments for 'debug' command
            DEBUG NOSUCH => -ERR unknown subcommand or wrong number of arguments for 'NOSUCH'. Try
              DEBUG HELP.
            DEBUG NOSUCH x => -ERR unknown subcommand or wrong number of arguments for 'NOSUCH'.
              Try DEBUG HELP.
            DEBUG OBJECT => -ERR unknown subcommand or wrong number of arguments for 'OBJECT'. Try
              DEBUG HELP.
            DEBUG OBJECT x => -ERR no such key
            DEBUG SLEEP => -ERR unknown subcommand or wrong number of arguments for 'SLEEP'. Try
              DEBUG HELP.
            DEBUG SLEEP x => +OK
            DEBUG SLEEP 0 => +OK
            DEBUG SLEEP -1 => +OK
            DEBUG SET-ACTIVE-EXPIRE => -ERR unknown subcommand or wrong number of arguments for
              'SET-ACTIVE-EXPIRE'. Try DEBUG HELP.
            DEBUG SET-ACTIVE-EXPIRE 1 => +OK
            DEBUG ERROR => -ERR unknown subcommand or wrong number of arguments for 'ERROR'. Try
              DEBUG HELP.
            DEBUG ERROR 'a b' => -a b
            DEBUG ERROR '' => -
            DEBUG LOG => -ERR unknown subcommand or wrong number of arguments for 'LOG'. Try DEBUG
              HELP.
            DEBUG POPULATE => -ERR unknown subcommand or wrong number of arguments for 'POPULATE'.
              Try DEBUG HELP.
            DEBUG POPULATE x => -ERR value is out of range, must be positive
            DEBUG POPULATE -1 => -ERR value is out of range, must be positive
            DEBUG POPULATE 1.5 => -ERR value is out of range, must be positive
            DEBUG POPULATE 3 r x => -ERR value is out of range, must be positive
            DEBUG POPULATE 3 r -1 => -ERR value is out of range, must be positive
            DEBUG POPULATE 3 r 1 x => -ERR unknown subcommand or wrong number of arguments for
              'POPULATE'. Try DEBUG HELP.
            DEBUG POPULATE 3 => +OK
            MGET key:0 key:1 key:2 key:3 => *4 $7 value:0 $7 value:1 $7 value:2 $-1
            DEBUG POPULATE 2 p => +OK
            MGET p:0 p:1 => *2 $7 value:0 $7 value:1
            SET q:0 mine => +OK
            DEBUG POPULATE 2 q 4 => +OK
            MGET q:0 q:1 => *2 $4 mine $4 valu
            DEBUG POPULATE 1 z 20 => +OK
            STRLEN z:0 => :20
            DEBUG POPULATE 1 n 0 => +OK
            GET n:0 => $7 value:0
            DEBUG POPULATE 1 '' 3 => +OK
            GET :0 => $3 val
            DEBUG POPULATE 0 => +OK
            DBSIZE => :10
            DEBUG PROTOCOL => -ERR unknown subcommand or wrong number of arguments for 'PROTOCOL'.
              Try DEBUG HELP.
            DEBUG PROTOCOL x => -ERR Wrong protocol type name. Please use one of the following:
              string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false
            DEBUG PROTOCOL string => $11 Hello World
            DEBUG PROTOCOL integer => :12345
            DEBUG PROTOCOL double => $5 3.141
            DEBUG PROTOCOL null => $-1
            DEBUG PROTOCOL array => *3 :0 :1 :2
            DEBUG PROTOCOL set => *3 :0 :1 :2
            DEBUG PROTOCOL map => *6 :0 :0 :1 :1 :2 :0
            DEBUG PROTOCOL attrib => $39 Some real reply following the attribute
            DEBUG PROTOCOL push => -ERR RESP2 is not supported by this command
            DEBUG PROTOCOL true => :1
            DEBUG PROTOCOL false => :0
            DEBUG PROTOCOL bignum => $37 1234567999999999999999999999999999999
            DEBUG HELP x => -ERR unknown subcommand or wrong number of arguments for 'HELP'. Try
              DEBUG HELP.
            """)
    }

    @Test func samplesOfTheNewerProtocol() {
        let client = Client(Self.host())
        client.send(["HELLO", "3"])
        _ = client.takeReplies()
        client.converse(
            """
            DEBUG PROTOCOL string => $11 Hello World
            DEBUG PROTOCOL integer => :12345
            DEBUG PROTOCOL double => ,3.141
            DEBUG PROTOCOL null => _
            DEBUG PROTOCOL array => *3 :0 :1 :2
            DEBUG PROTOCOL set => ~3 :0 :1 :2
            DEBUG PROTOCOL map => %3 :0 #f :1 #t :2 #f
            DEBUG PROTOCOL attrib => |1 $14 key-popularity *2 $7 key:123 :90 $39 Some real reply
              following the attribute
            DEBUG PROTOCOL push => >2 $16 server-cpu-usage :42 $40 Some real reply following the
              push reply
            DEBUG PROTOCOL true => #t
            DEBUG PROTOCOL false => #f
            DEBUG PROTOCOL bignum => (1234567999999999999999999999999999999
            """)
        client.send(["DEBUG", "PROTOCOL", "verbatim"])
        #expect(client.takeReplies() == "=29\r\ntxt:This is a verbatim\nstring\r\n")
    }

    @Test func lineEndsInAnErrorBecomeBlanks() {
        let client = Client(Self.host())
        #expect(client.ask("DEBUG", "ERROR", "a\r\nb") == "-a  b\r\n")
    }

    @Test func anObjectInFigures() {
        let host = Self.host()
        let client = Client(host)
        client.send(["SET", "a", "12345"], ["SET", "b", "hello", "PX", "10"])
        _ = client.takeReplies()
        let text = client.ask("DEBUG", "OBJECT", "a")
        #expect(text.hasPrefix("+Value at:0x"))
        #expect(text.contains(" refcount:1 encoding:int "))
        #expect(text.contains(" lru_seconds_idle:0\r\n"))
        host.advance(milliseconds: 20_000)
        #expect(client.ask("DEBUG", "OBJECT", "a").contains(" lru_seconds_idle:20\r\n"))
        #expect(client.ask("DEBUG", "OBJECT", "b") == "-ERR no such key\r\n")
    }

    @Test func expiryIsSwitchedOffAndOn() {
        let host = Self.host()
        let client = Client(host)
        client.send(["SET", "a", "1", "PX", "10"], ["DEBUG", "SET-ACTIVE-EXPIRE", "0"])
        host.advance(milliseconds: 20)
        let keyspace = host.registry.keyspace(host.registry.server, 0)
        #expect(host.worker.sweepExpired(budgetMicroseconds: 100_000) == nil)
        #expect(keyspace.keyCount == 1)
        client.send(["DEBUG", "SET-ACTIVE-EXPIRE", "1"])
        _ = host.worker.sweepExpired(budgetMicroseconds: 100_000)
        #expect(keyspace.keyCount == 0)
    }

    @Test func aSleepTakesItsTime() {
        let client = Client(Self.host())
        let started = Clock.monotonicNanoseconds
        #expect(client.ask("DEBUG", "SLEEP", "0.05") == "+OK\r\n")
        #expect(Clock.monotonicNanoseconds - started >= 50_000_000)
    }

    @Test(
        arguments: [
            ("0.05", 0, 50_000_000), ("1.999999999", 1, 999_999_999), ("3", 3, 0),
            ("1e18", 31_536_000, 0), ("inf", 31_536_000, 0), ("1e400", 31_536_000, 0),
        ])
    func aSleepHasALimit(text: String, seconds: Int, nanoseconds: Int) throws {
        let duration = try #require(Array(text.utf8).withBytes { DEBUG.duration($0) })
        #expect(duration.tv_sec == seconds)
        #expect(abs(duration.tv_nsec - nanoseconds) < 1000)
    }

    @Test(arguments: ["0", "-1", "-inf", "nan", "x", "", "1 s"])
    func thereIsNothingToWaitFor(text: String) {
        #expect(Array(text.utf8).withBytes { DEBUG.duration($0) } == nil)
    }

    @Test func populatingWouldBreakTheOrderOfLocks() {
        let client = Client(Self.host())
        client.send(["MULTI"], ["DEBUG", "POPULATE", "1"], ["SET", "a", "1"], ["EXEC"])
        #expect(
            client.takeReplies().hasSuffix(
                "*2\r\n-ERR DEBUG POPULATE cannot run inside a transaction\r\n+OK\r\n"))
    }

    // MARK: - Who may

    private static let forbidden =
        "-ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", "
        + "you can run it from a local connection, otherwise you need to set this option in the "
        + "configuration file, and then restart the server.\r\n"

    @Test func nobodyUnlessItIsEnabled() {
        #expect(Client(Host()).ask("DEBUG", "SLEEP", "0") == Self.forbidden)
    }

    @Test(
        arguments: [
            ("127.0.0.1:9", false, true), ("[::1]:9", false, true), ("10.0.0.1:9", false, false),
            ("[2001:db8::1]:9", false, false), ("/tmp/socket", true, true),
        ])
    func localClientsOnly(address: String, isUnixSocket: Bool, may: Bool) {
        let host = Self.host()
        host.settings.values.pointee.debugCommand.set(2)
        let client = Client(host, address: address, isUnixSocket: isUnixSocket)
        #expect(client.ask("DEBUG", "SLEEP", "0") == (may ? "+OK\r\n" : Self.forbidden))
    }

    @Test func noTenant() throws {
        let host = Self.host()
        try host.registry.create(id: Array("acme".utf8), plan: nil, secretDigest: nil)
        Client(host, tenant: "acme").converse(
            """
            DEBUG SLEEP 0 => -NOPERM this user has no permissions to run the 'debug' command
            """)
    }
}
