// SPDX-License-Identifier: Apache-2.0

/// The rows being fetched and the requests that wait for them.
///
/// Why: a row is fetched once, however many requests want it. A request for several rows waits for
/// all of them, but not beyond its deadline. Rows of one lookup that are requested while the
/// pipeline is full are sent together in one batch. The lanes take turns, so none starves.
///
/// Invariants:
/// 1. A flight that is not sent has exactly one live place in its lane's queue or in `singles`.
///    There may be old places too, which are skipped; `ticket` marks the live one.
/// 2. A request is answered exactly once.
/// 3. A settled flight is removed, so a later request begins a new one.
///
/// Pure: no clock, no socket, no cache. Answers collect in `answers` until they are taken.
struct RecordFlights {
    /// A lookup of a source, for loading rows or for finding keys to drop.
    struct Lane: Sendable, Equatable {
        enum Purpose: Sendable { case load, drop }
        let source: Int
        let lookup: Int
        let purpose: Purpose
    }

    struct Batch: Sendable, Equatable {
        let lane: Int
        let values: [[UInt8]]
    }

    struct Key: Hashable {
        let lane: Int
        let value: [UInt8]
    }

    enum Settlement { case found, missing, unavailable }

    struct Answer: Equatable {
        let waiter: RecordWaiter
        /// Nil if the source was unavailable.
        let isFound: Bool?
        let source: Int
    }

    private struct Flight {
        var requests: [UInt64] = []
        var isSent = false
        var attempts = 0
        var ticket: UInt64
    }

    private struct Request {
        let waiter: RecordWaiter
        let source: Int
        var remaining: Int
        var isFound = false
    }

    let lanes: [Lane]
    private var flights: [Key: Flight] = [:]
    private var requests: [UInt64: Request] = [:]
    private var queues: [RecordQueue<(value: [UInt8], ticket: UInt64)>]
    /// Rows that must be sent alone, because a batch that contained them failed.
    private var singles = RecordQueue<(key: Key, ticket: UInt64)>()
    private var deadlines = RecordQueue<(request: UInt64, deadline: Int64)>()
    private var answers: [Answer] = []
    private var nextLane = 0
    private var counter: UInt64 = 0

    init(lanes: [Lane]) {
        self.lanes = lanes
        self.queues = lanes.map { _ in RecordQueue() }
    }

    var flightCount: Int { flights.count }
    var requestCount: Int { requests.count }
    var nextDeadline: Int64? { deadlines.first?.deadline }

    /// Opens a request for `count` rows. Deadlines must not decrease from one request to the next.
    mutating func open(_ waiter: RecordWaiter, count: Int, source: Int, deadline: Int64) -> UInt64 {
        counter += 1
        requests[counter] = Request(waiter: waiter, source: source, remaining: count)
        deadlines.append((counter, deadline))
        return counter
    }

    func isFlying(_ key: Key) -> Bool { flights[key] != nil }

    /// Joins a request, if given, to a row's flight. Returns whether this began the flight.
    mutating func join(_ key: Key, request: UInt64?) -> Bool {
        if let request { flights[key]?.requests.append(request) }
        guard flights[key] == nil else { return false }
        counter += 1
        flights[key] = Flight(requests: request.map { [$0] } ?? [], ticket: counter)
        queues[key.lane].append((key.value, counter))
        return true
    }

    /// The next rows to fetch, at most `limit`, all of one lane. They count as sent from now on.
    mutating func nextBatch(limit: Int) -> Batch? {
        while let place = singles.popFirst() {
            guard let flight = flights[place.key], flight.ticket == place.ticket else { continue }
            flights[place.key]?.isSent = true
            return Batch(lane: place.key.lane, values: [place.key.value])
        }
        for offset in 0..<lanes.count {
            let lane = (nextLane + offset) % lanes.count
            var values: [[UInt8]] = []
            while values.count < limit, let place = queues[lane].popFirst() {
                let key = Key(lane: lane, value: place.value)
                guard let flight = flights[key], !flight.isSent, flight.ticket == place.ticket
                else {
                    continue
                }
                flights[key]?.isSent = true
                values.append(place.value)
            }
            if !values.isEmpty {
                nextLane = (lane + 1) % lanes.count
                return Batch(lane: lane, values: values)
            }
        }
        return nil
    }

