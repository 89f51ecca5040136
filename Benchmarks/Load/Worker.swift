// SPDX-License-Identifier: Apache-2.0
import CLinux
import Glibc
import LoadKit
import Synchronization

/// One thread of the load: its connections, its epoll loop, its counters.
///
/// Why one send buffer and one receive buffer per thread: they stay in the cache, and a connection
/// usually needs no buffer of its own.
///
/// Invariants: 1. `remaining` requests may still be sent by this thread; 2. in the closed loop a
/// connection sends only when it has no outstanding requests; 3. the loop ends: when all requests
/// are answered, when no connection is left, or when no reply has come for the time-out.
struct Worker: ~Copyable {
    private static let receiveSize = 256 * 1024
    private static let eventCapacity = 256

    private let options: LoadOptions
    private let coordinator: Coordinator
    private let loop: Int32
    private var connections: [Connection] = []
    private var writer: RequestWriter
    private var sendBuffer: RequestBuffer
    private let receiveBuffer: UnsafeMutableRawBufferPointer
    private let events: UnsafeMutableBufferPointer<epoll_event>
    private var schedule: OpenLoopSchedule?
    private var remaining: Int
    private var stopNanoseconds: UInt64 = 0
    private var lastReplyNanoseconds: UInt64 = 0
    private var isStopped = false
    private var openConnections: Int
    private var outstandingRequests = 0
    private var publishedErrors = 0
    private let firstConnection: Int
    private var result = WorkerResult()

    init(
        _ options: LoadOptions, index: Int, _ endpoint: Endpoint, _ coordinator: Coordinator
    ) throws(LoadError) {
        self.options = options
        self.coordinator = coordinator
        let share = { (total: Int) in (total - index + options.threads - 1) / options.threads }
        remaining = share(options.requests)
        openConnections = share(options.connections)
        firstConnection = index
        writer = RequestWriter(options, thread: index)
        sendBuffer = RequestBuffer(capacity: options.pipeline * writer.maximumRequestSize)
        receiveBuffer = .allocate(byteCount: Worker.receiveSize, alignment: 64)
        events = .allocate(capacity: Worker.eventCapacity)
        loop = epoll_create1(Int32(EPOLL_CLOEXEC))
        guard loop >= 0 else { throw .system("epoll_create1") }
        connections.reserveCapacity(openConnections)
        for position in 0..<openConnections {
            let number = index + position * options.threads
            let tenant = number % options.tenants
            let descriptor = try endpoint.connect()
            connections.append(
                Connection(
                    descriptor: descriptor,
                    tenant: options.tenantCredentials == nil ? nil : tenant,
                    pipeline: options.pipeline))
            try Handshake.perform(descriptor, options, tenant: tenant)
            let flags = fcntl(descriptor, F_GETFL)
            guard fcntl(descriptor, F_SETFL, flags | O_NONBLOCK) == 0,
                martlet_epoll_control(
                    loop, EPOLL_CTL_ADD, descriptor, EPOLLIN.rawValue, UInt64(position)) == 0
            else { throw .system("a connection could not be watched") }
        }
    }

    deinit {
        for connection in connections where connection.isOpen { close(connection.descriptor) }
        close(loop)
        receiveBuffer.deallocate()
        events.deallocate()
    }

    /// Runs the whole load of this thread. Returns nil if the run was cancelled before its start.
    mutating func run() throws(LoadError) -> WorkerResult? {
        guard let start = coordinator.waitForStart() else { return nil }
        stopNanoseconds = start + UInt64(options.durationSeconds * 1e9)
        lastReplyNanoseconds = start
        if let rate = options.ratePerSecond {
            schedule = OpenLoopSchedule(
                startNanoseconds: start,
                ratePerSecond: rate * Double(connections.count) / Double(options.connections),
                connections: connections.count,
                phase: Double(firstConnection) / Double(options.threads))
        } else {
            for index in connections.indices { sendBatch(index) }
        }
        while openConnections > 0, !isDone() { try turn() }
        result.lostRequests += outstandingRequests
        if let schedule {
            // This includes requests that a lost connection never sent.
            result.unsentRequests = schedule.due - result.tally.requests
        }
        result.endNanoseconds = result.tally.replies > 0 ? lastReplyNanoseconds : Clock.now()
        return result
    }

