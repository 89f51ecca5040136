// SPDX-License-Identifier: Apache-2.0
import Base
import Commands
@testable import Storage
import Tenancy
import Wire

/// A database without sockets: `run("SET", "k", "v")` returns the reply as RESP text.
final class Database {
    let registry: TenantRegistry
    let settings = SettingsReference()
    let worker: WorkerReference
    let table: CommandTable
    let session: SessionReference
    var version: UInt8 = 2
    var number = 0

    init(
        families: [Family] = Families.all, plans: [Plan] = [], patterns: [KeyPattern] = [],
        isReserved: (@Sendable (Bytes) -> Bool)? = nil, observer: (any ChangeObserver)? = nil
    ) {
        registry = TenantRegistry(
            settings: settings, plans: plans, patterns: patterns, threads: 2,
            isReserved: isReserved, observer: observer)
        worker = Worker.make(registry: registry, settings: settings)
        table = CommandTable(families)
        session = SessionReference.make(
            SessionState(
                id: 1, address: "", localAddress: "", isUnixSocket: false,
                tenant: registry.server, isAuthenticated: true, now: worker.pointee.monotonicNow))
    }

    deinit {
        session.destroy()
        worker.destroy()
    }

    /// Moves the database's clock.
    func advance(milliseconds: Int64) { worker.pointee.now += milliseconds }

    @discardableResult
    func run(_ words: String...) -> String { run(words.map { Array($0.utf8) }) }

    func run(_ words: [[UInt8]]) -> String { String(decoding: runBytes(words), as: UTF8.self) }

    /// The reply as it is on the wire: for members that are not text.
    func runBytes(_ words: [[UInt8]]) -> [UInt8] {
        reply(to: words) { call, command, reply in
            // A tick, like a reactor's: what the command finds may be retired meanwhile.
            worker.pointee.participant.enter()
            defer { worker.pointee.participant.leave() }
            _ = call.run(command, nil, &reply)
        }
    }

    /// Runs a command whose keys come as bytes inside `outer`, as a script does.
    func run(_ words: String..., inside outer: borrowing Hold) -> String {
        run(words.map { Array($0.utf8) }, inside: outer)
    }

    func run(_ words: [[UInt8]], inside outer: borrowing Hold) -> String {
        let bytes = reply(to: words) { call, command, reply in
            call.run(command, inside: outer, &reply)
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    private func reply(
        to words: [[UInt8]], _ body: (Call, any KeyCommand.Type, inout ReplyWriter) -> Void
    ) -> [UInt8] {
        var list = ArgumentList()
        var storage = ByteBuffer(capacity: 1 << 16)
        for word in words { storage.append(word) }
        var offset = 0
        for word in words {
            list.append(storage.bytes(offset..<offset + word.count))
            offset += word.count
        }
        let arguments = list.arguments(from: 0, count: words.count)
        let buffer = Reference<ByteBuffer>.make(ByteBuffer())
        defer { buffer.destroy() }
        var reply = ReplyWriter(buffer, version: version)
        guard let entry = table.find(arguments[0]) else { return Array("unknown command".utf8) }
        guard entry.pointee.accepts(words.count) else {
            return Array("wrong number of arguments".utf8)
        }
        guard case .key(let command) = entry.pointee.run else {
            return Array("not a command on keys".utf8)
        }
        let keyspace = registry.keyspace(registry.server, number)
        let call = Call(
            entry, arguments, size: 0, session, on: worker, in: keyspace, recordMisses: nil)
        body(call, command, &reply)
        _ = list.count
        return buffer.pointee.readable.array
    }
}
