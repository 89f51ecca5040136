// SPDX-License-Identifier: Apache-2.0
import Synchronization

/// The directives that the request path reads: numbers that any thread may read and CONFIG SET may
/// change.
///
/// Why not the configuration itself: a handler reads a threshold with one plain load, without a
/// lock, a retain or a string. `Configuration` (in Server) owns names, texts and ranges and writes
/// the numbers here. Sizes are in bytes; the name of a time says its unit.
public struct Settings: ~Copyable {
    public typealias Number = Atomic<Int>

    public let hashMaxPackedEntries = Number(512)
    public let hashMaxPackedValueSize = Number(64)
    public let setMaxIntegerEntries = Number(512)
    public let setMaxPackedEntries = Number(128)
    public let setMaxPackedValueSize = Number(64)

    /// 0 means no limit.
    public let memoryMax = Number(0)
    /// The raw value of an `EvictionPolicy`.
    public let evictionPolicy = Number(EvictionPolicy.noEviction.rawValue)
    public let evictionSamples = Number(5)
    public let frequencyLogFactor = Number(10)
    public let frequencyDecayMinutes = Number(1)
    /// How long the sessions of a tenant run before others have their turn, in `martlet_ticks`: a
    /// millisecond in a server. DEBUG SET-TURNS switches turns off.
    public let turnTicks = Number(Int.max)
    /// 0 while DEBUG SET-ACTIVE-EXPIRE has switched the active expiration cycle off.
    public let activeExpiryEnabled = Number(1)
    /// Milliseconds since 1970 until which expired keys stay where they are, unseen, because of
    /// CLIENT PAUSE. The server writes the largest number, and 0 when the pause has ended: its end
    /// does not go by wall time.
    public let expiryPausedUntil = Number(0)

    public let bulkSizeMax = Number(512 << 20)
    public let queryBufferLimit = Number(1 << 30)
    /// Output limits of normal clients: a hard one, and a soft one that a client may exceed for
    /// `outputSoftSeconds`; `outputUnlimited` means no limit.
    public let outputHardLimit = Number(Settings.outputUnlimited)
    public let outputSoftLimit = Number(Settings.outputUnlimited)
    public let outputSoftSeconds = Number(0)
    /// `maxmemory-clients`: the most that all clients' buffers may hold, in bytes; if negative, in
    /// percent of `maxmemory`, or of the memory there is; 0 means no limit.
    public let clientMemoryMax = Number(0)
    /// What `clientMemoryMax` means in bytes, and the most that a client's replies may take: three
    /// quarters of that, or `outputHardLimit` if that is less. Both are derived
    /// (`SettingsReference.derive`).
    public let clientMemoryLimit = Number(Int.max)
    public let replySizeMax = Number(Settings.outputUnlimited)
    /// The memory that the process can use: its container's, else the machine's.
    public let availableMemory = Number(Int.max)
    public let clientCountMax = Number(10_000)
    /// Seconds that a client may be idle; 0 means forever.
    public let idleTimeoutSeconds = Number(0)
    public let keepAliveSeconds = Number(300)
    public let protectedMode = Number(1)
    /// 1 if a password or a tenant with a secret exists, so that sessions begin unauthenticated.
    public let passwordRequired = Number(0)
    /// Raised by whatever changes which commands sessions may run.
    public let rightsGeneration = Number(0)
    /// Requests that take so many ticks are looked at again. The server computes this from the four
    /// settings below.
    public let observedTicks = Number(.max)

    /// How many databases SELECT reaches.
    public let databaseCount = Number(16)
    /// Who may use DEBUG: nobody (0), everybody (1), clients on this machine (2).
    public let debugCommand = Number(0)

    /// The slow log: the least time of its entries, negative for none, and their number.
    public let slowLogMicroseconds = Number(10_000)
    public let slowLogCountMax = Number(128)
    /// The least time of events that LATENCY shows; 0 for none.
    public let latencyThresholdMilliseconds = Number(0)
    /// Whether the time of every request is kept in its command's distribution.
    public let latencyTracking = Number(0)

    /// The least that a percentage of `maxmemory-clients` stands for: some ordinary clients.
    public static let clientMemoryLimitMin = 8 << 20

    /// Why not Int.max: sizes can be added to it.
    public static let outputUnlimited = 1 << 62

    public init() {}
}

/// The one instance of `Settings`, which lives as long as the process.
public struct SettingsReference: Sendable {
    /// Never freed; every field is atomic.
    public let values: Reference<Settings>

    public init() { values = .make(Settings()) }
}

