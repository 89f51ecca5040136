// SPDX-License-Identifier: Apache-2.0
import Base
import Sessions
import Storage
import Tenancy
import Testing
import Wire

/// Conversations as the bytes of both sides, with every possible cut.
@Suite struct ConversationTests {
    struct Script: CustomTestStringConvertible {
        let name: String
        let requests: [[String]]
        let replies: String
        var testDescription: String { name }
        var bytes: [UInt8] { Array(requests.map(RESP.request).joined().utf8) }
    }

    static let scripts = [
        Script(
            name: "a pipeline",
            requests: [
                ["SET", "a", "1"], ["GET", "a"], ["INCR", "a"], ["GET", "none"], ["NOSUCH", "x"],
                ["GET"], ["MGET", "a", "b"], ["PING"],
            ],
            replies: "+OK\r\n$1\r\n1\r\n:2\r\n$-1\r\n"
                + "-ERR unknown command 'NOSUCH', with args beginning with: 'x' \r\n"
                + "-ERR wrong number of arguments for 'get' command\r\n"
                + "*2\r\n$1\r\n2\r\n$-1\r\n+PONG\r\n"),
        Script(
            name: "a transaction",
            requests: [
                ["MULTI"], ["SET", "a", "1"], ["INCR", "a"], ["LPUSHX"], ["EXEC"], ["GET", "a"],
                ["MULTI"], ["SET", "a", "x"], ["INCR", "a"], ["GET", "a"], ["EXEC"], ["EXEC"],
            ],
            replies: "+OK\r\n+QUEUED\r\n+QUEUED\r\n"
                + "-ERR unknown command 'LPUSHX', with args beginning with: \r\n"
                + "-EXECABORT Transaction discarded because of previous errors.\r\n$-1\r\n"
                + "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n*3\r\n+OK\r\n"
                + "-ERR value is not an integer or out of range\r\n$1\r\nx\r\n"
                + "-ERR EXEC without MULTI\r\n"),
        Script(
            name: "a discarded transaction",
            requests: [
                ["DISCARD"], ["MULTI"], ["MULTI"], ["SET", "a", "1"], ["DISCARD"], ["GET", "a"],
                ["MULTI"], ["WATCH", "a"], ["PING"], ["EXEC"], ["MULTI"], ["EXEC"],
            ],
            replies: "-ERR DISCARD without MULTI\r\n+OK\r\n-ERR MULTI calls can not be nested\r\n"
                + "+QUEUED\r\n+OK\r\n$-1\r\n"
                + "+OK\r\n-ERR WATCH inside MULTI is not allowed\r\n+QUEUED\r\n*1\r\n+PONG\r\n"
                + "+OK\r\n*0\r\n"),
        Script(
            name: "an own write under WATCH",
            requests: [
                ["WATCH", "a"], ["SET", "a", "1"], ["MULTI"], ["GET", "a"], ["EXEC"],
                ["WATCH", "a"], ["SET", "a", "2"], ["UNWATCH"], ["MULTI"], ["GET", "a"], ["EXEC"],
            ],
            replies: "+OK\r\n+OK\r\n+OK\r\n+QUEUED\r\n*-1\r\n"
                + "+OK\r\n+OK\r\n+OK\r\n+OK\r\n+QUEUED\r\n*1\r\n$1\r\n2\r\n"),
        Script(
            name: "replies that nobody wants",
            requests: [
                ["CLIENT", "REPLY", "SKIP"], ["SET", "a", "1"], ["GET", "a"],
                ["CLIENT", "REPLY", "OFF"], ["SET", "a", "2"], ["NOSUCH"],
                ["CLIENT", "REPLY", "ON"], ["GET", "a"],
            ],
            replies: "$1\r\n1\r\n+OK\r\n$1\r\n2\r\n"),
        Script(
            name: "a transaction whose replies nobody wants",
            requests: [
                ["CLIENT", "REPLY", "OFF"], ["MULTI"], ["SET", "a", "2"], ["GET", "a"], ["PING"],
                ["EXEC"], ["CLIENT", "REPLY", "ON"], ["GET", "a"],
            ],
            replies: "+OK\r\n$1\r\n2\r\n"),
        Script(
            name: "a change of protocol",
            requests: [
                ["GET", "a"], ["HELLO", "3"], ["GET", "a"], ["HELLO", "2"], ["GET", "a"],
            ],
            replies: ""),
    ]

    static func replies(_ script: Script, cuts: [Int]) -> String {
        let client = Client(Host())
        let bytes = script.bytes
        var start = 0
        for end in cuts + [bytes.count] {
            client.send(Array(bytes[start..<end]))
            start = end
        }
        #expect(client.waitingCount == 0)
        return client.takeReplies()
    }

    @Test(arguments: scripts) func inOnePiece(script: Script) {
        let replies = Self.replies(script, cuts: [])
        if script.replies.isEmpty {
            #expect(replies.hasPrefix("$-1\r\n%7\r\n") && replies.contains("_\r\n*14\r\n"))
            #expect(replies.hasSuffix("\r\n$-1\r\n"))
        } else {
            #expect(replies == script.replies)
        }
    }

