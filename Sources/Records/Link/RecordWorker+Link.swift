// SPDX-License-Identifier: Apache-2.0

/// Connecting, checking that changes are announced, and handling a lost connection.
extension RecordWorker {
    func connect() {
        phase = .connecting
        if !connector.connect() { attemptFailed(RecordError("the system refuses another thread")) }
    }

    /// Takes over a connection: first LISTEN, committed by a Sync of its own, then the checks.
    func adopt(_ arrival: RecordArrival) {
        guard !isStopping, let handle = arrival.take() else { return }
        guard let wire = PostgresWire(handle) else {
            attemptFailed(RecordError("PostgreSQL: the connection could not be set up"))
            return
        }
        self.wire = wire
        pump = RecordPump()
        statements = statements.map { _ in Statement() }
        shapes = shapes.map { _ in nil }
        loadsOutstanding = 0
        lostReason = nil
        hasUnsent = false
        lastReplyCount = 0
        lastProgressMilliseconds = nowMilliseconds
        isProven = false
        phase = .checking(remaining: 2 + catalog.sources.count)
        board.update { $0.link = .checking }
        send(.listen) { $0.sendQuery("listen \(RecordSQL.channel)") }
        send(.settings) { $0.sendQuery(RecordSQL.settingsCheck) }
        sendTableChecks()
    }

    func sendTableChecks() {
        nextTableCheckMilliseconds = Int64.max
        for (index, source) in catalog.sources.enumerated() {
            send(.triggers(source: index)) { $0.sendQuery(RecordSQL.tableCheck(source)) }
        }
    }

    func attemptFailed(_ error: RecordError) {
        var text = error.message
        if text.contains("unsupported startup parameter") {
            text +=
                "; a pool stands before PostgreSQL that refuses start-up options, give postgres-url"
            text += " a direct connection"
        }
        report(.warning, "records: \(text)")
        fallBack(text)
    }

    /// The connection is lost: from now on every entry may be out of date.
    func lose(_ reason: String) {
        guard wire != nil else { return }
        wire = nil
        let pending = pump.takePending()
        pump = RecordPump()
        probe = nil
        nextProbeMilliseconds = Int64.max
        nextTableCheckMilliseconds = Int64.max
        isProven = false
        for (index, source) in catalog.sources.enumerated() {
            isWatched[index] = false
            guard !isSuspect[index] else { continue }
            if source.staleTimeToLiveMilliseconds > 0 {
                isSuspect[index] = true
                cache.suspectAll(
                    source: index, staleTimeToLiveMilliseconds: source.staleTimeToLiveMilliseconds)
            } else {
                cache.removeAll(source: index)
            }
            board.update(index) {
                $0.isWatched = false
                $0.flushes += 1
            }
        }
        // Why uncounted: the loss counts as one failure of every source.
        for case .load(let load) in pending {
            _ = flights.sendAgain(load.batch, attemptsMax: options.attemptsMax)
        }
        loadsOutstanding = 0
        report(.warning, "records: connection lost: \(reason)")
        fallBack(reason)
    }

    /// Counts a failure of the link for every source and schedules the next attempt.
    private func fallBack(_ reason: String) {
        board.update {
            $0.link = .connecting
            $0.lastError = reason
        }
        for index in breakers.indices {
            countFailure(index, reason)
            if !isClosed(index) {
                flights.failQueued(source: index)
            }
        }
        var random = SystemRandomNumberGenerator()
        phase = .waiting(untilMilliseconds: nowMilliseconds + backoff.next(random: random.next()))
    }

    private func isClosed(_ source: Int) -> Bool {
        if case .closed = breakers[source].state { return true }
        return false
    }

    /// Counts a failure. If it opens the breaker, the source's queued loads fail.
    func countFailure(_ source: Int, _ reason: String) {
        let hasOpened = breakers[source].fail(nowMilliseconds: nowMilliseconds)
        let name = breakers[source].name
        board.update(source) {
            $0.failures += 1
            $0.lastError = reason
            $0.breaker = name
        }
        guard hasOpened else { return }
        flights.failQueued(source: source)
        report(
            .warning, "records: source \(catalog.sources[source].name) is unavailable: \(reason)")
    }

    func checkDone() {
        guard case .checking(let remaining) = phase else { return }
        phase = .checking(remaining: remaining - 1)
        // Why: the probe comes last. A pool that shares sessions lends one while answers are
        // outstanding, so a notification received in that time would prove nothing.
        if remaining == 1, lostReason == nil { startProbe() }
    }

    /// Allows loads once every check has an answer and the probe has arrived or failed.
    func becomeReadyIfChecked() {
        guard phase == .checking(remaining: 0), lostReason == nil else { return }
        phase = .ready
        backoff.reset()
        for index in catalog.sources.indices {
            breakers[index].succeed()
            if isSuspect[index] { cache.removeAll(source: index) }
            isSuspect[index] = false
            board.update(index) { $0.breaker = "closed" }
        }
        let isReconnection = hasBeenReady
        hasBeenReady = true
        board.update { $0.reconnects += isReconnection ? 1 : 0 }
        showLink()
        report(.notice, "records: connected to PostgreSQL")
    }

    private func showLink() {
        guard phase == .ready else { return }
        let isProven = self.isProven
        board.update { $0.link = isProven ? .ready : .uncached }
    }

    // MARK: - The probe

