// SPDX-License-Identifier: Apache-2.0
import Base

// INFO's avg_ttl.
extension Reference where Pointee == Worker {
    /// How many keyspaces one estimate looks into, how many shards of each, and at how many entries
    /// of a shard: 4096 entries at most.
    private var sampledKeyspaceCountMax: Int { 64 }
    private var sampledShardCountMax: Int { 4 }
    private var sampledEntryCountMax: Int { 16 }

    /// About how many milliseconds the entries of `keyspaces` that expire have left on average; 0
    /// where none was found.
    ///
    /// How: entries of shards drawn at random, neighbours in a random place of the table, as for
    /// eviction. Hashes are even, so those are as good as any. The average of each keyspace counts
    /// as often as it has entries that expire. Of many keyspaces every n-th is asked, from a random
    /// one on. What has expired and is still there counts for nothing, as in Redis.
    ///
    /// Inside EXEC only shards that the transaction holds are looked at: waiting for others would
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

    /// The average of one keyspace's sample; nil of an empty one.
    private func sampleTimeToLive(_ keyspace: KeyspaceReference) -> Double? {
        var sum = 0.0
        var count = 0.0
        var shardCount = 0
        let start = Int(pointee.random.next(below: UInt64(keyspace.shardCount)))
        // Bound: all shards once; most have something where any has.
        for offset in 0..<keyspace.shardCount where shardCount < sampledShardCountMax {
            let shard = keyspace.shard(at: (start + offset) % keyspace.shardCount)
            withShard(shard) { shard in
                guard shard.pointee.table.expiringCount > 0 else { return }
                shardCount += 1
                shard.pointee.table.sample(
                    &pointee.random, limit: sampledEntryCountMax, onlyExpiring: true
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
