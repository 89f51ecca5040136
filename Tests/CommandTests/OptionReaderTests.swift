// SPDX-License-Identifier: Apache-2.0
import Base
import Testing
import Wire

@testable import Commands

/// The reader alone, and then each command that reads options with it: what it does when an option
/// lacks its value, is unknown, is repeated or contradicts another.
@Suite struct OptionReaderTests {
    /// Calls `body` with a reader over `words`, from the word at `first` on.
    private func read(
        _ words: [StaticString], from first: Int, _ body: (inout OptionReader) -> Void
    ) {
        var list = ArgumentList()
        for word in words { list.append(Bytes(word)) }
        var options = OptionReader(list.arguments(from: 0, count: words.count), from: first)
        body(&options)
        // The arguments point into the list, which must live until here.
        #expect(list.count == words.count)
    }

    @Test func optionsComeInOrderUpToTheEnd() {
        read(["SET", "key", "value", "NX", "GET"], from: 3) { options in
            #expect(!options.isAtEnd)
            #expect(options.next()?.string == "NX")
            #expect(options.next()?.string == "GET")
            #expect(options.isAtEnd)
            #expect(options.next() == nil)
            #expect(options.next() == nil)
        }
    }

    @Test func anOptionTakesItsValuesAndTheNextOneFollows() {
        read(["HELLO", "3", "AUTH", "ada", "secret", "SETNAME"], from: 2) { options in
            #expect(options.next()?.string == "AUTH")
            #expect(options.value()?.string == "ada")
            #expect(options.value()?.string == "secret")
            #expect(options.next()?.string == "SETNAME")
            #expect(options.value() == nil)
            #expect(options.isAtEnd)
        }
    }

    /// A value may look like an option, and may be empty.
    @Test func aValueIsAnyArgument() {
        read(["SCAN", "0", "MATCH", "COUNT", "COUNT", ""], from: 2) { options in
            #expect(options.next()?.string == "MATCH")
            #expect(options.value()?.string == "COUNT")
            #expect(options.next()?.string == "COUNT")
            #expect(options.value()?.isEmpty == true)
            #expect(options.next() == nil)
        }
    }

    @Test(arguments: [1, 2, 100])
    func withoutFurtherArgumentsThereAreNoOptions(first: Int) {
        read(["HELLO"], from: first) { options in
            #expect(options.isAtEnd)
            #expect(options.next() == nil)
            #expect(options.value() == nil)
        }
    }

    // MARK: - Commands

    private static let syntax = "-ERR syntax error\r\n"

    @Test(arguments: [
        "SET k v EX", "SET k v PXAT", "SET k v NX XX", "SET k v XX NX", "SET k v EX 1 PX 1",
        "SET k v KEEPTTL EX 1", "SET k v EX 1 KEEPTTL", "SET k v NX EX", "SET k v BOGUS",
        "GETEX k EX", "GETEX k PERSIST EX 1", "GETEX k EX 1 PERSIST", "GETEX k KEEPTTL",
        "LCS k l MINMATCHLEN", "LCS k l BOGUS", "COPY k l DB", "COPY k l REPLACE DB",
        "COPY k l BOGUS", "SINTERCARD 1 s LIMIT", "SINTERCARD 1 s BOGUS 1",
        "SINTERCARD 1 s LIMIT 1 LIMIT", "SSCAN s 0 COUNT", "SSCAN s 0 MATCH",
        "SSCAN s 0 COUNT 1 MATCH", "SSCAN s 0 TYPE set", "SSCAN s 0 COUNT 0", "HSCAN h 0 BOGUS",
    ])
    func isASyntaxError(request: String) {
        let database = Database()
        database.run("SADD", "s", "a")
        database.run("HSET", "h", "a", "1")
        database.run("SET", "k", "1")
        #expect(database.run(request.split(separator: " ").map { Array($0.utf8) }) == Self.syntax)
    }

    @Test func theLastOfRepeatedOptionsCounts() {
        let database = Database()
        #expect(database.run("SET", "k", "v", "PX", "5", "PX", "7000", "nx", "NX") == "+OK\r\n")
        #expect(database.run("PTTL", "k") == ":7000\r\n")
        #expect(database.run("GETEX", "k", "EX", "5", "ex", "9") == "$1\r\nv\r\n")
        #expect(database.run("PTTL", "k") == ":9000\r\n")
        database.run("SADD", "s", "a", "b", "c")
        #expect(database.run("SINTERCARD", "1", "s", "LIMIT", "1", "limit", "2") == ":2\r\n")
    }

