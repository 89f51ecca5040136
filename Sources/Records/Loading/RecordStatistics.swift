// SPDX-License-Identifier: Apache-2.0

/// Statistics of the records thread, for `RECORDS STATS` and INFO.
public struct RecordStatistics: Sendable, Equatable {
    public enum Link: String, Sendable {
        case connecting
        /// Connected; the checks are running, and loads wait for them.
        case checking
        case ready
        /// Loads are answered, but nothing is kept, because changes might go unnoticed.
        case uncached
        case stopped
    }

    public var link = Link.connecting
    public var reconnects: UInt64 = 0
    public var lastError = ""
    public var sources: [Source]

    /// The statistics of one source.
    public struct Source: Sendable, Equatable {
        public let name: String
        /// Queries sent.
        public var batches: UInt64 = 0
        /// Rows requested, rows found, and values without a row.
        public var loads: UInt64 = 0
        public var rows: UInt64 = 0
        public var negatives: UInt64 = 0
        /// Requested rows that another request was already loading.
        public var joined: UInt64 = 0
        /// Failed loads, and rows refused while the breaker was open.
        public var failures: UInt64 = 0
        public var refused: UInt64 = 0
        /// Keys dropped because PostgreSQL announced a change, and how often the whole source was
        /// dropped.
        public var invalidations: UInt64 = 0
        public var flushes: UInt64 = 0
        public var breaker = "closed"
        /// Whether the triggers are in place, so rows may be kept.
        public var isWatched = false
        public var lastError = ""
    }
}

/// The limits of the records thread. Directives set the first three.
public struct RecordOptions: Sendable {
    public var url: String
    public var breakerThreshold = 3
    public var breakerTimeoutMilliseconds: Int64 = 60_000
    /// The server's limits for one load. Together they bound how long a load can delay a
    /// notification.
    public var lockTimeoutMilliseconds: Int64 = 1000
    public var statementTimeoutMilliseconds: Int64 = 2000
    /// How long a request may wait, and how long the server may be silent while answers are
    /// outstanding.
    public var requestTimeoutMilliseconds: Int64 = 3000
    public var silenceTimeoutMilliseconds: Int64 = 3000
    public var connectTimeoutMilliseconds: Int64 = 2000
    public var heartbeatMilliseconds: Int64 = 1000
    public var probeTimeoutMilliseconds: Int64 = 1000
    /// How often the probe is sent.
    public var probeIntervalMilliseconds: Int64 = 180_000
    /// How often the triggers and the shape of each table are checked. After a table is altered,
    /// which no trigger announces, rows may be outdated for this long. Why so rarely: PostgreSQL
    /// should see no query while the cache answers everything.
    public var tableCheckMilliseconds: Int64 = 180_000
    /// The time to live of an entry whose changes would not be announced: long enough to answer the
    /// waiting requests.
    public var unwatchedTimeToLiveMilliseconds: Int64 = 50
    public var pipelineDepth = 8
    public var batchCount = 100
    public var attemptsMax = 3

    public init(url: String) { self.url = url }

    /// The listening session's start-up options.
    var sessionOptions: [String] {
        [
            "lock_timeout=\(lockTimeoutMilliseconds)",
            "statement_timeout=\(statementTimeoutMilliseconds)",
            "default_transaction_read_only=on", "plan_cache_mode=force_generic_plan",
            "timezone=UTC",
            "bytea_output=hex", "intervalstyle=postgres", "extra_float_digits=1",
            "idle_session_timeout=0", "client_connection_check_interval=1000",
        ].map { "-c \($0)" }
    }
}
