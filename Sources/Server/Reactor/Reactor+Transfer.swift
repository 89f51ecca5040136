// SPDX-License-Identifier: Apache-2.0
import Base
import Commands
import Glibc
import Networking
import Sessions
import Storage

// Receiving and sending bytes.
extension Reactor {
    /// Receives what has arrived and serves it. Bytes are parsed in the thread's buffer; only the
    /// unconsumed rest is copied to the connection.
    @inline(__always)
    func receive(_ connection: ConnectionReference) {
        guard connection.pointee.input.isEmpty else { return receiveMore(connection) }
        switch loop.receive(connection.pointee.fd, into: receiveBuffer) {
        case .bytes(let count):
            countIn(count, connection)
            guard let base = receiveBuffer.baseAddress else { return }
            let bytes = Bytes(raw: base, count)
            let consumed = serve(connection, bytes)
            guard let consumed, consumed < count else { return }
            connection.pointee.input.append(bytes.suffix(from: consumed))
            updateSizes(connection)
        case .wouldBlock: return
        case .closed: endInput(connection)
        case .failed: close(connection)
        }
    }

    /// Receives more bytes of an unfinished request, behind those in the connection's buffer.
    @inline(never)
    private func receiveMore(_ connection: ConnectionReference) {
        let awaited =
            connection.pointee.session.bytesAwaited - connection.pointee.input.readableCount
        // Bound: a length that the client announces reserves at most a megabyte at a time.
        let room = min(max(Reactor.receiveSize, awaited), 1 << 20)
        connection.pointee.input.compact()
        let target = connection.pointee.input.reserve(room)
        let buffer = UnsafeMutableRawBufferPointer(start: target, count: room)
        switch loop.receive(connection.pointee.fd, into: buffer) {
        case .bytes(let count):
            connection.pointee.input.commit(count)
            countIn(count, connection)
            let limit = server.settings.queryBufferLimit
            if connection.pointee.input.readableCount > limit {
                Log.standard.write(
                    .warning, "closing client that reached the maximum query buffer length")
                worker.statistics.pointee.closedForInput.bump()
                return close(connection)
            }
            serveInput(connection)
        case .wouldBlock: return
        case .closed: endInput(connection)
        case .failed: close(connection)
        }
    }

    /// Stops reading: the client has closed its side, or the server stops. Requests that have
    /// arrived are still served, and their replies sent.
    func endInput(_ connection: ConnectionReference) {
        connection.pointee.hasEnded = true
        guard !closeIfDone(connection) else { return }
        watch(connection)
    }

    /// Closes a connection that has ended and has nothing left to serve or send. Returns whether it
    /// closed it.
    @discardableResult
    func closeIfDone(_ connection: ConnectionReference) -> Bool {
        guard connection.pointee.isClosing || connection.pointee.hasEnded,
            connection.pointee.output.isEmpty,
            connection.pointee.replyStart == connection.pointee.replyEnd
        else { return false }
        if !connection.pointee.isClosing {
            guard !connection.pointee.isSuspended, !connection.pointee.hasUnserved else {
                return false
            }
        }
        close(connection)
        return true
    }

    private func countIn(_ count: Int, _ connection: ConnectionReference) {
        let statistics = worker.statistics
        statistics.pointee.bytesIn.bump(count)
        statistics.pointee.readsProcessed.bump()
        connection.pointee.session.state.pointee.lastActiveAt = now
    }

    /// Serves the connection's bytes in a later tick.
    @inline(never)
    private func serveLater(_ connection: ConnectionReference) {
        connection.pointee.hasUnserved = true
        unserved.append(connection.pointee.token)
    }

    /// Serves the bytes in the connection's own buffer, now or when its tenant has its next turn.
    func serveInput(_ connection: ConnectionReference) {
        if hasHadTurn(connection) { return serveLater(connection) }
        notePeaks(connection)
        let bytes = connection.pointee.input.readable
        guard let consumed = serve(connection, bytes) else { return }
        connection.pointee.input.consume(consumed)
        if connection.pointee.input.isEmpty {
            connection.pointee.input.removeAll(keepingCapacity: false)
        }
        updateSizes(connection)
    }

