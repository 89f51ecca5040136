// SPDX-License-Identifier: Apache-2.0
import Base
import Networking
import Sessions
import Storage
import Synchronization

// Sessions that wait for records, for a budget, or for the end of a pause.
extension Reactor {
    /// Stops reading from the connection until its session is resumed.
    func suspend(_ connection: ConnectionReference) {
        guard let suspension = connection.pointee.session.suspension else { return }
        lastWait = lastWait < Wait.serialMax ? lastWait + 1 : 1
        let wait = Wait(token: connection.pointee.token, serial: lastWait)
        connection.pointee.waitSerial = wait.serial
        connection.pointee.session.state.pointee.isBlocked = true
        blockedCount.wrappingAdd(1, ordering: .relaxed)
        watch(connection)
        switch suspension {
        case .throttled(let milliseconds):
            queue(connection, wait, milliseconds)
        case .paused:
            pausedCount += 1
            if connection.pointee.knowsOfEnd { limitWait(connection) }
        case .busy: queueForShard(wait)
        case .records(let keys): server.loadRecords(keys, reactor: self, wait: wait)
        case .tenantChange(let change):
            let mailbox = mailbox
            server.tenantKeeper.request(change) { mailbox.post(.resume(wait, .answered($0))) }
        }
    }

    /// Resumes a session that waited. Does nothing if that wait is over: the session may be gone,
    /// may be serving, or may be in a later wait.
    func resume(_ wait: Wait, _ resumption: Resumption) {
        guard let connection = connections.find(wait.token),
            connection.pointee.waitSerial == wait.serial
        else { return }
        endWait(connection)
        // Why: it is the server that let the client wait.
        connection.pointee.session.state.pointee.lastActiveAt = now
        connection.pointee.session.resume(resumption)
        watch(connection)
        serveInput(connection)
        sendAll()
        settle(wait.token)
    }

    /// Undoes what `suspend` arranged, if the session waits.
    @inline(never)
    func endWait(_ connection: ConnectionReference) {
        guard connection.pointee.isSuspended else { return }
        connection.pointee.waitSerial = 0
        connection.pointee.session.state.pointee.isBlocked = false
        if connection.pointee.session.suspension == .paused { pausedCount -= 1 }
        leaveQueue(connection)
        if let timer = connection.pointee.waitTimer.take() { timers.cancel(timer) }
        blockedCount.wrappingSubtract(1, ordering: .relaxed)
    }

    /// The client of a session that waits or is held back has closed its side. It may still read,
    /// or may be gone; only sending a reply shows which.
    @inline(never)
    func hearEnd(_ connection: ConnectionReference) {
        connection.pointee.knowsOfEnd = true
        if connection.pointee.session.suspension == .paused { limitWait(connection) }
        watch(connection)
    }

    /// How long a session that is paused outlives the end of its client's requests.
    static let gonePatience: Milliseconds = 3000

    /// Lets a paused session wait only a little longer. Why: a pause may last long, and clients
    /// that gave up and came back would fill the server with sessions. Other waits end soon.
    private func limitWait(_ connection: ConnectionReference) {
        let wait = Wait(
            token: connection.pointee.token, serial: connection.pointee.waitSerial)
        connection.pointee.waitTimer = timers.add(
            deadline: now + Reactor.gonePatience, .gone(wait))
    }

    func closeGone(_ wait: Wait) {
        guard let connection = connections.find(wait.token),
            connection.pointee.waitSerial == wait.serial
        else { return }
        close(connection)
    }

    /// Ends the pause for all if it is over, and resumes this reactor's paused sessions in the
    /// order in which they were paused.
    func endPauseIfOver() {
        guard server.endPause(at: now) else { return }
        // Entries that expired during the pause still have to be removed.
        nextSweep = now
        guard pausedCount > 0 else { return }
        let waits = connections.all
            .filter { $0.pointee.isSuspended && $0.pointee.session.suspension == .paused }
            .map { Wait(token: $0.pointee.token, serial: $0.pointee.waitSerial) }
            .sorted { $0.serial < $1.serial }
        for wait in waits { resume(wait, .again) }
    }
}
