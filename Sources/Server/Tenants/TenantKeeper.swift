// SPDX-License-Identifier: Apache-2.0
import Base
import Commands
import Sessions
import Storage
import Synchronization

/// Makes the changes that TENANT commands ask for: checks each, writes it to the tenants file, and
/// applies it.
///
///     session ─► suspended           ┌─ check all that wait ─► write them, one sync ─► apply ─┐
///        request ─► queue ─► thread ─┘                                        outcome ◄───────┘
///
/// Why a thread of its own: a disk may take seconds for a sync, and nobody else shall wait for it.
/// Changes that come meanwhile are written together with the next sync.
// Safety: `file` is used by the thread alone. `thread` and `server` are written by `start`, before
// the thread and all others run.
public final class TenantKeeper: @unchecked Sendable {
    typealias Outcome = Resumption.Outcome

    struct Request: Sendable {
        let change: TenantChange
        let answer: @Sendable (Outcome) -> Void
    }

    private struct Queue {
        var requests: [Request] = []
        var isEnding = false
    }

    private let registry: TenantRegistry
    /// Tenants that the configuration declares: the file does not have them.
    private let declared: Set<[UInt8]>
    private let queue = Mutex(Queue())
    private let wakeUp = Semaphore()
    /// Secrets that are being written and are not yet in the registry. Held while a new secret or a
    /// new password is compared with the others.
    private let secrets = Mutex<Set<[UInt8]>>([])
    private let participant = Reclamation.Participant()
    private let file: TenantFile
    private var thread: Thread?
    // Safety: the server outlives the thread, which it joins.
    private unowned(unsafe) var server: Server?

    init(_ registry: TenantRegistry, _ path: String, declared: Set<[UInt8]>) {
        self.registry = registry
        self.declared = declared
        file = TenantFile(path)
    }

    deinit { participant.giveBack() }

    // MARK: - What other threads call

    /// Starts the thread; false if the system refuses.
    func start(for server: Server) -> Bool {
        self.server = server
        thread = Thread("tenants") { [unowned self] in run() }
        return thread != nil
    }

    /// Makes what was requested, and ends the thread.
    func stop() {
        queue.withLock { $0.isEnding = true }
        wakeUp.post()
        thread?.join()
        thread = nil
    }

    /// Makes the change soon. `answer` is called on the keeper's thread.
    func request(_ change: TenantChange, _ answer: @escaping @Sendable (Outcome) -> Void) {
        queue.withLock { $0.requests.append(Request(change: change, answer: answer)) }
        wakeUp.post()
    }

    /// Runs `body` while no tenant gets a secret. `isSecret` tells whether a tenant has one, or
    /// soon will.
    func whileSecretsRest<Result>(_ body: ((_ digest: [UInt8]) -> Bool) -> Result) -> Result {
        secrets.withLock { pending in
            let written = pending
            return body { written.contains($0) || registry.tenant(secretDigest: $0) != nil }
        }
    }

    // MARK: - The thread

    private func run() {
        var waiting: ArraySlice<Request> = []
        while true {  // Bound: until `stop`.
            let isEnding = queue.withLock { queue in
                waiting += queue.requests
                queue.requests = []
                return queue.isEnding
            }
            if waiting.isEmpty {
                if isEnding { return }
                wakeUp.wait()
            } else {
                waiting = makeFirst(of: waiting)
            }
        }
    }

    /// A change that was checked and may be written.
    private struct Step {
        let request: Request
        /// Nil if nothing is kept of the tenant.
        var line: String?
    }

    /// Makes changes from the front, up to the first that depends on one of them. Returns the rest.
    private func makeFirst(of requests: ArraySlice<Request>) -> ArraySlice<Request> {
        participant.enter()
        var steps: [Step] = []
        var names: Set<[UInt8]> = []
        var digests: Set<[UInt8]> = []
        var rest = requests
        while let request = rest.first {
            let change = request.change
            // Why: a change is checked against the registry, which does not show earlier ones of
            // this round.
            guard names.insert(change.id).inserted,
                change.newDigest.map({ digests.insert($0).inserted }) ?? true
            else { break }
            rest = rest.dropFirst()
            if let step = check(request) { steps.append(step) }
        }
        let lines = steps.compactMap(\.line)
        participant.leave()
        let problem = write(lines)
        participant.enter()
        var outcomes: [Outcome] = []
        for step in steps {
            if let problem, step.line != nil {
                outcomes.append(.error(problem))
            } else if let text = apply(step.request.change) {
                outcomes.append(.error(text))
            } else {
                outcomes.append(step.request.change.madeSecret.map { .bulk($0) } ?? .ok)
            }
        }
        participant.leave()
        secrets.withLock { $0.removeAll() }
        server?.refreshPasswordRequired()
        for (step, outcome) in zip(steps, outcomes) { step.request.answer(outcome) }
        return rest
    }

    /// Nil after a refusal was answered.
    private func check(_ request: Request) -> Step? {
        let change = request.change
        let verdict = secrets.withLock { pending -> TenantChange.Verdict in
            let verdict = change.check(registry)
            if case .refused = verdict { return verdict }
            guard let digest = change.newDigest else { return verdict }
            if digest == server?.passwordDigest { return .refused(TENANT.passwordInUse) }
            pending.insert(digest)
            return verdict
        }
        let isDeclared = declared.contains(change.id)
        switch verdict {
        case .refused(let text):
            request.answer(.error(text))
            return nil
        case .unwritten: return Step(request: request)
        case .kept(let tenant):
            return Step(request: request, line: isDeclared ? nil : TenantFile.line(tenant))
        case .forgotten:
            return Step(
                request: request, line: isDeclared ? nil : TenantFile.lineOfDeleted(change.id))
        }
    }

    /// Returns an error reply, or nil.
    private func write(_ lines: [String]) -> String? {
        guard !lines.isEmpty else { return nil }
        do throws(TextFile.Failure) {
            try file.append(lines) {
                participant.enter()
                defer { participant.leave() }
                return registry.keptTenants.filter { !declared.contains($0.id) }
                    .map(TenantFile.line)
            }
        } catch {
            return "ERR the tenants file \(file.path) could not be written: \(error.reason)"
        }
        return nil
    }

    private func apply(_ change: TenantChange) -> String? {
        guard let server else { return "ERR the server has not started" }
        return change.apply(registry, server)
    }
}
