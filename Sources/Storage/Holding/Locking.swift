// SPDX-License-Identifier: Apache-2.0
import Base

// Taking the locks of a hold's shards, and asking which are held.
//
// Order: the shards of one hold are locked in ascending order of their addresses, and each once.
// Nothing else blocks while they are held, so no two threads can wait for each other.

extension Hold {
    /// Takes the shard of the only key of a command. `hash` is the key's; `known` is its shard if
    /// the prefetch of the batch has found it, which is checked under the lock.
    public init(
        _ worker: WorkerReference, _ key: Bytes, _ hash: Hash, known: ShardReference?,
        in keyspace: KeyspaceReference, creating: Bool, _ options: HoldOptions
    ) {
        precondition(worker.pointee.depth == 0, "locks would be taken out of order")
        var shard =
            known ?? worker.home(of: key, in: keyspace, creating: creating).shard(hash)
        shard.acquire()
        while shard.pointee.isDead {  // Bound: a keyspace is dropped once; the next is another.
            shard.release()
            shard = worker.home(of: key, in: keyspace, creating: creating).shard(hash)
            shard.acquire()
        }
        self.init(worker, ResolvedKey(key: key, hash: hash, shard: shard), options)
    }

    /// Takes the shard of `key`, for a caller that is no command of a client.
    public init(
        _ worker: WorkerReference, _ key: Bytes, in keyspace: KeyspaceReference, creating: Bool,
        _ options: HoldOptions = []
    ) {
        self.init(
            worker, key, Hash(key), known: nil, in: keyspace, creating: creating, options)
    }

    /// Takes the shard that the commands of a session are counted on that name no key: the first of
    /// the selected database.
    public init(_ worker: WorkerReference, homeOf tenant: TenantReference, _ database: Int) {
        precondition(worker.pointee.depth == 0, "locks would be taken out of order")
        var shard = worker.keyspace(tenant, database).shard(at: 0)
        shard.acquire()
        while shard.pointee.isDead {  // Bound: as above.
            shard.release()
            shard = worker.keyspace(tenant, database).shard(at: 0)
            shard.acquire()
        }
        self.init(worker, ResolvedKey(key: .empty, hash: Hash(.empty), shard: shard), [])
    }

    /// The hold of one key, whose shard is locked.
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

    /// A part of an outer hold's keys, for one of its commands: `count` of them, from `first` on.
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
        // The outer hold was asked for the rates of all.
        frame.pointee.options = options.union([.inner, .isLeased])
        if frame.hasOneTenant {
            frame.pointee.options.insert(.oneTenant)
            if count > 0, !frame.pointee.keys[0].shard.isLimited {
                frame.pointee.options.insert(.isUnlimited)
            }
        }
        worker.pointee.depth += 1
        self.init(frame)
    }

    /// Notes misses on keys of records in `misses` from now on.
    @inline(__always)
    public func noteMisses(in misses: RecordMissesReference) {
        frame.pointee.recordMisses = misses
    }
}

extension Reference where Pointee == Frame {
    /// Whether all keys are in shards of one tenant, as far as one look tells.
    fileprivate var hasOneTenant: Bool {
        guard pointee.keyCount > 1 else { return true }
        let first = pointee.keys[0].shard.pointee.keyspace
        for index in 1..<pointee.keyCount
        where pointee.keys[index].shard.pointee.keyspace != first { return false }
        return true
    }

    /// Locks the shards of all keys. False, with nothing held and the level given back, if one of
    /// them is dead.
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

    /// Locks the shards of all keys and every shard of `keyspaces`.
    func lock(andAllOf keyspaces: [KeyspaceReference]) -> Bool {
        var count = pointee.keyCount
        for keyspace in keyspaces { count += keyspace.shardCount }
        pointee.reserve(count)
        for index in 0..<pointee.keyCount { pointee.locked[index] = pointee.keys[index].shard }
        var next = pointee.keyCount
        for keyspace in keyspaces {
            for index in 0..<keyspace.shardCount {
                pointee.locked[next] = keyspace.shard(at: index)
                next += 1
            }
        }
        return lockCollected(next)
    }

    /// Puts the shards of the keys, all of `keyspace`, into `locked`, in ascending order and each
    /// once. Returns how many there are.
    ///
    /// Why a bit for each shard: those of a keyspace are one array, so the order of their numbers
    /// is that of their addresses, and nothing need be compared.
    private func collectShards(of keyspace: KeyspaceReference) -> Int {
        // Safety: a keyspace has at most `Worker.shardCountMax` shards, for which there are bits.
        precondition(keyspace.shardCount <= Worker.shardCountMax)
        let bits = pointee.worker.pointee.shardSet
        let first = keyspace.pointee.shards
        let shift = UInt64(64 &- keyspace.pointee.shardBits)
        for index in 0..<pointee.keyCount {
            // Why: a shift by 64 gives 0 in Swift, which is the number of the only shard.
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

    /// Locks the `count` shards that `locked` begins with, in ascending order and each once.
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

    /// Sorts the first `count` shards of `locked` and keeps each once. Returns how many are left.
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

    /// Takes the first `count` locks of `locked`. If one of the shards is dead, it gives all and
    /// the level back, and returns false.
    private func acquire(first count: Int) -> Bool {
        let shards = pointee.locked
        for index in 0..<count {
            shards[index].acquire()
            guard shards[index].pointee.isDead else { continue }
            for held in 0...index { shards[held].release() }
            pointee.keyCount = 0
            pointee.lockedCount = 0
            pointee.worker.pointee.depth = 0
            return false
        }
        pointee.lockedCount = count
        return true
    }

    /// Whether this level, the outermost, has the lock of `shard`.
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

    /// The shards that this level has locked, each once, in ascending order.
    var heldShards: [ShardReference] {
        if pointee.options.contains(.oneKey) { return [pointee.keys[0].shard] }
        return Array(UnsafeBufferPointer(start: pointee.locked, count: pointee.lockedCount))
    }
}

extension Reference where Pointee == Worker {
    /// Level `depth` of the stack of holds.
    @inline(__always)
    func frame(_ depth: Int) -> FrameReference { FrameReference(pointee.frames + depth) }

    /// The innermost hold; nil where the thread holds nothing.
    var topFrame: FrameReference? {
        pointee.depth > 0 ? frame(pointee.depth - 1) : nil
    }

    /// Whether the thread holds any shard.
    public var isHolding: Bool { pointee.depth > 0 }

    /// Whether the thread holds the lock of `shard`.
    func holds(_ shard: ShardReference) -> Bool { isHolding && frame(0).holds(shard) }

    /// Calls `body` with a shard that no key named, under its lock; settles its memory afterwards.
    /// Nil, with nothing done, if the shard is dead; or if the thread is inside a transaction that
    /// does not hold it: then the shard came into being since, and to the transaction it is not
    /// there. Waiting for it would break the order of locks.
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
