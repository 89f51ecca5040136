// SPDX-License-Identifier: Apache-2.0
import Base
import Commands
import Storage
import Tenancy
import TestSupport

/// A server whose answers a test chooses, and which records the requests that it gets.
final class StageServer: QuietServer, @unchecked Sendable {
    /// The requests so far, in words.
    var notes: [String] = []
    /// The sessions that CLIENT LIST and CLIENT KILL visit.
    var sessions: [SessionReference] = []
    var closed: [UInt64] = []
    var configuration: [(name: String, value: String)] = []
    /// The failure of the next change of the configuration or of the tenants file.
    var refusal: String?
    var memory = MemoryFigures()
    /// Where AUTH looks for the tenant whose id is the password.
    var registry: TenantRegistry?
    var records: [[(name: String, value: String)]] = []
    /// What other threads do while a command waits for the standstill.
    var beforeStandstill: (() -> Void)?
    /// The tenants whose sessions were closed.
    var closedTenants: [TenantReference] = []

    static func host(
        plans: [Plan] = [], _ prepare: (StageServer) -> Void = { _ in }
    ) -> (Host, StageServer) {
        let host = Host(plans: plans, server: { StageServer($0) })
        guard let server = host.server as? StageServer else { fatalError("another server") }
        prepare(server)
        return (host, server)
    }

    private func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

    override func configurationGet(_ patterns: [[UInt8]]) -> [(name: String, value: String)]? {
        notes.append("get " + patterns.map(text).joined(separator: " "))
        return configuration
    }

    override func configurationSet(_ changes: [(name: [UInt8], value: [UInt8])]) -> String? {
        let words = changes.map { "\(text($0.name))=\(text($0.value))" }
        notes.append("set " + words.joined(separator: " "))
        return refusal
    }

    override func configurationRewrite() -> String? {
        notes.append("rewrite")
        return refusal
    }

    override func resetStatistics() { notes.append("reset") }

    override func information(
        _ sections: [String], for tenant: TenantReference, on worker: WorkerReference
    ) -> String {
        notes.append("information " + sections.joined(separator: " "))
        return "# \(tenant.id.string)\r\n"
    }

    override func memoryFigures() -> MemoryFigures { memory }
    override func allocatorReport() -> String { "a report" }
    override func purgeMemory() { notes.append("purge") }

    override func forEachSession(_ body: (borrowing SessionState) -> Bool) {
        for session in sessions where body(session.pointee) { closed.append(session.pointee.id) }
    }

    override func whileStandingStill<Result>(_ body: () -> Result) -> Result {
        beforeStandstill?()
        return body()
    }

    override func pause(until deadline: Milliseconds, onlyWrites: Bool) {
        let left = deadline - Clock.nowMilliseconds
        notes.append("pause \((left + 500) / 1000) \(onlyWrites ? "writes" : "all")")
    }

    override func unpause() { notes.append("unpause") }

    override func authenticate(user: [UInt8]?, password: [UInt8]) -> Authentication {
        guard let tenant = password.withBytes({ registry?.find($0) }) else { return .refused }
        return .tenant(tenant)
    }

    override func make(_ change: TenantChange, in registry: TenantRegistry) -> String? {
        if case .refused(let text) = change.check(registry) { return text }
        notes.append("save")
        return refusal.map { "ERR \($0)" } ?? change.apply(registry, self)
    }

    override func closeSessions(of tenant: TenantReference) {
        notes.append("close \(tenant.id.string)")
        closedTenants.append(tenant)
    }

    override func invalidateRecord(id: [UInt8], on worker: WorkerReference) -> Int {
        notes.append("invalidate \(text(id))")
        return id.count
    }

    override func recordStatistics() -> [[(name: String, value: String)]] { records }
    override func recordSources() -> [[(name: String, value: String)]] { records }
    override func loadRecord(_ key: [UInt8]) -> Bool { text(key).hasPrefix("user:") }
    override func invalidateRecords(source: String) -> Bool { source == "users" }

    override func shutdown(abort: Bool) -> Bool {
        notes.append(abort ? "abort" : "shutdown")
        return refusal == nil
    }
}
