// SPDX-License-Identifier: Apache-2.0
/// What a tenant has used, counted exactly.
///
/// Why plain integers: each shard has one of these in the lines that its lock has just brought in,
/// and changes it only under that lock. Sums are made when somebody asks.
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
