// SPDX-License-Identifier: Apache-2.0
import Base
import Commands
import Records
import Storage
import Synchronization

// Records: which keys they are, loading what was missed, resuming who waits.
extension Server {
    /// The sources that the configuration names.
    static func recordCatalog(_ configuration: Configuration) throws(StartError) -> RecordCatalog? {
        let lines = configuration.lines("record-source")
        guard !lines.isEmpty else { return nil }
        do throws(RecordError) {
            var sources: [RecordSource] = []
            for line in lines { sources.append(try RecordSource(arguments: line)) }
            return try RecordCatalog(sources)
        } catch {
            throw .message("record-source: \(error.message)")
        }
    }

    /// Tells the keys of records from others.
    static func isRecordKey(_ catalog: RecordCatalog?) -> (@Sendable (Bytes) -> Bool)? {
        guard let catalog else { return nil }
        return { key in catalog.matcher.match(UnsafeRawBufferPointer(key.buffer)) != nil }
    }

    func makeRecordMisses() -> UnsafeMutablePointer<RecordMisses>? {
        guard let catalog = recordCatalog else { return nil }
        let misses = UnsafeMutablePointer<RecordMisses>.allocate(capacity: 1)
        misses.initialize(
            to: RecordMisses { key in
                catalog.matcher.match(UnsafeRawBufferPointer(key.buffer)) != nil
            })
        return misses
    }

    /// The engine that the configuration asks for; nil without record sources.
    func makeRecordEngine() throws(StartError) -> RecordEngine? {
        guard let catalog = recordCatalog else { return nil }
        let url = configuration.text("postgres-url")
        guard !url.isEmpty else {
            throw .message("record-source needs postgres-url (or DATABASE_URL in the environment)")
        }
        var options = RecordOptions(url: url)
        options.breakerThreshold = configuration.integer("record-breaker-threshold")
        options.breakerTimeoutMilliseconds =
            Int64(configuration.integer("record-breaker-timeout")) * 1000
        let store = RecordStore(registry: registry, settings: settings, catalog: catalog)
        do throws(RecordError) {
            return try RecordEngine(
                catalog: catalog, options: options, cache: store, sink: RecordResumer(self)
            ) { level, text in
                Log.standard.write(level == .warning ? .warning : .notice, text)
            }
        } catch {
            throw .message("postgres-url: \(error.message)")
        }
    }

    func startRecords() {
        do throws(RecordError) { try recordEngine?.run() } catch {
            Log.standard.write(.warning, error.message)
        }
    }

    func stopRecords() { recordEngine?.stop() }

    /// Asks for the records of `keys`; the session `token` of `reactor` is resumed when they are
    /// settled.
    func loadRecords(_ keys: [[UInt8]], reactor: Reactor, token: UInt64) {
        let waiter = RecordWaiter(high: UInt64(reactor.number), low: token)
        guard let recordEngine, let catalog = recordCatalog else {
            reactor.mailbox.post(.resume(token: token, failure: nil, withoutRecords: true))
            return
        }
        var wanted: [RecordKey] = []
        for key in keys {
            key.withUnsafeBytes { bytes in
                if let match = catalog.matcher.match(bytes) {
                    wanted.append(RecordKey(match, in: bytes))
                }
            }
        }
        recordEngine.request(wanted, waiter: waiter)
    }
}

/// Carries the records thread's answers to the reactors.
// Safety: `server` is written in init only, and outlives the records thread, which it joins.
final class RecordResumer: RecordWaiterSink, @unchecked Sendable {
    private unowned let server: Server

    init(_ server: Server) { self.server = server }

    func resume(_ waiter: RecordWaiter, _ outcome: RecordOutcome) {
        guard waiter.high < UInt64(server.reactors.count) else { return }
        let reactor = server.reactors[Int(waiter.high)]
        switch outcome {
        case .loaded:
            reactor.mailbox.post(.resume(token: waiter.low, failure: nil, withoutRecords: false))
        case .missing:
            reactor.mailbox.post(.resume(token: waiter.low, failure: nil, withoutRecords: true))
        case .unavailable(let source):
            reactor.mailbox.post(
                .resume(
                    token: waiter.low, failure: "TRYAGAIN record source \(source) is unavailable",
                    withoutRecords: false))
        }
    }
}
