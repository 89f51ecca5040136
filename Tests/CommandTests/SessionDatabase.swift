// SPDX-License-Identifier: Apache-2.0
import Base
import Commands
@testable import Storage
import Tenancy
import TestSupport
import Wire

/// A `Database` with a session, so that commands on whole databases run too. No sockets, no
/// transactions.
final class SessionDatabase {
    let database: Database
    let server: QuietServer
    let session: SessionReference

    init(
        patterns: [String] = [], isReserved: (@Sendable (Bytes) -> Bool)? = nil,
        observer: (any ChangeObserver)? = nil
    ) throws {
        database = Database(
            patterns: try patterns.map { try KeyPattern($0) }, isReserved: isReserved,
            observer: observer)
        server = QuietServer(database.table)
        session = database.session
    }

    var worker: WorkerReference { database.worker }
    var registry: TenantRegistry { database.registry }

    func select(_ number: Int) {
        database.number = number
        session.pointee.database = number
    }

    @discardableResult
    func run(_ words: String...) -> String { run(words) }

    @discardableResult
    func run(_ words: [String]) -> String {
        guard let entry = Array(words[0].utf8).withBytes({ database.table.find($0) }) else {
            return "unknown command"
        }
        if words.count > 1, !entry.pointee.subcommands.isEmpty,
            let found = Array(words[1].utf8).withBytes({ CommandTable.subcommand(entry, $0) }),
            case .session(let command) = found.pointee.run
        {
            return run(command, words)
        }
        switch entry.pointee.run {
        case .key:
            return database.run(words.map { Array($0.utf8) })
        case .session(let command) where entry.pointee.subcommands.isEmpty || words.count == 1:
            return run(command, words)
        case .session, .container:
            let found = Array(words[1].utf8).withBytes { CommandTable.subcommand(entry, $0) }
            guard let found else { return "unknown subcommand" }
            switch found.pointee.run {
            case .key(let command): return run(found, command, words)
            case .session(let command): return run(command, words)
            case .container: return "container"
            }
        }
    }

    /// Runs a command on the session, with the context that `body` needs.
    private func run(_ command: any SessionCommand.Type, _ words: [String]) -> String {
        withRequest(words) { arguments, reply in
            var context = CommandContext(
                worker: worker, session: session, server: ServerReference(server),
                isInsideTransaction: worker.isHolding)
            command.run(arguments, &context, &reply)
        }
    }

    private func run(
        _ entry: CommandTable.EntryReference, _ command: any KeyCommand.Type, _ words: [String]
    ) -> String {
        withRequest(words) { arguments, reply in
            let call = Call(
                entry, arguments, size: 0, session, on: worker,
                in: registry.keyspace(registry.server, database.number), recordMisses: nil)
            _ = call.run(command, nil, &reply)
        }
    }

    private func withRequest(
        _ words: [String], _ body: (Arguments, inout ReplyWriter) -> Void
    ) -> String {
        worker.pointee.participant.enter()
        defer { worker.pointee.participant.leave() }
        var list = ArgumentList()
        let owned = words.map { Array($0.utf8) }
        var storage = ByteBuffer(capacity: owned.reduce(64) { $0 + $1.count })
        for word in owned { storage.append(word) }
        var offset = 0
        for word in owned {
            list.append(storage.bytes(offset..<offset + word.count))
            offset += word.count
        }
        let buffer = Reference<ByteBuffer>.make(ByteBuffer())
        defer { buffer.destroy() }
        var reply = ReplyWriter(buffer, version: database.version)
        body(list.arguments(from: 0, count: words.count), &reply)
        _ = storage.count
        return String(decoding: buffer.pointee.readable.buffer, as: UTF8.self)
    }

    /// The bulk strings of a flat array reply, in order.
    static func strings(_ reply: String) -> [String] {
        var lines = reply.split(separator: "\r\n", omittingEmptySubsequences: false)[...]
        var found: [String] = []
        while let line = lines.popFirst() {
            if line.hasPrefix("$"), let text = lines.popFirst() { found.append(String(text)) }
        }
        return found
    }

    /// All keys that SCAN returns from 0 to 0, in order; `between` runs after each step.
    func scanAll(_ options: [String] = [], between: (Int) -> Void = { _ in }) -> [String] {
        var cursor = "0"
        var all: [String] = []
        var step = 0
        repeat {
            let page = SessionDatabase.strings(run(["SCAN", cursor] + options))
            cursor = page[0]
            all += page.dropFirst()
            step += 1
            between(step)
        } while cursor != "0" && step < 1_000_000
        return all
    }
}
