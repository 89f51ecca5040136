// SPDX-License-Identifier: Apache-2.0
import Base

/// The keys of a command while they are collected: routed but not locked yet. `hold` locks them.
///
/// Why a type of its own: adding a key after locking would break the order of locks. So keys cannot
/// be added to a `Hold`.
public struct KeyList: ~Copyable {
    private let frame: FrameReference

    /// Begins the list of a command outside any hold.
    public init(_ worker: WorkerReference, _ options: HoldOptions = []) {
        precondition(worker.pointee.depth == 0, "locks would be taken out of order")
        frame = worker.frame(0)
        frame.pointee.options = options
        frame.pointee.keyCount = 0
        frame.pointee.commonKeyspace = nil
        frame.pointee.recordMisses = nil
        worker.pointee.depth = 1
    }

    deinit {
        frame.pointee.keyCount = 0
        frame.pointee.worker.pointee.depth = 0
    }

    /// How many keys there are so far.
    public var count: Int { frame.pointee.keyCount }

    /// Adds a key that lives in `keyspace`, or in the keyspace of the tenant that it names. With
    /// `creating`, a tenant that no key has named before is made. A read looks in `keyspace` if
    /// that tenant does not exist; no key there matches a pattern, so it finds nothing.
    public borrowing func add(_ key: Bytes, in keyspace: KeyspaceReference, creating: Bool) {
        let worker = frame.pointee.worker
        if count == frame.pointee.capacity { frame.pointee.reserve(count + 1) }
        noteKeyspace(keyspace)
        let hash = Hash(key)
        let home = worker.home(of: key, in: keyspace, creating: creating)
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
    /// if a keyspace was dropped since its key was added. The keys must then be collected again. A
    /// keyspace is dropped once, so the next try finds or makes another.
    public consuming func hold() -> Hold? {
        let frame = self.frame
        discard self
        guard frame.lockKeys() else { return nil }
        return Hold(frame)
    }

    /// `hold` that also locks every shard of `keyspaces`: for EXEC with commands on whole
    /// databases.
    public consuming func hold(andAllOf keyspaces: [KeyspaceReference]) -> Hold? {
        let frame = self.frame
        discard self
        guard frame.lock(andAllOf: keyspaces) else { return nil }
        return Hold(frame)
    }
}
