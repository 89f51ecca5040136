// SPDX-License-Identifier: Apache-2.0

/// What the records thread has done, for `RECORDS STATS` and INFO.
public struct RecordStatistics: Sendable, Equatable {
    public enum Link: String, Sendable {
        case connecting
        /// Connected; checks are under way and loads wait for them.
        case checking
        case ready
        /// Loads are answered, but changes would not be heard of, so nothing is kept.
        case uncached
        case stopped
    }

    public var link = Link.connecting
    public var reconnects: UInt64 = 0
    public var lastError = ""
    public var sources: [Source]

    /// The figures of one source.
    public struct Source: Sendable, Equatable {
        public let name: String
        /// Queries sent.
        public var batches: UInt64 = 0
        /// Rows asked for, rows that came, and values for which there was none.
        public var loads: UInt64 = 0
        public var rows: UInt64 = 0
        public var negatives: UInt64 = 0
        /// Rows wanted that were already on their way for someone else.
        public var joined: UInt64 = 0
        /// Loads that failed, and rows refused because the breaker was open.
        public var failures: UInt64 = 0
        public var refused: UInt64 = 0
        /// Keys dropped because PostgreSQL said so, and the times that the whole source was.
        public var invalidations: UInt64 = 0
        public var flushes: UInt64 = 0
        public var breaker = "closed"
        /// Whether the triggers are as they should be, so that rows may be kept.
        public var isWatched = false
        public var lastError = ""
    }
}

/// The limits of the records thread; the directives set the first three.
public struct RecordOptions: Sendable {
    public var url: String
    public var breakerThreshold = 3
    public var breakerTimeoutMilliseconds: Int64 = 60_000
    /// The server's limits for one load. Together they bound how long a notification can be held
    /// up.
    public var lockTimeoutMilliseconds: Int64 = 1000
    public var statementTimeoutMilliseconds: Int64 = 2000
    /// How long a request may wait, and how long the server may say nothing while something is
    /// awaited.
    public var requestTimeoutMilliseconds: Int64 = 3000
    public var silenceTimeoutMilliseconds: Int64 = 3000
    public var connectTimeoutMilliseconds: Int64 = 2000
    public var heartbeatMilliseconds: Int64 = 1000
    public var probeTimeoutMilliseconds: Int64 = 1000
    /// How often the probe is sent.
    public var probeIntervalMilliseconds: Int64 = 180_000
    /// How often the triggers and the shape of each table are looked at. It bounds for how long a
    /// row is answered as it was before its table was altered, which no trigger announces. Why so
    /// rarely: PostgreSQL shall see no query while all that is asked for is cached.
    public var tableCheckMilliseconds: Int64 = 180_000
    /// The life of an entry whose changes would not be announced: long enough to answer those who
    /// wait.
    public var unwatchedTimeToLiveMilliseconds: Int64 = 50
    public var pipelineDepth = 8
    public var batchCount = 100
    public var attemptsMax = 3

    public init(url: String) { self.url = url }

    /// The start-up options of the listening session.
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
