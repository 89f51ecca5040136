// SPDX-License-Identifier: Apache-2.0
/// What a tenant may use, and what happens at the limit. Nil means no limit.
public struct Limits: Equatable, Sendable {
    /// Bytes of memory, at the allocator's true size.
    public var memory: Int?
    public var keys: Int?
    public var operationsPerSecond: Int?
    /// Operations in one day of UTC.
    public var operationsPerDay: Int?
    /// Bytes in and out in one day of UTC.
    public var bandwidthPerDay: Int?
    public var connections: Int?
    public var atLimit = AtLimit.reject

    public init() {}

    /// The highest of any limit: sums of a few, and a thousand times one, are far from overflowing.
    public static let valueMax = 1 << 50

    /// No limit at all.
    public static let none = Limits()

    /// What a tenant at its limit meets.
    public enum AtLimit: String, Sendable, CaseIterable {
        /// Commands are refused with an error.
        case reject
        /// For memory and keys the tenant's own keys give way, by the eviction policy; rates are
        /// refused.
        case evict
        /// For operations per second the session waits until the budget refills; the rest is
        /// refused.
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

    /// What a tenant has that no plan was named for: no limits.
    public static let unlimited = Plan(name: "default", limits: .none)
}
