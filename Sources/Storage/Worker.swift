// SPDX-License-Identifier: Apache-2.0
import Base
import Glibc
import Synchronization

/// What a thread that runs commands owns: its clock, its random numbers, its counters, and the room
/// in which the keys of the command at hand are resolved.
///
/// Threads: everything is the owning thread's, except `statistics`, which others may read.
public struct Worker: ~Copyable {
    public let registry: Unmanaged<TenantRegistry>
    public let settings: SettingsReference
    public let participant = Reclamation.Participant()
    /// The time that commands go by: taken once for each batch, so that a command sees one moment.
    public var now: Milliseconds
    /// The same moment on the monotonic clock, by which spans are measured.
    public var monotonicNow: Milliseconds
    public var random = Random()
    public let statistics: UnsafeMutablePointer<Statistics>
    /// Of the registry, where the path of a request reads them without counting a reference.
    let hasPatterns: Bool
    let serverTenant: TenantReference

    // Safety: `resolved` and `locked` have `capacity` and `lockedCapacity` elements, allocated here
    // and grown by `reserve`; they are freed with the worker, which lives as long as its thread.
    var resolved: UnsafeMutablePointer<ResolvedKey>
    var resolvedCount = 0
    var capacity: Int
    var locked: UnsafeMutablePointer<ShardReference>
    var lockedCount = 0
    /// The keyspace that all keys of the command live in, where that is known without looking at
    /// each.
    var commonKeyspace: KeyspaceReference?
    /// The most shards that a keyspace has.
    static let shardCountMax = 1024
    // Safety: a bit for each of `shardCountMax` shards, allocated here and freed with the worker;
    // all are 0 but while shards are being collected.
    let shardSet: UnsafeMutablePointer<UInt64>
    /// The most requests that are parsed before the first of them runs.
    public static let batchSize = 32
    /// The tenants that the keys of the batch at hand name.
    var namedTenants = NamedTenants()
    /// Where the sweep of expired entries goes on.
    var sweep = SweepPosition()
    /// Where the search for a tenant that is over its share goes on.
    var victims = VictimSearch()

    public init(registry: TenantRegistry, settings: SettingsReference) {
        self.registry = Unmanaged.passRetained(registry)
        self.settings = settings
        hasPatterns = registry.hasPatterns
        serverTenant = registry.server
        now = Clock.nowMilliseconds
        monotonicNow = Clock.monotonicMilliseconds
        capacity = 64
        resolved = .allocate(capacity: capacity)
        locked = .allocate(capacity: capacity)
        shardSet = .allocate(capacity: Worker.shardCountMax / 64)
        shardSet.initialize(repeating: 0, count: Worker.shardCountMax / 64)
        statistics = .allocate(capacity: 1)
        statistics.initialize(to: Statistics())
    }

    deinit {
        participant.giveBack()
        resolved.deallocate()
        locked.deallocate()
        shardSet.deallocate()
        namedTenants.deallocate()
        statistics.deinitialize(count: 1)
        statistics.deallocate()
        registry.release()
    }

    /// Grows the room for keys to `count`.
    @inline(never)
    mutating func reserve(_ count: Int) {
        guard count > capacity else { return }
        let target = max(count, capacity * 2)
        let resolved = UnsafeMutablePointer<ResolvedKey>.allocate(capacity: target)
        resolved.moveInitialize(from: self.resolved, count: resolvedCount)
        self.resolved.deallocate()
        self.resolved = resolved
        let locked = UnsafeMutablePointer<ShardReference>.allocate(capacity: target)
        locked.moveInitialize(from: self.locked, count: lockedCount)
        self.locked.deallocate()
        self.locked = locked
        capacity = target
    }
}

public typealias WorkerReference = Reference<Worker>

/// A key of the command at hand: where its bytes are, its hash and the shard that it lives in.
struct ResolvedKey {
    let key: Bytes
    let hash: Hash
    let shard: ShardReference
}

/// Counters of one thread, written by it alone, readable by all. INFO adds them up.
public struct Statistics: ~Copyable {
    public typealias Counter = Atomic<Int>

    public let commands = Counter(0)
    public let keyspaceHits = Counter(0)
    public let keyspaceMisses = Counter(0)
    public let expiredKeys = Counter(0)
    public let evictedKeys = Counter(0)
    /// Keys changed since the start: what a snapshot would have to save.
    public let changes = Counter(0)
    public let bytesIn = Counter(0)
    public let bytesOut = Counter(0)
    public let connectionsReceived = Counter(0)
    public let connectionsRejected = Counter(0)
    public let readsProcessed = Counter(0)
    public let writesProcessed = Counter(0)
    /// Slices of the sweep of expired entries that ended with their budget, and the time of all.
    public let sweepsCutShort = Counter(0)
    public let sweepNanoseconds = Counter(0)
    public let authenticationsRefused = Counter(0)
    /// Clients closed because a request, or the replies that they did not take, were too long.
    public let closedForInput = Counter(0)
    public let closedForOutput = Counter(0)

    init() {}

    /// CONFIG RESETSTAT: all but `changes` begins again at 0. The thread stands still.
    public func reset() {
        commands.set(0)
        keyspaceHits.set(0)
        keyspaceMisses.set(0)
        expiredKeys.set(0)
        evictedKeys.set(0)
        bytesIn.set(0)
        bytesOut.set(0)
        connectionsReceived.set(0)
        connectionsRejected.set(0)
        readsProcessed.set(0)
        writesProcessed.set(0)
        sweepsCutShort.set(0)
        sweepNanoseconds.set(0)
        authenticationsRefused.set(0)
        closedForInput.set(0)
        closedForOutput.set(0)
    }
}