    /// The values of options are checked where they stand, before later options are read.
    @Test func theFirstErrorIsReplied() {
        let database = Database()
        database.run("SADD", "s", "a")
        let notInteger = "-ERR value is not an integer or out of range\r\n"
        #expect(database.run("SSCAN", "s", "0", "COUNT", "x", "BOGUS") == notInteger)
        #expect(database.run("LCS", "a", "b", "MINMATCHLEN", "x", "BOGUS") == notInteger)
        #expect(database.run("COPY", "a", "b", "DB", "x", "BOGUS") == notInteger)
        #expect(
            database.run("SINTERCARD", "1", "s", "LIMIT", "-1", "BOGUS")
                == "-ERR LIMIT can't be negative\r\n")
        #expect(database.run("EXPIRE", "s", "x", "BOGUS") == "-ERR Unsupported option BOGUS\r\n")
        #expect(database.run("SET", "k", "v", "EX", "x", "BOGUS") == Self.syntax)
    }

    @Test(arguments: [
        "SCAN 0 COUNT", "SCAN 0 TYPE", "SCAN 0 MATCH a BOGUS", "CLIENT LIST BOGUS",
        "CLIENT LIST TYPE", "CLIENT LIST TYPE normal ID", "CLIENT LIST ID", "CLIENT KILL ID 1 ADDR",
        "CLIENT KILL BOGUS 1", "CLIENT KILL SKIPME maybe", "COMMAND LIST FILTERBY",
        "COMMAND LIST FILTERBY MODULE", "COMMAND LIST FILTERBY MODULE a b",
        "COMMAND LIST FILTERBY BOGUS a", "COMMAND LIST BOGUS", "MEMORY USAGE k SAMPLES",
        "MEMORY USAGE k SAMPLES -1", "MEMORY USAGE k BOGUS 1", "TENANT CREATE a PLAN",
        "TENANT CREATE a SECRET", "TENANT CREATE a PLAN p PLAN p", "TENANT CREATE a BOGUS b",
        "TENANT CREATE a SECRET s SECRET s", "SHUTDOWN BOGUS", "SHUTDOWN SAVE NOSAVE",
        "SHUTDOWN NOSAVE SAVE", "SHUTDOWN ABORT NOW", "SHUTDOWN NOSAVE ABORT",
    ])
    func isASyntaxErrorOfASession(request: String) throws {
        let database = try SessionDatabase()
        #expect(database.run(request.split(separator: " ").map(String.init)) == Self.syntax)
    }

    @Test func helloNamesTheOptionThatIsWrong() throws {
        let database = try SessionDatabase()
        let before = "-ERR Syntax error in HELLO option '"
        #expect(database.run("HELLO", "2", "AUTH", "ada") == before + "AUTH'\r\n")
        #expect(database.run("HELLO", "2", "SETNAME") == before + "SETNAME'\r\n")
        #expect(database.run("HELLO", "2", "SETNAME", "a", "BOGUS") == before + "BOGUS'\r\n")
        #expect(database.run("HELLO", "2", "SETNAME", "a", "SETNAME", "b").hasPrefix("*14\r\n"))
        #expect(database.session.pointee.name == Array("b".utf8))
    }

    @Test func shutdownTakesWordsInAnyOrderAndAgain() throws {
        let database = try SessionDatabase()
        #expect(database.run("SHUTDOWN", "NOW", "nosave", "FORCE", "NOSAVE", "NOW") == "")
        #expect(database.run("SHUTDOWN", "ABORT", "abort") == "+OK\r\n")
        #expect(database.run("SHUTDOWN", "SAVE", "SAVE").hasPrefix("-ERR Errors trying"))
    }

    @Test func commandsAreListedByOneFilter() throws {
        let database = try SessionDatabase()
        let names = SessionDatabase.strings(
            database.run("COMMAND", "LIST", "FILTERBY", "PATTERN", "CLIENT|L*"))
        #expect(names == ["client|list"])
        #expect(database.run("COMMAND", "LIST", "filterby", "MODULE", "a") == "*0\r\n")
        #expect(SessionDatabase.strings(database.run("COMMAND", "LIST")).contains("get"))
    }
}
