// SPDX-License-Identifier: Apache-2.0
import Glibc
import Synchronization
import Testing

@testable import Base

/// One reader, many senders: no message is lost, and the reader does not sleep while one waits.
@Suite struct MailboxTests {
    private func mailbox() throws -> Mailbox<Int> { try #require(Mailbox<Int>()) }

    /// Whether the reader would wake within the time.
    private func isReadable(_ mailbox: Mailbox<Int>, milliseconds: Int32 = 0) -> Bool {
        var item = pollfd(fd: mailbox.descriptor, events: Int16(POLLIN), revents: 0)
        return poll(&item, 1, milliseconds) == 1
    }

    @Test func messagesLeaveInOrder() throws {
        let mailbox = try mailbox()
        #expect(mailbox.drain() == [] && !isReadable(mailbox))
        for number in 0..<1000 { #expect(mailbox.post(number)) }
        #expect(isReadable(mailbox))
        #expect(mailbox.drain() == Array(0..<1000))
        #expect(mailbox.drain() == [] && !isReadable(mailbox))
        mailbox.post(7)
        #expect(isReadable(mailbox) && mailbox.drain() == [7])
    }

    /// The eventfd counts what was written to it.
    @Test func aBurstWakesOnce() throws {
        let mailbox = try mailbox()
        for number in 0..<10 { mailbox.post(number) }
        var count: UInt64 = 0
        #expect(read(mailbox.descriptor, &count, 8) == 8 && count == 1)
        #expect(mailbox.drain().count == 10)
        mailbox.post(1)
        #expect(read(mailbox.descriptor, &count, 8) == 8 && count == 1)
    }

    @Test func noMessageOfManySendersIsLost() throws {
        let senderCount = 4
        let each = 20_000
        let mailbox = try mailbox()
        let senders = try (0..<senderCount).map { sender in
            try #require(
                Thread("sender") {
                    for number in 0..<each {
                        mailbox.post(sender * each + number)
                        // So that the reader finds the list empty now and then.
                        if number % 64 == 0 { sched_yield() }
                    }
                })
        }
        var next = (0..<senderCount).map { $0 * each }
        var received = 0
        while received < senderCount * each {
            guard isReadable(mailbox, milliseconds: 10_000) else {
                Issue.record("asleep with \(received) messages received")
                break
            }
            for message in mailbox.drain() {
                #expect(message == next[message / each])
                next[message / each] = message + 1
                received += 1
            }
        }
        for sender in senders { sender.join() }
        #expect(received == senderCount * each && mailbox.drain() == [])
    }

    /// A sender that waits for an answer to two messages before it goes on: with one wake-up too
    /// few, both threads sleep. The second message comes at a random moment of the reader's turn.
    @Test func noWakeUpIsLost() throws {
        let rounds = 10_000
        let mailbox = try mailbox()
        let answers = try self.mailbox()
        let sender = try #require(
            Thread("sender") {
                var random = Random(seed: 1)
                var item = pollfd(fd: answers.descriptor, events: Int16(POLLIN), revents: 0)
                for _ in 0..<rounds {
                    mailbox.post(1)
                    let until = Clock.monotonicNanoseconds + Int64(random.next(below: 20_000))
                    while Clock.monotonicNanoseconds < until {}
                    mailbox.post(1)
                    var answered = 0
                    while answered < 2 {
                        guard poll(&item, 1, 20_000) == 1 else { return }
                        answered += answers.drain().reduce(0, +)
                    }
                }
            })
        var received = 0
        while received < 2 * rounds {
            guard isReadable(mailbox, milliseconds: 10_000) else {
                Issue.record("both asleep with \(received) messages received")
                break
            }
            let count = mailbox.drain().count
            received += count
            answers.post(count)
        }
        sender.join()
        #expect(received == 2 * rounds && mailbox.drain() == [])
    }

    @Test func aShutMailboxTakesNothing() throws {
        let mailbox = try mailbox()
        for number in 0..<3 { mailbox.post(number) }
        #expect(mailbox.shut() == [0, 1, 2])
        #expect(!mailbox.post(3))
        #expect(mailbox.shut() == [] && mailbox.drain() == [])
    }

    /// Each message is drained, or left, or refused: the sender knows whether it still has it.
    @Test func shuttingLosesNothing() throws {
        let mailbox = try mailbox()
        let accepted = Mutex(0)
        let senders = try (0..<3).map { _ in
            try #require(
                Thread("sender") {
                    var count = 0
                    while mailbox.post(1) { count += 1 }
                    accepted.withLock { $0 += count }
                })
        }
        var seen = 0
        while seen < 10_000 && isReadable(mailbox, milliseconds: 10_000) {
            seen += mailbox.drain().count
        }
        seen += mailbox.shut().count
        for sender in senders { sender.join() }
        #expect(seen >= 10_000 && seen == accepted.withLock { $0 })
    }

    /// An eventfd counts to 2^64 - 2 at most. If it is full, it is readable, so the reader does not
    /// sleep.
    @Test func aFullCounterStillWakes() throws {
        let mailbox = try mailbox()
        var count = UInt64.max - 1
        #expect(write(mailbox.descriptor, &count, 8) == 8)
        #expect(mailbox.post(1) && isReadable(mailbox))
        #expect(mailbox.drain() == [1] && !isReadable(mailbox))
    }

    /// If the system refuses to wake the reader, the next message tries again.
    @Test func aRefusedWakeUpIsTriedAgain() throws {
        let mailbox = try mailbox()
        let spare = try self.mailbox()
        let full = open("/dev/full", O_WRONLY)
        try #require(full >= 0 && dup2(full, mailbox.descriptor) >= 0)
        close(full)
        #expect(mailbox.post(1) && mailbox.post(2))
        // Replaces the broken descriptor by a working eventfd.
        try #require(dup2(spare.descriptor, mailbox.descriptor) >= 0)
        #expect(!isReadable(mailbox))
        #expect(mailbox.post(3) && isReadable(mailbox))
        #expect(mailbox.drain() == [1, 2, 3])
    }
}
