// SPDX-License-Identifier: Apache-2.0
import Base
import Glibc

/// The records thread: one connection that both listens and loads.
///
/// One turn of the loop: sleep until something happens, take messages, let the pump read and send,
/// do due work, deliver answers. All state belongs to this thread; other threads use the inbox.
///
/// The link's phases: connecting (in a helper thread), checking (LISTEN is committed, settings and
/// triggers are checked, a probe must arrive), ready, and back after any loss. Loads wait during
/// connecting and checking. Rows are kept only while changes are known to be announced.
///
/// Invariants:
/// 1. Only this thread installs rows and drops keys, in the order of the wire.
/// 2. On loss, every entry is dropped or made suspect before anything else happens.
/// 3. Suspect entries are dropped before the first load of the next connection.
final class RecordWorker: RecordPumpHandler {
    /// A query that was sent.
    enum Item {
        case listen
        case settings
        case triggers(source: Int)
        case prepare(statement: Int, name: String)
        case load(Load)
    }

    /// A batch that was sent.
    struct Load {
        let batch: RecordFlights.Batch
        let statement: String
        /// The moment of `invalidations` at which it was sent.
        let sentAt: UInt64
    }

    enum Phase: Equatable {
        case waiting(untilMilliseconds: Int64)
        case connecting
        /// The number of unanswered checks, without the probe.
        case checking(remaining: Int)
        case ready
    }

    /// A prepared statement, one per lookup. Both lanes of the lookup use it.
    struct Statement {
        var name: String?
        var failure: RecordError?
    }

    struct Probe {
        var number: UInt64
        var nonce: [UInt8]
        var deadlineMilliseconds: Int64
    }

    static let soonMilliseconds: Int64 = 5000
    static let repeatedReportMilliseconds: Int64 = 30_000

    let catalog: RecordCatalog
    let options: RecordOptions
    let cache: any RecordCache
    let sink: any RecordWaiterSink
    let inbox: RecordInbox
    let board: RecordBoard
    let log: RecordLog
    let connector: RecordConnector

    var flights: RecordFlights
    var invalidations: RecordInvalidations
    /// The first lane of each source. A lookup has two lanes, for loading and for dropping.
    let laneStarts: [Int]
    var breakers: [RecordBreaker]
    var backoff = RecordBackoff()
    var phase = Phase.waiting(untilMilliseconds: 0)
    var wire: PostgresWire?
    var pump = RecordPump<RecordWorker>()
    var statements: [Statement]
    var statementCount = 0
    var loadsOutstanding = 0
    var hasUnsent = false
    var lostReason: String?
    var hasBeenReady = false
    var isStopping = false

    /// Whether a notification from another session has arrived.
    var isProven = false
    var isWatched: [Bool]
    var isSuspect: [Bool]
    /// The last shape of each table reported by `RecordSQL.tableCheck` on this connection.
    var shapes: [[UInt8]?]
    var probe: Probe?
    var probeCount: UInt64 = 0
    var nextProbeMilliseconds = Int64.max
    var nextTableCheckMilliseconds = Int64.max
    /// When the server last answered, or was first queried after a silence.
    var lastProgressMilliseconds: Int64 = 0
    var lastReplyCount: UInt64 = 0
    var lastReport = ""
    var lastReportMilliseconds = Int64.min / 2
    var nowMilliseconds = Clock.monotonicMilliseconds

    init(
        catalog: RecordCatalog, options: RecordOptions, address: PostgresAddress,
        cache: any RecordCache, sink: any RecordWaiterSink, inbox: RecordInbox, board: RecordBoard,
        log: @escaping RecordLog
    ) {
        self.catalog = catalog
        self.options = options
        self.cache = cache
        self.sink = sink
        self.inbox = inbox
        self.board = board
        self.log = log
        connector = RecordConnector(
            inbox: inbox, address: address, timeoutMilliseconds: options.connectTimeoutMilliseconds)
        var lanes: [RecordFlights.Lane] = []
        var starts: [Int] = []
        for (source, description) in catalog.sources.enumerated() {
            starts.append(lanes.count)
            for lookup in description.lookups.indices {
                lanes.append(.init(source: source, lookup: lookup, purpose: .load))
                lanes.append(.init(source: source, lookup: lookup, purpose: .drop))
            }
        }
        flights = RecordFlights(lanes: lanes)
        invalidations = RecordInvalidations(sourceCount: catalog.sources.count)
        laneStarts = starts
        statements = Array(repeating: Statement(), count: lanes.count / 2)
        breakers = catalog.sources.map { _ in
            RecordBreaker(
                threshold: options.breakerThreshold,
                timeoutMilliseconds: options.breakerTimeoutMilliseconds)
        }
        isWatched = catalog.sources.map { _ in false }
        isSuspect = catalog.sources.map { _ in false }
        shapes = catalog.sources.map { _ in nil }
    }

    func run() {
        while !isStopping {
            let isReadable = sleep()
            nowMilliseconds = Clock.monotonicMilliseconds
            for message in inbox.drain() { take(message) }
            turn(isReadable: isReadable)
            if keepTime() { turn(isReadable: false) }
            answer()
        }
        shutDown()
    }

