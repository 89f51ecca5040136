// SPDX-License-Identifier: Apache-2.0
import Base
import Glibc
import Synchronization

/// One session's WATCH on one key: a link in the list of the key's shard.
///
/// Why not a version in every entry: it would cost eight bytes a key for something that few sessions use. A shard
/// without watchers pays one compare for each change.
public struct Watcher: ~Copyable {
    let hash: Hash
    let shard: ShardReference
    /// The session's flag: set when a watched key has changed; EXEC then does nothing.
    let isDirty: UnsafeMutablePointer<Atomic<Bool>>
    var next: UnsafeMutablePointer<Watcher>?
}

public typealias WatcherReference = UnsafeMutablePointer<Watcher>

extension UnsafeMutablePointer where Pointee == Shard {
    /// Marks the sessions that watch the key of `hash`. Two keys of one 64-bit hash are one to WATCH: EXEC then
    /// fails once too often, which every user of WATCH is ready for.
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

    /// Marks every session that watches a key which `condition` picks by its hash.
    func notifyAllWatchers(where condition: (Hash) -> Bool) {
        var watcher = pointee.watchers
        while let current = watcher {
            if condition(current.pointee.hash) {
                current.pointee.isDirty.pointee.store(true, ordering: .releasing)
            }
            watcher = current.pointee.next
        }
    }

    /// Begins a watch, under the shard's lock.
    func watch(_ hash: Hash, _ isDirty: UnsafeMutablePointer<Atomic<Bool>>) -> WatcherReference {
        let watcher = Block.allocate(MemoryLayout<Watcher>.size)
            .bindMemory(to: Watcher.self, capacity: 1)
        watcher.initialize(
            to: Watcher(hash: hash, shard: self, isDirty: isDirty, next: pointee.watchers))
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
}

/// Record keys that a command missed: what must be loaded before it can be answered.
public struct RecordMisses {
    public var keys: [[UInt8]] = []
    /// Whether a key is one that a record source answers.
    public let isRecordKey: @Sendable (Bytes) -> Bool

    public init(isRecordKey: @escaping @Sendable (Bytes) -> Bool) {
        self.isRecordKey = isRecordKey
    }

    mutating func note(_ key: Bytes) {
        if isRecordKey(key) { keys.append(key.array) }
    }
}
