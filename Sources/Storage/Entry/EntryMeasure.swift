// SPDX-License-Identifier: Apache-2.0
import Base

// Measuring instead of charging: what tables take now, asked of the allocator block by block.
extension Reference where Pointee == Tenant {
    /// What the tenant is charged by its counter, what its blocks measure one by one, and how many
    /// keys were walked. The two are of one moment where no command of the tenant runs meanwhile.
    public func verify(_ worker: WorkerReference) -> (charged: Int, measured: Int, keys: Int) {
        var measured = ownSize
        var keys = 0
        forEachKeyspace { keyspace in
            measured += keyspace.structureSize
            worker.forEachShard(of: keyspace) { shard in
                measured += shard.pointee.table.measuredSize
                keys += shard.pointee.table.count
            }
        }
        return (memoryInUse, measured, keys)
    }
}
