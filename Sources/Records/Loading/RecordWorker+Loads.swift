// SPDX-License-Identifier: Apache-2.0

/// Taking requests, sending queries, caching rows, and dropping what notifications name.
extension RecordWorker {
    func take(_ message: RecordMessage) {
        switch message {
        case .request(let keys, let waiter, let isForced): takeRequest(keys, waiter, isForced)
        case .drop(let key, let waiter): takeDrop(key, waiter)
        case .dropAll(let source):
            invalidations.add(source: source)
            cache.removeAll(source: source)
            board.update(source) { $0.flushes += 1 }
        case .connected(let arrival): adopt(arrival)
        case .connectFailed(let error): if phase == .connecting { attemptFailed(error) }
        case .probeFailed(let number, let error):
            if probe?.number == number { probeNotSent(error.message) }
        case .stop: isStopping = true
        }
    }

    private func open(_ waiter: RecordWaiter?, count: Int, source: Int) -> UInt64? {
        waiter.map {
            flights.open(
                $0, count: count, source: source,
                deadline: nowMilliseconds + options.requestTimeoutMilliseconds)
        }
    }

    private func takeRequest(_ keys: [RecordKey], _ waiter: RecordWaiter?, _ isForced: Bool) {
        guard let source = keys.first?.source else {
            if let waiter { sink.resume(waiter, .missing) }
            return
        }
        let request = open(waiter, count: keys.count, source: source)
        for key in keys where !begin(key, request, isForced) {
            if let request { flights.settleOne(request, .unavailable, source: key.source) }
            return
        }
    }

    /// Makes a request wait for one row. False if the source takes no loads now.
    private func begin(_ key: RecordKey, _ request: UInt64?, _ isForced: Bool) -> Bool {
        let flight = RecordFlights.Key(
            lane: lane(key.source, key.lookup, .load), value: key.value)
        let name = catalog.sources[key.source].lookups[key.lookup].key(for: key.value)
        // Why: the row may have been cached since the miss.
        if !isForced, !isSuspect[key.source], cache.isPresent(key: name, source: key.source) {
            if let request { flights.settleOne(request, .found, source: key.source) }
            return true
        }
        guard isText(key.value) else {
            installNegative(key.source, name)
            if let request { flights.settleOne(request, .missing, source: key.source) }
            return true
        }
        if flights.isFlying(flight) {
            _ = flights.join(flight, request: request)
            board.update(key.source) { $0.joined += 1 }
            return true
        }
        guard admits(key.source) else { return false }
        _ = flights.join(flight, request: request)
        board.update(key.source) { $0.loads += 1 }
        return true
    }

    private func admits(_ source: Int) -> Bool {
        let isAdmitted = breakers[source].admits(nowMilliseconds: nowMilliseconds)
        let name = breakers[source].name
        board.update(source) {
            $0.refused += isAdmitted ? 0 : 1
            $0.breaker = name
        }
        return isAdmitted
    }

    /// PostgreSQL stores only text without a zero byte, so no row has any other value.
    private func isText(_ value: [UInt8]) -> Bool {
        !value.contains(0) && String(validating: value, as: UTF8.self) != nil
    }

    private func takeDrop(_ key: RecordKey, _ waiter: RecordWaiter?) {
        let name = catalog.sources[key.source].lookups[key.lookup].key(for: key.value)
        if loadsOutstanding > 0 { invalidations.add(key) }
        drop(key.source, name)
        let request = open(waiter, count: 1, source: key.source)
        guard isText(key.value) else {
            if let request { flights.settleOne(request, .missing, source: key.source) }
            return
        }
        guard wire != nil, admits(key.source) else {
            if let request { flights.settleOne(request, .unavailable, source: key.source) }
            return
        }
        let flight = RecordFlights.Key(lane: lane(key.source, key.lookup, .drop), value: key.value)
        _ = flights.join(flight, request: request)
    }

    @discardableResult
    private func drop(_ source: Int, _ name: [UInt8]) -> Bool {
        let wasThere = cache.remove(key: name, source: source)
        if wasThere { board.update(source) { $0.invalidations += 1 } }
        return wasThere
    }

    // MARK: - Sending

    func sendWaiting() -> Bool {
        guard phase == .ready, wire != nil, lostReason == nil else { return false }
        var hasSent = false
        while loadsOutstanding < options.pipelineDepth, lostReason == nil,
            let batch = flights.nextBatch(limit: options.batchCount)
        {
            sendLoad(batch)
            hasSent = true
        }
        return hasSent && lostReason == nil
    }

