// SPDX-License-Identifier: Apache-2.0
import Base
import Commands
import Records
import Sessions
import Storage

// Records: which keys are records, loading missed rows, resuming the sessions that wait.
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

    /// Returns the test for record keys; nil without record sources.
    static func isRecordKey(_ catalog: RecordCatalog?) -> (@Sendable (Bytes) -> Bool)? {
        guard let catalog else { return nil }
        return { key in catalog.matcher.match(UnsafeRawBufferPointer(key.buffer)) != nil }
    }

    func makeRecordMisses() -> RecordMissesReference? {
        guard let catalog = recordCatalog else { return nil }
        return .make(
            RecordMisses { key in
                catalog.matcher.match(UnsafeRawBufferPointer(key.buffer)) != nil
            })
    }

    /// The configured engine; nil without record sources.
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
            throw .message(error.message)
        }
    }

    func startRecords() {
        do throws(RecordError) { try recordEngine?.run() } catch {
            Log.standard.write(.warning, error.message)
        }
    }

    func stopRecords() { recordEngine?.stop() }

    /// Requests the records of `keys`. When they are settled, `wait` of `reactor` ends.
    func loadRecords(_ keys: [[UInt8]], reactor: Reactor, wait: Wait) {
        guard let recordEngine, let catalog = recordCatalog else {
            reactor.mailbox.post(.resume(wait, .absent))
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
        recordEngine.request(
            wanted, waiter: RecordWaiter(reactor: reactor.number, wait: wait))
    }
}

/// A reactor's wait as the records thread stores it: the reactor's number in the upper 16 bits of
/// `high`, the wait's serial in the other 48, its token in `low`.
extension RecordWaiter {
    init(reactor: Int, wait: Wait) {
        self.init(high: UInt64(reactor) << 48 | wait.serial, low: wait.token)
    }

    var reactor: Int { Int(high >> 48) }
    var wait: Wait { Wait(token: low, serial: high & Wait.serialMax) }
}

/// Delivers the records thread's answers to the reactors.
// Safety: `server` is written only in init, and it outlives the records thread, which it joins.
final class RecordResumer: RecordWaiterSink, @unchecked Sendable {
    private unowned let server: Server

    init(_ server: Server) { self.server = server }

    func resume(_ waiter: RecordWaiter, _ outcome: RecordOutcome) {
        guard waiter.reactor < server.reactors.count else { return }
        let resumption: Resumption =
            switch outcome {
            case .loaded: .again
            case .missing: .absent
            case .unavailable(let source):
                .refused("TRYAGAIN record source \(source) is unavailable")
            }
        server.reactors[waiter.reactor].mailbox.post(.resume(waiter.wait, resumption))
    }
}
