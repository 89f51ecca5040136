// SPDX-License-Identifier: Apache-2.0
import Base
import Storage

/// What commands ask of the server as a whole. The Server module implements it; tests may implement
/// less.
///
/// Commands on keys do not use it.
public protocol ServerControl: AnyObject, Sendable {
    var commands: CommandTable { get }
    var reclaimer: Reclaimer { get }
    var slowLog: SlowLog { get }
    var latencyEvents: LatencyEvents { get }

    // CONFIG
    /// Name and value of every directive that matches one of the glob patterns, in lower case,
    /// sorted. Nil if a pattern is too long.
    func configurationGet(_ patterns: [[UInt8]]) -> [(name: String, value: String)]?
    /// Sets all or none. Returns an error's text without "ERR".
    func configurationSet(_ changes: [(name: [UInt8], value: [UInt8])]) -> String?
    /// Rewrites the configuration file. Returns an error's text.
    func configurationRewrite() -> String?
    func resetStatistics()

    // INFO
    /// The text of the named sections ("default", "all" and "everything" too), for a session of
    /// `tenant` served by `worker`.
    func information(
        _ sections: [String], for tenant: TenantReference, on worker: WorkerReference
    ) -> String
    func memoryFigures() -> MemoryFigures
    /// The allocator's own report.
    func allocatorReport() -> String
    /// Gives unused pages back to the system.
    func purgeMemory()

    /// How often a command took how long, over all threads; nil if nothing was counted.
    func latencyDistribution(_ number: Int) -> LatencyDistribution?
    /// The rate of the clock that times commands.
    var ticksPerMicrosecond: Double { get }

    // CLIENT
    /// Calls `body` with every session of every thread, each while its thread stands still. `body`
    /// returns true to close the session.
    func forEachSession(_ body: (borrowing SessionState) -> Bool)
    /// Runs `body` while no other thread runs commands. Inside it `forEachSession` does not wait.
    /// EXEC uses this before it locks shards, if administrative commands are queued.
    func whileStandingStill<Result>(_ body: () -> Result) -> Result
    /// Holds back commands until `deadline` (milliseconds since 1970): all, or only those that may
    /// write.
    func pause(until deadline: Milliseconds, onlyWrites: Bool)
    func unpause()

    // AUTH
    /// Finds the tenant for a user name and a password, or for a tenant's secret.
    func authenticate(user: [UInt8]?, password: [UInt8]) -> Authentication
    /// Ends all sessions of a tenant.
    func closeSessions(of tenant: TenantReference)
    /// The digest of a secret, as it is stored.
    func digest(secret: [UInt8]) -> [UInt8]
    /// A secret that nobody can guess: 256 random bits as text.
    func makeSecret() -> String

    // Records
    /// Drops all cached keys of row `id` in every source: the key with the id at once, the others
    /// soon. Returns how many were dropped at once.
    func invalidateRecord(id: [UInt8], on worker: WorkerReference) -> Int
    /// The reply to RECORDS STATS: a flat list of names and values for each source.
    func recordStatistics() -> [[(name: String, value: String)]]
    /// The reply to RECORDS SOURCES: a list of names and values for each source.
    func recordSources() -> [[(name: String, value: String)]]
    /// Begins to load the row of `key`. False if no source answers that key.
    func loadRecord(_ key: [UInt8]) -> Bool
    /// Drops all keys of a source soon. False if there is no such source.
    func invalidateRecords(source: String) -> Bool

    // SHUTDOWN
    /// Begins to drain and stop, or with `abort` cancels that. False if that is not possible.
    func shutdown(abort: Bool) -> Bool
}

/// The server, as its threads know it: not counted.
@safe
public struct ServerReference: Sendable {
    // Safety: the server outlives its threads and so every command. Why not counted: all threads
    // would change the count for every command.
    private unowned(unsafe) let server: any ServerControl

    public init(_ server: any ServerControl) { unsafe self.server = server }

    @inline(__always)
    public var control: any ServerControl { unsafe server }
}

/// The outcome of AUTH.
public enum Authentication {
    case refused
    /// A password was sent, but the server has none.
    case noPasswordSet
    case server
    case tenant(TenantReference)
}
