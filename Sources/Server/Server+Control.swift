// SPDX-License-Identifier: Apache-2.0
import Base
import Commands
import Records
import Storage
import Synchronization

// What commands ask of the whole server.
extension Server: ServerControl {
    public func configurationGet(_ patterns: [[UInt8]]) -> [(name: String, value: String)]? {
        configuration.get(patterns)
    }

    public func configurationSet(_ changes: [(name: [UInt8], value: [UInt8])]) -> String? {
        let passwords = changes.filter { $0.name.map(ASCII.lower) == Array("requirepass".utf8) }
        guard !passwords.isEmpty else { return configuration.set(changes) }
        return tenantKeeper.whileSecretsRest { isSecret in
            for password in passwords where isSecret(Secret.digest(password.value)) {
                return "CONFIG SET failed (possibly related to argument 'requirepass') - "
                    + "a tenant has that password as its secret"
            }
            return configuration.set(changes)
        }
    }

    public func configurationRewrite() -> String? { configuration.rewrite() }

    // MARK: - CLIENT PAUSE

    public func pause(until deadline: Milliseconds, onlyWrites: Bool) {
        // Why monotonic: a pause lasts as long as the client asked for, even if wall time jumps.
        let now = Clock.monotonicMilliseconds
        let (sum, overflowed) = now.addingReportingOverflow(deadline - Clock.nowMilliseconds)
        let end = overflowed ? Int.max : Int(max(now, sum))
        pauseLock.withLock { _ in
            // Redis keeps the later end and the stricter kind of two pauses.
            let recorded = pauseState.deadline.load(ordering: .relaxed)
            let isPaused = recorded > now
            if !(isPaused && !pauseState.onlyWrites.load(ordering: .relaxed) && onlyWrites) {
                pauseState.onlyWrites.store(onlyWrites, ordering: .relaxed)
            }
            pauseState.deadline.store(isPaused ? max(recorded, end) : end, ordering: .relaxed)
            settings.values.pointee.expiryPausedUntil.set(.max)
        }
    }

    public func unpause() {
        pauseLock.withLock { _ in clearPause() }
        for reactor in reactors { reactor.mailbox.post(.unpaused) }
    }

    /// Whether the pause is over at this moment of monotonic time. The first reactor that finds it
    /// over ends it; every reactor wakes at the deadline.
    func endPause(at now: Milliseconds) -> Bool {
        guard pauseState.deadline.load(ordering: .relaxed) <= now else { return false }
        return pauseLock.withLock { _ in
            // Why again: another thread may just have begun the next pause.
            guard pauseState.deadline.load(ordering: .relaxed) <= now else { return false }
            clearPause()
            return true
        }
    }

    private func clearPause() {
        pauseState.deadline.store(0, ordering: .relaxed)
        settings.values.pointee.expiryPausedUntil.set(0)
    }

    // MARK: - AUTH and tenants

    public func authenticate(user: [UInt8]?, password: [UInt8]) -> Authentication {
        let required = Array(configuration.text("requirepass").utf8)
        let isDefault = user == nil || user == Array("default".utf8)
        if isDefault && !required.isEmpty && Server.isEqual(required, password) { return .server }
        if registry.hasSecrets {
            if let tenant = registry.tenant(secretDigest: Secret.digest(password)),
                isDefault || user == tenant.id.array
            {
                return .tenant(tenant)
            }
            return .refused
        }
        if isDefault && required.isEmpty { return user == nil ? .noPasswordSet : .server }
        return .refused
    }

    /// Equality in constant time: the time does not reveal where the difference is.
    private static func isEqual(_ left: [UInt8], _ right: [UInt8]) -> Bool {
        guard left.count == right.count else { return false }
        var difference: UInt8 = 0
        for index in 0..<left.count { difference |= left[index] ^ right[index] }
        return difference == 0
    }

    public func digest(secret: [UInt8]) -> [UInt8] { Secret.digest(secret) }

    /// Closes the tenant's sessions. They run nothing more and let go of the tenant at once: it may
    /// be freed when this returns.
    public func closeSessions(of tenant: TenantReference) {
        whileStandingStill {
            for reactor in reactors {
                for connection in reactor.connections.all {
                    let state = connection.pointee.session.state
                    guard state.pointee.tenant == tenant else { continue }
                    reactor.worker.unwatchAll(&state.pointee.watched)
                    state.pointee.transaction.reset()
                    registry.nobody.pointee.connections.wrappingAdd(1, ordering: .relaxed)
                    // Why nobody and unauthenticated: a session may be in the middle of a command
                    // that waits for this standstill, and must not continue with more rights.
                    state.pointee.move(to: registry.nobody, registry)
                    state.pointee.isAuthenticated = false
                    reactor.kill(connection)
                }
            }
        }
    }

    public func shutdown(abort: Bool) -> Bool {
        guard !abort else { return false }
        stop()
        return true
    }
}