    private func sendLoad(_ batch: RecordFlights.Batch) {
        let lane = flights.lanes[batch.lane]
        let index = batch.lane / 2
        let name = statements[index].name ?? prepare(index, lane)
        loadsOutstanding += 1
        board.update(lane.source) { $0.batches += 1 }
        let parameter = RecordSQL.array(batch.values)
        // Why: a load that could not be sent is among the pending ones and is sent again.
        let load = Load(batch: batch, statement: name, sentAt: invalidations.moment)
        send(.load(load)) { $0.sendExecute(name: name, parameter: parameter) }
        if lostReason != nil { _ = flights.sendAgain(batch, attemptsMax: options.attemptsMax) }
    }

    /// Prepares a lookup's load under a name never used before on any connection.
    private func prepare(_ index: Int, _ lane: RecordFlights.Lane) -> String {
        statementCount += 1
        let name = "martlet_\(statementCount)"
        statements[index] = Statement(name: name)
        let text = RecordSQL.load(catalog.sources[lane.source], lookup: lane.lookup)
        send(.prepare(statement: index, name: name)) { $0.sendPrepare(name: name, text) }
        return name
    }

    // MARK: - Results

    func receive(_ reply: RecordReply, for item: Item) {
        switch item {
        case .listen: takeListen(reply)
        case .settings: takeSettings(reply)
        case .triggers(let source): takeTriggers(source, reply)
        case .prepare(let index, let name):
            guard case .failure(let code, let message) = reply else { return }
            if RecordFailure.of(code) == .lost { lostReason = message }
            if statements[index].name == name {
                statements[index].failure = RecordError(message, code: code)
            }
        case .load(let load):
            loadsOutstanding -= 1
            switch reply {
            case .rows(let rows): takeRows(rows, load)
            case .failure(let code, let message): loadFailed(load, code, message)
            case .done, .sync: loadFailed(load, "XX000", "an answer without rows")
            }
            // Order: replies arrive in the order of the loads.
            invalidations.forget(until: load.sentAt)
        }
    }

    private func takeRows(_ rows: [[[UInt8]?]], _ load: Load) {
        let lane = flights.lanes[load.batch.lane]
        let source = catalog.sources[lane.source]
        var found: Set<[UInt8]> = []
        var outdated: Set<[UInt8]> = []
        for row in rows where row.count == source.lookups.count + 3 {
            if let value = row[lane.lookup] { found.insert(value) }
            if lane.purpose == .drop {
                dropRow(row, lane.source)
            } else if !isOutdated(row, lane.source, load) {
                install(row, lane.source)
            } else if let value = row[lane.lookup] {
                outdated.insert(value)
            }
        }
        var again: [[UInt8]] = []
        for value in load.batch.values {
            let key = RecordKey(source: lane.source, lookup: lane.lookup, value: value)
            if outdated.contains(value) || invalidations.cover(key, sentAt: load.sentAt) {
                again.append(value)
            } else {
                settle(value, isFound: found.contains(value), load.batch, lane)
            }
        }
        // Why without a limit: each time, a client has invalidated the row once more.
        _ = flights.sendAgain(.init(lane: load.batch.lane, values: again), attemptsMax: nil)
        breakers[lane.source].succeed()
        board.update(lane.source) {
            $0.rows += UInt64(rows.count)
            $0.breaker = "closed"
        }
    }

    /// Settles a row of a batch. Without a row, only its requested key is known.
    private func settle(
        _ value: [UInt8], isFound: Bool, _ batch: RecordFlights.Batch, _ lane: RecordFlights.Lane
    ) {
        if !isFound {
            let name = catalog.sources[lane.source].lookups[lane.lookup].key(for: value)
            switch lane.purpose {
            case .load: installNegative(lane.source, name)
            // Why once more: a load that was sent before may have cached it.
            case .drop: drop(lane.source, name)
            }
        }
        flights.settle(
            RecordFlights.Key(lane: batch.lane, value: value), isFound ? .found : .missing)
    }

    /// Whether a row was invalidated, under any of its keys, since it was requested.
    private func isOutdated(_ row: [[UInt8]?], _ source: Int, _ load: Load) -> Bool {
        guard invalidations.moment > load.sentAt else { return false }
        return catalog.sources[source].lookups.indices.contains { lookup in
            guard let value = row[lookup] else { return false }
            let key = RecordKey(source: source, lookup: lookup, value: value)
            return invalidations.cover(key, sentAt: load.sentAt)
        }
    }

    /// Caches a row under all its keys, and settles flights for it under its other keys.
    private func install(_ row: [[UInt8]?], _ index: Int) {
        let source = catalog.sources[index]
        let count = source.lookups.count
        guard let json = row[count + 2] else { return }
        var value = RecordValue.string(json)
        if source.format == .hash { value = .hash(RecordJSON.fields(json) ?? []) }
        let life =
            isKept(index) ? source.timeToLiveMilliseconds : options.unwatchedTimeToLiveMilliseconds
        for (lookupIndex, lookup) in source.lookups.enumerated() {
            guard let part = row[lookupIndex] else { continue }
            let name = lookup.key(for: part)
            // Why: a key belongs to the first pattern that matches it, and reads look there.
            guard let owner = catalog.matcher.match(name), owner.source == index,
                owner.lookup == lookupIndex
            else { continue }
            cache.install(key: name, value: value, timeToLiveMilliseconds: life, source: index)
            flights.settleQueued(
                RecordFlights.Key(lane: lane(index, lookupIndex, .load), value: part), .found)
        }
        guard source.tenantColumn != nil else { return }
        cache.rowLoaded(source: index, tenant: row[count], plan: row[count + 1])
    }

