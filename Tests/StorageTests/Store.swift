// SPDX-License-Identifier: Apache-2.0
import Base
import Tenancy
import Testing

@testable import Storage

/// A registry and one worker: sets and removes keys as commands do, without commands.
final class Store {
    let settings = SettingsReference()
    let registry: TenantRegistry
    let worker: WorkerReference

    init(plans: [Plan] = [], patterns: [String] = [], threads: Int = 2) throws {
        registry = TenantRegistry(
            settings: settings, plans: plans, patterns: try patterns.map { try KeyPattern($0) },
            threads: threads)
        worker = Worker.make(registry: registry, settings: settings)
        // Why: what is allocated beside tables is the process's, in which other tests run. With a
        // moment that does not come, it is not measured.
        registry.otherMemoryMeasuredAt.store(.max / 2, ordering: .relaxed)
        // Why now: so that its structures do not change sums compared before and after.
        _ = registry.keyspace(registry.server, 0)
    }

    deinit {
        worker.destroy()
    }

    func tenant(_ id: String) -> TenantReference? {
        Array(id.utf8).withBytes { registry.find($0) }
    }

    func delete(_ id: String) throws {
        try registry.delete(try #require(tenant(id)))
    }

    /// Runs `body` with the key's shard held, in the database of `tenant`, or else in the server's
    /// own.
    func with<Result>(
        _ key: String, _ tenant: TenantReference? = nil, creating: Bool = true,
        _ options: HoldOptions = [], _ body: (Bytes, borrowing Hold) -> Result
    ) -> Result {
        worker.pointee.participant.enter()
        defer { worker.pointee.participant.leave() }
        return Array(key.utf8).withBytes { key in
            let keyspace = registry.keyspace(tenant ?? registry.server, 0)
            let hold = Hold(worker, key, in: keyspace, creating: creating, options)
            let result = body(key, hold)
            hold.end()
            return result
        }
    }

    func set(_ key: String, size: Int = 3, _ tenant: TenantReference? = nil) {
        let value = [UInt8](repeating: 118, count: size)
        with(key, tenant) { key, keys in
            let found = keys.find(0)
            value.withBytes { keys.setText(0, $0, replacing: found) }
        }
    }

    /// Returns whether the key was there.
    @discardableResult
    func remove(_ key: String, _ tenant: TenantReference? = nil) -> Bool {
        with(key, tenant, creating: false) { key, keys in
            guard let found = keys.find(0) else { return false }
            keys.remove(found)
            return true
        }
    }

    func exists(_ key: String, _ tenant: TenantReference? = nil) -> Bool {
        with(key, tenant, creating: false) { key, keys in keys.find(0) != nil }
    }

    /// What the tenant has used on the day of `now`.
    func usedToday(of tenant: TenantReference, now: Moment) -> (operations: Int, bytes: Int) {
        worker.pointee.now = now.wall
        worker.pointee.monotonicNow = now.monotonic
        return worker.usedToday(of: tenant)
    }

    /// Makes room as commands do that come one after the other, a millisecond apart, until memory
    /// is within the limit. False if one of them finds none.
    func makeRoom(_ memoryMax: Int) -> Bool {
        repeat {
            guard worker.makeRoom(memoryMax, for: .request(0)) else { return false }
            worker.pointee.monotonicNow += 1
        } while registry.lastingMemory > memoryMax
        return true
    }

    /// The same for a tenant's own memory.
    func makeRoom(in tenant: TenantReference, memoryMax: Int) -> Bool {
        repeat {
            guard worker.makeRoom(in: tenant, memoryMax: memoryMax, for: .request(0)) else {
                return false
            }
            worker.pointee.monotonicNow += 1
        } while tenant.memoryInUse >= memoryMax
        return true
    }

    /// One tick of the thread: frees at its end what was retired before it.
    func tick() {
        worker.pointee.participant.enter()
        worker.pointee.participant.leave()
    }
}
