// SPDX-License-Identifier: Apache-2.0
/// Exact counts of what a tenant has used.
///
/// Why plain integers: each shard has its own `Usage`, in cache lines that taking the shard's lock
/// has just loaded, and changes it only under that lock. Readers add them up.
public struct Usage: Equatable, Sendable {
    public var commands = 0
    public var reads = 0
    public var writes = 0
    public var hits = 0
    public var misses = 0
    public var bytesIn = 0
    public var bytesOut = 0
    public var expired = 0
    public var evicted = 0
    public var rejected = 0

    @inlinable
    public init() {}

    public static func += (left: inout Usage, right: Usage) {
        left.commands += right.commands
        left.reads += right.reads
        left.writes += right.writes
        left.hits += right.hits
        left.misses += right.misses
        left.bytesIn += right.bytesIn
        left.bytesOut += right.bytesOut
        left.expired += right.expired
        left.evicted += right.evicted
        left.rejected += right.rejected
    }
}
