// SPDX-License-Identifier: Apache-2.0
import Base
import Records
import Storage

/// The cache of records: the application's first database. The records thread calls it, in the
/// order of PostgreSQL's messages.
///
/// Each call holds the lock of one shard as briefly as a command, so readers see the row before or
/// after the change.
// Safety: all properties but `worker` are immutable, and only the records thread uses `worker`.
final class RecordStore: RecordCache, @unchecked Sendable {
    private let registry: TenantRegistry
    private let catalog: RecordCatalog
    private let worker: WorkerReference

    init(registry: TenantRegistry, settings: SettingsReference, catalog: RecordCatalog) {
        self.registry = registry
        self.catalog = catalog
        worker = Worker.make(registry: registry, settings: settings)
    }

    private var keyspace: KeyspaceReference { registry.keyspace(registry.server, 0) }

    /// Runs `body` with the key's shard held.
    private func withKey<Result>(
        _ key: [UInt8], _ body: (borrowing Hold) -> Result
    ) -> Result {
        worker.pointee.participant.enter()
        defer { worker.pointee.participant.leave() }
        worker.pointee.now = Clock.nowMilliseconds
        return key.withBytes { key in
            let hold = Hold(worker, key, in: keyspace, creating: false, .record)
            let result = body(hold)
            hold.end()
            return result
        }
    }

    func install(key: [UInt8], value: RecordValue, timeToLiveMilliseconds: Int64, source: Int) {
        let life = makeRoom() ? timeToLiveMilliseconds : lifeWithoutRoom(timeToLiveMilliseconds)
        withKey(key) { keys in
            let expiry = keys.now + life
            switch value {
            case .string(let text):
                let found = keys.findAny(0)
                text.withBytes { keys.setString(0, $0, replacing: found, .at(expiry)) }
            case .hash(let fields):
                keys.setHash(0, fields.map { ($0.name, $0.value) }, until: expiry)
            }
        }
    }

    /// Records obey `maxmemory` like other keys. False if there is no room and none can be made.
    private func makeRoom() -> Bool {
        let limit = registry.settings.memoryMax
        guard limit > 0, worker.memoryInUse > limit else { return true }
        worker.pointee.participant.enter()
        defer { worker.pointee.participant.leave() }
        worker.pointee.now = Clock.nowMilliseconds
        return worker.makeRoom(limit, for: .request(0))
    }

    /// A record without room lives only long enough to answer the waiting requests.
    private func lifeWithoutRoom(_ milliseconds: Int64) -> Int64 { min(milliseconds, 50) }

    func installNegative(key: [UInt8], timeToLiveMilliseconds: Int64, source: Int) {
        let life = makeRoom() ? timeToLiveMilliseconds : lifeWithoutRoom(timeToLiveMilliseconds)
        withKey(key) { keys in
            keys.setAbsent(0, until: keys.now + life)
        }
    }

    func remove(key: [UInt8], source: Int) -> Bool {
        withKey(key) { keys in
            guard let found = keys.findAny(0) else { return false }
            keys.remove(found)
            return true
        }
    }

    func isPresent(key: [UInt8], source: Int) -> Bool {
        withKey(key) { keys in keys.findAny(0) != nil }
    }

    func removeAll(source: Int) {
        forEachKey(of: source) { key in _ = remove(key: key, source: source) }
    }

    func suspectAll(source: Int, staleTimeToLiveMilliseconds: Int64) {
        forEachKey(of: source) { key in
            withKey(key) { keys in
                guard let found = keys.findAny(0) else { return }
                let latest = keys.now + staleTimeToLiveMilliseconds
                if found.entry.expiry ?? .max > latest { keys.setExpiry(found, latest) }
            }
        }
    }

    /// Calls `body` with every cached key of the source; the keys are copied step by step first.
    private func forEachKey(of source: Int, _ body: ([UInt8]) -> Void) {
        worker.pointee.participant.enter()
        var keys: [[UInt8]] = []
        worker.forEachEntryInSteps(of: keyspace) { entry in
            let match = catalog.matcher.match(UnsafeRawBufferPointer(entry.key.buffer))
            if match?.source == source { keys.append(entry.key.array) }
        }
        worker.pointee.participant.leave()
        for key in keys { body(key) }
    }

    func rowLoaded(source: Int, tenant: [UInt8]?, plan: [UInt8]?) {
        guard let tenant, catalog.sources[source].planColumn != nil else { return }
        // Why: the tenant may be removed while its plan is being set.
        worker.pointee.participant.enter()
        defer { worker.pointee.participant.leave() }
        registry.assignPlan(id: tenant, plan: plan.map { String(decoding: $0, as: UTF8.self) })
    }
}
