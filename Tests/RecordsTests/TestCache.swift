// SPDX-License-Identifier: Apache-2.0
import Base
import Glibc
import Synchronization

@testable import Records

/// A dictionary in place of the server's tables, which remembers every change.
final class TestCache: RecordCache, RecordWaiterSink {
    struct Entry: Equatable {
        /// nil means a negative entry.
        let value: RecordValue?
        let lifeMilliseconds: Int64
        let source: Int
        let deadline: Int64
    }

    struct State {
        var entries: [[UInt8]: Entry] = [:]
        var outcomes: [RecordWaiter: RecordOutcome] = [:]
        var repeated = 0
        var tenants: [String: String] = [:]
        var flushes = 0
        var suspected = 0
        var log: [String] = []
    }

    let state = Mutex(State())

    func install(key: [UInt8], value: RecordValue, timeToLiveMilliseconds: Int64, source: Int) {
        put(key, value, timeToLiveMilliseconds, source)
    }

    func installNegative(key: [UInt8], timeToLiveMilliseconds: Int64, source: Int) {
        put(key, nil, timeToLiveMilliseconds, source)
    }

    private func put(_ key: [UInt8], _ value: RecordValue?, _ life: Int64, _ source: Int) {
        let entry = Entry(
            value: value, lifeMilliseconds: life, source: source,
            deadline: Clock.monotonicMilliseconds + life)
        state.withLock { $0.entries[key] = entry }
    }

    func remove(key: [UInt8], source: Int) -> Bool {
        state.withLock { $0.entries.removeValue(forKey: key) != nil }
    }

    func removeAll(source: Int) {
        state.withLock { state in
            state.entries = state.entries.filter { $0.value.source != source }
            state.flushes += 1
        }
    }

    func suspectAll(source: Int, staleTimeToLiveMilliseconds: Int64) {
        state.withLock { $0.suspected += 1 }
    }

    func isPresent(key: [UInt8], source: Int) -> Bool { entry(key) != nil }

    func rowLoaded(source: Int, tenant: [UInt8]?, plan: [UInt8]?) {
        let name = String(decoding: tenant ?? [], as: UTF8.self)
        state.withLock { $0.tenants[name] = plan.map { String(decoding: $0, as: UTF8.self) } }
    }

    func resume(_ waiter: RecordWaiter, _ outcome: RecordOutcome) {
        state.withLock {
            if $0.outcomes.updateValue(outcome, forKey: waiter) != nil { $0.repeated += 1 }
        }
    }

    func entry(_ key: [UInt8]) -> Entry? {
        state.withLock { state in
            guard let entry = state.entries[key] else { return nil }
            return entry.deadline > Clock.monotonicMilliseconds ? entry : nil
        }
    }

    func entry(_ key: String) -> Entry? { entry(Array(key.utf8)) }

    func text(_ key: String) -> String? {
        guard case .string(let bytes) = entry(key)?.value else { return nil }
        return String(decoding: bytes, as: UTF8.self)
    }

    func outcome(_ waiter: RecordWaiter) -> RecordOutcome? {
        state.withLock { $0.outcomes[waiter] }
    }

    func hasLogged(_ part: String) -> Bool {
        state.withLock { state in state.log.contains { $0.contains(part) } }
    }
}

/// An engine over a test database, with reads that wait as a session would.
final class TestBench: Sendable {
    static let standard = [
        "tenants", "table=tenants", "key=tenant:id:{id}", "key=tenant:subdomain:{subdomain}",
        "key=tenant:domain:{custom_domain}",
        "columns=id,name,subdomain,custom_domain,plan_type,user_id", "tenant=id", "plan=plan_type",
    ]

    let cache = TestCache()
    let engine: RecordEngine
    private let waiterCount = Atomic<UInt64>(0)

    init(
        url: String, sources: [[String]] = [TestBench.standard],
        change: (inout RecordOptions) -> Void = { _ in }
    ) throws {
        var options = RecordOptions(url: url)
        change(&options)
        let catalog = try RecordCatalog(try sources.map { try RecordSource(arguments: $0) })
        let cache = self.cache
        engine = try RecordEngine(catalog: catalog, options: options, cache: cache, sink: cache) {
            _, text in
            cache.state.withLock { $0.log.append(text) }
        }
        try engine.run()
    }

    deinit { engine.stop() }

    func key(_ text: String) throws -> RecordKey {
        let bytes = Array(text.utf8)
        return try bytes.withUnsafeBytes { bytes in
            guard let match = engine.catalog.matcher.match(bytes) else {
                throw RecordError("\(text) is no record key")
            }
            return RecordKey(match, in: bytes)
        }
    }

    func waiter() -> RecordWaiter {
        RecordWaiter(high: 7, low: waiterCount.add(1, ordering: .relaxed).newValue)
    }

    /// Begins a read; returns nil if the cache answers it.
    func begin(_ keys: [String]) throws -> RecordWaiter? {
        let missing = keys.filter { cache.entry($0) == nil }
        guard !missing.isEmpty else { return nil }
        let waiter = waiter()
        engine.request(try missing.map { try key($0) }, waiter: waiter)
        return waiter
    }

    func wait(_ waiter: RecordWaiter, milliseconds: Int64 = 6000) throws -> RecordOutcome {
        var outcome: RecordOutcome?
        try until("an answer", milliseconds: milliseconds) {
            outcome = cache.outcome(waiter)
            return outcome != nil
        }
        return outcome ?? .missing
    }

    @discardableResult
    func request(_ keys: String...) throws -> RecordOutcome {
        guard let waiter = try begin(keys) else { return .loaded }
        return try wait(waiter)
    }

    /// What a client would read; nil for no such key. Throws if the source is unavailable.
    func read(_ key: String) throws -> String? {
        while true {
            if let entry = cache.entry(key) {
                guard case .string(let bytes) = entry.value else { return nil }
                return String(decoding: bytes, as: UTF8.self)
            }
            if case .unavailable(let source) = try request(key) {
                throw RecordError("TRYAGAIN \(source)")
            }
        }
    }

    func ready(_ link: RecordStatistics.Link = .ready) throws {
        do {
            try until("link \(link)") { engine.statistics().link == link }
        } catch {
            throw RecordError("\(error): \(engine.statistics()) \(cache.state.withLock { $0.log })")
        }
    }
}

func until(_ what: String, milliseconds: Int64 = 10_000, _ condition: () throws -> Bool) throws {
    let deadline = Clock.monotonicMilliseconds + milliseconds
    while !(try condition()) {
        guard Clock.monotonicMilliseconds < deadline else {
            throw RecordError("waited \(milliseconds) ms in vain for \(what)")
        }
        usleep(500)
    }
}
