// SPDX-License-Identifier: Apache-2.0
import Base
import Commands
import Sessions
import Storage
import Tenancy
import TestSupport
import Wire

/// A database and the thread that serves its sessions, without sockets.
final class Host {
    let registry: TenantRegistry
    let settings = SettingsReference()
    let worker: WorkerReference
    let server: QuietServer
    let pause = PauseState()
    let statistics: CommandStatistics
    private let misses: RecordMissesReference?
    var thread: ServingThread

    init(
        plans: [Plan] = [], patterns: [KeyPattern] = [],
        isRecordKey: (@Sendable (Bytes) -> Bool)? = nil,
        server make: (CommandTable) -> QuietServer = { QuietServer($0) }
    ) {
        registry = TenantRegistry(
            settings: settings, plans: plans, patterns: patterns, threads: 2,
            isReserved: isRecordKey)
        worker = Worker.make(registry: registry, settings: settings)
        let table = CommandTable(Families.all)
        server = make(table)
        statistics = CommandStatistics(count: table.count)
        misses = isRecordKey.map {
            RecordMissesReference.make(RecordMisses(isRecordKey: $0))
        }
        thread = ServingThread(
            worker: worker, server: server, pause: pause, commandStatistics: statistics,
            recordMisses: misses)
    }

    deinit {
        worker.destroy()
        misses?.destroy()
    }

    /// As with `requirepass`: sessions that have not authenticated may do little.
    func requirePassword() {
        settings.values.pointee.passwordRequired.set(1)
        settings.values.pointee.rightsGeneration.wrappingAdd(1, ordering: .relaxed)
    }

    /// The bytes of the tenant's keys.
    func memoryInUse(of tenant: String) -> Int? {
        Array(tenant.utf8).withBytes { registry.find($0)?.memoryInUse }
    }

    func advance(milliseconds: Milliseconds) {
        worker.pointee.now += milliseconds
        worker.pointee.monotonicNow += milliseconds
    }
}

/// A client of a `Host`: its bytes arrive in pieces, and its replies are collected.
final class Client {
    let host: Host
    private var session: Session
    /// Bytes that have arrived and are not consumed.
    private var received: [UInt8] = []
    private(set) var replies: [UInt8] = []
    /// The last outcome of the session.
    private(set) var next = Session.Served.Next.receive
    /// How often its reply buffer was full.
    private(set) var sendCount = 0

    init(
        _ host: Host, tenant: String? = nil, isAuthenticated: Bool = true, id: UInt64 = 1,
        address: String = "127.0.0.1:1", isUnixSocket: Bool = false
    ) {
        self.host = host
        if !isAuthenticated { host.requirePassword() }
        let found = tenant.flatMap { id in Array(id.utf8).withBytes { host.registry.find($0) } }
        session = Session(
            SessionState(
                id: id, address: address, localAddress: "127.0.0.1:2", isUnixSocket: isUnixSocket,
                tenant: found ?? host.registry.server, isAuthenticated: isAuthenticated,
                now: host.worker.pointee.monotonicNow))
    }

    var state: SessionReference { session.state }
    var suspension: Session.Suspension? { session.suspension }
    var waitingCount: Int { received.count }
    var text: String { String(decoding: replies, as: UTF8.self) }

    /// All replies since the last call.
    func takeReplies() -> String {
        defer { replies = [] }
        return text
    }

    /// Delivers bytes. While the session waits or is closed they are only kept.
    func send(_ bytes: [UInt8]) {
        received += bytes
        serve()
    }

    func send(_ text: String) { send(Array(text.utf8)) }

    /// Sends requests in RESP, all at once.
    func send(_ requests: [String]...) { send(requests.map(RESP.request).joined()) }

    /// Sends one request and returns its reply.
    func ask(_ words: String...) -> String { ask(words) }

    func ask(_ words: [String]) -> String {
        send(RESP.request(words))
        return takeReplies()
    }

    func resume(_ resumption: Resumption = .again) {
        session.resume(resumption)
        serve()
    }

    private func outcome(of change: TenantChange) -> Resumption.Outcome {
        if let text = host.server.make(change, in: host.registry) { return .error(text) }
        return change.madeSecret.map { .bulk($0) } ?? .ok
    }

    private func serve() {
        // A tick, like a reactor's: what the session finds may be retired meanwhile.
        host.worker.pointee.participant.enter()
        defer { host.worker.pointee.participant.leave() }
        while session.suspension == nil && next != .close {
            // Why a copy: nothing may rely on the address of the bytes from one call to the next.
            let window = received
            let served = window.withBytes { session.serve($0, on: &host.thread) }
            received.removeFirst(served.consumed)
            replies += host.thread.replies.pointee.readable.array
            host.thread.replies.pointee.removeAll()
            next = served.next
            if case .tenantChange(let change) = session.suspension {
                session.resume(.answered(outcome(of: change)))
                continue
            }
            guard next == .yield else { return }
            sendCount += 1
        }
    }
}

enum RESP {
    static func request(_ words: [String]) -> String {
        "*\(words.count)\r\n" + words.map { "$\($0.utf8.count)\r\n\($0)\r\n" }.joined()
    }
}