    func lane(_ source: Int, _ lookup: Int, _ purpose: RecordFlights.Lane.Purpose) -> Int {
        laneStarts[source] + lookup * 2 + (purpose == .load ? 0 : 1)
    }

    /// Waits for the socket, the inbox or the next due time. Returns whether the socket is
    /// readable.
    private func sleep() -> Bool {
        var items = [pollfd(fd: inbox.descriptor, events: Int16(POLLIN), revents: 0)]
        if let wire {
            let events = hasUnsent ? POLLIN | POLLOUT : POLLIN
            items.append(pollfd(fd: wire.socket, events: Int16(events), revents: 0))
        }
        let pause = max(0, min(nextMoment() - Clock.monotonicMilliseconds, 3_600_000))
        let count = poll(&items, nfds_t(items.count), Int32(pause))
        guard count > 0, items.count > 1 else { return false }
        return items[1].revents & Int16(POLLIN | POLLHUP | POLLERR) != 0
    }

    /// The next time at which work is due even without events.
    private func nextMoment() -> Int64 {
        var moment = flights.nextDeadline ?? Int64.max
        if case .waiting(let until) = phase { moment = min(moment, until) }
        guard wire != nil else { return moment }
        moment = min(moment, nextProbeMilliseconds, nextTableCheckMilliseconds)
        if let probe { moment = min(moment, probe.deadlineMilliseconds) }
        let silence =
            pump.isIdle ? options.heartbeatMilliseconds : options.silenceTimeoutMilliseconds + 1
        return min(moment, lastProgressMilliseconds + silence)
    }

    private func turn(isReadable: Bool) {
        guard let wire else { return }
        let outcome = pump.turn(wire, isReadable: isReadable, handler: self)
        if pump.replyCount != lastReplyCount {
            lastReplyCount = pump.replyCount
            lastProgressMilliseconds = nowMilliseconds
        }
        switch outcome {
        case .lost: lose(wire.endingNotice ?? lostReason ?? wire.errorMessage)
        case .open(let unsent):
            hasUnsent = unsent
            if let reason = lostReason ?? wire.endingNotice { lose(reason) }
        }
    }

    /// Does due work. Returns whether something was sent, so the pump must take another turn.
    private func keepTime() -> Bool {
        flights.expire(now: nowMilliseconds)
        if case .waiting(let until) = phase, until <= nowMilliseconds { connect() }
        guard wire != nil else { return false }
        if let probe, probe.deadlineMilliseconds <= nowMilliseconds {
            probeFailed(
                "notifications of other sessions do not arrive, as behind a pool that shares its "
                    + "sessions between transactions; give postgres-url a direct connection")
        }
        if nextProbeMilliseconds <= nowMilliseconds { startProbe() }
        let silence = nowMilliseconds - lastProgressMilliseconds
        if !pump.isIdle, silence > options.silenceTimeoutMilliseconds {
            lose("PostgreSQL has not answered for \(silence) ms")
            return false
        }
        var hasSent = false
        if nextTableCheckMilliseconds <= nowMilliseconds {
            sendTableChecks()
            hasSent = true
        }
        if pump.isIdle, silence >= options.heartbeatMilliseconds {
            // Why: the server answers a lone Sync but does not count it as a query, so an idle
            // cache does not show in its statistics.
            sendSync()
            hasSent = true
        }
        return hasSent
    }

    func sendSync() {
        if pump.isIdle { lastProgressMilliseconds = nowMilliseconds }
        guard let wire, wire.sendSync() else {
            lostReason = lostReason ?? "sending failed"
            return
        }
        pump.expectSync()
    }

    /// Sends a query with its own Sync, so an error aborts no other query.
    func send(_ item: Item, _ call: (PostgresWire) -> Bool) {
        if pump.isIdle { lastProgressMilliseconds = nowMilliseconds }
        guard let wire, call(wire) else {
            lostReason = lostReason ?? "sending failed"
            return
        }
        pump.expect(item)
        sendSync()
    }

    private func answer() {
        for answer in flights.takeAnswers() {
            switch answer.isFound {
            case .some(true): sink.resume(answer.waiter, .loaded)
            case .some(false): sink.resume(answer.waiter, .missing)
            case .none:
                sink.resume(
                    answer.waiter, .unavailable(source: catalog.sources[answer.source].name))
            }
        }
    }

    private func shutDown() {
        connector.cancel()
        wire = nil
        for message in inbox.shut() { take(message) }
        flights.failAll()
        answer()
        board.update { $0.link = .stopped }
    }

    /// Logs a message, but not the same one repeatedly.
    func report(_ level: RecordLogLevel, _ text: String) {
        let age = nowMilliseconds - lastReportMilliseconds
        guard text != lastReport || age > RecordWorker.repeatedReportMilliseconds else { return }
        lastReport = text
        lastReportMilliseconds = nowMilliseconds
        log(level, text)
    }
}
