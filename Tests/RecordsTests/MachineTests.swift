// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import Records

/// The pure state machines, without sockets and clocks.
@Suite struct MachineTests {
    @Test func theBreakerOpensTriesAndCloses() {
        var breaker = RecordBreaker(threshold: 3, timeoutMilliseconds: 60_000)
        for _ in 0..<2 { #expect(breaker.fail(nowMilliseconds: 0) == false) }
        breaker.succeed()
        for _ in 0..<2 { #expect(breaker.fail(nowMilliseconds: 5) == false) }
        #expect(breaker.admits(nowMilliseconds: 5) == true)
        #expect(breaker.fail(nowMilliseconds: 5) == true)
        #expect(breaker.name == "open")
        #expect(breaker.fail(nowMilliseconds: 50_000) == false)
        #expect(breaker.admits(nowMilliseconds: 60_004) == false)
        #expect(breaker.admits(nowMilliseconds: 60_005) == true)
        #expect(breaker.name == "half-open")
        #expect(breaker.admits(nowMilliseconds: 60_006) == false)
        #expect(breaker.fail(nowMilliseconds: 60_007) == true)
        #expect(breaker.admits(nowMilliseconds: 120_006) == false)
        #expect(breaker.admits(nowMilliseconds: 120_007) == true)
        breaker.succeed()
        #expect(breaker.state == .closed(failures: 0))
    }

    /// A trial whose end nobody reports does not close the source for ever.
    @Test func theBreakerOutlivesALostTrial() {
        var breaker = RecordBreaker(threshold: 1, timeoutMilliseconds: 60_000)
        #expect(breaker.fail(nowMilliseconds: 0) == true)
        for trial in 1...3 as ClosedRange<Int64> {
            #expect(breaker.admits(nowMilliseconds: trial * 60_000 - 1) == false)
            #expect(breaker.admits(nowMilliseconds: trial * 60_000) == true)
            #expect(breaker.name == "half-open")
        }
        breaker.succeed()
        #expect(breaker.state == .closed(failures: 0))
    }

    @Test func pausesDoubleWithinTheirBounds() {
        var low = RecordBackoff()
        var high = RecordBackoff()
        let shortest = (0..<8).map { _ in low.next(random: 0) }
        #expect(shortest == [10, 20, 40, 80, 160, 250, 250, 250])
        let pauses = (0..<200).map { _ in high.next(random: UInt64.random(in: .min ... .max)) }
        #expect(pauses.allSatisfy { $0 >= 10 && $0 <= 500 } && Set(pauses).count > 10)
        high.reset()
        #expect(high.next(random: 10) == 20)
    }

    @Test func errorsHaveTheirConsequences() {
        let expected: [(String, RecordFailure)] = [
            ("55P03", .load), ("57014", .load), ("40001", .retry), ("40P01", .retry),
            ("0A000", .prepareAgain), ("42P01", .schema), ("42703", .schema), ("42501", .schema),
            ("57P01", .lost), ("57P05", .lost), ("25P03", .lost), ("08006", .lost),
            ("22P02", .badValue),
            ("XX000", .load), ("53300", .load),
        ]
        for (code, failure) in expected { #expect(RecordFailure.of(code) == failure) }
    }

    @Test func theQueueKeepsItsOrder() {
        var queue = RecordQueue<Int>()
        var next = 0
        for number in 0..<1000 {
            queue.append(number)
            if number % 3 != 0 {
                #expect(queue.popFirst() == next)
                next += 1
            }
        }
        #expect(queue.count == 1000 - next && queue.first == next)
        #expect(queue.takeAll() == Array(next..<1000))
        #expect(queue.popFirst() == nil)
    }

    // MARK: - Flights

    private let lanes: [RecordFlights.Lane] = [
        .init(source: 0, lookup: 0, purpose: .load), .init(source: 0, lookup: 1, purpose: .load),
        .init(source: 1, lookup: 0, purpose: .load),
    ]

    private func key(_ lane: Int, _ value: UInt8) -> RecordFlights.Key {
        RecordFlights.Key(lane: lane, value: [value])
    }

    private func waiter(_ number: UInt64) -> RecordWaiter { RecordWaiter(high: 1, low: number) }

    @Test func manyRequestsShareAFlight() {
        var flights = RecordFlights(lanes: lanes)
        for number in 0..<1000 {
            let request = flights.open(waiter(UInt64(number)), count: 1, source: 0, deadline: 9)
            #expect(flights.join(key(0, 5), request: request) == (number == 0))
        }
        #expect(flights.nextBatch(limit: 100) == .init(lane: 0, values: [[5]]))
        #expect(flights.nextBatch(limit: 100) == nil)
        flights.settle(key(0, 5), .found)
        let answers = flights.takeAnswers()
        #expect(answers.count == 1000 && answers.allSatisfy { $0.isFound == true })
        #expect(flights.flightCount == 0 && flights.requestCount == 0)
    }

    @Test func aRequestWaitsForAllItsRows() {
        var flights = RecordFlights(lanes: lanes)
        let request = flights.open(waiter(1), count: 3, source: 0, deadline: 9)
        for value in [1, 2, 2] as [UInt8] { _ = flights.join(key(0, value), request: request) }
        _ = flights.nextBatch(limit: 100)
        flights.settle(key(0, 1), .missing)
        #expect(flights.takeAnswers().isEmpty)
        flights.settle(key(0, 2), .found)
        #expect(flights.takeAnswers() == [.init(waiter: waiter(1), isFound: true, source: 0)])
    }

    @Test func lanesTakeTurnsInBatches() {
        var flights = RecordFlights(lanes: lanes)
        for value in 0..<5 as Range<UInt8> {
            _ = flights.join(key(0, value), request: nil)
            _ = flights.join(key(2, value), request: nil)
        }
        #expect(flights.nextBatch(limit: 3) == .init(lane: 0, values: [[0], [1], [2]]))
        #expect(flights.nextBatch(limit: 3) == .init(lane: 2, values: [[0], [1], [2]]))
        flights.settleQueued(key(0, 3), .found)
        #expect(flights.nextBatch(limit: 3) == .init(lane: 0, values: [[4]]))
        #expect(
            flights.sendAgain(.init(lane: 0, values: [[0], [4]]), attemptsMax: 3, alone: true)
                == false)
        #expect(flights.nextBatch(limit: 3) == .init(lane: 0, values: [[0]]))
        #expect(flights.nextBatch(limit: 3) == .init(lane: 0, values: [[4]]))
        #expect(flights.nextBatch(limit: 3) == .init(lane: 2, values: [[3], [4]]))
    }

    @Test func failuresReachThoseWhoWait() {
        var flights = RecordFlights(lanes: lanes)
        for number in 0..<3 {
            let request = flights.open(
                waiter(UInt64(number)), count: 1, source: 0, deadline: Int64(number))
            _ = flights.join(key(number, 1), request: request)
        }
        let batch = RecordFlights.Batch(lane: 0, values: [[1]])
        #expect(flights.nextBatch(limit: 9) == batch)
        #expect(flights.sendAgain(batch, attemptsMax: 2) == false)
        flights.failQueued(source: 1)
        #expect(flights.takeAnswers() == [.init(waiter: waiter(2), isFound: nil, source: 1)])
        flights.expire(now: 0)
        #expect(flights.takeAnswers() == [.init(waiter: waiter(0), isFound: nil, source: 0)])
        #expect(flights.nextDeadline == 1)
        var failures = 0
        while let next = flights.nextBatch(limit: 9) {
            if flights.sendAgain(next, attemptsMax: 2) { failures += 1 }
        }
        #expect(failures == 2)
        #expect(flights.takeAnswers() == [.init(waiter: waiter(1), isFound: nil, source: 0)])
        flights.expire(now: 9)
        #expect(flights.takeAnswers().isEmpty)
        #expect(flights.nextDeadline == nil && flights.flightCount == 0)
        _ = flights.join(
            key(0, 1), request: flights.open(waiter(8), count: 1, source: 0, deadline: 20))
        flights.failAll()
        #expect(flights.takeAnswers() == [.init(waiter: waiter(8), isFound: nil, source: 0)])
    }

    @Test func whatIsNoAttemptDoesNotFail() {
        var flights = RecordFlights(lanes: lanes)
        _ = flights.join(key(0, 1), request: nil)
        for _ in 0..<10 {
            guard let batch = flights.nextBatch(limit: 9) else { break }
            #expect(flights.sendAgain(batch, attemptsMax: nil) == false)
        }
        guard let batch = flights.nextBatch(limit: 9) else { return }
        #expect(flights.sendAgain(batch, attemptsMax: 2) == false && flights.flightCount == 1)
    }

    @Test func anInvalidationCoversOlderLoads() {
        let key = RecordKey(source: 0, lookup: 1, value: [7])
        let other = RecordKey(source: 1, lookup: 1, value: [7])
        var invalidations = RecordInvalidations(sourceCount: 2)
        var moments = [invalidations.moment]
        for change in [{ $0.add(key) }, { $0.add(source: 1) }, { $0.add(key) }]
            as [(inout RecordInvalidations) -> Void]
        {
            change(&invalidations)
            moments.append(invalidations.moment)
        }
        #expect(moments.map { invalidations.cover(key, sentAt: $0) } == [true, true, true, false])
        #expect(
            moments.map { invalidations.cover(other, sentAt: $0) } == [true, true, false, false])
        invalidations.forget(until: moments[2])
        #expect(invalidations.cover(key, sentAt: moments[2]) && invalidations.keyCount == 1)
        invalidations.forget(until: moments[3])
        #expect(!invalidations.cover(key, sentAt: moments[3]) && invalidations.keyCount == 0)
    }
}

/// The order of libpq's calls. This wire behaves as libpq does: it hands out a notification as soon
/// as it is parsed, even if rows before it are not collected yet.
@Suite struct PumpTests {
    enum Message {
        case reply(RecordReply)
        case end
        case notification(UInt8)
    }

