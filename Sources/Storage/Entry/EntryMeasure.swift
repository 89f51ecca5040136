// SPDX-License-Identifier: Apache-2.0
import Base

// Measuring instead of charging: asks the allocator, block by block, what tables take now.
extension Reference where Pointee == Tenant {
    /// The memory charged to the tenant, the sum of its blocks measured one by one, and the number
    /// of keys walked. The two sizes belong to the same moment if no command of the tenant runs
    /// meanwhile.
    public func verify(_ worker: WorkerReference) -> (charged: Int, measured: Int, keys: Int) {
        var measured = ownSize
        var keys = 0
        forEachKeyspace { keyspace in
            measured += keyspace.structureSize
            worker.forEachShard(of: keyspace) { shard in
                measured += shard.pointee.table.measuredSize + shard.pointee.waiters.allocatedSize
                keys += shard.pointee.table.count
            }
        }
        return (memoryInUse, measured, keys)
    }
}
