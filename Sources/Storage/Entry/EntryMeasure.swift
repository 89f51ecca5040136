// SPDX-License-Identifier: Apache-2.0
import Base

// Measuring instead of charging: what tables take now, asked of the allocator block by block.
extension UnsafeMutablePointer where Pointee == Tenant {
    /// What the tenant was charged, what its blocks measure one by one, and how many keys were walked. Each shard is
    /// held while it is walked, so the two are of one moment.
    public func verify(_ worker: WorkerReference) -> (charged: Int, measured: Int, keys: Int) {
        var charged = ownSize
        var measured = ownSize
        var keys = 0
        forEachKeyspace { keyspace in
            charged += keyspace.structureSize
            measured += keyspace.structureSize
            worker.forEachShard(of: keyspace) { shard in
                charged += shard.pointee.table.allocatedSize
                measured += shard.pointee.table.measuredSize
                keys += shard.pointee.table.count
            }
        }
        return (charged, measured, keys)
    }
}

extension Entry {
    /// Bytes of the entry's block and of all that its value owns.
    public var totalSize: Int { allocatedSize + Values.nestedSize(self) }
}
