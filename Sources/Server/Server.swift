// SPDX-License-Identifier: Apache-2.0
import Base
import CLinux
import Commands
import Glibc
import Networking
import Records
import Sessions
import Storage
import Synchronization

/// The process: listeners, reactors, tenants, configuration, and shutdown.
///
/// Threads: each runs one reactor and shares this object. Its mutable parts are atomics and
/// mutexes.
public final class Server: @unchecked Sendable {
    public let configuration: Configuration
    public let settings: SettingsReference
    public let registry: TenantRegistry
    public let commands: CommandTable
    public let reclaimer = Reclaimer.shared
    public let slowLog = SlowLog()
    public let latencyEvents = LatencyEvents()
    let startedAtMicroseconds = Clock.nowMicroseconds
    let pauseState = PauseState()
    /// Held while `pauseState` is changed.
    let pauseLock = Mutex<Void>(())
    let recordCatalog: RecordCatalog?
    private(set) var recordEngine: RecordEngine?
    // Safety: these four are written before the threads start, then only read.
    private(set) var reactors: [Reactor] = []
    private(set) var listeners: [Listener] = []
    private var signalDescriptor: Int32 = -1
    private let sessionIDs = Atomic<UInt64>(0)
    /// Held by the thread that holds or gathers all tick locks: only one may stop the world.
    let standstillLock = TickLock()
    /// The reactor whose thread holds all tick locks, or -1.
    let standingStillFor = Atomic<Int>(-1)
    let isStopping = Atomic<Bool>(false)
    private let isSweeping = Atomic<Bool>(false)
    private let isEvicting = Atomic<Bool>(false)
    private static let sweepMicroseconds = 500
    /// The start, on the clocks that measure command statistics.
    let startedAtTicks = martlet_ticks()
    let startedAtNanoseconds = Clock.monotonicNanoseconds
    /// Bytes allocated when the server was ready, and the most that any reading showed.
    private(set) var memoryAtStart = 0
    let memoryPeak = Atomic<Int>(0)
    let tenantKeeper: TenantKeeper
    /// Held while the setting `passwordRequired` is found and stored.
    let passwordRequiredLock = Mutex<Void>(())
    /// INFO's run_id, drawn at start.
    let runID: String

    public enum StartError: Error {
        case message(String)
    }

    public init(configuration: Configuration) throws(StartError) {
        self.configuration = configuration
        settings = configuration.settings
        let threads = configuration.integer("threads")
        recordCatalog = try Server.recordCatalog(configuration)
        registry = TenantRegistry(
            settings: settings, plans: configuration.plans, patterns: configuration.keyPatterns,
            threads: threads, isReserved: Server.isRecordKey(recordCatalog))
        commands = CommandTable(Families.all)
        tenantKeeper = TenantKeeper(
            registry, configuration.tenantsPath,
            declared: Set(configuration.tenantLines.map { Array($0.id.utf8) }))
        runID = Server.drawRunID()
        try loadTenants()
        listeners = try Server.openListeners(configuration)
        for number in 0..<threads {
            guard let reactor = Reactor(number: number, server: self) else {
                throw .message("cannot make reactor \(number): \(String(cString: strerror(errno)))")
            }
            reactors.append(reactor)
        }
        recordEngine = try makeRecordEngine()
        configuration.observe { [weak self] names in
            if names.contains("requirepass") { self?.refreshPasswordRequired() }
            if !names.isDisjoint(with: Directive.observation) { self?.refreshObservedTicks() }
        }
        registry.limitsObserver.withLock { observer in
            observer = { [weak self] in
                self?.reactors.forEach { $0.mailbox.post(.limitsChanged) }
            }
        }
        refreshObservedTicks()
        settings.values.pointee.turnTicks.set(Int(ticksPerMicrosecond * 1000))
        memoryAtStart = memoryFigures().allocated
        registry.measureOtherMemory(now: Clock.monotonicMilliseconds)
    }

