// SPDX-License-Identifier: Apache-2.0
import Base
import Glibc
import Synchronization

/// One session's WATCH on one key: a link in the list of the key's shard.
///
/// Why not a version in every entry: it would cost eight bytes a key for something that few
/// sessions use. A shard without watchers pays one compare for each change.
public struct Watcher: ~Copyable {
    let hash: Hash
    /// Nil once the shard's tenant was deleted.
    var shard: ShardReference?
    /// The session's flag: set when a watched key has changed; EXEC then does nothing.
    let isDirty: UnsafeMutablePointer<Atomic<Bool>>
    /// The key had expired already when the watch began, so that its removal changes nothing. Read
    /// and changed under the shard's lock.
    var wasExpired: Bool
    var next: UnsafeMutablePointer<Watcher>?
}

public typealias WatcherReference = UnsafeMutablePointer<Watcher>

extension Reference where Pointee == Shard {
    /// Marks the sessions that watch the key of `hash`. Two keys of one 64-bit hash are one to
    /// WATCH: EXEC then fails once too often, which every user of WATCH is ready for.
    @inline(never)
    func notifyWatchers(_ hash: Hash) {
        var watcher = pointee.watchers
        while let current = watcher {
            if current.pointee.hash == hash {
                current.pointee.isDirty.pointee.store(true, ordering: .releasing)
            }
            watcher = current.pointee.next
        }
    }

    /// `notifyWatchers` of a key that is removed because it has expired: who has watched it as an
    /// expired one from the beginning sees no change.
    @inline(never)
    func notifyWatchersOfExpiry(_ hash: Hash) {
        var watcher = pointee.watchers
        while let current = watcher {
            if current.pointee.hash == hash {
                if current.pointee.wasExpired {
                    current.pointee.wasExpired = false
                } else {
                    current.pointee.isDirty.pointee.store(true, ordering: .releasing)
                }
            }
            watcher = current.pointee.next
        }
    }

    /// Marks every session that watches a key of which `isChanged` says so; it is given the key's
    /// hash and whether the watched key had expired, which it may correct.
    func notifyAllWatchers(where isChanged: (Hash, _ wasExpired: inout Bool) -> Bool) {
        var watcher = pointee.watchers
        while let current = watcher {
            if isChanged(current.pointee.hash, &current.pointee.wasExpired) {
                current.pointee.isDirty.pointee.store(true, ordering: .releasing)
            }
            watcher = current.pointee.next
        }
    }

    /// Begins a watch, under the shard's lock.
    func watch(
        _ hash: Hash, _ isDirty: UnsafeMutablePointer<Atomic<Bool>>, wasExpired: Bool
    ) -> WatcherReference {
        let watcher = Block.allocate(MemoryLayout<Watcher>.size)
            .bindMemory(to: Watcher.self, capacity: 1)
        watcher.initialize(
            to: Watcher(
                hash: hash, shard: self, isDirty: isDirty, wasExpired: wasExpired,
                next: pointee.watchers))
        pointee.watchers = watcher
        return watcher
    }

    func unwatch(_ watcher: WatcherReference) {
        var link = pointee.watchers
        var previous: WatcherReference?
        while let current = link {
            if current == watcher {
                if let previous {
                    previous.pointee.next = current.pointee.next
                } else {
                    pointee.watchers = current.pointee.next
                }
                break
            }
            previous = current
            link = current.pointee.next
        }
        Block.free(UnsafeMutableRawPointer(watcher))
    }

    /// Lets go of every watcher, as the shard is about to be freed: their sessions' EXEC will fail.
    func abandonWatchers() {
        var watcher = pointee.watchers
        while let current = watcher {
            watcher = current.pointee.next
            current.pointee.isDirty.pointee.store(true, ordering: .releasing)
            current.pointee.shard = nil
            current.pointee.next = nil
        }
        pointee.watchers = nil
    }
}

extension Reference where Pointee == Worker {
    /// Begins to watch `key` in `keyspace`: `isDirty` becomes true when it changes. A tenant that
    /// the key names comes into being, and stays while it is watched.
    public func watch(
        _ key: Bytes, _ keyspace: KeyspaceReference, _ isDirty: UnsafeMutablePointer<Atomic<Bool>>
    ) -> WatcherReference {
        let hold = Hold(self, key, in: keyspace, creating: true)
        let resolved = hold[0]
        let slot = resolved.shard.pointee.table.find(resolved.hash, key)
        let wasExpired = slot?.entry.isExpired(at: now) ?? false
        let watcher = resolved.shard.watch(resolved.hash, isDirty, wasExpired: wasExpired)
        hold.end()
        return watcher
    }

    /// Ends a watch.
    public func unwatch(_ watcher: WatcherReference) {
        guard let shard = watcher.pointee.shard else {
            return Block.free(UnsafeMutableRawPointer(watcher))
        }
        withShard(shard) { $0.unwatch(watcher) }
    }

    /// Whether the key that `watcher` watches has expired since the watch began and is still there.
    /// Takes its shard's lock where it is not held.
    public func hasExpired(
        _ key: Bytes, in keyspace: KeyspaceReference, since watcher: WatcherReference
    ) -> Bool {
        withEntry(key, in: keyspace) { entry in
            guard let entry, !watcher.pointee.wasExpired else { return false }
            return entry.isExpired(at: pointee.now)
        }
    }
}
