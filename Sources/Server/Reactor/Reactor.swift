// SPDX-License-Identifier: Apache-2.0
import Base
import Commands
import Glibc
import Networking
import Sessions
import Storage
import Synchronization
import Wire

/// A thread that owns connections and runs their commands to completion.
///
/// One tick: wait for events; for every ready socket, receive and run what arrived; then send all
/// replies. Replies leave at the end of the tick, so clients wake together and their next requests
/// arrive together. That takes fewer ticks for the same work.
///
/// Threads: everything belongs to the reactor's own thread, except the mailbox and `tickLock`,
/// which is held during a tick. A thread that holds the tick locks of all reactors may read every
/// session (`Server.whileStandingStill`).
final class Reactor: @unchecked Sendable {
    enum Message: Sendable {
        /// A connection handed over by the accepting reactor.
        case adopt(Socket.Accepted)
        /// Ends a wait.
        case resume(Wait, Resumption)
        /// CLIENT UNPAUSE has ended the pause.
        case unpaused
        /// The limits of a tenant have changed.
        case limitsChanged
        /// Closes a connection that was killed.
        case close(token: UInt64)
        /// Closes the largest clients if all clients together hold too much.
        case relieve
        /// Drains all connections and stops.
        case stop
    }

    /// What a timer does.
    enum Due: Equatable {
        /// Serves sessions of a tenant that had used up its budget.
        case throttled(TenantReference)
        /// Serves sessions that waited for shards.
        case shards
        /// Closes a connection whose output has been over the soft limit for too long.
        case softLimit(token: UInt64)
        /// Ends a pause in accepting clients.
        case accept(listener: Int)
        /// Closes a session whose client ended its side long ago, if it still waits.
        case gone(Wait)
    }

    static let specialBit: UInt64 = 1 << 63
    static let mailboxToken = specialBit
    static let signalToken = specialBit | 1
    static let listenerToken = specialBit | 0x100

    let number: Int
    // Safety: the server makes its reactors and outlives them. Why unsafe: the counted form retains
    // and releases the server several times a tick.
    unowned(unsafe) let server: Server
    let mailbox: Mailbox<Message>
    let tickLock = TickLock()
    /// What most of a tick changes.
    private let hot: Reference<Hot>
    /// The sessions' worker. Why beside `thread`: serving a session modifies `thread`, and the
    /// session's commands may ask for the reactor's worker meanwhile.
    let worker: WorkerReference
    /// This thread's counters, read by other threads. Why beside `thread`: see `worker`.
    let statistics: StatisticsReference
    let commandStatistics: CommandStatistics
    let latencies: LatencyDistributions
    let errorTally: Reference<ErrorTally>
    let rates: RecentRates
    let peaks = RecentPeaks()
    /// The serial of the wait that began last.
    var lastWait: UInt64 = 0
    /// How many sessions a CLIENT PAUSE holds.
    var pausedCount = 0
    /// A spare descriptor, closed for a moment to turn away a client when no other is left.
    var spareDescriptor = Reactor.openSpare()
    /// Why accepting failed last; 0 after a success.
    var acceptError: Int32 = 0
    let receiveBuffer: UnsafeMutableRawBufferPointer
    var isStopping = false
    var stopDeadline: Milliseconds = 0
    /// When to sweep expired entries soon; and the moment of wall time at which the next entry
    /// expires, as far as the last sweep saw.
    var nextSweep: Milliseconds?
    private var expiryDue: Milliseconds?
    var changesSeen = 0
    /// When to continue eviction between commands.
    private var nextEviction: Milliseconds?
    /// Until when eviction is not tried again, because nothing could be evicted.
    private var evictionStuckUntil: Milliseconds = 0
    /// When to check whether memory can be given back; nil if nothing has happened since the last
    /// check.
    private var nextTidying: Milliseconds?
    private var lastEventAt: Milliseconds = 0
    /// The thread that runs this reactor, once it has started.
    var owner: pthread_t?
    /// How many connections this reactor has. The accepting reactor compares these counts.
    let connectionCount = Atomic<Int>(0)
    let blockedCount = Atomic<Int>(0)
    /// What its largest client held when that was last looked for; 0 when it may be any.
    let largestClient = Atomic<Int>(0)

    static let receiveSize = 64 * 1024
    /// If the thread's reply buffer exceeds this, it is sent early.
    static let replyBufferLimit = 1 << 20

