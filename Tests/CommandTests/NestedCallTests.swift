// SPDX-License-Identifier: Apache-2.0
import Base
import Commands
@testable import Storage
import Tenancy
import Testing

/// Commands inside another hold, whose keys come as bytes: what scripts and functions do.
@Suite struct NestedCallTests {
    /// Holds `names` of the selected database while `body` runs.
    private func hold(
        _ names: [String], of database: Database, _ body: (borrowing Hold) -> Void
    ) {
        let bytes = names.map { Array($0.utf8) }
        let keyspace = database.registry.keyspace(database.registry.server, database.number)
        database.worker.pointee.participant.enter()
        defer { database.worker.pointee.participant.leave() }
        (bytes.flatMap { $0 } + [0]).withBytes { all in
            var end = 0
            let list = KeyList(database.worker)
            for name in bytes {
                end += name.count
                list.add(all[end - name.count..<end], in: keyspace, creating: true)
            }
            guard let hold = list.hold() else {
                Issue.record("no keyspace was dropped")
                return
            }
            body(hold)
            hold.end()
        }
        #expect(!database.worker.isHolding)
        #expect(database.violations == [])
    }

    private static func undeclared(_ command: String) -> String {
        "-ERR '\(command)' names a key that the script did not declare\r\n"
    }

    @Test func declaredKeysAreFoundByTheirBytes() {
        let database = Database()
        hold(["a", "b", "c"], of: database) { outer in
            #expect(database.run("SET", "b", "1", inside: outer) == "+OK\r\n")
            #expect(database.run("RENAME", "b", "c", inside: outer) == "+OK\r\n")
            #expect(database.run("MSET", "a", "x", "a", "y", inside: outer) == "+OK\r\n")
            let values = "*3\r\n$1\r\n1\r\n$-1\r\n$1\r\ny\r\n"
            #expect(database.run("MGET", "c", "b", "a", inside: outer) == values)
        }
        #expect(database.run("GET", "c") == "$1\r\n1\r\n")
    }

    /// The error is the reply, the command changes nothing, and the script goes on.
    @Test func anUndeclaredKeyIsAnError() {
        let database = Database()
        database.run("SET", "other", "1")
        hold(["a"], of: database) { outer in
            #expect(database.run("GET", "other", inside: outer) == Self.undeclared("get"))
            #expect(database.run("DEL", "a", "other", inside: outer) == Self.undeclared("del"))
            #expect(
                database.run("MSET", "a", "1", "other", "2", inside: outer)
                    == Self.undeclared("mset"))
            #expect(database.run("GET", "a", inside: outer) == "$-1\r\n")
            #expect(
                database.run("COPY", "a", "a", "DB", "1", inside: outer)
                    == Self.undeclared("copy"))
            #expect(database.run("SET", "a", "2", inside: outer) == "+OK\r\n")
        }
        #expect(database.run("MGET", "a", "other") == "*2\r\n$1\r\n2\r\n$1\r\n1\r\n")
    }

    /// A function that a script calls: its commands see what the hold around them has.
    @Test func holdsNestToTheirLimit() {
        let database = Database()
        hold(["a", "b", "c"], of: database) { outer in
            let middle = Hold(inside: outer, first: 1, count: 2, [])
            let inner = Hold(inside: middle, first: 1, count: 1, [])
            #expect(database.run("SET", "c", "1", inside: inner) == "+OK\r\n")
            #expect(database.run("GET", "b", inside: inner) == Self.undeclared("get"))
        }
        #expect(database.run("GET", "c") == "$1\r\n1\r\n")
    }

    /// A tenant that is made while the hold is open does not move the keys of the hold.
    @Test func aNewTenantDoesNotMoveDeclaredKeys() throws {
        let pattern = try KeyPattern("tenant:{tenant}:*")
        let database = Database(patterns: [pattern])
        let keyspace = database.registry.keyspace(database.registry.server, 0)
        Array("tenant:new:1".utf8).withBytes { key in
            let outer = Hold(database.worker, key, in: keyspace, creating: false)
            _ = database.registry.implicitKeyspace(Bytes("new" as StaticString), 0)
            #expect(database.run("GET", "tenant:new:1", inside: outer) == "$-1\r\n")
            #expect(
                database.run("SET", "tenant:more:1", "x", inside: outer) == Self.undeclared("set"))
        }
        #expect(database.registry.find(Bytes("more" as StaticString)) == nil)
    }

    /// What a command of many keys needed for them is given back when it ends.
    @Test func theRoomOfAnInnerHoldIsGivenBack() {
        let database = Database()
        hold(["a"], of: database) { outer in
            let many = Array(repeating: Array("a".utf8), count: 70_000)
            #expect(database.run([Array("EXISTS".utf8)] + many, inside: outer) == ":0\r\n")
            #expect(database.worker.frame(1).pointee.capacity == Frame.initialCapacity)
            #expect(
                database.run([Array("EXISTS".utf8)] + many + [[98]], inside: outer)
                    == Self.undeclared("exists"))
            #expect(database.worker.frame(1).pointee.capacity == Frame.initialCapacity)
        }
    }
}
