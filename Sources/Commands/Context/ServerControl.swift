// SPDX-License-Identifier: Apache-2.0
import Base
import Storage
import Tenancy

/// What commands ask of the server as a whole. The Server module implements it; tests may do so
/// with less.
///
/// Nothing here is on the path of a command on keys.
public protocol ServerControl: AnyObject, Sendable {
    var commands: CommandTable { get }
    var reclaimer: Reclaimer { get }

    // CONFIG
    /// Name and value of every directive that one of the glob patterns matches, in lower case,
    /// sorted.
    func configurationGet(_ patterns: [[UInt8]]) -> [(name: String, value: String)]
    /// Sets all or none; returns the error's text without "ERR".
    func configurationSet(_ changes: [(name: [UInt8], value: [UInt8])]) -> String?
    /// Rewrites the configuration file; returns an error's text.
    func configurationRewrite() -> String?
    func resetStatistics()

    // INFO
    /// The text of the named sections ("default", "all", "everything" too), for a session of
    /// `tenant` that `worker` serves.
    func information(
        _ sections: [String], for tenant: TenantReference, on worker: WorkerReference
    ) -> String
    func memoryFigures() -> MemoryFigures
    /// The allocator's own report.
    func allocatorReport() -> String
    /// Gives unused pages back to the system.
    func purgeMemory()

    // CLIENT
    /// Calls `body` with every session of every thread while it stands still; `body` returns true
    /// to have it closed.
    func forEachSession(_ body: (borrowing SessionState) -> Bool)
    /// Runs `body` while no other thread runs commands. `forEachSession` inside it is then free of
    /// waiting; EXEC does so before it takes shards, when it has queued administrative commands.
    func whileStandingStill<Result>(_ body: () -> Result) -> Result
    /// Holds back commands until `deadline` (milliseconds since 1970): all of them, or only those
    /// that may write.
    func pause(until deadline: Milliseconds, onlyWrites: Bool)
    func unpause()

    // AUTH
    /// The tenant that a user name and a password, or a tenant's secret, stand for; nil where they
    /// are wrong.
    func authenticate(user: [UInt8]?, password: [UInt8]) -> Authentication
    /// TENANT CREATE and its siblings changed something: writes the tenants file. Returns an
    /// error's text.
    func saveTenants() -> String?
    /// Ends all sessions of a tenant.
    func closeSessions(of tenant: TenantReference)
    /// The digest under which a secret is kept.
    func digest(secret: [UInt8]) -> [UInt8]
    /// A secret that nobody can guess: 256 random bits as text.
    func makeSecret() -> String

    // Records
    /// Drops every cached key of the row that `id` names in every source, the key that has the id
    /// in it at once and the others soon; returns how many were dropped at once.
    func invalidateRecord(id: [UInt8], on worker: WorkerReference) -> Int
    /// Answers RECORDS SOURCES and STATS as flat lists of names and values, one list for each
    /// source.
    func recordStatistics() -> [[(name: String, value: String)]]
    /// What the sources are: for each a list of names and values.
    func recordSources() -> [[(name: String, value: String)]]
    /// Begins to load the row of `key`; false where no source answers that key.
    func loadRecord(_ key: [UInt8]) -> Bool
    /// Whether a source of that name was there: all its keys are dropped soon.
    func invalidateRecords(source: String) -> Bool

    // SHUTDOWN
    /// Begins to drain and stop, or with `abort` takes that back; false where that cannot be.
    func shutdown(abort: Bool) -> Bool
}

/// The server, as its threads know it: not counted.
@safe
public struct ServerReference: Sendable {
    // Safety: the server outlives its threads, and so every command. Why not counted: it would be
    // for each command, by all threads.
    private unowned(unsafe) let server: any ServerControl

    public init(_ server: any ServerControl) { unsafe self.server = server }

    @inline(__always)
    public var control: any ServerControl { unsafe server }
}

/// The outcome of AUTH.
public enum Authentication {
    case refused
    /// A password was sent, and the server has none.
    case noPasswordSet
    case server
    case tenant(TenantReference)
}