    private static func drawRunID() -> String {
        var random = Random()
        let digits = Array("0123456789abcdef")
        return String((0..<40).map { _ in digits[Int(random.next(below: 16))] })
    }

    // MARK: - Running

    /// Serves until SIGTERM, SIGINT or SHUTDOWN; returns the exit status.
    public func run() -> Int32 {
        blockSignals()
        guard Log.standard.start() else {
            Log.standard.write(.warning, "the system refused to start the log's thread")
            return 1
        }
        // Why now: starting a thread may block, and later values are freed under shards' locks.
        guard reclaimer.start() else {
            Log.standard.write(.warning, "the system refused to start the reclaimer's thread")
            return 1
        }
        guard tenantKeeper.start(for: self) else {
            Log.standard.write(.warning, "the system refused to start the thread of the tenants")
            return 1
        }
        startRecords()
        guard addSpecialDescriptors() else {
            let reason = String(cString: strerror(errno))
            Log.standard.write(.warning, "cannot watch the listening sockets: \(reason)")
            return 1
        }
        var threads: [Thread] = []
        for reactor in reactors.dropFirst() {
            guard let thread = Thread("reactor-\(reactor.number)", reactor.run) else {
                Log.standard.write(.warning, "the system refused to start thread \(reactor.number)")
                return 1
            }
            threads.append(thread)
        }
        announce()
        Allocator.purge()
        martlet_release_code_pages()
        reactors[0].run()
        for thread in threads { thread.join() }
        stopRecords()
        tenantKeeper.stop()
        for listener in listeners {
            close(listener.fd)
            if let path = listener.unixPath { unlink(path) }
        }
        Log.standard.write(.notice, "Martlet is now ready to exit, bye bye...")
        return 0
    }

    private func announce() {
        Log.standard.write(
            .notice,
            "Martlet \(Version.martlet), threads: \(reactors.count), process \(getpid())")
        let port = configuration.integer("port")
        if port > 0 { Log.standard.write(.notice, "Ready to accept connections on port \(port)") }
        Supervisor.tell("STATUS=Ready to accept connections\nREADY=1\n", configuration)
    }

    /// The first reactor reads SIGTERM, SIGINT and SIGHUP from a descriptor; SIGPIPE is ignored.
    private func blockSignals() {
        signal(SIGPIPE, SIG_IGN)
        // A file that may not grow is an error of the call that writes it.
        signal(SIGXFSZ, SIG_IGN)
        var set = sigset_t()
        sigemptyset(&set)
        sigaddset(&set, SIGTERM)
        sigaddset(&set, SIGINT)
        sigaddset(&set, SIGHUP)
        pthread_sigmask(SIG_BLOCK, &set, nil)
        signalDescriptor = signalfd(-1, &set, Int32(SFD_NONBLOCK) | Int32(SFD_CLOEXEC))
    }

    private func addSpecialDescriptors() -> Bool {
        let first = reactors[0]
        guard first.loop.add(signalDescriptor, token: Reactor.signalToken) else { return false }
        for (index, listener) in listeners.enumerated() {
            let token = Reactor.listenerToken | UInt64(index)
            guard first.loop.add(listener.fd, token: token) else { return false }
        }
        return true
    }

    func handleSignal() {
        var information = signalfd_siginfo()
        let size = MemoryLayout<signalfd_siginfo>.size
        guard read(signalDescriptor, &information, size) == size else { return }
        if information.ssi_signo == UInt32(SIGHUP) { return ProcessSetup.reopenLog(configuration) }
        Log.standard.write(.notice, "User requested shutdown...")
        stop()
    }

    /// Tells every reactor to drain; the first stops accepting.
    func stop() {
        guard !isStopping.exchange(true, ordering: .acquiringAndReleasing) else { return }
        Supervisor.tell("STOPPING=1\n", configuration)
        for reactor in reactors { reactor.mailbox.post(.stop) }
    }