    private func dropRow(_ row: [[UInt8]?], _ index: Int) {
        for (lookupIndex, lookup) in catalog.sources[index].lookups.enumerated() {
            if let part = row[lookupIndex] { drop(index, lookup.key(for: part)) }
        }
    }

    private func installNegative(_ index: Int, _ name: [UInt8]) {
        let shortest = options.unwatchedTimeToLiveMilliseconds
        let configured = catalog.sources[index].negativeTimeToLiveMilliseconds
        // Why: even with negative-ttl=0 the waiting requests must find the answer.
        cache.installNegative(
            key: name, timeToLiveMilliseconds: isKept(index) ? max(configured, shortest) : shortest,
            source: index)
        board.update(index) { $0.negatives += 1 }
    }

    /// Whether a change of this source's rows would be announced.
    private func isKept(_ source: Int) -> Bool { isProven && isWatched[source] }

    private func loadFailed(_ load: Load, _ code: String, _ message: String) {
        let batch = load.batch
        let statement = load.statement
        let lane = flights.lanes[batch.lane]
        let index = batch.lane / 2
        var error = RecordError(message, code: code)
        if code == "26000", let failure = statements[index].failure,
            statements[index].name == statement
        {
            error = failure
        }
        let kind = RecordFailure.of(error.code)
        if kind == .prepareAgain || kind == .schema || error.code != code,
            statements[index].name == statement
        {
            // Why: the failure stays for other loads that were sent with this statement.
            statements[index] = Statement(name: nil, failure: nil)
        }
        switch kind {
        case .lost:
            lostReason = error.message
            _ = flights.sendAgain(batch, attemptsMax: options.attemptsMax)
        case .badValue: valueRefused(load, lane)
        case .retry, .prepareAgain:
            if kind == .prepareAgain { flush(lane.source) }
            if flights.sendAgain(batch, attemptsMax: options.attemptsMax) {
                countFailure(lane.source, error.message)
            }
        case .schema, .load:
            if kind == .schema { flush(lane.source) }
            fail(batch)
            countFailure(lane.source, error.message)
        }
    }

    private func fail(_ batch: RecordFlights.Batch) {
        for value in batch.values {
            flights.settle(RecordFlights.Key(lane: batch.lane, value: value), .unavailable)
        }
    }

    /// The column's type cannot hold one of the values. A single value is missing; the values of a
    /// batch are tried one by one.
    private func valueRefused(_ load: Load, _ lane: RecordFlights.Lane) {
        let batch = load.batch
        guard batch.values.count == 1, let value = batch.values.first else {
            // Why without a limit: alone, each of them gets an answer.
            _ = flights.sendAgain(batch, attemptsMax: nil, alone: true)
            return
        }
        settle(value, isFound: false, batch, lane)
        breakers[lane.source].succeed()
    }

    // MARK: - Notifications

    func apply(_ notifications: [[UInt8]]) {
        for payload in notifications {
            switch RecordNotification(payload, catalog: catalog) {
            case .probe(let nonce): probeArrived(nonce)
            case .keys(let source, let columns): dropChanged(source, columns)
            case .source(let source, let isUnderstood):
                flush(source)
                if !isUnderstood {
                    let name = catalog.sources[source].name
                    report(
                        .warning, "records: a notification for source \(name) was not understood")
                }
            case .foreign: break
            case .unintelligible:
                for source in catalog.sources.indices { flush(source) }
                report(.warning, "records: a notification was not understood")
            }
        }
    }

    private func dropChanged(_ index: Int, _ columns: [String: [[UInt8]]]) {
        let source = catalog.sources[index]
        var reloads: [RecordKey] = []
        for (lookupIndex, lookup) in source.lookups.enumerated() {
            let isIdentity = lookup.column == source.identityColumn
            let dropped = (columns[lookup.column] ?? []).filter { drop(index, lookup.key(for: $0)) }
            // Why: if the row was cached under its identity, that reload brings its other keys too.
            guard isIdentity || reloads.isEmpty else { continue }
            reloads += dropped.map { RecordKey(source: index, lookup: lookupIndex, value: $0) }
        }
        // Why: a plan takes effect when it changes, not when the row is next read.
        guard source.planColumn != nil else { return }
        for key in reloads { _ = begin(key, nil, false) }
    }
}