    final class Wire: RecordWire {
        var arriving: [[Message]] = []
        var buffer: [Message] = []
        var isLost = false
        var calls: [String] = []

        func consumeInput() -> Bool {
            if !arriving.isEmpty { buffer += arriving.removeFirst() }
            return !isLost
        }
        func flush() -> Int32 { 0 }
        func isBusy() -> Bool {
            !buffer.contains { if case .notification = $0 { false } else { true } }
        }
        func nextResult() -> RecordReply? {
            let index = buffer.firstIndex { if case .notification = $0 { false } else { true } }
            guard let index, case .reply(let reply) = buffer.remove(at: index) else { return nil }
            calls.append("result")
            return reply
        }
        func nextNotification() -> [UInt8]? {
            let index = buffer.firstIndex { if case .notification = $0 { true } else { false } }
            guard let index, case .notification(let name) = buffer.remove(at: index) else {
                return nil
            }
            calls.append("notification")
            return [name]
        }
    }

    final class Handler: RecordPumpHandler {
        var log: [String] = []
        var toSend = 0
        var onSend: () -> Void = {}

        func receive(_ reply: RecordReply, for item: Int) {
            if case .rows = reply {
                log.append("rows \(item)")
            } else {
                log.append("failure \(item)")
            }
        }
        func apply(_ notifications: [[UInt8]]) { log.append("drop \(notifications.map { $0[0] })") }
        func sendWaiting() -> Bool {
            guard toSend > 0 else { return false }
            toSend -= 1
            log.append("send")
            onSend()
            return true
        }
    }

