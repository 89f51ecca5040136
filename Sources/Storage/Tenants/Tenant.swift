// SPDX-License-Identifier: Apache-2.0
import Base
import Glibc
import Synchronization
import Tenancy

/// A customer's isolated database: its id, its limits, its keyspaces and what remains of its
/// budgets.
///
/// Why raw memory and no class: the request path reads it through a pointer without reference
/// counting. `Reclamation` frees it after every thread has passed a quiescent state.
///
/// Why one block: a key that names its tenant leads from the index to the tenant and on to the
/// keyspace, and each block on the way is a cache miss.
///
/// Layout:
///
///     the fields below | 16 words: keyspaces | the id
///
/// Invariants:
/// 1. An implicit tenant exists while one of its keyspaces holds a key.
/// 2. `settledMemory` is the sum of its shards' settled sizes and of its structures; between
///    commands everything is settled.
public struct Tenant: ~Copyable {
    public enum Origin: UInt8, Sendable {
        /// The tenant of sessions without one of their own: the default user.
        case server
        /// Made by TENANT CREATE or a directive; lives until it is deleted.
        case created
        /// Named by a key that matched a pattern; goes with its last key.
        case implicit
    }

    /// The number of databases that SELECT reaches.
    public static let databaseCount = 16

    let idCount: Int
    /// An `Origin`. Written under the registry's control lock, read by any thread.
    private let originNumber: Atomic<UInt8>
    /// Set when no index names it any more and it will be freed: a thread that found it before must
    /// look again. Read and written under the registry's control lock.
    var isGone = false
    /// Whether slices of eviction shall go on with the tenant (`evictLater`).
    let isShrinking = Atomic<Bool>(false)
    /// Index into the registry's plans.
    let planIndex: Atomic<Int>
    /// Copies of the plan's limits; Int.max means no limit. Written by the control plane, read by
    /// any thread.
    public let memoryMax: Atomic<Int>
    public let keysMax: Atomic<Int>
    let operationsPerSecond: Atomic<Int>
    let operationsPerDay: Atomic<Int>
    let bandwidthPerDay: Atomic<Int>
    public let connectionsMax: Atomic<Int>
    let atLimit: Atomic<Int>
    public let settledMemory = Atomic<Int>(0)
    public let connections = Atomic<Int>(0)
    /// Bytes that its clients hold (`TenantRegistry.chargeClients`).
    public let clientMemory = Atomic<Int>(0)
    /// Guards `budget`; taken under a shard's lock, never the other way round.
    let budgetLock = SpinLock()
    var budget = Budget()

    private init(idCount: Int, origin: Origin) {
        self.idCount = idCount
        originNumber = Atomic(origin.rawValue)
        planIndex = Atomic(0)
        memoryMax = Atomic(.max)
        keysMax = Atomic(.max)
        operationsPerSecond = Atomic(.max)
        operationsPerDay = Atomic(.max)
        bandwidthPerDay = Atomic(.max)
        connectionsMax = Atomic(.max)
        atLimit = Atomic(0)
    }

    public internal(set) var origin: Origin {
        get { Origin(rawValue: originNumber.load(ordering: .relaxed)) ?? .server }
        nonmutating set { originNumber.store(newValue.rawValue, ordering: .relaxed) }
    }

    fileprivate static let wordsOffset = (MemoryLayout<Tenant>.size + 7) & ~7
    fileprivate static let idOffset = wordsOffset + databaseCount * 8

    static func make(id: Bytes, origin: Origin) -> TenantReference {
        let block = Block.allocate(idOffset + id.count)
        let pointer = block.bindMemory(to: Tenant.self, capacity: 1)
        pointer.initialize(to: Tenant(idCount: id.count, origin: origin))
        let tenant = TenantReference(pointer)
        for number in 0..<databaseCount {
            tenant.keyspaceWord(number).initialize(to: Atomic(0))
        }
        memcpy(block + idOffset, id.base, id.count)
        return tenant
    }
}

public typealias TenantReference = Reference<Tenant>

extension Reference where Pointee == Tenant {
    // Safety: only `make` makes tenants, and it lays out the words and the id behind the fields.
    public var id: Bytes {
        Bytes(raw: raw + Tenant.idOffset, pointee.idCount)
    }

    /// 0, or the address of the keyspace of database `number`.
    @inline(__always)
    func keyspaceWord(_ number: Int) -> UnsafeMutablePointer<Atomic<UInt>> {
        precondition(number >= 0 && number < Tenant.databaseCount)
        return (raw + Tenant.wordsOffset + number &* 8)
            .assumingMemoryBound(to: Atomic<UInt>.self)
    }