    /// One turn: send what is due, wait, receive what has come.
    private mutating func turn() throws(LoadError) {
        if schedule != nil { sendDue(Clock.now()) }
        let count = martlet_epoll_wait_nanoseconds(
            loop, events.baseAddress, Int32(Worker.eventCapacity), waitNanoseconds())
        if count < 0, count != -EINTR { throw LoadError("epoll_pwait2 failed with \(-count)") }
        let repliesBefore = result.tally.replies
        for position in 0..<Int(max(0, count)) {
            let event = events[position]
            let index = withUnsafePointer(to: event) { Int(martlet_epoll_token($0)) }
            if event.events & EPOLLOUT.rawValue != 0 { sendRest(index) }
            if event.events & ~EPOLLOUT.rawValue != 0 { receive(index) }
        }
        let replies = result.tally.replies - repliesBefore
        guard replies > 0 else { return }
        coordinator.completed.add(replies, ordering: .relaxed)
        let errors = result.tally.errorReplies
        if errors != publishedErrors {
            coordinator.errors.add(errors - publishedErrors, ordering: .relaxed)
            publishedErrors = errors
        }
    }

    // MARK: - Time

    private mutating func isDone() -> Bool {
        let now = Clock.now()
        if !isStopped, now >= stopNanoseconds {
            if schedule != nil { sendDue(stopNanoseconds) }
            isStopped = true
        }
        if outstandingRequests == 0 {
            if isStopped || remaining == 0 { return true }
            if schedule != nil { lastReplyNanoseconds = max(lastReplyNanoseconds, now) }
            return false
        }
        let quiet = now > lastReplyNanoseconds ? now - lastReplyNanoseconds : 0
        return Double(quiet) > options.timeoutSeconds * 1e9
    }

    /// The time until the next request is due, but at most a tenth of a second, to check the time
    /// limits.
    private func waitNanoseconds() -> Int64 {
        let longest: Int64 = 100_000_000
        guard let schedule, !isStopped else { return longest }
        let now = Clock.now()
        let next = min(schedule.nextDueTime, stopNanoseconds)
        return next > now ? min(longest, Int64(next - now)) : 0
    }

    // MARK: - Sending

    /// Closed loop: sends the next batch of a connection whose replies have all arrived.
    private mutating func sendBatch(_ index: Int) {
        guard !isStopped else { return }
        let count = min(options.pipeline, remaining)
        guard count > 0 else { return }
        remaining -= count
        connections[index].sentNanoseconds = Clock.now()
        send(count, index)
    }

    /// Open loop: adds the requests that have come due, and sends those that the pipeline has room
    /// for.
    private mutating func sendDue(_ now: UInt64) {
        guard !isStopped, var moved = schedule else { return }
        let due = moved.advance(to: now, limit: moved.due + remaining)
        schedule = moved
        guard !due.isEmpty else { return }
        remaining -= due.count
        if due.count >= connections.count {
            for index in connections.indices { sendWaiting(index) }
        } else {
            for request in due { sendWaiting(request % connections.count) }
        }
    }

    /// Sends nothing once the time is up: requests that are due and still wait are reported as
    /// unsent. Otherwise an overloaded server could delay the end for as long again.
    private mutating func sendWaiting(_ index: Int) {
        guard let schedule, !isStopped else { return }
        let waiting = schedule.dueCount(connection: index) - connections[index].sentCount
        let room = options.pipeline - connections[index].replies.outstanding.count
        let count = min(waiting, room)
        guard count > 0, connections[index].isOpen else { return }
        connections[index].sentCount += count
        send(count, index)
    }