    @Test(arguments: scripts) func byteByByte(script: Script) {
        let whole = Self.replies(script, cuts: [])
        #expect(Self.replies(script, cuts: Array(0..<script.bytes.count)) == whole)
    }

    @Test(arguments: scripts) func cutAnywhere(script: Script) {
        let whole = Self.replies(script, cuts: [])
        for cut in 0..<script.bytes.count {
            #expect(Self.replies(script, cuts: [cut]) == whole, "cut at \(cut)")
        }
    }

    @Test func pipelinesLongerThanABatch() {
        let client = Client(Host())
        client.send((0..<1000).map { RESP.request(["SET", "key:\($0)", "\($0)"]) }.joined())
        #expect(client.takeReplies() == String(repeating: "+OK\r\n", count: 1000))
        client.send((0..<1000).map { RESP.request(["GET", "key:\($0)"]) }.joined())
        let expected = (0..<1000).map { "$\("\($0)".count)\r\n\($0)\r\n" }.joined()
        #expect(client.takeReplies() == expected)
    }

    @Test func inlineAndRESPMix() {
        let client = Client(Host())
        client.send(
            "SET a \"b c\"\r\n" + RESP.request(["GET", "a"]) + "GET a\nSET a 'd'\r\nGET a\n")
        #expect(client.takeReplies() == "+OK\r\n$3\r\nb c\r\n$3\r\nb c\r\n+OK\r\n$1\r\nd\r\n")
    }
}

/// Two clients of one database.
@Suite struct WatchTests {
    @Test func anotherClientsWriteBreaksTheTransaction() {
        let host = Host()
        let watcher = Client(host)
        let writer = Client(host)
        #expect(watcher.ask("WATCH", "a", "b") == "+OK\r\n")
        #expect(writer.ask("SET", "b", "1") == "+OK\r\n")
        watcher.send(["MULTI"], ["SET", "a", "mine"], ["EXEC"])
        #expect(watcher.takeReplies() == "+OK\r\n+QUEUED\r\n*-1\r\n")
        #expect(watcher.ask("GET", "a") == "$-1\r\n")
        watcher.send(["MULTI"], ["SET", "a", "mine"], ["EXEC"])
        #expect(watcher.takeReplies() == "+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n")
    }

    @Test func aWriteBetweenMultiAndExecBreaksItToo() {
        let host = Host()
        let watcher = Client(host)
        let writer = Client(host)
        watcher.send(["WATCH", "a"], ["MULTI"], ["GET", "a"])
        #expect(writer.ask("SET", "a", "1") == "+OK\r\n")
        watcher.send(["EXEC"])
        #expect(watcher.takeReplies() == "+OK\r\n+OK\r\n+QUEUED\r\n*-1\r\n")
    }

    @Test func otherKeysDoNot() {
        let host = Host()
        let watcher = Client(host)
        let writer = Client(host)
        _ = watcher.ask("WATCH", "a")
        #expect(writer.ask("SET", "b", "1") == "+OK\r\n")
        #expect(writer.ask("GET", "a") == "$-1\r\n")
        watcher.send(["MULTI"], ["PING"], ["EXEC"])
        #expect(watcher.takeReplies() == "+OK\r\n+QUEUED\r\n*1\r\n+PONG\r\n")
    }

    @Test func aClientThatLeavesWatchesNoMore() {
        let host = Host()
        do {
            let watcher = Client(host)
            _ = watcher.ask("WATCH", "a")
            _ = watcher.ask("UNWATCH")
        }
        #expect(Client(host).ask("SET", "a", "1") == "+OK\r\n")
    }
}

/// When a session must wait, and when it must end.
@Suite struct SuspensionTests {
    static func throttledHost() throws -> Host {
        var limits = Limits()
        limits.operationsPerSecond = 10
        limits.atLimit = .throttle
        let host = Host(plans: [Plan(name: "slow", limits: limits)])
        try host.registry.create(id: Array("acme".utf8), plan: "slow", secretDigest: nil)
        return host
    }

    @Test func nothingBehindAThrottledRequestRuns() throws {
        let host = try Self.throttledHost()
        let client = Client(host, tenant: "acme")
        let requests = (0..<40).map { RESP.request(["INCR", "a\($0)"]) }
        client.send(requests.joined() + RESP.request(["NOSUCH"]))
        guard case .throttled(let wait)? = client.suspension else {
            Issue.record("forty operations at once were not throttled")
            return
        }
        #expect(wait > 0 && wait <= 1001)
        let answered = client.text.count / ":1\r\n".count
        #expect(answered >= 10 && answered < 40)
        #expect(client.text == String(repeating: ":1\r\n", count: answered))
        #expect(client.next == .suspend)
        let rest = requests[answered...].joined().utf8.count + RESP.request(["NOSUCH"]).utf8.count
        #expect(client.waitingCount == rest, "the bytes of the request that waits were consumed")
    }

