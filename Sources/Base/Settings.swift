// SPDX-License-Identifier: Apache-2.0
import Synchronization

/// The directives that the path of a request reads, as numbers that any thread may read and CONFIG
/// SET may change.
///
/// Why not the configuration itself: a handler reads a threshold with one plain load, without a
/// lock, a retain or a string. `Configuration` (in Server) owns names, texts and ranges and writes
/// the numbers here. Sizes are bytes, times are named with their unit.
public struct Settings: ~Copyable {
    public typealias Number = Atomic<Int>

    public let hashMaxPackedEntries = Number(512)
    public let hashMaxPackedValueSize = Number(64)
    public let setMaxIntegerEntries = Number(512)
    public let setMaxPackedEntries = Number(128)
    public let setMaxPackedValueSize = Number(64)

    /// 0 is no limit.
    public let memoryMax = Number(0)
    /// An `EvictionPolicy`'s raw value.
    public let evictionPolicy = Number(EvictionPolicy.noEviction.rawValue)
    public let evictionSamples = Number(5)
    public let frequencyLogFactor = Number(10)
    /// Minutes.
    public let frequencyDecayMinutes = Number(1)
    /// 0 while DEBUG SET-ACTIVE-EXPIRE has switched the sweep off.
    public let activeExpiryEnabled = Number(1)
    /// Milliseconds since 1970 until which expired keys stay where they are, unseen, because of
    /// CLIENT PAUSE. The server writes the largest number, and 0 when the pause has ended: its end
    /// does not go by wall time.
    public let expiryPausedUntil = Number(0)

    public let bulkSizeMax = Number(512 << 20)
    public let queryBufferLimit = Number(1 << 30)
    /// Normal clients' output: a hard limit, and a soft one that may be passed for some seconds; 0
    /// is none.
    public let outputHardLimit = Number(0)
    public let outputSoftLimit = Number(0)
    public let outputSoftSeconds = Number(0)
    public let clientCountMax = Number(10_000)
    /// Seconds a client may be idle; 0 is for ever.
    public let idleTimeoutSeconds = Number(0)
    public let keepAliveSeconds = Number(300)
    public let protectedMode = Number(1)
    /// 1 where a password or tenants with secrets exist, so that sessions begin unauthenticated.
    public let passwordRequired = Number(0)

    /// How many databases SELECT reaches.
    public let databaseCount = Number(16)
    /// Who may use DEBUG: nobody (0), everybody (1), clients on this machine (2).
    public let debugCommand = Number(0)

    public init() {}
}

/// The one instance of `Settings`, which lives as long as the process.
public struct SettingsReference: Sendable {
    // Safety: allocated once and never freed; every field is atomic.
    @usableFromInline nonisolated(unsafe) let pointer: UnsafeMutablePointer<Settings>

    public init() {
        pointer = .allocate(capacity: 1)
        pointer.initialize(to: Settings())
    }

    @inlinable @inline(__always)
    public var values: UnsafeMutablePointer<Settings> { pointer }
}

extension Atomic where Value == Int {
    /// A relaxed load: settings and statistics order nothing.
    @inlinable @inline(__always)
    public var value: Int { load(ordering: .relaxed) }

    /// A relaxed store.
    @inlinable @inline(__always)
    public func set(_ value: Int) { store(value, ordering: .relaxed) }

    /// Adds to a counter that only the calling thread changes, so without a locked instruction.
    @inlinable @inline(__always)
    public func bump(_ amount: Int = 1) {
        store(load(ordering: .relaxed) &+ amount, ordering: .relaxed)  // Bound: 2^63 events.
    }
}

/// `maxmemory-policy`: which keys give way when memory is full.
public enum EvictionPolicy: Int, Sendable, CaseIterable {
    case noEviction, allKeysLRU, allKeysLFU, allKeysRandom
    case volatileLRU, volatileLFU, volatileRandom, volatileTTL

    public var name: String {
        switch self {
        case .noEviction: "noeviction"
        case .allKeysLRU: "allkeys-lru"
        case .allKeysLFU: "allkeys-lfu"
        case .allKeysRandom: "allkeys-random"
        case .volatileLRU: "volatile-lru"
        case .volatileLFU: "volatile-lfu"
        case .volatileRandom: "volatile-random"
        case .volatileTTL: "volatile-ttl"
        }
    }

    /// Whether only keys with an expiry give way.
    public var isVolatile: Bool { rawValue >= EvictionPolicy.volatileLRU.rawValue }
}
