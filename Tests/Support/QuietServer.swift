// SPDX-License-Identifier: Apache-2.0
import Base
import Commands
import Storage

/// A server with empty answers, for tests of code that needs no server. A test that needs an answer
/// overrides the method.
open class QuietServer: ServerControl, @unchecked Sendable {
    public let commands: CommandTable
    public let reclaimer = Reclaimer.shared
    public let slowLog = SlowLog()
    public let latencyEvents = LatencyEvents()
    public var ticksPerMicrosecond: Double { 1 }

    public init(_ commands: CommandTable) { self.commands = commands }

    open func configurationGet(_ patterns: [[UInt8]]) -> [(name: String, value: String)]? { [] }
    open func configurationSet(_ changes: [(name: [UInt8], value: [UInt8])]) -> String? { nil }
    open func configurationRewrite() -> String? { nil }
    open func resetStatistics() {}

    open func information(
        _ sections: [String], for tenant: TenantReference, on worker: WorkerReference
    ) -> String { "" }
    open func memoryFigures() -> MemoryFigures { MemoryFigures() }
    open func allocatorReport() -> String { "" }
    open func purgeMemory() {}
    open func latencyDistribution(_ number: Int) -> LatencyDistribution? { nil }

    open func forEachSession(_ body: (borrowing SessionState) -> Bool) {}
    open func whileStandingStill<Result>(_ body: () -> Result) -> Result { body() }
    open func pause(until deadline: Milliseconds, onlyWrites: Bool) {}
    open func unpause() {}

    open func authenticate(user: [UInt8]?, password: [UInt8]) -> Authentication { .refused }
    /// Makes a change of a tenant, for which a session waits. Returns an error reply, or nil.
    open func make(_ change: TenantChange, in registry: TenantRegistry) -> String? {
        if case .refused(let text) = change.check(registry) { return text }
        return change.apply(registry, self)
    }
    open func closeSessions(of tenant: TenantReference) {}
    open func digest(secret: [UInt8]) -> [UInt8] { secret }
    open func makeSecret() -> String { "secret" }

    open func invalidateRecord(id: [UInt8], on worker: WorkerReference) -> Int { 0 }
    open func recordStatistics() -> [[(name: String, value: String)]] { [] }
    open func recordSources() -> [[(name: String, value: String)]] { [] }
    open func loadRecord(_ key: [UInt8]) -> Bool { false }
    open func invalidateRecords(source: String) -> Bool { false }

    open func shutdown(abort: Bool) -> Bool { true }
}