    // MARK: - What reactors ask

    func nextSessionID() -> UInt64 {
        sessionIDs.wrappingAdd(1, ordering: .relaxed).newValue
    }

    var connectionCount: Int {
        reactors.reduce(0) { $0 + $1.connectionCount.load(ordering: .relaxed) }
    }

    func leastLoadedReactor() -> Reactor {
        var best = reactors[0]
        for reactor in reactors.dropFirst()
        where reactor.connectionCount.load(ordering: .relaxed)
            < best.connectionCount.load(ordering: .relaxed)
        {
            best = reactor
        }
        return best
    }

    /// One slice of the active expiration cycle; returns when the next is due. One thread sweeps at
    /// a time, which leaves the other cores free for requests.
    ///
    /// Why every reactor sweeps all shards and not a part of them: a reactor that changed nothing
    /// sleeps, so keys that another one wrote into its part would not expire. A part that one
    /// reactor has swept costs the next one little.
    func sweep(_ worker: WorkerReference, reactor: Int) -> Milliseconds? {
        guard !isSweeping.exchange(true, ordering: .acquiringAndReleasing) else {
            return worker.now + 2
        }
        defer { isSweeping.store(false, ordering: .releasing) }
        let began = Clock.monotonicNanoseconds
        let due = worker.sweepExpired(budgetMicroseconds: Server.sweepMicroseconds)
        let spent = Int(Clock.monotonicNanoseconds - began)
        worker.statistics.pointee.sweepNanoseconds.bump(spent)
        let threshold = settings.values.pointee.latencyThresholdMilliseconds.value
        if threshold > 0, spent / 1_000_000 >= threshold {
            latencyEvents.add(
                .expireCycle, time: Int(worker.now / 1000), milliseconds: spent / 1_000_000)
        }
        return due
    }

    /// One slice of eviction; returns how far it came, nil if another thread is at it. One thread
    /// evicts at a time, which leaves the other cores free for requests.
    func evictSlice(_ worker: WorkerReference) -> EvictionProgress? {
        guard !isEvicting.exchange(true, ordering: .acquiringAndReleasing) else { return nil }
        defer { isEvicting.store(false, ordering: .releasing) }
        return worker.evictSlice()
    }

    // MARK: - Standing still

    /// The reactor of this thread; nil on other threads.
    private var currentReactor: Reactor? {
        let thread = pthread_self()
        return reactors.first { $0.owner == thread }
    }

    /// Runs `body` while every other reactor is between two ticks. The caller must hold no shard.
    ///
    /// The caller gives up its own tick lock while it waits. So two threads that want a standstill
    /// take turns: the one that waits stands still itself.
    public func whileStandingStill<Result>(_ body: () -> Result) -> Result {
        let own = currentReactor
        let number = own?.number ?? reactors.count
        if standingStillFor.load(ordering: .relaxed) == number { return body() }
        own?.tickLock.unlock()
        standstillLock.lock()
        for reactor in reactors where reactor !== own { reactor.tickLock.lock() }
        own?.tickLock.lock()
        standingStillFor.store(number, ordering: .relaxed)
        let result = body()
        standingStillFor.store(-1, ordering: .relaxed)
        for reactor in reactors where reactor !== own { reactor.tickLock.unlock() }
        standstillLock.unlock()
        return result
    }

    /// Calls `body` with every session of every reactor, and closes those for which it returns
    /// true.
    public func forEachSession(_ body: (borrowing SessionState) -> Bool) {
        whileStandingStill {
            for reactor in reactors {
                for connection in reactor.connections.all {
                    guard !connection.pointee.isKilled else { continue }
                    guard body(connection.pointee.session.state.pointee) else { continue }
                    // Why now: requests that it has already sent must not run behind the command
                    // that killed it, not even the rest of a batch whose command waits for this
                    // standstill to end.
                    reactor.kill(connection)
                }
            }
        }
    }
}
