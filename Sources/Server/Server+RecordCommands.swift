// SPDX-License-Identifier: Apache-2.0
import Base
import Records
import Storage

// TENANT INVALIDATE and the RECORDS commands.
extension Server {
    /// Drops the key of row `id` in each source at once, and makes the records thread drop the
    /// row's other keys. Returns the number of keys dropped at once.
    public func invalidateRecord(id: [UInt8], on worker: WorkerReference) -> Int {
        guard let recordEngine, let catalog = recordCatalog else { return 0 }
        var dropped = 0
        for (index, source) in catalog.sources.enumerated() {
            let key = source.lookups[0].key(for: id)
            if removeRecordKey(key, worker) { dropped += 1 }
            recordEngine.invalidate(RecordKey(source: index, lookup: 0, value: id), waiter: nil)
        }
        return dropped
    }

    public func invalidateRecords(source: String) -> Bool {
        guard let recordEngine, let index = recordCatalog?.index(named: source) else {
            return false
        }
        recordEngine.invalidateAll(source: index)
        return true
    }

    public func loadRecord(_ key: [UInt8]) -> Bool {
        guard let recordEngine, let match = recordCatalog?.matcher.match(key) else { return false }
        key.withUnsafeBytes { recordEngine.load([RecordKey(match, in: $0)], waiter: nil) }
        return true
    }

    public func recordSources() -> [[(name: String, value: String)]] {
        (recordCatalog?.sources ?? []).map { source in
            let table = source.schema.map { "\($0).\(source.table)" } ?? source.table
            return [
                ("name", source.name), ("table", table),
                ("keys", source.lookups.map(\.template).joined(separator: " ")),
                ("columns", source.columns.isEmpty ? "*" : source.columns.joined(separator: ",")),
                ("tenant", source.tenantColumn ?? ""), ("plan", source.planColumn ?? ""),
                ("format", source.format.rawValue),
                ("ttl", "\(source.timeToLiveMilliseconds / 1000)"),
                ("negative_ttl", "\(source.negativeTimeToLiveMilliseconds / 1000)"),
                ("stale_ttl", "\(source.staleTimeToLiveMilliseconds / 1000)"),
            ]
        }
    }

    public func recordStatistics() -> [[(name: String, value: String)]] {
        guard let recordEngine else { return [] }
        let all = recordEngine.statistics()
        return all.sources.map { source in
            [
                ("name", source.name), ("link", all.link.rawValue),
                ("breaker", source.breaker), ("watched", source.isWatched ? "1" : "0"),
                ("queries", "\(source.batches)"), ("loads", "\(source.loads)"),
                ("rows", "\(source.rows)"), ("negatives", "\(source.negatives)"),
                ("joined", "\(source.joined)"), ("failures", "\(source.failures)"),
                ("refused", "\(source.refused)"), ("invalidations", "\(source.invalidations)"),
                ("flushes", "\(source.flushes)"), ("reconnects", "\(all.reconnects)"),
                ("last_error", source.lastError.isEmpty ? all.lastError : source.lastError),
            ]
        }
    }
}

extension Server {
    /// Removes a key from the application's first database now. Inside a transaction, which already
    /// holds its shards, only the records thread removes it.
    private func removeRecordKey(_ key: [UInt8], _ worker: WorkerReference) -> Bool {
        guard !worker.isHolding else { return false }
        let keyspace = registry.keyspace(registry.server, 0)
        return key.withBytes { key in
            let hold = Hold(worker, key, in: keyspace, creating: false, .record)
            let found = hold.findAny(0)
            if let found { hold.remove(found) }
            hold.end()
            return found != nil
        }
    }
}
