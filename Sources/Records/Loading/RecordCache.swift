// SPDX-License-Identifier: Apache-2.0

/// What the records thread does to the cache. The server implements it over its tables.
///
/// Every call is made on the records thread, in the order in which PostgreSQL's messages arrived.
/// That order keeps the cache coherent, so a call must have taken effect when it returns.
///
/// While a source is suspect (`suspectAll`), its entries may be stale. They may answer until the
/// given time has passed. `removeAll` for the source follows as soon as the link is back.
public protocol RecordCache: AnyObject, Sendable {
    func install(key: [UInt8], value: RecordValue, timeToLiveMilliseconds: Int64, source: Int)
    /// Remembers that there is no row for this key.
    func installNegative(key: [UInt8], timeToLiveMilliseconds: Int64, source: Int)
    /// Drops a key. Returns whether it had an entry, a row's or a negative one.
    func remove(key: [UInt8], source: Int) -> Bool
    func removeAll(source: Int)
    func suspectAll(source: Int, staleTimeToLiveMilliseconds: Int64)
    /// True if a read of this key needs no load; a negative entry counts.
    func isPresent(key: [UInt8], source: Int) -> Bool
    /// A row of a source with `tenant=` was read: its tenant, and its plan if the source has
    /// `plan=`.
    func rowLoaded(source: Int, tenant: [UInt8]?, plan: [UInt8]?)
}

/// A row's value in the form that the source configures.
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

/// Identifies the receiver of an answer. The caller chooses the meaning of the two words.
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
    /// At least one row was found and is now cached. The others have negative entries.
    case loaded
    /// None of the requested rows exists, and all have negative entries now.
    case missing
    /// The rows could not be loaded; the reply is `TRYAGAIN record source NAME is unavailable`.
    case unavailable(source: String)
}

/// Receives answers. Called on the records thread; must not block.
public protocol RecordWaiterSink: AnyObject, Sendable {
    func resume(_ waiter: RecordWaiter, _ outcome: RecordOutcome)
}

/// One wanted row: a lookup of a source and the value of the lookup's column.
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