    /// The keyspace of database `number` if it exists.
    @inline(__always)
    public func keyspace(_ number: Int) -> KeyspaceReference? {
        KeyspaceReference(address: keyspaceWord(number).pointee.load(ordering: .acquiring))
    }

    /// What happens when the tenant reaches a limit.
    public var atLimit: Limits.AtLimit {
        Limits.AtLimit.allCases[pointee.atLimit.load(ordering: .relaxed)]
    }

    public var limits: Limits {
        func limit(_ value: Int) -> Int? { value == .max ? nil : value }
        var limits = Limits()
        limits.memory = limit(pointee.memoryMax.value)
        limits.keys = limit(pointee.keysMax.value)
        limits.operationsPerSecond = limit(pointee.operationsPerSecond.value)
        limits.operationsPerDay = limit(pointee.operationsPerDay.value)
        limits.bandwidthPerDay = limit(pointee.bandwidthPerDay.value)
        limits.connections = limit(pointee.connectionsMax.value)
        limits.atLimit = atLimit
        return limits
    }

    /// Stores a plan's limits. Under the registry's control lock, so that all are of one plan.
    /// `takeBackLeases` follows, unless the tenant is new.
    func store(_ limits: Limits, planIndex: Int) {
        pointee.planIndex.set(planIndex)
        pointee.memoryMax.set(limits.memory ?? .max)
        pointee.keysMax.set(limits.keys ?? .max)
        pointee.operationsPerSecond.set(limits.operationsPerSecond ?? .max)
        pointee.operationsPerDay.set(limits.operationsPerDay ?? .max)
        pointee.bandwidthPerDay.set(limits.bandwidthPerDay ?? .max)
        pointee.connectionsMax.set(limits.connections ?? .max)
        pointee.atLimit.set(Limits.AtLimit.allCases.firstIndex(of: limits.atLimit) ?? 0)
    }

    /// Takes back the leases given out under the limits before the last ones. Outside the control
    /// lock, because a shard's lock is taken before that one.
    ///
    /// Order: the limits were stored under the control lock, and keyspaces are published under it.
    /// So either this finds a new keyspace, or the thread that made it finds the limits.
    func takeBackLeases() {
        forEachKeyspace { keyspace in
            keyspace.forEachShard(isLocked: false) { $0.returnLeases() }
            noteLimits(in: keyspace)
        }
    }

    /// Tells the shards of a keyspace whether their tenant has limits of memory or of keys.
    func noteLimits(in keyspace: KeyspaceReference) {
        // Why under this lock: of two concurrent calls the later one must also have read later.
        pointee.budgetLock.lock()
        let isLimited = pointee.memoryMax.value != .max || pointee.keysMax.value != .max
        for index in 0..<keyspace.shardCount {
            keyspace.shard(at: index).pointee.limitWord.store(isLimited, ordering: .relaxed)
        }
        pointee.budgetLock.unlock()
    }

    public func forEachKeyspace(_ body: (KeyspaceReference) -> Void) {
        for number in 0..<Tenant.databaseCount {
            if let keyspace = keyspace(number) { body(keyspace) }
        }
    }

    /// The number of keys in all databases.
    public var keyCount: Int {
        var count = 0
        forEachKeyspace { count += $0.keyCount }
        return count
    }

    /// Whether any database has a key, or one with an expiry.
    func hasKeys(expiring: Bool) -> Bool {
        var found = false
        forEachKeyspace { if $0.hasKeys(expiring: expiring) { found = true } }
        return found
    }

    /// The tenant's memory as settled by its shards: exact between commands.
    @inline(__always)
    public var memoryInUse: Int { pointee.settledMemory.load(ordering: .relaxed) }

    /// What the tenant has used, summed over its shards under their locks.
    public var usage: Usage {
        var usage = Usage()
        forEachKeyspace { $0.forEachShard(isLocked: false) { usage += $0.pointee.usage } }
        return usage
    }

    /// All bytes that the tenant takes from the allocator: its entries, its tables, the indexes of
    /// who waits for them, and itself.
    public var memory: Int {
        var size = ownSize
        forEachKeyspace { keyspace in
            size += keyspace.structureSize
            keyspace.forEachShard(isLocked: false) {
                size += $0.pointee.table.allocatedSize + $0.pointee.waiters.allocatedSize
            }
        }
        return size
    }

    /// Bytes of the tenant's own block and of its entry in the index, without keyspaces.
    var ownSize: Int {
        TenantIndex.entrySize(id) + Block.size(raw)
    }
}
