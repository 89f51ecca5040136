// SPDX-License-Identifier: Apache-2.0
import Base

// INFO's avg_ttl.
extension Reference where Pointee == Worker {
    /// How many keyspaces one estimate samples, how many shards of each, and how many entries of
    /// each shard at least: 5500 entries at most.
    private var sampledKeyspaceCountMax: Int { 64 }
    private var sampledShardCountMax: Int { 4 }
    private var sampledEntryCountMin: Int { 16 }

    /// Estimates the average remaining time of expiring entries in `keyspaces`, in milliseconds; 0
    /// if none was found.
    ///
    /// How: it samples neighbouring entries at a random place in random shards, as eviction does.
    /// Hashes are even, so these entries are representative. Each keyspace's average is weighted by
    /// its number of expiring entries. Of many keyspaces it samples every n-th, from a random
    /// start. Expired entries that are still there are ignored, as in Redis.
    ///
    /// Inside EXEC it samples only shards that the transaction holds. Waiting for others would
    /// break the order of locks.
    public func estimatedTimeToLive(in keyspaces: [KeyspaceReference]) -> Milliseconds {
        let step = (keyspaces.count + sampledKeyspaceCountMax - 1) / sampledKeyspaceCountMax
        guard step > 0 else { return 0 }
        var weighted = 0.0
        var weights = 0.0
        let start = Int(pointee.random.next(below: UInt64(step)))
        for index in stride(from: start, to: keyspaces.count, by: step) {
            let weight = Double(keyspaces[index].expiringKeyCount)
            guard weight > 0, let average = sampleTimeToLive(keyspaces[index]) else { continue }
            weighted += average * weight
            weights += weight
        }
        return weights > 0 ? Milliseconds(weighted / weights) : 0
    }

    /// The average of one keyspace's sample; nil if the sample is empty.
    private func sampleTimeToLive(_ keyspace: KeyspaceReference) -> Double? {
        var sum = 0.0
        var count = 0.0
        var shardCount = 0
        let start = Int(pointee.random.next(below: UInt64(keyspace.shardCount)))
        // Bound: each shard once. If any shard has expiring entries, most have.
        for offset in 0..<keyspace.shardCount where shardCount < sampledShardCountMax {
            let shard = keyspace.shard(at: (start + offset) % keyspace.shardCount)
            withShard(shard) { shard in
                guard shard.pointee.table.expiringCount > 0 else { return }
                shardCount += 1
                shard.pointee.table.sample(
                    &pointee.random, wanted: sampledEntryCountMin, onlyExpiring: true
                ) { slot in
                    guard let expiry = slot.entry.expiry, expiry > now else { return }
                    sum += Double(expiry - now)
                    count += 1
                }
            }
        }
        return count > 0 ? sum / count : nil
    }
}
