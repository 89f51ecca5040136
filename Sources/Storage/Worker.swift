// SPDX-License-Identifier: Apache-2.0
import Base
import Synchronization

/// The state of a thread that runs commands: its clock, its random numbers, its counters, and the
/// frames that hold the keys of the running command.
///
/// Threads: the owning thread's, except `statistics`, which others may read.
public struct Worker: ~Copyable {
    let unmanagedRegistry: Unmanaged<TenantRegistry>
    public let settings: SettingsReference
    public let participant = Reclamation.Participant()
    /// The time of commands. Read once per batch, so a command sees one moment.
    public var now: Milliseconds
    /// The same moment on the monotonic clock, for measuring spans.
    public var monotonicNow: Milliseconds
    public var random = Random()
    public let statistics: StatisticsReference
    /// Copied from the registry, so the path of a request reads them without counting a reference.
    let hasPatterns: Bool
    let serverTenant: TenantReference

    // Safety: `Frame.depthMax` levels, allocated here and freed with the worker, which lives as
    // long as its thread.
    let frames: UnsafeMutablePointer<Frame>
    /// How many levels of holds are open.
    var depth = 0
    /// Whether the last `KeyList` could not be held because another thread holds a shard for long.
    var metBusyShard = false
    /// The maximum number of shards of a keyspace.
    static let shardCountMax = 1024
    // Safety: one bit for each of `shardCountMax` shards, allocated here and freed with the worker.
    // All are 0 except while shards are collected.
    let shardSet: UnsafeMutablePointer<UInt64>
    /// The maximum number of requests parsed before the first of them runs.
    public static let batchSize = 32
    /// The tenants named by the keys of the current batch.
    var namedTenants = NamedTenants()
    /// Position of the sweep for expired entries.
    var sweep = SweepPosition()
    /// State of the search for a tenant beyond its share.
    var victims = VictimSearch()

    /// A worker with memory of its own, which `destroy` gives back.
    public static func make(
        registry: TenantRegistry, settings: SettingsReference
    ) -> WorkerReference {
        let worker = WorkerReference.make(Worker(registry, settings))
        for depth in 0..<Frame.depthMax {
            (worker.pointee.frames + depth).initialize(to: Frame(worker))
        }
        return worker
    }

    private init(_ registry: TenantRegistry, _ settings: SettingsReference) {
        unmanagedRegistry = Unmanaged.passRetained(registry)
        self.settings = settings
        hasPatterns = registry.hasPatterns
        serverTenant = registry.server
        now = Clock.nowMilliseconds
        frames = .allocate(capacity: Frame.depthMax)
        monotonicNow = Clock.monotonicMilliseconds
        shardSet = .allocate(capacity: Worker.shardCountMax / 64)
        shardSet.initialize(repeating: 0, count: Worker.shardCountMax / 64)
        statistics = StatisticsReference.make(Statistics())
    }

    deinit {
        participant.giveBack()
        for depth in 0..<Frame.depthMax { frames[depth].deallocate() }
        frames.deallocate()
        shardSet.deallocate()
        namedTenants.deallocate()
        statistics.destroy()
        unmanagedRegistry.release()
    }
}

public typealias WorkerReference = Reference<Worker>

extension Reference where Pointee == Worker {
    /// The time at which commands of this batch run.
    public var now: Milliseconds { pointee.now }
    public var monotonicNow: Milliseconds { pointee.monotonicNow }
    public var settings: SettingsReference { pointee.settings }
    /// Whether the last `KeyList` was not held because another thread holds a shard for long.
    public var hasMetBusyShard: Bool { pointee.metBusyShard }
    public var statistics: StatisticsReference { pointee.statistics }
    /// The path of a request uses `unmanagedRegistry`, which counts no reference.
    public var registry: TenantRegistry {
        pointee.unmanagedRegistry._withUnsafeGuaranteedRef { $0 }
    }

    /// Database `number` of `tenant`, made if it does not exist.
    @inline(__always)
    public func keyspace(_ tenant: TenantReference, _ number: Int) -> KeyspaceReference {
        tenant.keyspace(number) ?? makeKeyspace(tenant, number)
    }

    @inline(never)
    public func makeKeyspace(_ tenant: TenantReference, _ number: Int) -> KeyspaceReference {
        pointee.unmanagedRegistry._withUnsafeGuaranteedRef { $0.keyspace(tenant, number) }
    }
}

/// Counters of one thread: only that thread writes them, all may read them. INFO adds them up.
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
    /// Slices of the sweep that used up their budget, and the time of all slices.
    public let sweepsCutShort = Counter(0)
    public let sweepNanoseconds = Counter(0)
    public let authenticationsRefused = Counter(0)
    /// Clients closed because a request, or the replies that they did not read, exceeded a limit.
    public let closedForInput = Counter(0)
    public let closedForOutput = Counter(0)
    /// Clients closed because clients together held too much.
    public let evictedClients = Counter(0)

    init() {}

    /// CONFIG RESETSTAT: sets all but `changes` to 0. The thread stands still.
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
        evictedClients.set(0)
    }
}

public typealias StatisticsReference = Reference<Statistics>
