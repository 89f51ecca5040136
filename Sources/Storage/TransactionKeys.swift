// SPDX-License-Identifier: Apache-2.0
import Base

/// Where the keys of a transaction's commands live, found before its locks were taken.
///
/// Why kept and not found again when each command runs: a tenant may come into being meanwhile, or
/// be deleted, and a key that names it would then lead to a shard that EXEC does not hold.
public struct TransactionKeys {
    private var keys: [ResolvedKey] = []
    /// For each command, the number of keys of all up to it.
    private var ends: [Int] = []

    public init() {}

    /// The keys of the next command have been added to the worker's.
    public mutating func endCommand(_ worker: WorkerReference) {
        ends.append(worker.pointee.resolvedCount)
    }

    /// All keys have been added, and their shards are held.
    public mutating func keep(_ worker: WorkerReference) {
        keys = (0..<worker.pointee.resolvedCount).map { worker.pointee.resolved[$0] }
    }

    /// Makes the keys of command `number` those of the command at hand.
    public func restore(_ number: Int, to worker: WorkerReference) {
        let first = number == 0 ? 0 : ends[number - 1]
        worker.clearKeys()
        // Bound: the worker has had room for the keys of all commands together.
        for index in first..<ends[number] {
            worker.pointee.resolved[index - first] = keys[index]
        }
        worker.pointee.resolvedCount = ends[number] - first
    }
}
