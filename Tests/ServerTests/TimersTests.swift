// SPDX-License-Identifier: Apache-2.0
import Base
import Networking
import Testing

/// Deadlines: in order, cancelled, many, and on a clock that goes back.
@Suite struct TimersTests {
    /// Timers that `#expect` may change.
    private final class Numbers {
        private var timers = Timers<Int>()

        var count: Int { timers.count }
        var capacity: Int { timers.capacity }
        var next: Int64? { timers.next }

        func add(deadline: Int64, _ number: Int) -> TimerID {
            timers.add(deadline: deadline, number)
        }

        func cancel(_ id: TimerID) -> Bool { timers.cancel(id) }
        func takeDue(now: Int64) -> Int? { timers.takeDue(now: now) }

        func takeAll(now: Int64) -> [Int] {
            var taken: [Int] = []
            while let number = timers.takeDue(now: now) { taken.append(number) }
            return taken
        }
    }

    @Test func theyFireInOrder() {
        let timers = Numbers()
        #expect(timers.next == nil && timers.takeDue(now: .max) == nil)
        for deadline in [50, 10, 40, 20, 30] as [Int64] {
            _ = timers.add(deadline: deadline, Int(deadline))
        }
        #expect(timers.next == 10 && timers.count == 5)
        #expect(timers.takeDue(now: 9) == nil)
        #expect(timers.takeAll(now: 30) == [10, 20, 30])
        #expect(timers.next == 40)
        #expect(timers.takeAll(now: 1000) == [40, 50])
        #expect(timers.count == 0 && timers.next == nil)
    }

    @Test func ofTheSameDeadlineTheFirstAddedFiresFirst() {
        let timers = Numbers()
        let ids = (0..<100).map { timers.add(deadline: 5, $0) }
        for index in stride(from: 0, to: 100, by: 3) { #expect(timers.cancel(ids[index])) }
        #expect(timers.takeAll(now: 5) == (0..<100).filter { $0 % 3 != 0 })
    }

    @Test func aCancelledTimerDoesNotFire() {
        let timers = Numbers()
        let first = timers.add(deadline: 10, 1)
        _ = timers.add(deadline: 20, 2)
        #expect(timers.cancel(first) && timers.next == 20)
        #expect(!timers.cancel(first), "it was cancelled twice")
        #expect(timers.takeAll(now: 100) == [2])
    }

    /// The id of a finished timer names no timer, even if another one uses its slot.
    @Test func anOldIdCancelsNothing() {
        let timers = Numbers()
        let fired = timers.add(deadline: 1, 1)
        #expect(timers.takeDue(now: 1) == 1 && !timers.cancel(fired))
        let next = timers.add(deadline: 2, 2)
        #expect(!timers.cancel(fired) && timers.count == 1)
        #expect(timers.cancel(next) && timers.count == 0)
        _ = timers.add(deadline: 3, 3)
        #expect(!timers.cancel(fired) && !timers.cancel(next))
        #expect(timers.takeAll(now: 3) == [3])
    }

    @Test func addedAndCancelledTheyTakeNoMemory() {
        let timers = Numbers()
        _ = timers.add(deadline: 1_000_000, -1)
        for number in 0..<100_000 {
            let id = timers.add(deadline: Int64(number % 1000), number)
            #expect(timers.cancel(id))
        }
        #expect(timers.count == 1 && timers.capacity < 64)
        #expect(timers.takeAll(now: .max) == [-1])
    }

    @Test func aBurstGivesItsMemoryBack() {
        let timers = Numbers()
        var random = Random()
        var ids = (0..<100_000).map { number in
            timers.add(deadline: Int64(random.next(below: 1000)), number)
        }
        #expect(timers.count == 100_000)
        ids.shuffle()
        for id in ids { #expect(timers.cancel(id)) }
        #expect(timers.count == 0 && timers.next == nil && timers.capacity < 64)
    }

    /// Monotonic time does not go back; if it did, timers would only fire later.
    @Test func aClockThatGoesBackLosesNothing() {
        let timers = Numbers()
        for number in 0..<10 { _ = timers.add(deadline: Int64(100 + number), number) }
        #expect(timers.takeAll(now: 104) == [0, 1, 2, 3, 4])
        #expect(timers.takeDue(now: 3) == nil)
        _ = timers.add(deadline: 50, 99)
        #expect(timers.next == 50)
        #expect(timers.takeAll(now: 109) == [99, 5, 6, 7, 8, 9])
    }

    /// Compared with a list that is searched from end to end.
    @Test func asAListWouldDoIt() {
        let timers = Numbers()
        var list: [(deadline: Int64, number: Int, id: TimerID)] = []
        var gone: [TimerID] = []
        var random = Random()
        var now: Int64 = 0
        for number in 0..<20_000 {
            switch random.next(below: 8) {
            case 0...3:
                let deadline = now + Int64(random.next(below: 200))
                list.append((deadline, number, timers.add(deadline: deadline, number)))
            case 4, 5:
                guard !list.isEmpty else { continue }
                let index = Int(random.next(below: UInt64(list.count)))
                #expect(timers.cancel(list[index].id))
                gone.append(list.remove(at: index).id)
            case 6:
                if let id = gone.randomElement() { #expect(!timers.cancel(id)) }
            default:
                now += Int64(random.next(below: 20))
                let due = list.filter { $0.deadline <= now }
                    .sorted { ($0.deadline, $0.number) < ($1.deadline, $1.number) }
                #expect(timers.takeAll(now: now) == due.map(\.number))
                gone += due.map(\.id)
                list.removeAll { $0.deadline <= now }
            }
            #expect(timers.count == list.count && timers.next == list.map(\.deadline).min())
        }
    }
}