    @Test func itGoesOnAtTheSameRequest() throws {
        let host = try Self.throttledHost()
        let client = Client(host, tenant: "acme")
        let requests = (0..<40).map { RESP.request(["INCR", "a\($0)"]) }.joined()
        client.send(requests + RESP.request(["NOSUCH"]))
        var turns = 0
        while case .throttled(let wait)? = client.suspension, turns < 1000 {
            host.advance(milliseconds: wait)
            client.resume()
            turns += 1
        }
        #expect(turns > 1 && client.waitingCount == 0)
        let expected = String(repeating: ":1\r\n", count: 40) + "-ERR unknown command 'NOSUCH'"
        #expect(client.text.hasPrefix(expected), "a request ran twice or not at all")
    }

    @Test func whatArrivesMeanwhileWaitsToo() throws {
        let host = try Self.throttledHost()
        let client = Client(host, tenant: "acme")
        client.send((0..<40).map { RESP.request(["INCR", "a\($0)"]) }.joined())
        let before = client.text
        client.send("*1\r\n$4\r\nPI")
        #expect(client.text == before)
        client.send("NG\r\n")
        for _ in 0..<1000 where client.suspension != nil {
            host.advance(milliseconds: 1000)
            client.resume()
        }
        #expect(client.text == String(repeating: ":1\r\n", count: 40) + "+PONG\r\n")
    }

    @Test func aFailureAnswersTheRequestThatWaited() throws {
        let host = try Self.throttledHost()
        let client = Client(host, tenant: "acme")
        client.send((0..<40).map { RESP.request(["INCR", "a\($0)"]) }.joined())
        let answered = client.text.count / ":1\r\n".count
        client.resume(.refused("TRYAGAIN later"))
        #expect(
            client.text
                == String(repeating: ":1\r\n", count: answered) + "-TRYAGAIN later\r\n")
    }

    @Test func aPauseHoldsBackAndLetsGo() {
        let host = Host()
        let client = Client(host)
        host.pause.onlyWrites.store(true, ordering: .relaxed)
        host.pause.deadline.store(.max, ordering: .relaxed)
        client.send(["GET", "a"], ["SET", "a", "1"], ["GET", "a"])
        #expect(client.suspension == .paused && client.takeReplies() == "$-1\r\n")
        host.pause.deadline.store(0, ordering: .relaxed)
        client.resume()
        #expect(client.suspension == nil && client.takeReplies() == "+OK\r\n$1\r\n1\r\n")
    }

    @Test func aFullReplyBufferIsSentFirst() {
        let client = Client(Host())
        let value = String(repeating: "v", count: 100_000)
        #expect(client.ask("SET", "a", value) == "+OK\r\n")
        client.send((0..<20).map { _ in RESP.request(["GET", "a"]) }.joined() + "PING\r\n")
        #expect(client.sendCount == 6)
        #expect(client.next == .receive && client.waitingCount == 0)
        let expected = String(repeating: "$100000\r\n\(value)\r\n", count: 20) + "+PONG\r\n"
        #expect(client.takeReplies() == expected)
    }

    @Test func aMalformedRequestClosesBehindTheRepliesBeforeIt() {
        for cut in [false, true] {
            let client = Client(Host())
            let input = RESP.request(["SET", "a", "1"]) + "*1\r\n:1\r\n" + RESP.request(["PING"])
            if cut { for byte in input.utf8 { client.send([byte]) } } else { client.send(input) }
            #expect(client.next == .close)
            #expect(
                client.takeReplies() == "+OK\r\n-ERR Protocol error: expected '$', got ':'\r\n")
        }
    }

    @Test func QUITClosesAndIgnoresWhatFollows() {
        let client = Client(Host())
        client.send(["QUIT"], ["SET", "a", "1"])
        #expect(client.next == .close && client.takeReplies() == "+OK\r\n")
        #expect(Client(client.host).ask("GET", "a") == "$-1\r\n")
    }

    @Test func beforeAuthenticationLittleIsAllowed() {
        let client = Client(Host(), isAuthenticated: false)
        #expect(client.ask("GET", "a") == "-NOAUTH Authentication required.\r\n")
        client.send("*11\r\n")
        #expect(client.next == .close)
        #expect(
            client.takeReplies() == "-ERR Protocol error: unauthenticated multibulk length\r\n")
    }

    /// The password is removed: sessions that have not authenticated may go on, as in Redis. Rights
    /// are computed again when the generation rises, and not before.
    @Test func rightsFollowTheRules() {
        let client = Client(Host(), isAuthenticated: false)
        let settings = client.host.settings
        #expect(client.ask("GET", "a") == "-NOAUTH Authentication required.\r\n")
        settings.values.pointee.passwordRequired.set(0)
        #expect(client.ask("GET", "a").hasPrefix("-NO"))
        settings.values.pointee.rightsGeneration.wrappingAdd(1, ordering: .relaxed)
        #expect(client.ask("GET", "a") == "$-1\r\n")
        client.host.requirePassword()
        #expect(client.ask("GET", "a") == "-NOAUTH Authentication required.\r\n")
    }
}
