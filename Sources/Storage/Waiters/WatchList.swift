// SPDX-License-Identifier: Apache-2.0
import Base
import Synchronization

/// The keys that one session watches, and whether one of them has changed.
///
/// Why a dictionary: a session may watch a key twice, and may watch a hundred thousand. Two keys
/// are one if shard and hash are equal, as in the shard's index (`WaiterIndex`), so the keys
/// themselves are not stored.
///
/// Threads: the session's. Other threads only set the flag, under the locks of their shards.
public struct WatchList: ~Copyable {
    fileprivate struct Place: Hashable {
        let hash: UInt64
        let shard: ShardReference
    }

    // Safety: allocated in init and freed in deinit; no waiter points to it by then.
    fileprivate let flag: UnsafeMutablePointer<Atomic<Bool>>
    fileprivate var waiters: [Place: WaiterReference] = [:]

    public init() {
        flag = .allocate(capacity: 1)
        flag.initialize(to: Atomic(false))
    }

    deinit {
        precondition(waiters.isEmpty, "a session ends while it watches keys")
        flag.deinitialize(count: 1)
        flag.deallocate()
    }

    /// Number of watched keys.
    public var count: Int { waiters.count }

    /// Bytes that the list and its waiters take. Their places in the shards' indexes are charged to
    /// the tenants of the keys.
    @inline(__always)
    public var heldSize: Int { waiters.count &* WatchList.watchSize }  // Bound: memory.

    /// A waiter's block, and its part of the dictionary at the lowest load.
    private static let watchSize =
        MemoryLayout<Waiter>.size + 2 * (MemoryLayout<Place>.stride + MemoryLayout<Int>.stride)

    /// The shards of the watched keys, without those whose waiters have been let go. A shard may
    /// come several times.
    // Safety: as in `withShard(of:)`, they can be locked until the end of the tick.
    public var shards: [ShardReference] { waiters.values.compactMap { $0.pointee.shard } }

    /// Whether a key has changed since its watch began. An expired key that is still there counts
    /// as unchanged here; `Worker.isBroken` checks for those.
    // Order: acquiring, so that a thread that sees a change here also sees it in the shard.
    public var isDirty: Bool { flag.pointee.load(ordering: .acquiring) }
}

extension Reference where Pointee == Worker {
    /// Watches `key` in `keyspace`; a second watch of a key does nothing. Makes the tenant that the
    /// key names if necessary; it stays while it is watched.
    public func watch(_ key: Bytes, in keyspace: KeyspaceReference, _ list: inout WatchList) {
        // As in Redis: EXEC will do nothing anyway.
        guard !list.isDirty else { return }
        let hash = Hash(key)
        while true {  // Bound: a keyspace is dropped once; the next turn makes another.
            let shard = home(of: key, in: keyspace, creating: true).shard(hash)
            let place = WatchList.Place(hash: hash.bits, shard: shard)
            guard list.waiters[place] == nil else { return }
            if let waiter = withShard(shard, { beginWatch(key, hash, in: $0, list.flag) }) {
                list.waiters[place] = waiter
                return
            }
        }
    }

    private func beginWatch(
        _ key: Bytes, _ hash: Hash, in shard: ShardReference,
        _ flag: UnsafeMutablePointer<Atomic<Bool>>
    ) -> WaiterReference {
        let flags: Waiter.Flags =
            switch shard.pointee.table.presence(hash, now: now) {
            case .expired: .beganExpired
            case .none where shard.pointee.table.find(hash, key) == nil: .beganUnloaded
            default: []
            }
        let waiter = Block.allocate(MemoryLayout<Waiter>.size)
            .bindMemory(to: Waiter.self, capacity: 1)
        waiter.initialize(
            hash, .watch, flags, owner: UnsafeMutableRawPointer(flag), shard: shard)
        chargeWaiters(of: shard, shard.pointee.waiters.add(waiter).bytes)
        return waiter
    }

    /// Ends all watches, each under its shard's lock, held only to leave a queue.
    public func unwatchAll(_ list: inout WatchList) {
        for waiter in list.waiters.values { end(waiter) }
        list.waiters = [:]
        list.flag.pointee.store(false, ordering: .releasing)
    }

    /// Whether a watched key has changed or expired since its watch began.
    public func isBroken(_ list: borrowing WatchList) -> Bool {
        for waiter in list.waiters.values {
            // Why first: a waiter that was let go was told first.
            if list.isDirty { return true }
            let hasExpired = withShard(of: waiter) { shard, _ in
                let hash = waiter.pointee.hash
                return shard.pointee.table.presence(hash, now: pointee.now) == .expired
                    && waiter.isBroken(from: .expired, to: .expired)
            }
            if hasExpired == true { return true }
        }
        return list.isDirty
    }

    private func end(_ waiter: WaiterReference) {
        withShard(of: waiter) { shard, isTaken in
            chargeWaiters(of: shard, shard.pointee.waiters.remove(waiter).bytes)
            guard isTaken, shard.pointee.table.count == 0 else { return }
            pointee.unmanagedRegistry._withUnsafeGuaranteedRef { $0.dropIfEmpty(shard) }
        }
        waiter.deinitialize(count: 1)
        Block.free(UnsafeMutableRawPointer(waiter))
    }

    /// Calls `body` with the waiter's shard under its lock, and with whether this call took the
    /// lock. Does nothing if the waiter has been let go.
    @discardableResult
    private func withShard<Result>(
        of waiter: WaiterReference, _ body: (ShardReference, _ isTaken: Bool) -> Result
    ) -> Result? {
        // Safety: a shard is freed at the earliest at the end of the tick in which its waiters are
        // let go, so a shard found here can be locked.
        guard let shard = waiter.pointee.shard else { return nil }
        let isTaken = !holds(shard)
        if isTaken { shard.acquire() }
        defer { if isTaken { shard.release() } }
        // Why again: another thread may have let it go before the lock was taken.
        guard waiter.pointee.shard != nil else { return nil }
        return body(shard, isTaken)
    }
}
