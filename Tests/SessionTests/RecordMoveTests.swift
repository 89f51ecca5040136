// SPDX-License-Identifier: Apache-2.0
import Base
import Sessions
import Testing

/// A record's value does not come back to database 0 from elsewhere: its row may have changed
/// meanwhile, and changes are looked up only there.
@Suite struct RecordMoveTests {
    private func client() -> Client {
        Client(Host(isRecordKey: { $0.array.starts(with: "user:".utf8) }))
    }

    /// Reading the key loads its row.
    private func expectLoad(_ client: Client, _ key: String) {
        client.send(["GET", key])
        #expect(client.suspension == .records([Array(key.utf8)]))
        client.resume(.absent)
        #expect(client.takeReplies() == "$-1\r\n")
    }

    @Test(arguments: [false, true]) func swappedThereAndBack(inTransaction: Bool) {
        let client = client()
        client.converse(
            """
            SET user:1 old => +OK
            SET plain p => +OK
            SELECT 1 => +OK
            SET user:2 other => +OK
            SELECT 0 => +OK
            SWAPDB 0 1 => +OK
            DBSIZE => :0
            SELECT 1 => +OK
            MGET user:1 plain => *2 $3 old $1 p
            """)
        client.converse(
            inTransaction
                ? "MULTI => +OK\nSWAPDB 1 0 => +QUEUED\nEXEC => *1 +OK" : "SWAPDB 1 0 => +OK")
        client.converse("SELECT 0 => +OK\nDBSIZE => :1\nGET plain => $1 p")
        expectLoad(client, "user:1")
        expectLoad(client, "user:2")
        client.converse("SWAPDB 1 2 => +OK\nDBSIZE => :1")
    }

    @Test func movedThereAndBack() {
        let client = client()
        client.converse(
            """
            SET user:1 old => +OK
            MOVE user:1 1 => :1
            SELECT 1 => +OK
            GET user:1 => $3 old
            MOVE user:1 0 => :1
            DBSIZE => :0
            SELECT 0 => +OK
            DBSIZE => :0
            """)
        expectLoad(client, "user:1")
    }

    @Test func copiedAndRenamedThereAndBack() {
        let client = client()
        client.converse(
            """
            SET user:1 old => +OK
            COPY user:1 kept => :1
            COPY user:1 user:1 DB 1 => :1
            RENAME user:1 kept => +OK
            RENAMENX kept user:1 => :1
            EXISTS kept => :0
            DBSIZE => :0
            SELECT 1 => +OK
            GET user:1 => $3 old
            COPY user:1 user:1 DB 0 => :1
            COPY user:1 user:9 => :1
            GET user:9 => $3 old
            SELECT 0 => +OK
            DBSIZE => :0
            SET user:1 mine => +OK
            GET user:1 => $4 mine
            SET other o => +OK
            RENAME other user:1 => +OK
            DBSIZE => :0
            """)
        expectLoad(client, "user:1")
    }

    /// A hash owns memory of its own, which must be freed and given back.
    @Test func largeValuesAreFreed() {
        let client = client()
        let fields = (0..<2000).flatMap { ["field \($0)", "value \($0)"] }
        #expect(client.ask(["SET", "z", "z"]) == "+OK\r\n")
        for command in [["RENAME", "h", "user:1"], ["MOVE", "h", "0"]] {
            if command[0] == "MOVE" { client.converse("SELECT 1 => +OK") }
            let source = command[0] == "MOVE" ? "user:1" : command[1]
            #expect(client.ask(["HSET", source] + fields) == ":2000\r\n")
            #expect(client.ask([command[0], source] + command.dropFirst(2)).first != "-")
            #expect(client.ask("EXISTS", source) == ":0\r\n")
        }
        client.converse("SELECT 0 => +OK\nDBSIZE => :1")
    }

    @Test func aWatchOfARecordIsBrokenByASwap() {
        let client = client()
        client.converse("SELECT 1 => +OK\nSET user:1 old => +OK\nSELECT 0 => +OK")
        client.converse("WATCH user:1 => +OK")
        #expect(Client(client.host, id: 2).ask("SWAPDB", "0", "1") == "+OK\r\n")
        client.converse("MULTI => +OK\nPING => +QUEUED\nEXEC => *-1")
    }
}