    func startProbe() {
        var random = SystemRandomNumberGenerator()
        let nonce = String(random.next(), radix: 16) + String(random.next(), radix: 16)
        probeCount += 1
        nextProbeMilliseconds = Int64.max
        // Why: a server that is slow to accept another session has not lost a notification. Sending
        // takes two attempts to connect and one statement.
        let sending = isProven ? 3 * options.connectTimeoutMilliseconds : 0
        probe = Probe(
            number: probeCount, nonce: Array(nonce.utf8),
            deadlineMilliseconds: nowMilliseconds + sending + options.probeTimeoutMilliseconds)
        let payload = "\(RecordSource.probeName):\(nonce)"
        if !connector.probe(number: probeCount, payload: payload) {
            probeNotSent("the system refuses another thread")
        }
    }

    func probeArrived(_ nonce: [UInt8]) {
        guard let probe, probe.nonce == nonce else { return }
        self.probe = nil
        isProven = true
        nextProbeMilliseconds = nowMilliseconds + options.probeIntervalMilliseconds
        becomeReadyIfChecked()
        showLink()
    }

    /// Earlier proof for this connection stays valid: if a second connection cannot be made, for
    /// example because an application uses up all that the server allows, that says nothing about
    /// the first.
    func probeNotSent(_ reason: String) {
        guard isProven else { return probeFailed(reason) }
        probe = nil
        nextProbeMilliseconds =
            nowMilliseconds
            + min(options.probeIntervalMilliseconds, RecordWorker.soonMilliseconds)
        report(.warning, "records: a probe could not be sent: \(reason)")
    }

    /// Without proof nothing is kept: cached entries are dropped, and new ones expire after a
    /// moment.
    func probeFailed(_ reason: String) {
        guard probe != nil else { return }
        probe = nil
        isProven = false
        nextProbeMilliseconds = nowMilliseconds + RecordWorker.soonMilliseconds
        report(.warning, "records: nothing is cached: \(reason)")
        for index in catalog.sources.indices { flush(index) }
        board.update { $0.lastError = reason }
        becomeReadyIfChecked()
        showLink()
    }

    func flush(_ source: Int) {
        // Why: suspect entries are from before this connection and are dropped when it is ready.
        guard !isSuspect[source] else { return }
        cache.removeAll(source: source)
        board.update(source) { $0.flushes += 1 }
    }

    // MARK: - Answers to the checks

    func takeListen(_ reply: RecordReply) {
        guard case .failure(let code, let message) = reply else {
            return checkDone()
        }
        lostReason = code == "25006" ? "a standby cannot announce changes: \(message)" : message
    }

    func takeSettings(_ reply: RecordReply) {
        guard case .rows(let rows) = reply else {
            lostReason = "the session's settings could not be read"
            return
        }
        let wanted = [
            "lock_timeout": "\(options.lockTimeoutMilliseconds)",
            "statement_timeout": "\(options.statementTimeoutMilliseconds)",
            "default_transaction_read_only": "on",
        ]
        for row in rows where row.count == 2 {
            let name = String(decoding: row[0] ?? [], as: UTF8.self)
            let value = String(decoding: row[1] ?? [], as: UTF8.self)
            guard let want = wanted[name], want != value else { continue }
            lostReason =
                "\(name) is \(value), not \(want) as asked for; a pool that drops start-up options "
                + "stands before PostgreSQL, give postgres-url a direct connection"
            return
        }
        checkDone()
    }

    func takeTriggers(_ source: Int, _ reply: RecordReply) {
        let problem = triggerProblem(source, reply)
        let name = catalog.sources[source].name
        let often = options.tableCheckMilliseconds
        let soon = problem == nil ? often : min(often, RecordWorker.soonMilliseconds)
        nextTableCheckMilliseconds = min(nextTableCheckMilliseconds, nowMilliseconds + soon)
        noteShape(source, reply)
        if let problem {
            report(.warning, "records: source \(name) is not cached: \(problem)")
            if isWatched[source] { flush(source) }
        } else if !isWatched[source], phase == .ready {
            report(.notice, "records: source \(name) is cached")
        }
        isWatched[source] = problem == nil
        board.update(source) {
            $0.isWatched = problem == nil
            if let problem { $0.lastError = problem }
        }
        checkDone()
    }

    /// Drops a source's entries if its table was altered, because no trigger announces that.
    private func noteShape(_ source: Int, _ reply: RecordReply) {
        guard case .rows(let rows) = reply else { return }
        let shape = rows.first?.last ?? nil
        if let before = shapes[source], before != shape {
            flush(source)
            let name = catalog.sources[source].name
            report(.notice, "records: the table of source \(name) was altered; nothing is kept")
        }
        shapes[source] = shape
    }

    private func triggerProblem(_ source: Int, _ reply: RecordReply) -> String? {
        if case .failure(_, let message) = reply { return message }
        let table = RecordSQL.table(catalog.sources[source])
        guard case .rows(let rows) = reply, let row = rows.first, row.count == 4 else {
            return "there is no table \(table)"
        }
        guard row[0] == Array("t".utf8) else {
            return "\(table) is not a plain table, and writes to its parts would not be announced"
        }
        let four = Array("4".utf8)
        guard row[1] == four else {
            return "its triggers are missing or disabled, run martlet postgres-setup --apply"
        }
        guard row[2] == four else {
            return
                "its triggers are for another configuration, run martlet postgres-setup --apply"
        }
        return nil
    }
}