    private mutating func send(_ count: Int, _ index: Int) {
        writer.write(
            count, tenant: connections[index].tenant, into: &sendBuffer,
            &connections[index].replies.outstanding, &result.tally)
        outstandingRequests += count
        let bytes = sendBuffer.bytes
        result.bytesSent += bytes.count
        // Bytes already waiting must go first.
        guard connections[index].unsent.isEmpty else {
            connections[index].unsent += bytes
            return
        }
        let flags = Int32(MSG_NOSIGNAL)
        let sent = Glibc.send(connections[index].descriptor, bytes.baseAddress, bytes.count, flags)
        if sent == bytes.count { return }
        if sent < 0, errno != EAGAIN, errno != EINTR {
            drop(index)
            return
        }
        connections[index].unsent = Array(bytes[max(0, sent)...])
        watch(index, writing: true)
    }

    private mutating func sendRest(_ index: Int) {
        guard connections[index].isOpen else { return }
        let flags = Int32(MSG_NOSIGNAL)
        let rest = connections[index].unsent
        let sent = Glibc.send(connections[index].descriptor, rest, rest.count, flags)
        if sent < 0 {
            if errno != EAGAIN, errno != EINTR { drop(index) }
            return
        }
        connections[index].unsent = Array(rest[sent...])
        if sent == rest.count { watch(index, writing: false) }
    }

    private mutating func watch(_ index: Int, writing: Bool) {
        let interest = EPOLLIN.rawValue | (writing ? EPOLLOUT.rawValue : 0)
        let descriptor = connections[index].descriptor
        if martlet_epoll_control(loop, EPOLL_CTL_MOD, descriptor, interest, UInt64(index)) != 0 {
            drop(index)
        }
    }

    // MARK: - Receiving

    private mutating func receive(_ index: Int) {
        guard connections[index].isOpen, let base = receiveBuffer.baseAddress else { return }
        let kept = connections[index].partialLine.count
        receiveBuffer.copyBytes(from: connections[index].partialLine)
        let count = recv(
            connections[index].descriptor, base + kept, receiveBuffer.count - kept, 0)
        if count <= 0 {
            if count == 0 || (errno != EAGAIN && errno != EINTR) { drop(index) }
            return
        }
        let now = Clock.now()
        result.bytesReceived += count
        let total = kept + count
        // Safety: the first `total` bytes are the kept line and what recv wrote after it.
        let bytes = UnsafeBufferPointer(
            start: base.assumingMemoryBound(to: UInt8.self), count: total)
        let received = result.tally.receive(bytes.span, &connections[index].replies)
        connections[index].partialLine = Array(bytes[received.consumed...])
        noteReplies(received.replies, index, now)
        if received.isMalformed {
            drop(index)
        } else if schedule != nil {
            sendWaiting(index)
        } else if connections[index].replies.outstanding.count == 0 {
            sendBatch(index)
        }
    }

    private mutating func noteReplies(_ count: Int, _ index: Int, _ now: UInt64) {
        guard count > 0 else { return }
        outstandingRequests -= count
        lastReplyNanoseconds = now
        guard let schedule else {
            let elapsed = now - connections[index].sentNanoseconds
            result.latency.record(elapsed, count: UInt64(count))
            return
        }
        for _ in 0..<count {
            let due = schedule.dueTime(
                connection: index, request: connections[index].answeredCount)
            connections[index].answeredCount += 1
            result.latency.record(now > due ? now - due : 0)
        }
    }

    /// Gives up a connection that the server closed or that broke the protocol.
    private mutating func drop(_ index: Int) {
        guard connections[index].isOpen else { return }
        connections[index].isOpen = false
        close(connections[index].descriptor)
        openConnections -= 1
        result.lostConnections += 1
        result.lostRequests += connections[index].replies.outstanding.count
        outstandingRequests -= connections[index].replies.outstanding.count
    }
}
