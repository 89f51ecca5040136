// SPDX-License-Identifier: Apache-2.0
import Base

// INFO's avg_ttl and expired_stale_perc.
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
        Milliseconds(
            estimate(in: keyspaces) { sample in
                sample.liveCount > 0 ? sample.timeToLive / sample.liveCount : nil
            })
    }

    /// Estimates which share of the expiring entries in `keyspaces` has expired and is still there,
    /// from 0 to 1. It samples as `estimatedTimeToLive` does.
    public func estimatedStaleShare(of keyspaces: [KeyspaceReference]) -> Double {
        estimate(in: keyspaces) { sample in
            let count = sample.liveCount + sample.staleCount
            return count > 0 ? sample.staleCount / count : nil
        }
    }

    /// The weighted average of what `figure` makes of the keyspaces' samples.
    private func estimate(
        in keyspaces: [KeyspaceReference], _ figure: (TimeToLiveSample) -> Double?
    ) -> Double {
        let step = (keyspaces.count + sampledKeyspaceCountMax - 1) / sampledKeyspaceCountMax
        guard step > 0 else { return 0 }
        var weighted = 0.0
        var weights = 0.0
        let start = Int(pointee.random.next(below: UInt64(step)))
        for index in stride(from: start, to: keyspaces.count, by: step) {
            let weight = Double(keyspaces[index].expiringKeyCount)
            guard weight > 0, let average = figure(sample(keyspaces[index])) else { continue }
            weighted += average * weight
            weights += weight
        }
        return weights > 0 ? weighted / weights : 0
    }

    private func sample(_ keyspace: KeyspaceReference) -> TimeToLiveSample {
        var sample = TimeToLiveSample()
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
                    guard let expiry = slot.entry.expiry else { return }
                    sample.add(expiry - now)
                }
            }
        }
        return sample
    }
}

/// Expiring entries of one keyspace.
private struct TimeToLiveSample {
    var liveCount = 0.0
    /// Expired entries that are still there.
    var staleCount = 0.0
    /// The sum over the live entries, in milliseconds.
    var timeToLive = 0.0

    mutating func add(_ remaining: Milliseconds) {
        if remaining > 0 {
            liveCount += 1
            timeToLive += Double(remaining)
        } else {
            staleCount += 1
        }
    }
}
