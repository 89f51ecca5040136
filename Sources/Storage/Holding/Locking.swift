// SPDX-License-Identifier: Apache-2.0
import Base

// Locking the shards of a hold, and finding which are held.
//
// Order: the shards of one hold are locked in ascending order of their addresses, each once.
// Nothing else blocks while they are held, so no two threads can wait for each other.

extension Hold {
    /// Locks the shard of a command's only key. `hash` is the key's. `known` is the shard that the
    /// batch's prefetch found, if any; this is checked under the lock. Nil if another thread holds
    /// the shard for long.
    public init?(
        _ worker: WorkerReference, _ key: Bytes, _ hash: Hash, known: ShardReference?,
        in keyspace: KeyspaceReference, creating: Bool, _ options: HoldOptions
    ) {
        let shard = worker.acquireSoon(known) {
            worker.home(of: key, in: keyspace, creating: creating).shard(hash)
        }
        guard let shard else { return nil }
        self.init(worker, ResolvedKey(key: key, hash: hash, shard: shard), options)
    }

    /// Locks the shard of `key`, for a caller that is no client's command.
    public init(
        _ worker: WorkerReference, _ key: Bytes, in keyspace: KeyspaceReference, creating: Bool,
        _ options: HoldOptions = []
    ) {
        let hash = Hash(key)
        let shard = worker.acquire {
            worker.home(of: key, in: keyspace, creating: creating).shard(hash)
        }
        self.init(worker, ResolvedKey(key: key, hash: hash, shard: shard), options)
    }

    /// Locks the shard on which a session's commands without keys are counted: the first of the
    /// selected database. Nil if another thread holds it for long.
    public init?(_ worker: WorkerReference, soonHomeOf tenant: TenantReference, _ database: Int) {
        let shard = worker.acquireSoon(nil) { worker.keyspace(tenant, database).shard(at: 0) }
        guard let shard else { return nil }
        self.init(worker, ResolvedKey(key: .empty, hash: Hash(.empty), shard: shard), [])
    }

    /// The same, however long that takes.
    public init(_ worker: WorkerReference, homeOf tenant: TenantReference, _ database: Int) {
        let shard = worker.acquire { worker.keyspace(tenant, database).shard(at: 0) }
        self.init(worker, ResolvedKey(key: .empty, hash: Hash(.empty), shard: shard), [])
    }

    /// The hold of one key whose shard is locked.
    @inline(__always)
    private init(_ worker: WorkerReference, _ resolved: ResolvedKey, _ options: HoldOptions) {
        let frame = worker.frame(0)
        frame.pointee.keys[0] = resolved
        frame.pointee.keyCount = 1
        frame.pointee.options = options.union([.oneKey, .oneTenant]).union(resolved.shard.admission)
        frame.pointee.recordMisses = nil
        worker.pointee.depth = 1
        self.init(frame)
    }

    /// A hold of `count` of an outer hold's keys, starting with `first`, for one of its commands.
    /// It owns no lock.
    public init(inside outer: borrowing Hold, first: Int, count: Int, _ options: HoldOptions) {
        let worker = outer.frame.pointee.worker
        precondition(
            first >= 0 && count >= 0 && first + count <= outer.count
                && worker.pointee.depth < Frame.depthMax)
        let frame = worker.frame(worker.pointee.depth)
        frame.pointee.keys = outer.frame.pointee.keys + first
        frame.pointee.keyCount = count
        frame.pointee.recordMisses = nil
        frame.pointee.options = options
        frame.enterOuter()
        worker.pointee.depth += 1
        self.init(frame)
    }

    /// From now on, notes misses on record keys in `misses`.
    @inline(__always)
    public func noteMisses(in misses: RecordMissesReference) {
        frame.pointee.recordMisses = misses
    }
}

extension Reference where Pointee == Frame {
    /// Makes this level, whose keys are set, a part of the level below it, which owns the locks.
    func enterOuter() {
        // The outer hold was checked for the rates of all commands.
        pointee.options.formUnion([.inner, .isLeased])
        guard hasOneTenant else { return }
        pointee.options.insert(.oneTenant)
        if pointee.keyCount > 0, !pointee.keys[0].shard.isLimited {
            pointee.options.insert(.isUnlimited)
        }
    }

    /// This level's key with the given bytes in a database of that number. Time: the level's number
    /// of keys, by their hashes.
    func named(_ key: Bytes, inDatabase number: Int) -> ResolvedKey? {
        let hash = Hash(key)
        for index in 0..<pointee.keyCount where pointee.keys[index].hash == hash {
            let resolved = pointee.keys[index]
            if resolved.key == key, resolved.shard.pointee.keyspace.pointee.number == number {
                return resolved
            }
        }
        return nil
    }