    private func load(_ pump: RecordPump<Handler>, _ item: Int) {
        pump.expect(item)
        pump.expectSync()
    }

    private let rows: [Message] = [.reply(.rows([])), .end]

    @Test func resultsComeBeforeNotifications() {
        let (wire, handler, pump) = (Wire(), Handler(), RecordPump<Handler>())
        load(pump, 1)
        load(pump, 2)
        wire.arriving = [
            rows + [.notification(1), .reply(.sync)] + rows + [.notification(2), .reply(.sync)]
        ]
        #expect(pump.turn(wire, isReadable: true, handler: handler) == .open(hasUnsent: false))
        #expect(handler.log == ["rows 1", "rows 2", "drop [1, 2]"])
        #expect(
            wire.calls == ["result", "result", "result", "result", "notification", "notification"])
        #expect(pump.isIdle)
    }

    @Test func aSendThatReadsIsLookedAtAgain() {
        let (wire, handler, pump) = (Wire(), Handler(), RecordPump<Handler>())
        handler.toSend = 1
        handler.onSend = { [rows] in
            self.load(pump, 3)
            wire.buffer += rows + [.notification(3), .reply(.sync)]
        }
        #expect(pump.turn(wire, isReadable: false, handler: handler) == .open(hasUnsent: false))
        #expect(handler.log == ["send", "rows 3", "drop [3]"])
    }

    @Test func anErrorEndsItsOwnLoadOnly() {
        let (wire, handler, pump) = (Wire(), Handler(), RecordPump<Handler>())
        load(pump, 1)
        load(pump, 2)
        let failure = Message.reply(.failure(code: "55P03", message: ""))
        wire.arriving = [[failure, .end, .reply(.sync)], rows]
        _ = pump.turn(wire, isReadable: true, handler: handler)
        #expect(pump.takePending() == [2])
        load(pump, 2)
        _ = pump.turn(wire, isReadable: true, handler: handler)
        #expect(handler.log == ["failure 1", "rows 2"])
    }

    @Test func aLossKeepsWhatArrivedAndNamesTheRest() {
        let (wire, handler, pump) = (Wire(), Handler(), RecordPump<Handler>())
        for item in 1...3 { load(pump, item) }
        wire.arriving = [rows + [.reply(.sync), .notification(9)]]
        wire.isLost = true
        #expect(pump.turn(wire, isReadable: true, handler: handler) == .lost)
        #expect(handler.log == ["rows 1", "drop [9]"])
        #expect(pump.takePending() == [2, 3])
        load(pump, 4)
        wire.isLost = false
        wire.arriving = [[.end]]
        #expect(pump.turn(wire, isReadable: true, handler: handler) == .lost)
    }
}