    /// Runs the requests in `bytes`. Returns the number of bytes consumed; nil if the connection
    /// was closed.
    @inline(__always)
    private func serve(_ connection: ConnectionReference, _ bytes: Bytes) -> Int? {
        guard !connection.pointee.isClosing, !connection.pointee.isSuspended else { return 0 }
        let waiting = connection.pointee.output.readableCount
        let limit = replyLimit(connection)
        if waiting > limit / 4 { return holdBack(connection) ? 0 : nil }
        if mustQueue(connection) {
            connection.pointee.session.putOff()
            suspend(connection)
            return 0
        }
        let start = thread.replies.pointee.count
        // What has been answered in this tick is not in `output` yet.
        let unsent = connection.pointee.replyEnd - connection.pointee.replyStart
        thread.replies.pointee.setCeiling(start + max(0, limit - waiting - unsent))
        let served = connection.pointee.session.serve(bytes, on: &thread)
        noteTurn(connection)
        connection.pointee.hasAdvanced = served.consumed > 0
        let end = thread.replies.pointee.count
        if end > start { note(connection, start, end) }
        let sessionSize = connection.pointee.session.state.heldSize
        if sessionSize != connection.pointee.sessionSize {
            connection.pointee.sessionSize = sessionSize
            charge(connection)
        }
        switch served.next {
        case .receive:
            break
        case .yield: serveLater(connection)
        case .suspend:
            suspend(connection)
        case .close:
            connection.pointee.isClosing = true
            if end == start && connection.pointee.output.isEmpty {
                close(connection)
                return nil
            }
        case .closeUnsent:
            closeForOutput(connection, "its replies pass the limit while they are made")
            return nil
        }
        if end > Reactor.replyBufferLimit {
            let token = connection.pointee.token
            sendAll()
            if connections.find(token) == nil { return nil }
        }
        return served.consumed
    }

    /// Notes which part of the thread's replies belongs to this connection.
    @inline(__always)
    private func note(_ connection: ConnectionReference, _ start: Int, _ end: Int) {
        if connection.pointee.replyEnd == start
            && connection.pointee.replyEnd > connection.pointee.replyStart
        {
            connection.pointee.replyEnd = end
            return
        }
        if connection.pointee.replyEnd > connection.pointee.replyStart {
            // Served twice in one tick, with others in between: the earlier part moves to the
            // connection's own buffer.
            let range = connection.pointee.replyStart..<connection.pointee.replyEnd
            queue(thread.replies.pointee.bytes(range), connection)
        } else {
            answered.append(connection)
        }
        connection.pointee.replyStart = start
        connection.pointee.replyEnd = end
    }

    /// Sends the replies of this tick.
    @inline(__always)
    func sendAll() {
        guard !answered.isEmpty else { return }
        // Why a loop by hand: closing a connection removes it from the list.
        while let connection = answered.popLast() {
            let range = connection.pointee.replyStart..<connection.pointee.replyEnd
            connection.pointee.replyStart = 0
            connection.pointee.replyEnd = 0
            send(connection, thread.replies.pointee.bytes(range))
        }
        thread.replies.pointee.removeAll()
        if thread.replies.pointee.capacity > 4 * Reactor.replyBufferLimit {
            thread.replies.pointee = ByteBuffer(capacity: Reactor.receiveSize)
        }
    }

    @inline(__always)
    private func send(_ connection: ConnectionReference, _ bytes: Bytes) {
        worker.statistics.pointee.bytesOut.bump(bytes.count)
        guard connection.pointee.output.isEmpty else {
            queue(bytes, connection)
            return checkOutput(connection)
        }
        worker.statistics.pointee.writesProcessed.bump()
        switch loop.send(connection.pointee.fd, UnsafeRawBufferPointer(bytes.buffer)) {
        case .bytes(bytes.count):
            closeIfDone(connection)
        case .bytes(let sent):
            queue(bytes.suffix(from: sent), connection)
            checkOutput(connection)
        case .wouldBlock:
            queue(bytes, connection)
            checkOutput(connection)
        case .closed, .failed:
            close(connection)
        }
    }

    /// Keeps replies that the socket does not take yet.
    private func queue(_ bytes: Bytes, _ connection: ConnectionReference) {
        // Why: for a client that always lags a little behind, the buffer would otherwise never
        // start over. Moving no more bytes than were sent since the last move keeps the cost
        // linear.
        if connection.pointee.output.readIndex > connection.pointee.output.readableCount {
            connection.pointee.output.compact()
        }
        connection.pointee.output.append(bytes)
    }

    /// Sends more output; called when the socket takes bytes again.
    func flush(_ connection: ConnectionReference) {
        while !connection.pointee.output.isEmpty {  // Bound: ends when the socket is full.
            let bytes = connection.pointee.output.readable
            switch loop.send(connection.pointee.fd, UnsafeRawBufferPointer(bytes.buffer)) {
            case .bytes(let sent):
                connection.pointee.output.consume(sent)
                // Why: a client that reads a long reply is not idle.
                connection.pointee.session.state.pointee.lastActiveAt = now
            case .wouldBlock:
                return checkOutput(connection)
            case .closed, .failed:
                return close(connection)
            }
        }
        connection.pointee.output.removeAll(keepingCapacity: false)
        endSoftLimit(connection)
        updateSizes(connection)
        goOn(connection)
        if !closeIfDone(connection) { watch(connection) }
    }

    /// The most that the client's replies may take: what its output limit allows, and what all
    /// clients and those of its tenant may hold. A quarter of the latter is for room in buffers.
    @inline(__always)
    private func replyLimit(_ connection: ConnectionReference) -> Int {
        let tenant = connection.pointee.session.state.pointee.tenant
        return min(server.settings.replySizeMax, tenant.clientMemoryMax / 4 * 3)
    }

