// SPDX-License-Identifier: Apache-2.0
import Base

/// Why a key changes.
enum ChangeReason: Sendable {
    /// A client's command.
    case command
    /// A record was loaded or invalidated.
    case record
    /// The key has expired and is removed.
    case expired
    /// Eviction removes the key.
    case evicted
    case flushed
    case tenantDeleted
}

/// What happens to a key.
enum ChangeEvent: Sendable {
    case inserted
    /// The value, the expiry or both have changed.
    case updated
    case removed
}

/// A part of a shard's table that is about to change.
enum TablePart {
    case bucket(Bucket)
    /// A segment that is about to be rebuilt, split or merged.
    case segment(Segment)
    /// All of it: a flush, a swap, a deletion.
    case table(Table)

    /// Calls `body` with every entry of the part.
    func forEach(_ body: (Entry) -> Void) {
        switch self {
        case .bucket(let bucket): bucket.forEach(body)
        case .segment(let segment): segment.forEach(body)
        case .table(let table): table.forEach(body)
        }
    }
}

/// Is notified of every change of every key. Key notifications, client tracking, snapshots and the
/// log will use it. Until they exist no server has an observer, and a recorder in the tests checks
/// that no change goes unreported.
///
/// Every change is reported twice, under the lock of its shard: `willChange` gives the part of the
/// table as it still is, so that a snapshot can save what it has not written yet; `didChange` gives
/// the key as it now is. `didEmpty` and `didSwap` report changes of whole tables.
///
/// Cost: each call tests the shard's `listeners` byte once. The same byte says whether keys are
/// watched.
protocol ChangeObserver: AnyObject, Sendable {
    func willChange(_ part: TablePart, in shard: ShardReference)
    /// `entry`: the key's entry; nil for a removed one.
    func didChange(
        _ key: Bytes, _ entry: Entry?, _ reason: ChangeReason, _ event: ChangeEvent,
        in shard: ShardReference)
    /// The shard's table was emptied: by a flush, or by the deletion of its tenant.
    func didEmpty(_ shard: ShardReference, _ reason: ChangeReason)
    /// Two databases of one tenant have exchanged their tables. All their shards are held.
    func didSwap(_ left: KeyspaceReference, _ right: KeyspaceReference)
}

/// Who is notified of changes in a shard; 0 for nearly every shard.
struct Listeners: OptionSet {
    let rawValue: UInt8
    /// A client waits for a key (`WaiterIndex`).
    static let waiters = Listeners(rawValue: 1)
    /// The registry has a `ChangeObserver`.
    static let observer = Listeners(rawValue: 2)
}

extension Bucket {
    func forEach(_ body: (Entry) -> Void) {
        var bits = occupied
        while bits != 0 {
            body(entry(Bucket.lane(bits)))
            bits &= bits &- 1
        }
    }
}

// Which parts of a table a change touches.
extension Table {
    /// The parts that an insertion of a key with `hash` changes: the bucket that takes it, or the
    /// segment that has to grow first.
    func partsChanged(byInserting hash: Hash) -> [TablePart] {
        guard root != 0 else { return [] }
        let position = self.position(hash)
        let segment = self.segment(at: position)
        if segment.count + segment.removedCount >= Segment.capacity(segment.bucketCount) {
            return [.segment(segment)]
        }
        var index = segment.homeIndex(position << UInt64(segment.depth))
        while true {  // Bound: invariant 1 of Segment, some bucket has a free slot.
            let bucket = segment.bucket(index)
            let free =
                Bucket.matches(bucket.tags, Bucket.removedTag)
                | Bucket.matches(bucket.tags, Bucket.emptyTag)
            if free != 0 { return [.bucket(bucket)] }
            index = segment.next(index)
        }
    }

    /// The parts that the removal of `slot` changes: its segment, and the buddy that a sparse
    /// segment is merged with.
    func partsChanged(byRemoving slot: Slot) -> [TablePart] {
        let segment = slot.segment
        guard segment.depth > 0 else { return [.segment(segment)] }
        let bit = UInt64(1) << UInt64(64 - segment.depth)
        let buddy = self.segment(at: positionOf(slot.entry) ^ bit)
        return buddy.depth == segment.depth
            ? [.segment(segment), .segment(buddy)] : [.segment(segment)]
    }
}
