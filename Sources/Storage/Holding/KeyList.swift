// SPDX-License-Identifier: Apache-2.0
import Base

/// The keys of a command while they are collected: routed but not locked yet. `hold` locks them.
///
/// Why a type of its own: adding a key after locking would break the order of locks. So keys cannot
/// be added to a `Hold`.
///
/// Inside another hold (a script's commands) no key is routed or locked: each is looked up among
/// the outer hold's keys by its bytes, and one that is not there makes `holdInside` fail.
public struct KeyList: ~Copyable {
    private let frame: FrameReference
    /// The hold that owns the locks; nil outside any hold.
    private let outer: FrameReference?

    /// Begins the list of a command outside any hold.
    public init(_ worker: WorkerReference, _ options: HoldOptions = []) {
        precondition(worker.pointee.depth == 0, "locks would be taken out of order")
        frame = worker.frame(0)
        outer = nil
        worker.pointee.metBusyShard = false
        open(options)
    }

    /// Begins the list of a command inside `outer`, the innermost hold of its thread.
    public init(inside outer: borrowing Hold, _ options: HoldOptions) {
        let worker = outer.frame.pointee.worker
        precondition(worker.topFrame == outer.frame && worker.pointee.depth < Frame.depthMax)
        frame = worker.frame(worker.pointee.depth)
        self.outer = outer.frame
        open(options)
    }

    private borrowing func open(_ options: HoldOptions) {
        frame.pointee.options = options
        frame.pointee.keys = frame.pointee.room
        frame.pointee.keyCount = 0
        frame.pointee.commonKeyspace = nil
        frame.pointee.recordMisses = nil
        frame.pointee.namesAll = true
        frame.pointee.hasStrays = false
        frame.pointee.worker.pointee.depth += 1
    }

    deinit {
        frame.pointee.keyCount = 0
        frame.pointee.shrink()
        frame.pointee.worker.pointee.depth -= 1
    }

    /// How many keys there are so far.
    public var count: Int { frame.pointee.keyCount }

    /// Adds a key that lives in `keyspace`, or in the keyspace of the tenant that it names. With
    /// `creating`, a tenant that no key has named before is made. A read looks in `keyspace` if
    /// that tenant does not exist; no key there matches a pattern, so it finds nothing. Such a key
    /// is a stray: `hold` checks that its tenant still does not exist when all shards are locked.
    public borrowing func add(_ key: Bytes, in keyspace: KeyspaceReference, creating: Bool) {
        let worker = frame.pointee.worker
        if count == frame.pointee.capacity { frame.pointee.reserve(count + 1) }
        if let outer { return add(key, in: keyspace, from: outer) }
        noteKeyspace(keyspace)
        let hash = Hash(key)
        var home = keyspace
        if worker.routes(keyspace), let id = worker.tenantID(in: key) {
            home = worker.home(ofTenant: id, in: keyspace, creating: creating)
            if home == keyspace { frame.pointee.hasStrays = true }
        }
        frame.pointee.keys[count] = ResolvedKey(key: key, hash: hash, shard: home.shard(hash))
        frame.pointee.keyCount += 1
    }

    /// Adds every `step`-th of `keys`, beginning with the first.
    public borrowing func add(
        _ keys: UnsafeBufferPointer<Bytes>, step: Int, in keyspace: KeyspaceReference,
        creating: Bool
    ) {
        guard !keys.isEmpty else { return }
        let worker = frame.pointee.worker
        let added = (keys.count - 1) / step + 1
        frame.pointee.reserve(count + added)
        if let outer {
            for index in 0..<added { add(keys[index &* step], in: keyspace, from: outer) }
            return
        }
        noteKeyspace(keyspace)
        let target = frame.pointee.keys + count
        if worker.routes(keyspace) {
            // Why kept: most commands name keys of one tenant only.
            var last: (id: Bytes, home: KeyspaceReference)?
            for index in 0..<added {
                let key = keys[index &* step]
                let hash = Hash(key)
                var home = keyspace
                if let id = worker.tenantID(in: key) {
                    if let last, last.id == id {
                        home = last.home
                    } else {
                        home = worker.home(ofTenant: id, in: keyspace, creating: creating)
                        if home == keyspace { frame.pointee.hasStrays = true }
                        last = (id, home)
                    }
                }
                target[index] = ResolvedKey(key: key, hash: hash, shard: home.shard(hash))
            }
        } else {
            for index in 0..<added {
                let key = keys[index &* step]
                let hash = Hash(key)
                target[index] = ResolvedKey(key: key, hash: hash, shard: keyspace.shard(hash))
            }
        }
        frame.pointee.keyCount += added
    }

    /// Adds the key of `outer` with these bytes in this database, if there is one.
    ///
    /// Why not routed: a tenant that was made since then would give the same bytes another home.
    private borrowing func add(
        _ key: Bytes, in keyspace: KeyspaceReference, from outer: FrameReference
    ) {
        guard let resolved = outer.named(key, inDatabase: keyspace.pointee.number) else {
            frame.pointee.namesAll = false
            return
        }
        frame.pointee.keys[count] = resolved
        frame.pointee.keyCount += 1
    }

    /// Keeps `commonKeyspace` true. Called before a key of `keyspace` is added.
    @inline(__always)
    private borrowing func noteKeyspace(_ keyspace: KeyspaceReference) {
        if count == 0 {
            frame.pointee.commonKeyspace =
                frame.pointee.worker.routes(keyspace) ? nil : keyspace
        } else if frame.pointee.commonKeyspace != keyspace {
            frame.pointee.commonKeyspace = nil
        }
    }

    /// Drops the list.
    public consuming func abandon() {}

    /// Locks the shards of all keys in ascending order, each once. Returns nil, with nothing held,
    /// if a keyspace was dropped since its key was added, or if the tenant of a stray was made. The
    /// keys must then be collected again. A keyspace is dropped once and a tenant made once, so the
    /// next try finds or makes another. Also returns nil if another thread holds a shard for long;
    /// `Worker.metBusyShard` says so.
    public consuming func hold() -> Hold? {
        precondition(outer == nil)
        let frame = self.frame
        discard self
        guard frame.lockKeys() else { return nil }
        return Hold(frame)
    }

    /// `hold` that also locks `shards` and every shard of `keyspaces`: for EXEC, the shards of the
    /// keys that the session watches, and the databases that its commands take as a whole.
    public consuming func hold(
        and shards: [ShardReference], andAllOf keyspaces: [KeyspaceReference]
    ) -> Hold? {
        guard !shards.isEmpty || !keyspaces.isEmpty else { return hold() }
        precondition(outer == nil)
        let frame = self.frame
        discard self
        return frame.lockKeys(and: shards, keyspaces) ? Hold(frame) : nil
    }

    /// The hold inside the outer one. Returns nil if the outer does not name one of the keys.
    public consuming func holdInside() -> Hold? {
        precondition(outer != nil)
        let frame = self.frame
        guard frame.pointee.namesAll else {
            abandon()
            return nil
        }
        discard self
        frame.enterOuter()
        return Hold(frame)
    }
}
