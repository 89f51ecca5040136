// SPDX-License-Identifier: Apache-2.0
import Base
import Synchronization

/// A wait for a key: one node in the queue of the key's hash.
///
/// The node lies in its owner's memory, so neither waiting nor telling allocates. A shard finds it
/// through its `WaiterIndex`; the owner finds the shard through `shard`.
///
/// Layout, 48 bytes, which is a size class of the allocator:
///
///     0   hash of the key
///     8   next in the queue          16  previous in the queue
///     24  owner: whom to tell; what it points to depends on the kind
///     32  shard, 0 once the waiter has been let go
///     40  kind (1 byte), flags (1 byte), 2 bytes unused, serial (4 bytes)
///
/// Why the shard is in the node: an owner may wait in many shards, and would have to store it
/// beside each node anyway.
///
/// Invariants:
/// 1. A waiter whose `shard` is not 0 is in the index of that shard, once. A waiter whose `shard`
///    is 0 is in no index, and only its owner has a pointer to it.
/// 2. A queue is circular in both directions. Only its first waiter has `isFirst`.
///
/// Threads: all fields are read and written under the shard's lock, except `shard`. The owner reads
/// that before it takes the lock, because the shard of a deleted tenant may be freed by then.
struct Waiter: ~Copyable {
    let hash: Hash
    var next: WaiterReference
    var previous: WaiterReference
    // Safety: the owner outlives the wait, because it removes its waiters before it ends.
    let owner: UnsafeMutableRawPointer
    private let shardWord: Atomic<UInt>
    let kind: Kind
    var flags: Flags
    /// Distinguishes the waits of one owner. An owner that waits again takes another number, so a
    /// message about the earlier wait shows that it is old. A watch needs none.
    let serial: UInt32

    /// What a waiter waits for. This decides what its owner is.
    struct Kind: RawRepresentable, Equatable, Sendable {
        let rawValue: UInt8
        /// A change of the key. The owner is the `Atomic<Bool>` that then becomes true.
        static let watch = Kind(rawValue: 0)
    }

    struct Flags: OptionSet, Sendable {
        let rawValue: UInt8
        /// The first in its queue. Removing any other waiter needs no look-up.
        static let isFirst = Flags(rawValue: 1 << 0)
        /// The key's entry had expired when the watch began, and is still there. Clients saw no key
        /// then and see none now.
        static let beganExpired = Flags(rawValue: 1 << 1)
        /// The key has had no entry since the watch began, not even a negative one. So clients have
        /// not seen yet whether there is a record, and loading it changes nothing for them.
        static let beganUnloaded = Flags(rawValue: 1 << 2)
    }

    fileprivate init(
        _ hash: Hash, _ kind: Kind, _ flags: Flags, owner: UnsafeMutableRawPointer,
        shard: ShardReference?, serial: UInt32, at place: WaiterReference
    ) {
        self.hash = hash
        self.kind = kind
        self.flags = flags
        self.owner = owner
        self.serial = serial
        shardWord = Atomic(shard?.address ?? 0)
        next = place
        previous = place
    }

    /// The shard whose index contains the waiter; nil once it has been let go.
    // Order: acquiring, so that a thread that reads nil also sees what the waiter was told.
    var shard: ShardReference? {
        ShardReference(address: shardWord.load(ordering: .acquiring))
    }

    fileprivate func clearShard() { shardWord.store(0, ordering: .releasing) }
}

typealias WaiterReference = UnsafeMutablePointer<Waiter>

extension UnsafeMutablePointer where Pointee == Waiter {
    /// Initialises a waiter that forms a queue of its own.
    func initialize(
        _ hash: Hash, _ kind: Waiter.Kind, _ flags: Waiter.Flags = [],
        owner: UnsafeMutableRawPointer, shard: ShardReference?, serial: UInt32 = 0
    ) {
        initialize(
            to: Waiter(
                hash, kind, flags, owner: owner, shard: shard, serial: serial, at: self))
    }

    /// Gives the waiter back to its owner. It is in no index any more and has been told. The owner
    /// may free it at once, so nothing may touch it after this.
    func letGo() { pointee.clearShard() }

    // MARK: - Queues

    /// Joins the end of the queue that begins with `first`.
    func join(queueOf first: WaiterReference) {
        let last = first.pointee.previous
        pointee.next = first
        pointee.previous = last
        last.pointee.next = self
        first.pointee.previous = self
    }

    /// Leaves the queue. Any other waiters still form a queue.
    func leaveQueue() {
        pointee.previous.pointee.next = pointee.next
        pointee.next.pointee.previous = pointee.previous
    }

    /// Calls `body` with every waiter of the queue that begins here, in order. `body` may let the
    /// waiter go.
    @inline(__always)
    func forEachInQueue(_ body: (WaiterReference) -> Void) {
        var waiter = self
        repeat {  // Bound: the queue.
            let next = waiter.pointee.next
            body(waiter)
            waiter = next
        } while waiter != self
    }
}