// Named reading, so that no user of a setting sees how it is kept. Units and meanings are those of
// `Settings`.
extension SettingsReference {
    @inlinable @inline(__always) public var hashMaxPackedEntries: Int {
        values.pointee.hashMaxPackedEntries.value
    }
    @inlinable @inline(__always) public var hashMaxPackedValueSize: Int {
        values.pointee.hashMaxPackedValueSize.value
    }
    @inlinable @inline(__always) public var setMaxIntegerEntries: Int {
        values.pointee.setMaxIntegerEntries.value
    }
    @inlinable @inline(__always) public var setMaxPackedEntries: Int {
        values.pointee.setMaxPackedEntries.value
    }
    @inlinable @inline(__always) public var setMaxPackedValueSize: Int {
        values.pointee.setMaxPackedValueSize.value
    }
    @inlinable @inline(__always) public var memoryMax: Int { values.pointee.memoryMax.value }
    @inlinable @inline(__always) public var evictionPolicy: Int {
        values.pointee.evictionPolicy.value
    }
    @inlinable @inline(__always) public var evictionSamples: Int {
        values.pointee.evictionSamples.value
    }
    @inlinable @inline(__always) public var frequencyLogFactor: Int {
        values.pointee.frequencyLogFactor.value
    }
    @inlinable @inline(__always) public var frequencyDecayMinutes: Int {
        values.pointee.frequencyDecayMinutes.value
    }
    @inlinable @inline(__always) public var turnTicks: Int { values.pointee.turnTicks.value }
    @inlinable @inline(__always) public var activeExpiryEnabled: Int {
        values.pointee.activeExpiryEnabled.value
    }
    @inlinable @inline(__always) public var expiryPausedUntil: Int {
        values.pointee.expiryPausedUntil.value
    }
    @inlinable @inline(__always) public var bulkSizeMax: Int { values.pointee.bulkSizeMax.value }
    @inlinable @inline(__always) public var queryBufferLimit: Int {
        values.pointee.queryBufferLimit.value
    }
    @inlinable @inline(__always) public var outputHardLimit: Int {
        values.pointee.outputHardLimit.value
    }
    @inlinable @inline(__always) public var outputSoftLimit: Int {
        values.pointee.outputSoftLimit.value
    }
    /// Computes the numbers that depend on several directives. Called after each change of one.
    public func derive() {
        let given = values.pointee.clientMemoryMax.value
        let whole = memoryMax > 0 ? memoryMax : values.pointee.availableMemory.value
        let limit =
            given == 0
            ? Int.max
            : given > 0 ? given : max(Settings.clientMemoryLimitMin, whole / 100 * -given)
        values.pointee.clientMemoryLimit.set(limit)
        values.pointee.replySizeMax.set(min(limit / 4 * 3, outputHardLimit))
    }

    @inlinable @inline(__always) public var clientMemoryLimit: Int {
        values.pointee.clientMemoryLimit.value
    }
    @inlinable @inline(__always) public var replySizeMax: Int {
        values.pointee.replySizeMax.value
    }
    @inlinable @inline(__always) public var clientCountMax: Int {
        values.pointee.clientCountMax.value
    }
    @inlinable @inline(__always) public var idleTimeoutSeconds: Int {
        values.pointee.idleTimeoutSeconds.value
    }
    @inlinable @inline(__always) public var keepAliveSeconds: Int {
        values.pointee.keepAliveSeconds.value
    }
    @inlinable @inline(__always) public var passwordRequired: Int {
        values.pointee.passwordRequired.value
    }
    @inlinable @inline(__always) public var rightsGeneration: Int {
        values.pointee.rightsGeneration.value
    }
    @inlinable @inline(__always) public var observedTicks: Int {
        values.pointee.observedTicks.value
    }
    @inlinable @inline(__always) public var databaseCount: Int {
        values.pointee.databaseCount.value
    }
    @inlinable @inline(__always) public var debugCommand: Int { values.pointee.debugCommand.value }
}

extension Atomic where Value == Int {
    /// A relaxed load: settings and statistics order nothing.
    @inlinable @inline(__always)
    public var value: Int { load(ordering: .relaxed) }

    /// A relaxed store.
    @inlinable @inline(__always)
    public func set(_ value: Int) { store(value, ordering: .relaxed) }

    /// Adds to a counter that only the calling thread changes, which needs no locked instruction.
    @inlinable @inline(__always)
    public func bump(_ amount: Int = 1) {
        store(load(ordering: .relaxed) &+ amount, ordering: .relaxed)  // Bound: 2^63 events.
    }
}

/// `maxmemory-policy`: which keys are evicted when memory is full.
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

    /// Whether victims are chosen by their last access or by how often they are accessed.
    public var ranksByAccess: Bool {
        switch self {
        case .allKeysLRU, .allKeysLFU, .volatileLRU, .volatileLFU: true
        case .noEviction, .allKeysRandom, .volatileRandom, .volatileTTL: false
        }
    }

    /// Whether only keys with an expiry may be evicted.
    public var isVolatile: Bool { rawValue >= EvictionPolicy.volatileLRU.rawValue }
}
