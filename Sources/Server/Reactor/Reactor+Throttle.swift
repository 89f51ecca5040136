// SPDX-License-Identifier: Apache-2.0
import Base
import Networking
import Sessions
import Storage

/// The sessions of one throttled tenant that wait on one reactor, first come, first served.
struct ThrottleQueue {
    private var waits: [Wait] = []
    /// Waits before it are over.
    private var first = 0
    /// Fires when the tenant's budget allows the first of them one operation.
    var timer: TimerID?
    /// How many of the waits are not over.
    var liveCount = 0

    mutating func append(_ wait: Wait) { waits.append(wait) }

    /// Puts back what `popFirst` took.
    mutating func prepend(_ wait: Wait) {
        if first == 0 {
            waits.insert(wait, at: 0)
        } else {
            first -= 1
            waits[first] = wait
        }
    }

    mutating func popFirst() -> Wait? {
        guard first < waits.count else { return nil }
        let wait = waits[first]
        first += 1
        if first > 64 && first > waits.count / 2 {
            waits.removeFirst(first)
            first = 0
        }
        return wait
    }
}

// Throttled tenants: `at-limit=throttle` puts their sessions off instead of refusing requests.
//
// Why a queue per tenant with one timer: with a timer for each session, a thousand of them would
// wake for each operation that becomes free, and chance would decide who gets it. While a queue is
// not empty, the tenant's other sessions queue too, so none overtakes those that wait.
//
// A queue exists while a session waits in it, which keeps the tenant. It may also contain waits
// that are over, because their connections were closed; `resumeThrottled` skips them.
extension Reactor {
    /// The longest time until a budget is asked again. Why: the budget is shared with other
    /// reactors, whose sessions may leave their operations unused.
    private static let throttleMax: Milliseconds = 1000

    /// Adds a session that has begun to wait: at the end, unless it was just taken from the front
    /// and could not run.
    func queue(_ connection: ConnectionReference, _ wait: Wait, _ delay: Milliseconds) {
        let tenant = connection.pointee.session.state.pointee.tenant
        var queue = throttles[tenant] ?? ThrottleQueue()
        if throttleTurn == wait.token && !connection.pointee.hasAdvanced {
            queue.prepend(wait)
        } else {
            queue.append(wait)
        }
        if queue.timer == nil {
            queue.timer = timers.add(
                deadline: now + min(delay, Reactor.throttleMax), .throttled(tenant))
        }
        queue.liveCount += 1
        throttles[tenant] = queue
        connection.pointee.throttledBy = tenant
    }

    /// Called when a wait ends, in whatever way. Why the stored tenant: the session may have moved.
    func leaveQueue(_ connection: ConnectionReference) {
        guard let tenant = connection.pointee.throttledBy.take() else { return }
        throttles[tenant]?.liveCount -= 1
        guard throttles[tenant]?.liveCount == 0 else { return }
        if let timer = throttles[tenant]?.timer { timers.cancel(timer) }
        throttles[tenant] = nil
    }

    /// Whether the session must queue behind others of its tenant.
    @inline(__always)
    func mustQueue(_ connection: ConnectionReference) -> Bool {
        !throttles.isEmpty && throttleTurn != connection.pointee.token
            && throttles[connection.pointee.session.state.pointee.tenant] != nil
    }

    /// Serves waiting sessions of the tenant, one after the other, until one must wait again.
    @inline(never)
    func resumeThrottled(_ tenant: TenantReference) {
        throttles[tenant]?.timer = nil
        var served: [UInt64] = []
        while throttles[tenant]?.timer == nil {  // Bound: each turn takes one; see below.
            guard !hasHadTurn(tenant) else {
                throttles[tenant]?.timer = timers.add(deadline: now + 1, .throttled(tenant))
                break
            }
            guard let wait = throttles[tenant]?.popFirst() else { break }
            guard let connection = connections.find(wait.token),
                connection.pointee.waitSerial == wait.serial
            else { continue }
            throttleTurn = wait.token
            endWait(connection)
            connection.pointee.session.state.pointee.lastActiveAt = now
            connection.pointee.session.resume(.again)
            watch(connection)
            serveInput(connection)
            throttleTurn = 0
            served.append(wait.token)
        }
        sendAll()
        for token in served { settle(token) }
    }

    /// Asks all budgets again, because limits have changed.
    func resumeAllThrottled() {
        for tenant in Array(throttles.keys) {
            if let timer = throttles[tenant]?.timer { timers.cancel(timer) }
            resumeThrottled(tenant)
        }
    }
}
