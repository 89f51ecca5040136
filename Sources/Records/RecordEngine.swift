// SPDX-License-Identifier: Apache-2.0
import Base
import Synchronization

/// Connects other threads with the records thread.
///
/// A command that misses on a record key posts a request here and is suspended. The records thread
/// fetches the row over its one connection, caches it under all of the row's keys, and resumes the
/// waiting sessions. All calls may be made from any thread, and none of them blocks.
///
/// Every request is answered exactly once: with what was found, or as unavailable if the database
/// cannot answer in time. While a source's breaker is open, it is answered as unavailable at once.
public final class RecordEngine: Sendable {
    public let catalog: RecordCatalog
    private let inbox: RecordInbox
    private let board: RecordBoard
    private let sink: any RecordWaiterSink
    private let start: @Sendable () -> Thread?
    private let thread = Mutex<Thread?>(nil)

    /// Checks the URL. Does not connect yet.
    public init(
        catalog: RecordCatalog, options: RecordOptions, cache: any RecordCache,
        sink: any RecordWaiterSink, log: @escaping RecordLog
    ) throws(RecordError) {
        let address = try PostgresAddress(
            options.url, options: options.sessionOptions, applicationName: "martlet")
        let board = RecordBoard(catalog)
        guard let inbox = RecordInbox() else {
            throw RecordError("records: the system has no file descriptor left")
        }
        self.inbox = inbox
        self.catalog = catalog
        self.board = board
        self.sink = sink
        self.start = {
            Thread("records") {
                let worker = RecordWorker(
                    catalog: catalog, options: options, address: address, cache: cache, sink: sink,
                    inbox: inbox, board: board, log: log)
                worker.run()
            }
        }
    }

    deinit { stop() }

    /// Starts the thread, which connects and keeps retrying. May be called once.
    public func run() throws(RecordError) {
        guard let started = start() else {
            throw RecordError("records: the thread could not be started")
        }
        thread.withLock { $0 = started }
    }

    /// Answers all waiting requests, closes the connection and ends the thread.
    public func stop() {
        guard let running = thread.withLock({ $0.take() }) else { return }
        inbox.post(.stop)
        running.join()
    }

    /// Fetches rows that a read missed. The waiter is resumed when all of them are settled.
    public func request(_ keys: [RecordKey], waiter: RecordWaiter) {
        post(.request(keys: keys, waiter: waiter, isForced: false), waiter, keys.first?.source)
    }

    /// Fetches rows even if they are cached, as `RECORDS LOAD` does.
    public func load(_ keys: [RecordKey], waiter: RecordWaiter?) {
        post(.request(keys: keys, waiter: waiter, isForced: true), waiter, keys.first?.source)
    }

    /// Drops all keys of the row that this lookup names, as `TENANT INVALIDATE` and `RECORDS
    /// INVALIDATE` do. Reads the row to learn its other keys: the outcome is `.loaded` if it
    /// exists, `.missing` if not. If PostgreSQL is away, only the named key is dropped, and the
    /// outcome is unavailable. If the row is being loaded meanwhile, it is loaded once more.
    public func invalidate(_ key: RecordKey, waiter: RecordWaiter?) {
        post(.drop(key, waiter: waiter), waiter, key.source)
    }

    /// Drops all keys of a source. Rows that are being loaded meanwhile are loaded once more.
    public func invalidateAll(source: Int) { inbox.post(.dropAll(source: source)) }

    public func statistics() -> RecordStatistics { board.read() }

    private func post(_ message: RecordMessage, _ waiter: RecordWaiter?, _ source: Int?) {
        guard !inbox.post(message), let waiter else { return }
        sink.resume(waiter, .unavailable(source: source.map { catalog.sources[$0].name } ?? ""))
    }
}

/// The statistics: written by the records thread, read by any thread.
final class RecordBoard: Sendable {
    private let statistics: Mutex<RecordStatistics>

    init(_ catalog: RecordCatalog) {
        statistics = Mutex(
            RecordStatistics(
                sources: catalog.sources.map { RecordStatistics.Source(name: $0.name) }))
    }

    func read() -> RecordStatistics { statistics.withLock { $0 } }

    func update(_ change: (inout RecordStatistics) -> Void) { statistics.withLock { change(&$0) } }

    func update(_ source: Int, _ change: (inout RecordStatistics.Source) -> Void) {
        statistics.withLock { change(&$0.sources[source]) }
    }
}
