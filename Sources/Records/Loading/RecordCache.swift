// SPDX-License-Identifier: Apache-2.0

/// What the records thread does to the cache; the server implements it over its tables.
///
/// Every call is made on the records thread, in the order in which PostgreSQL's messages arrived.
/// That order is what keeps the cache coherent, so a call must have taken effect when it returns.
///
/// While a source is suspect (`suspectAll`) its entries may be stale: they may answer until the
/// given time has passed, and `removeAll` for the same source follows as soon as the link is back.
public protocol RecordCache: AnyObject, Sendable {
    func install(key: [UInt8], value: RecordValue, timeToLiveMilliseconds: Int64, source: Int)
    /// Remembers that there is no row for this key.
    func installNegative(key: [UInt8], timeToLiveMilliseconds: Int64, source: Int)
    /// Drops a key, and says whether there was an entry, be it a row or a negative one.
    func remove(key: [UInt8], source: Int) -> Bool
    func removeAll(source: Int)
    func suspectAll(source: Int, staleTimeToLiveMilliseconds: Int64)
    /// True if a read of this key would be answered without a load, a negative entry included.
    func isPresent(key: [UInt8], source: Int) -> Bool
    /// A row of a source with `tenant=` was read: its tenant, and its plan where the source has
    /// `plan=`.
    func rowLoaded(source: Int, tenant: [UInt8]?, plan: [UInt8]?)
}

/// A row's value in the form that the source asks for.
public enum RecordValue: Sendable, Equatable {
    /// The JSON that PostgreSQL built.
    case string([UInt8])
    /// One field per column that is not null, in the order of the columns.
    case hash([RecordField])
}

public struct RecordField: Sendable, Equatable {
    public let name: [UInt8]
    public let value: [UInt8]

    public init(name: [UInt8], value: [UInt8]) {
        self.name = name
        self.value = value
    }
}

/// Whom an answer is for; the two words mean what the caller wants them to mean.
public struct RecordWaiter: Sendable, Hashable {
    public let high: UInt64
    public let low: UInt64

    public init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }
}

/// How a request ended.
public enum RecordOutcome: Sendable, Equatable {
    /// At least one row was found and is in the cache now. The others have negative entries.
    case loaded
    /// None of the requested rows exists, and the cache knows it now.
    case missing
    /// The rows could not be had; `TRYAGAIN record source NAME is unavailable` is the answer.
    case unavailable(source: String)
}

/// Where answers go. Called on the records thread; must not block.
public protocol RecordWaiterSink: AnyObject, Sendable {
    func resume(_ waiter: RecordWaiter, _ outcome: RecordOutcome)
}

/// One row that is wanted: a lookup of a source and the value of its column.
public struct RecordKey: Sendable, Hashable {
    public let source: Int
    public let lookup: Int
    public let value: [UInt8]

    public init(source: Int, lookup: Int, value: [UInt8]) {
        self.source = source
        self.lookup = lookup
        self.value = value
    }

    /// The row that a matched key names.
    public init(_ match: RecordMatch, in key: UnsafeRawBufferPointer) {
        self.init(
            source: match.source, lookup: match.lookup, value: Array(key[match.start..<match.end]))
    }
}

public enum RecordLogLevel: Sendable { case notice, warning }

public typealias RecordLog = @Sendable (RecordLogLevel, String) -> Void
