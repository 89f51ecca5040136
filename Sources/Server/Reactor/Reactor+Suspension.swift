// SPDX-License-Identifier: Apache-2.0
import Base
import Networking
import Sessions
import Storage
import Synchronization

// Sessions that wait: for records, for a budget, for the end of a pause.
extension Reactor {
    /// Stops reading from the connection until its session is resumed.
    func suspend(_ connection: ConnectionReference) {
        guard let suspension = connection.pointee.session.suspension else { return }
        connection.pointee.isSuspended = true
        connection.pointee.session.state.pointee.isBlocked = true
        blockedCount.wrappingAdd(1, ordering: .relaxed)
        watch(connection)
        let token = connection.pointee.token
        switch suspension {
        case .throttled(let milliseconds):
            timers.add(deadline: now + milliseconds, token: token)
        case .paused:
            paused.append(token)
            let deadline = server.pauseState.deadline.load(ordering: .relaxed)
            timers.add(deadline: Int64(deadline), token: Reactor.specialBit)
        case .records(let keys):
            server.loadRecords(keys, reactor: self, token: token)
        }
    }

    /// Goes on with a session that waited. One that is not waiting, or is gone, is left alone.
    func resume(_ token: UInt64, failure: String?, withoutRecords: Bool = false) {
        guard let connection = connections.find(token), connection.pointee.isSuspended else {
            return
        }
        connection.pointee.isSuspended = false
        connection.pointee.session.state.pointee.isBlocked = false
        blockedCount.wrappingSubtract(1, ordering: .relaxed)
        connection.pointee.session.resume(failure: failure, withoutRecords: withoutRecords)
        watch(connection)
        serveInput(connection)
        sendAll()
        settle(token)
    }

    /// The client of a session that waits sends no more. It may still read, or may be gone
    /// altogether: that shows only when it is answered.
    func hearEnd(_ connection: ConnectionReference) {
        // Why: a pause may last long, and nobody but the client wants what it holds back. Other
        // waits end soon.
        if connection.pointee.session.suspension == .paused { return close(connection) }
        connection.pointee.knowsOfEnd = true
        watch(connection)
    }

    /// Lets the paused sessions go on if the pause is over.
    func endPauseIfOver() {
        let deadline = Int64(server.pauseState.deadline.load(ordering: .relaxed))
        if deadline > now {
            timers.add(deadline: deadline, token: Reactor.specialBit)
            return
        }
        // Why an exchange: another thread may just have begun the next pause.
        _ = server.pauseState.deadline.compareExchange(
            expected: Int(deadline), desired: 0, ordering: .relaxed)
        // What has expired meanwhile waits to be removed.
        nextSweep = now
        let tokens = paused
        paused = []
        for token in tokens { resume(token, failure: nil) }
    }
}