    init?(number: Int, server: Server) {
        guard let mailbox = Mailbox<Message>(), var loop = EpollLoop(),
            loop.add(mailbox.descriptor, token: Reactor.mailboxToken)
        else { return nil }
        self.number = number
        self.server = server
        self.mailbox = mailbox
        worker = Worker.make(registry: server.registry, settings: server.settings)
        statistics = worker.statistics
        rates = RecentRates(statistics, now: worker.monotonicNow)
        commandStatistics = CommandStatistics(count: server.commands.count)
        let thread = ServingThread(
            worker: worker, server: server, pause: server.pauseState,
            commandStatistics: commandStatistics,
            recordMisses: server.makeRecordMisses())
        errorTally = thread.errorTally
        latencies = thread.latencies
        hot = Reference.make(Hot(loop: loop, thread: thread))
        receiveBuffer = .allocate(byteCount: Reactor.receiveSize, alignment: 64)
    }

    /// Monotonic time at the beginning of the tick. All deadlines and spans of a reactor use this
    /// clock, except `expiryDue`.
    var now: Milliseconds { worker.monotonicNow }

    /// Serves until it is told to stop and all connections are drained.
    func run() {
        tickLock.lock()
        owner = pthread_self()
        while !(isStopping && isDrained) {
            let timeout = nextDeadline.map { Int(max(0, $0 - Clock.monotonicMilliseconds)) }
            tickLock.unlock()
            let hasPressedBack = worker.pointee.participant.pressBack()
            let count = loop.wait(timeout: hasPressedBack ? 0 : timeout)
            tickLock.lock()
            tick(events: count, at: .now)
        }
        // Why a tick: closing a session may remove a tenant whose keys it watches.
        worker.pointee.participant.enter()
        closeAll()
        refuseRest()
        worker.pointee.participant.leave()
        tickLock.unlock()
    }

    /// Handles the `events` events of the last wait, and all due work.
    func tick(events: Int, at moment: Moment) {
        worker.pointee.participant.enter()
        worker.pointee.now = moment.wall
        worker.pointee.monotonicNow = moment.monotonic
        rates.note(now: now)
        if !turns.isEmpty { endTurns() }
        if pausedCount > 0 || server.pauseState.isActive { endPauseIfOver() }
        for index in 0..<events { handle(loop.event(index)) }
        sendAll()
        serveUnserved()
        runTimers()
        sweep()
        if worker.isEvictionDue || nextEviction != nil { evict() }
        tidy(events: events)
        worker.pointee.participant.leave()
    }

    @inline(__always)
    private func handle(_ event: Event) {
        guard event.token & Reactor.specialBit == 0 else { return handleSpecial(event) }
        guard let connection = connections.find(event.token) else { return }
        if event.isWritable { flush(connection) }
        guard let connection = connections.find(event.token) else { return }
        if connection.pointee.interest.reading {
            // Why not while requests wait: a client's earlier requests are answered before more are
            // read. Why not if its tenant has had its turn: the event comes again in the next tick.
            if !connection.pointee.hasUnserved, !hasHadTurn(connection) { receive(connection) }
        } else if event.isBroken {
            close(connection)
        } else if event.hasEnded && !connection.pointee.isReading {
            hearEnd(connection)
        }
    }

    @inline(never)
    private func handleSpecial(_ event: Event) {
        switch event.token {
        case Reactor.mailboxToken:
            for message in mailbox.drain() { handle(message) }
        case Reactor.signalToken:
            server.handleSignal()
        default:
            acceptAll(listener: Int(event.token & 0xFF))
        }
    }

    func handle(_ message: Message) {
        switch message {
        case .adopt(let accepted): adopt(accepted)
        case .resume(let wait, let resumption): resume(wait, resumption)
        case .unpaused: endPauseIfOver()
        case .limitsChanged: resumeAllThrottled()
        case .close(let token): connections.find(token).map(close)
        case .relieve: relieve()
        case .stop: beginStop()
        }
    }

    // MARK: - Time

    /// When the next work is due; nil if none is.
    var nextDeadline: Milliseconds? {
        if !unserved.isEmpty { return now }
        var deadline: Milliseconds?
        func consider(_ moment: Milliseconds?) {
            guard let moment else { return }
            deadline = min(deadline ?? .max, moment)
        }
        consider(timers.next)
        consider(nextSweep)
        consider(nextEviction)
        // Why no longer: wall time may jump meanwhile, and nothing would report it.
        consider(expiryDue.map { now + min($0 - worker.now, Reactor.wallTimePatience) })
        consider(nextTidying)
        if pausedCount > 0 || server.pauseState.isActive {
            consider(Milliseconds(server.pauseState.deadline.load(ordering: .relaxed)))
        }
        if isStopping { consider(stopDeadline) }
        if server.settings.idleTimeoutSeconds > 0, connections.count > 0 {
            consider(nextIdleCheck)
        }
        return deadline
    }