    /// Whether all keys are known to belong to one tenant. Compares keyspaces, so it may answer
    /// false for one tenant with several.
    fileprivate var hasOneTenant: Bool {
        guard pointee.keyCount > 1 else { return true }
        let first = pointee.keys[0].shard.pointee.keyspace
        for index in 1..<pointee.keyCount
        where pointee.keys[index].shard.pointee.keyspace != first { return false }
        return true
    }

    /// Locks the shards of all keys. If one of them is dead, releases all, gives the level back and
    /// returns false.
    func lockKeys() -> Bool {
        guard let keyspace = pointee.commonKeyspace else { return lockKeysOfTenants() }
        guard acquire(first: collectShards(of: keyspace)) else { return false }
        pointee.options.formUnion([.oneTenant, pointee.keys[0].shard.admission])
        prefetchFirstKeys()
        return true
    }

    private func lockKeysOfTenants() -> Bool {
        for index in 0..<pointee.keyCount { pointee.locked[index] = pointee.keys[index].shard }
        guard lockCollected(pointee.keyCount) else { return false }
        var admission: HoldOptions = [.isLeased, .isUnlimited]
        forEachTenant { admission.formIntersection($0.admission) }
        pointee.options.formUnion(admission)
        prefetchFirstKeys()
        return true
    }

    /// `lockKeys` that also locks `shards` and every shard of `keyspaces`.
    func lockKeys(and shards: [ShardReference], _ keyspaces: [KeyspaceReference]) -> Bool {
        var count = pointee.keyCount + shards.count
        for keyspace in keyspaces { count += keyspace.shardCount }
        pointee.reserve(count)
        for index in 0..<pointee.keyCount { pointee.locked[index] = pointee.keys[index].shard }
        var next = pointee.keyCount
        for shard in shards {
            pointee.locked[next] = shard
            next += 1
        }
        for keyspace in keyspaces {
            for index in 0..<keyspace.shardCount {
                pointee.locked[next] = keyspace.shard(at: index)
                next += 1
            }
        }
        return lockCollected(next)
    }

    /// Collects the shards of the keys, all in `keyspace`, into `locked`, in ascending order and
    /// each once. Returns their number.
    ///
    /// Why a bit per shard: a keyspace's shards are one array, so their numbers are in the order of
    /// their addresses, and nothing needs comparing.
    private func collectShards(of keyspace: KeyspaceReference) -> Int {
        // Safety: a keyspace has at most `Worker.shardCountMax` shards, and there is a bit for
        // each.
        precondition(keyspace.shardCount <= Worker.shardCountMax)
        let bits = pointee.worker.pointee.shardSet
        let first = keyspace.pointee.shards
        let shift = UInt64(64 &- keyspace.pointee.shardBits)
        for index in 0..<pointee.keyCount {
            // Why no special case for one shard: in Swift a shift by 64 gives 0, its number.
            let number = Int(truncatingIfNeeded: pointee.keys[index].hash.bits >> shift)
            bits[number >> 6] |= 1 << UInt64(truncatingIfNeeded: number & 63)
        }
        var count = 0
        for word in 0..<(keyspace.shardCount + 63) >> 6 {
            var rest = bits[word]
            bits[word] = 0
            while rest != 0 {
                pointee.locked[count] = ShardReference(
                    first + (word << 6 | rest.trailingZeroBitCount))
                count &+= 1
                rest &= rest &- 1
            }
        }
        return count
    }

    /// Locks the first `count` shards in `locked`, in ascending order and each once.
    private func lockCollected(_ count: Int) -> Bool {
        if count <= 32 { return acquire(first: insertionSort(count)) }
        var shards = UnsafeMutableBufferPointer(start: pointee.locked, count: count)
        shards.sort { $0.address < $1.address }
        var kept = 0
        for index in 0..<count where kept == 0 || shards[kept - 1] != shards[index] {
            shards[kept] = shards[index]
            kept += 1
        }
        return acquire(first: kept)
    }

    /// Sorts the first `count` shards of `locked` and removes duplicates. Returns how many are
    /// left.
    private func insertionSort(_ count: Int) -> Int {
        let shards = pointee.locked
        var kept = 0
        for index in 0..<count {
            let shard = shards[index]
            var place = kept
            while place > 0, shards[place - 1].address > shard.address { place -= 1 }
            if place > 0, shards[place - 1] == shard { continue }
            var last = kept
            while last > place {
                shards[last] = shards[last - 1]
                last -= 1
            }
            shards[place] = shard
            kept += 1
        }
        return kept
    }

    /// Acquires the first `count` locks of `locked`. If one of the shards is dead or held for long,
    /// or the tenant of a stray exists by now, releases all, gives the level back and returns
    /// false.
    private func acquire(first count: Int) -> Bool {
        let shards = pointee.locked
        for index in 0..<count {
            guard shards[index].acquireSoon() else {
                pointee.worker.pointee.metBusyShard = true
                return giveUp(first: index)
            }
            if shards[index].pointee.isDead { return giveUp(first: index + 1) }
        }
        pointee.lockedCount = count
        return pointee.hasStrays && strayHasHome ? giveUp(first: count) : true
    }