    /// Ends a flight and settles the row for the requests that waited for it.
    mutating func settle(_ key: Key, _ settlement: Settlement) {
        guard let flight = flights.removeValue(forKey: key) else { return }
        for request in flight.requests {
            settleOne(request, settlement, source: lanes[key.lane].source)
        }
    }

    /// The same for a flight that was not sent yet, because another load brought its row.
    mutating func settleQueued(_ key: Key, _ settlement: Settlement) {
        guard let flight = flights[key], !flight.isSent else { return }
        settle(key, settlement)
    }

    /// Settles one row of a request without a flight.
    mutating func settleOne(_ id: UInt64, _ settlement: Settlement, source: Int) {
        guard var request = requests[id] else { return }
        if settlement == .unavailable {
            requests[id] = nil
            answers.append(Answer(waiter: request.waiter, isFound: nil, source: source))
            return
        }
        request.remaining -= 1
        request.isFound = request.isFound || settlement == .found
        requests[id] = request.remaining > 0 ? request : nil
        if request.remaining <= 0 {
            answers.append(
                Answer(waiter: request.waiter, isFound: request.isFound, source: request.source))
        }
    }

    /// Queues rows again that must be fetched once more. Rows tried `attemptsMax` times fail; with
    /// nil this is no attempt. Returns whether any failed: the caller counts the failure.
    mutating func sendAgain(_ batch: Batch, attemptsMax: Int?, alone: Bool = false) -> Bool {
        var hasFailed = false
        for value in batch.values {
            let key = Key(lane: batch.lane, value: value)
            guard var flight = flights[key], flight.isSent else { continue }
            if attemptsMax != nil { flight.attempts += 1 }
            guard flight.attempts < attemptsMax ?? .max else {
                settle(key, .unavailable)
                hasFailed = true
                continue
            }
            counter += 1
            flight.isSent = false
            flight.ticket = counter
            flights[key] = flight
            if alone {
                singles.append((key, counter))
            } else {
                queues[batch.lane].append((value, counter))
            }
        }
        return hasFailed
    }

    /// Fails the flights of a source that were not sent yet.
    mutating func failQueued(source: Int) {
        for place in singles.takeAll() {
            if lanes[place.key.lane].source != source {
                singles.append(place)
            } else if flights[place.key]?.ticket == place.ticket {
                settle(place.key, .unavailable)
            }
        }
        for (index, lane) in lanes.enumerated() where lane.source == source {
            for place in queues[index].takeAll() {
                let key = Key(lane: index, value: place.value)
                guard let flight = flights[key], flight.ticket == place.ticket else { continue }
                settle(key, .unavailable)
            }
        }
    }

    /// Answers requests whose deadline has passed. Their flights continue.
    mutating func expire(now: Int64) {
        while let first = deadlines.first, first.deadline <= now || requests[first.request] == nil {
            _ = deadlines.popFirst()
            guard let request = requests[first.request] else { continue }
            settleOne(first.request, .unavailable, source: request.source)
        }
    }

    /// Fails all requests.
    mutating func failAll() {
        for id in requests.keys.sorted() {
            if let request = requests[id] { settleOne(id, .unavailable, source: request.source) }
        }
        flights.removeAll()
        for index in queues.indices { _ = queues[index].takeAll() }
        _ = singles.takeAll()
        _ = deadlines.takeAll()
    }

    mutating func takeAnswers() -> [Answer] {
        guard !answers.isEmpty else { return [] }
        defer { answers.removeAll(keepingCapacity: true) }
        return answers
    }
}