    /// The longest sleep of a reactor that waits for a moment of wall time.
    static let wallTimePatience: Milliseconds = 1000

    var nextIdleCheck: Milliseconds = 0

    private func runTimers() {
        while let due = timers.takeDue(now: now) {  // Bound: due timers only.
            switch due {
            case .throttled(let tenant): resumeThrottled(tenant)
            case .shards: retryShards()
            case .softLimit(let token):
                guard let connection = connections.find(token) else { continue }
                connection.pointee.softLimitTimer = nil
                checkOutput(connection)
            case .accept(let listener): resumeAccepting(listener)
            case .gone(let wait): closeGone(wait)
            }
        }
        closeIdle()
    }

    /// `timeout`: closes sessions that were idle too long. Checks once a second.
    private func closeIdle() {
        let limit = server.settings.idleTimeoutSeconds
        guard limit > 0, now >= nextIdleCheck else { return }
        nextIdleCheck = now + 1000
        for connection in connections.all {
            let state = connection.pointee.session.state
            if !connection.pointee.isSuspended,
                now - state.pointee.lastActiveAt > Milliseconds(limit) * 1000
            {
                Log.standard.write(.verbose, "closing idle client")
                close(connection)
            }
        }
    }

    /// Removes expired entries, a slice at a time, if some are due.
    private func sweep() {
        let changes = worker.statistics.pointee.changes.value
        if changes != changesSeen {
            changesSeen = changes
            // Why soon and not now: an entry written just now may be the first to expire. A sweep
            // costs little and finds when the next one is due.
            nextSweep = min(nextSweep ?? .max, now + Reactor.sweepDelay)
        }
        let isDue =
            nextSweep.map { $0 <= now } == true
            || expiryDue.map { $0 <= worker.now } == true
        guard isDue else { return }
        nextSweep = nil
        expiryDue = nil
        guard let due = server.sweep(worker, reactor: number) else { return }
        let pause = due - worker.now
        // Why two clocks: a sweep that was cut short continues after some milliseconds, whatever
        // wall time does; an entry expires by wall time.
        if pause <= Reactor.sweepPauseMax { nextSweep = now + pause } else { expiryDue = due }
    }

    /// Evicts a slice if there is more in memory than a limit allows.
    @inline(never)
    private func evict() {
        nextEviction = nil
        guard worker.isEvictionDue, now >= evictionStuckUntil else { return }
        switch server.evictSlice(worker) {
        case .done: break
        // Why at once: events that have arrived are handled first in any case.
        case .cutShort: nextEviction = now
        case .stuck: evictionStuckUntil = now + Reactor.evictionPause
        case nil: nextEviction = now + 1
        }
    }

    private static let evictionPause: Milliseconds = 100

    /// The longest pause of a sweep that has not finished its round.
    private static let sweepPauseMax: Milliseconds = 4
    static let sweepDelay: Milliseconds = 100

    /// After work, gives unused pages back to the system, once. Why: the allocator does so only
    /// when it is called, and an idle server does not call it. Why only the first reactor: the call
    /// covers all threads.
    private func tidy(events: Int) {
        guard number == 0 else { return }
        if events > 0 {
            lastEventAt = now
            if nextTidying == nil { nextTidying = now + Reactor.tidyDelay }
            return
        }
        guard let due = nextTidying, due <= now else { return }
        let quietSince = now - lastEventAt
        guard quietSince >= Reactor.tidyDelay else {
            nextTidying = lastEventAt + Reactor.tidyDelay
            return
        }
        nextTidying = nil
        Allocator.purgeIfWorthwhile()
    }

    private static let tidyDelay: Milliseconds = 2000
}

// What most of a tick changes.
//
// Why behind a pointer: at run time Swift checks each access to a stored property of a class for
// overlaps. Ten of these checks were a third of the instructions of a tick with one request. Only
// the reactor's thread has access, within the methods of `Reactor`.
extension Reactor {
    private struct Hot: ~Copyable {
        var loop: EpollLoop
        var thread: ServingThread
        var connections = ConnectionTable()
        var timers = Timers<Due>()
        var answered: [ConnectionReference] = []
        var unserved: [UInt64] = []
        var turns: [Turn] = []
        var throttles: [TenantReference: ThrottleQueue] = [:]
        var throttleTurn: UInt64 = 0
        var shardWaits: [Wait] = []