    /// Releases the first `count` locks of `locked` and gives the level back. Returns false.
    ///
    /// Why nothing is settled: nothing has changed. And a tenant that a key has just made stays for
    /// the next try; it would be dropped as empty.
    private func giveUp(first count: Int) -> Bool {
        for index in 0..<count { pointee.locked[index].release() }
        pointee.keyCount = 0
        pointee.lockedCount = 0
        pointee.worker.pointee.depth = 0
        return false
    }

    /// Whether the tenant of a stray was made before all shards were locked.
    ///
    /// Why asked again: another command may have made the tenants of two strays and set both keys
    /// after one was looked for and before the other was. All shards are held now, so if none of
    /// these tenants exists, none of their keys did at this moment.
    @inline(never)
    private var strayHasHome: Bool {
        for index in 0..<pointee.keyCount {
            let resolved = pointee.keys[index]
            let keyspace = resolved.shard.pointee.keyspace
            if pointee.worker.home(of: resolved.key, in: keyspace, creating: false) != keyspace {
                return true
            }
        }
        return false
    }

    /// Whether this level, the outermost, holds the lock of `shard`.
    fileprivate func holds(_ shard: ShardReference) -> Bool {
        if pointee.options.contains(.oneKey) { return pointee.keys[0].shard == shard }
        var low = 0
        var high = pointee.lockedCount
        while low < high {  // Bound: the range halves; `locked` is ascending.
            let middle = (low + high) / 2
            if pointee.locked[middle] == shard { return true }
            if pointee.locked[middle].address < shard.address {
                low = middle + 1
            } else {
                high = middle
            }
        }
        return false
    }

    /// Calls `body` with the shards locked by this level, each once, in ascending order.
    func forEachHeldShard(_ body: (ShardReference) -> Void) {
        if pointee.options.contains(.oneKey) { return body(pointee.keys[0].shard) }
        for index in 0..<pointee.lockedCount { body(pointee.locked[index]) }
    }
}

extension Reference where Pointee == Worker {
    /// Level `depth` of the stack of holds.
    @inline(__always)
    func frame(_ depth: Int) -> FrameReference { FrameReference(pointee.frames + depth) }

    /// The innermost hold; nil if the thread holds nothing.
    var topFrame: FrameReference? {
        pointee.depth > 0 ? frame(pointee.depth - 1) : nil
    }

    /// Locks the shard that `find` finds, or `known` if it is alive. Nil if another thread holds it
    /// for long.
    @inline(__always)
    fileprivate func acquireSoon(
        _ known: ShardReference?, _ find: () -> ShardReference
    ) -> ShardReference? {
        precondition(pointee.depth == 0, "locks would be taken out of order")
        var shard = known ?? find()
        guard shard.acquireSoon() else { return nil }
        while shard.pointee.isDead {  // Bound: a keyspace is dropped once; the next is another.
            shard.release()
            shard = find()
            guard shard.acquireSoon() else { return nil }
        }
        return shard
    }

    /// Locks the shard that `find` finds, however long that takes.
    fileprivate func acquire(_ find: () -> ShardReference) -> ShardReference {
        while true {  // Bound: no thread holds a shard for ever.
            if let shard = acquireSoon(nil, find) { return shard }
        }
    }

    /// Whether the thread holds any shard.
    public var isHolding: Bool { pointee.depth > 0 }

    /// Whether the thread holds the lock of `shard`.
    func holds(_ shard: ShardReference) -> Bool { isHolding && frame(0).holds(shard) }

    /// Calls `body` with a shard under its lock, and then settles its memory. Returns nil and does
    /// nothing if the shard is dead. Also if the thread is inside a transaction that does not hold
    /// it: the shard was made after the transaction's locks were taken, and the transaction does
    /// not see it. Waiting for it would break the order of locks.
    @discardableResult
    func withShard<Result>(_ shard: ShardReference, _ body: (ShardReference) -> Result) -> Result? {
        if isHolding {
            guard holds(shard), !shard.pointee.isDead else { return nil }
            defer { settle(shard) }
            return body(shard)
        }
        shard.acquire()
        guard !shard.pointee.isDead else {
            shard.release()
            return nil
        }
        defer { settleAndUnlock(shard) }
        return body(shard)
    }

    /// Calls `body` with the entry of `key`, under its shard's lock.
    public func withEntry<Result>(
        _ key: Bytes, in keyspace: KeyspaceReference, _ body: (Entry?) -> Result
    ) -> Result {
        let hash = Hash(key)
        let shard = home(of: key, in: keyspace, creating: false).shard(hash)
        let result = withShard(shard) { body($0.pointee.table.find(hash, key)?.entry) }
        return result ?? body(nil)
    }
}