    /// Serves no more requests of a client that has a quarter of its limit still to read. Why: one
    /// more reply could pass the limit, which ends the client; a client that reads goes on.
    /// Returns false if the connection was closed.
    private func holdBack(_ connection: ConnectionReference) -> Bool {
        let token = connection.pointee.token
        connection.pointee.hasUnserved = true
        connection.pointee.isHeldBack = true
        checkOutput(connection)
        return connections.find(token) != nil
    }

    /// Continues with the requests of a connection that was held back, if it has sent enough.
    private func goOn(_ connection: ConnectionReference) {
        guard connection.pointee.isHeldBack,
            connection.pointee.output.readableCount <= replyLimit(connection) / 8
        else { return }
        connection.pointee.isHeldBack = false
        endSoftLimit(connection)
        unserved.append(connection.pointee.token)
    }

    /// Watches for the socket to become writable, and closes a connection whose client reads too
    /// slowly.
    func checkOutput(_ connection: ConnectionReference) {
        updateSizes(connection)
        let settings = server.settings
        let size = connection.pointee.output.readableCount
        let soft = settings.outputSoftLimit
        var isOver = size > settings.outputHardLimit
        // Why also one that is held back: it may never read, and must not stay for ever.
        if size > soft || connection.pointee.isHeldBack {
            let seconds = settings.values.pointee.outputSoftSeconds.value
            let hasSeconds = size > soft || (soft < Settings.outputUnlimited && seconds > 0)
            let patience = hasSeconds ? Milliseconds(seconds) * 1000 : Reactor.readingPatience
            let since = connection.pointee.softLimitSince ?? now
            connection.pointee.softLimitSince = since
            isOver = isOver || now - since > patience
            if !isOver && connection.pointee.softLimitTimer == nil {
                // Why a timer: if a client neither reads nor sends, no other event checks it.
                connection.pointee.softLimitTimer = timers.add(
                    deadline: since + patience + 1,
                    .softLimit(token: connection.pointee.token))
            }
        } else {
            endSoftLimit(connection)
        }
        if isOver { return closeForOutput(connection, "\(size) bytes wait for it") }
        goOn(connection)
        watch(connection)
    }

    /// How long a client that is held back may take to read, if no soft limit gives it seconds.
    private static let readingPatience: Milliseconds = 60_000

    /// Closes a client that has passed `client-output-buffer-limit`.
    @inline(never)
    private func closeForOutput(_ connection: ConnectionReference, _ reason: String) {
        worker.statistics.pointee.closedForOutput.bump()
        let state = connection.pointee.session.state
        Log.standard.write(
            .warning,
            "closing client \(state.pointee.id) at \(state.pointee.address), which has passed its "
                + "output limit: \(reason)")
        close(connection)
    }

    /// Called when the output is below its soft limit, or the connection ends.
    func endSoftLimit(_ connection: ConnectionReference) {
        connection.pointee.softLimitSince = nil
        if let timer = connection.pointee.softLimitTimer.take() { timers.cancel(timer) }
    }

    /// Tells the event loop which events the connection needs.
    func watch(_ connection: ConnectionReference) {
        let isOpen = !connection.pointee.isClosing && !connection.pointee.hasEnded
        let reading = isOpen && connection.pointee.isReading
        let interest = Interest(
            reading: reading, writing: !connection.pointee.output.isEmpty,
            end: reading || (isOpen && !connection.pointee.knowsOfEnd))
        guard interest != connection.pointee.interest else { return }
        connection.pointee.interest = interest
        loop.modify(
            connection.pointee.fd, token: connection.pointee.token, interest: interest)
    }

    private func updateSizes(_ connection: ConnectionReference) {
        let state = connection.pointee.session.state
        state.pointee.queryBufferSize = connection.pointee.input.readableCount
        state.pointee.queryBufferFree =
            connection.pointee.input.capacity - connection.pointee.input.count
        state.pointee.outputSize = connection.pointee.output.readableCount
        charge(connection)
        notePeaks(connection)
    }

    private func notePeaks(_ connection: ConnectionReference) {
        let input = connection.pointee.input.capacity
        let output = connection.pointee.output.capacity
        guard input | output != 0 else { return }
        peaks.note(RecentPeaks.Sizes(input: input, output: output), now: now)
    }

    /// Continues with connections that have yielded, in the order in which they did.
    func serveUnserved() {
        guard !unserved.isEmpty else { return }
        let tokens = unserved
        unserved = []
        for token in tokens {
            guard let connection = connections.find(token), connection.pointee.hasUnserved,
                !connection.pointee.isHeldBack
            else { continue }
            connection.pointee.hasUnserved = false
            serveInput(connection)
        }
        sendAll()
        for token in tokens { settle(token) }
    }
}