        init(loop: consuming EpollLoop, thread: consuming ServingThread) {
            self.loop = loop
            self.thread = thread
        }
    }

    var loop: EpollLoop {
        _read { yield hot.pointee.loop }
        _modify { yield &hot.pointee.loop }
    }
    var thread: ServingThread {
        _read { yield hot.pointee.thread }
        _modify { yield &hot.pointee.thread }
    }
    var connections: ConnectionTable {
        _read { yield hot.pointee.connections }
        _modify { yield &hot.pointee.connections }
    }
    var timers: Timers<Due> {
        _read { yield hot.pointee.timers }
        _modify { yield &hot.pointee.timers }
    }
    /// Connections with replies to send in this tick.
    var answered: [ConnectionReference] {
        _read { yield hot.pointee.answered }
        _modify { yield &hot.pointee.answered }
    }
    /// Sessions that wait for their tenant's budget.
    var throttles: [TenantReference: ThrottleQueue] {
        _read { yield hot.pointee.throttles }
        _modify { yield &hot.pointee.throttles }
    }
    /// Sessions that wait for shards which other threads hold, in their order.
    var shardWaits: [Wait] {
        _read { yield hot.pointee.shardWaits }
        _modify { yield &hot.pointee.shardWaits }
    }
    /// The token of the session that is being resumed from its tenant's queue; else 0.
    var throttleTurn: UInt64 {
        get { hot.pointee.throttleTurn }
        set { hot.pointee.throttleTurn = newValue }
    }
    /// Connections whose next requests wait until their replies are sent.
    var unserved: [UInt64] {
        _read { yield hot.pointee.unserved }
        _modify { yield &hot.pointee.unserved }
    }
}

// Turns: the sessions of one tenant together run for at most about a millisecond in a tick, so that
// a tenant that sends much work on many connections delays the others by one such turn.
extension Reactor {
    /// What a tenant's sessions have run in this tick.
    struct Turn {
        let tenant: TenantReference
        var ticks: Int
    }

    /// The tenants whose sessions have run for long in this tick; usually empty.
    var turns: [Turn] {
        _read { yield hot.pointee.turns }
        _modify { yield &hot.pointee.turns }
    }

    @inline(never)
    private func endTurns() { turns.removeAll(keepingCapacity: true) }

    /// Whether the connection's tenant must wait for the next tick.
    @inline(__always)
    func hasHadTurn(_ connection: ConnectionReference) -> Bool {
        !turns.isEmpty && hasHadTurn(connection.pointee.session.state.pointee.tenant)
    }

    @inline(never)
    func hasHadTurn(_ tenant: TenantReference) -> Bool {
        turns.contains { $0.tenant == tenant && $0.ticks > server.settings.turnTicks }
    }

    /// Notes the time that a session has just run. Shorter ones than 20 microseconds are not noted;
    /// a batch of ordinary commands takes less.
    @inline(__always)
    func noteTurn(_ connection: ConnectionReference) {
        let ticks = thread.ticksServed
        if ticks > server.settings.turnTicks / 50 { noteTurn(connection, ticks) }
    }

    /// The most tenants of one tick whose times are noted.
    private static let turnsMax = 64

    @inline(never)
    private func noteTurn(_ connection: ConnectionReference, _ ticks: Int) {
        let tenant = connection.pointee.session.state.pointee.tenant
        for index in turns.indices where turns[index].tenant == tenant {
            turns[index].ticks += ticks
            return
        }
        guard turns.count < Reactor.turnsMax else { return }
        turns.append(Turn(tenant: tenant, ticks: ticks))
    }
}

/// The lock that a reactor holds during a tick: a plain mutex, one instruction if uncontended.
final class TickLock: @unchecked Sendable {
    // Safety: initialised in init, never destroyed: reactors live as long as the process.
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>

    init() {
        mutex = .allocate(capacity: 1)
        mutex.initialize(to: pthread_mutex_t())
        pthread_mutex_init(mutex, nil)
    }

    func lock() { pthread_mutex_lock(mutex) }
    func unlock() { pthread_mutex_unlock(mutex) }
}
