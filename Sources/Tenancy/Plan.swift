// SPDX-License-Identifier: Apache-2.0
/// What a tenant may use, and what happens at the limit. Nil means no limit.
public struct Limits: Equatable, Sendable {
    /// Bytes of memory, counted at the allocator's true sizes.
    public var memory: Int?
    public var keys: Int?
    public var operationsPerSecond: Int?
    /// Operations per UTC day.
    public var operationsPerDay: Int?
    /// Bytes in and out per UTC day.
    public var bandwidthPerDay: Int?
    public var connections: Int?
    public var atLimit = AtLimit.reject

    public init() {}

    /// The highest value of any limit: sums of a few, and a thousand times one, are far from
    /// overflowing.
    public static let valueMax = 1 << 50

    /// No limit at all.
    public static let none = Limits()

    /// What happens when a tenant reaches a limit.
    public enum AtLimit: String, Sendable, CaseIterable {
        /// Commands are refused with an error.
        case reject
        /// At a limit on memory or keys the eviction policy evicts the tenant's own keys; over a
        /// rate limit commands are refused.
        case evict
        /// Over its operations per second the session waits until the token bucket refills; at any
        /// other limit commands are refused.
        case throttle
    }
}

/// A named set of limits: `tenant-plan NAME [memory=] [keys=] …`.
public struct Plan: Equatable, Sendable {
    public var name: String
    public var limits: Limits

    public init(name: String, limits: Limits) {
        self.name = name
        self.limits = limits
    }

    /// The plan of a tenant without a named plan: no limits.
    public static let unlimited = Plan(name: "default", limits: .none)
}
