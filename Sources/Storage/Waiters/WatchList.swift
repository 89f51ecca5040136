// SPDX-License-Identifier: Apache-2.0
import Base
import Synchronization

/// The keys that one session watches, and whether one of them has changed.
///
/// Why a dictionary: a session may name a key again, and may watch a hundred thousand. Two keys are
/// one where shard and hash are the same, as they are to the shard's index (`WaiterIndex`), so the
/// keys themselves need not be kept.
///
/// Threads: the session's. Only the flag is set by others, under the locks of their shards.
public struct WatchList: ~Copyable {
    fileprivate struct Place: Hashable {
        let hash: UInt64
        let shard: ShardReference
    }

    // Safety: allocated in init and freed in deinit; waiters point to it, and none is left then.
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

    /// How many keys are watched.
    public var count: Int { waiters.count }

    /// Whether a key has changed since its watch began. A key that has expired and is still there
    /// counts as unchanged here; `Worker.isBroken` looks for those.
    // Order: acquiring, so that whoever sees a change here finds it in the shard too.
    public var isDirty: Bool { flag.pointee.load(ordering: .acquiring) }
}

extension Reference where Pointee == Worker {
    /// Watches `key` in `keyspace`; once is enough. A tenant that the key names is made if need be,
    /// and stays while it is watched.
    public func watch(_ key: Bytes, in keyspace: KeyspaceReference, _ list: inout WatchList) {
        // As in Redis: EXEC will do nothing in any case.
        guard !list.isDirty else { return }
        let hash = Hash(key)
        while true {  // Bound: a keyspace is dropped once; the next turn makes another.
            let shard = home(of: key, in: keyspace, creating: true).shard(hash)
            let place = WatchList.Place(hash: hash.bits, shard: shard)
            guard list.waiters[place] == nil else { return }
            if let waiter = withShard(shard, { beginWatch(hash, in: $0, list.flag) }) {
                list.waiters[place] = waiter
                return
            }
        }
    }

    private func beginWatch(
        _ hash: Hash, in shard: ShardReference, _ flag: UnsafeMutablePointer<Atomic<Bool>>
    ) -> WaiterReference {
        let presence = shard.pointee.table.presence(hash, now: now)
        let waiter = Block.allocate(MemoryLayout<Waiter>.size)
            .bindMemory(to: Waiter.self, capacity: 1)
        waiter.initialize(
            hash, .watch, presence == .expired ? .beganExpired : [],
            owner: UnsafeMutableRawPointer(flag), shard: shard)
        chargeWaiters(of: shard, shard.pointee.waiters.add(waiter).bytes)
        return waiter
    }

    /// Ends all watches, each under its shard's lock for as long as it takes to leave a queue.
    public func unwatchAll(_ list: inout WatchList) {
        for waiter in list.waiters.values { end(waiter) }
        list.waiters = [:]
        list.flag.pointee.store(false, ordering: .releasing)
    }

    /// Whether a watched key has changed, or has expired, since its watch began.
    public func isBroken(_ list: borrowing WatchList) -> Bool {
        for waiter in list.waiters.values {
            // Why first: a waiter that was let go was told before.
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

    /// Calls `body` with the shard that `waiter` is in, under its lock, and with whether that was
    /// taken here. Does nothing if the waiter has been let go.
    @discardableResult
    private func withShard<Result>(
        of waiter: WaiterReference, _ body: (ShardReference, _ isTaken: Bool) -> Result
    ) -> Result? {
        // Safety: a shard is freed no sooner than the tick ends in which its waiters are let go, so
        // one that is found here can be locked.
        guard let shard = waiter.pointee.shard else { return nil }
        let isTaken = !holds(shard)
        if isTaken { shard.acquire() }
        defer { if isTaken { shard.release() } }
        // Why again: another thread may have let it go until the lock was free.
        guard waiter.pointee.shard != nil else { return nil }
        return body(shard, isTaken)
    }
}
