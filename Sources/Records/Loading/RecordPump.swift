// SPDX-License-Identifier: Apache-2.0

/// What libpq returns for one message of a result.
enum RecordReply: Equatable {
    /// The values of each row as text; nil for null.
    case rows([[[UInt8]?]])
    case done
    case sync
    case failure(code: String, message: String)
}

/// The calls of libpq that the pump makes. A protocol, so their order can be tested without a
/// server.
protocol RecordWire: AnyObject {
    /// Reads what has arrived; false if the connection is lost.
    func consumeInput() -> Bool
    /// Sends what is buffered: 0 if all is sent, 1 if some is left, -1 if the connection is lost.
    /// May also read.
    func flush() -> Int32
    func isBusy() -> Bool
    /// Nil is libpq's NULL: the end of a query's results.
    func nextResult() -> RecordReply?
    func nextNotification() -> [UInt8]?
}

/// What the pump's owner does with what has arrived.
protocol RecordPumpHandler: AnyObject {
    associatedtype Item
    /// A result of a query that was sent. Rows must be cached when this returns.
    func receive(_ reply: RecordReply, for item: Item)
    /// Notifications in order, after every result that arrived before them. Must not send.
    func apply(_ notifications: [[UInt8]])
    /// Sends queued loads. Returns whether anything was sent.
    func sendWaiting() -> Bool
}

/// Drives one pipelined connection in the one order that keeps the cache coherent.
///
/// Why: libpq returns a notification as soon as it has parsed it, even if results before it on the
/// wire have not been collected. Taking notifications first would drop an entry and then install
/// the old row in its place, forever. So the pump first collects every complete result and only
/// then takes the notifications; all outstanding results come later on the wire.
///
/// Invariants:
/// 1. No notification is taken while a complete result is uncollected.
/// 2. Nothing is read or sent between the results and the notifications of one turn.
/// 3. After sending, the turn begins again before the thread sleeps, because sending may have read.
final class RecordPump<Handler: RecordPumpHandler> {
    enum Turn: Equatable {
        case open(hasUnsent: Bool)
        case lost
    }

    private enum Expected {
        case query(Handler.Item)
        case sync
    }

    private var pending = RecordQueue<(expected: Expected, isDone: Bool)>()
    /// The number of replies taken so far. It grows while the server makes progress.
    private(set) var replyCount: UInt64 = 0

    var isIdle: Bool { pending.isEmpty }

    /// Notes a query that was sent; results arrive in this order.
    func expect(_ item: Handler.Item) { pending.append((.query(item), false)) }

    func expectSync() { pending.append((.sync, false)) }

    /// Takes the unanswered queries, to fail or resend them.
    func takePending() -> [Handler.Item] {
        pending.takeAll().compactMap { entry in
            guard case .query(let item) = entry.expected, !entry.isDone else { return nil }
            return item
        }
    }

    /// Does all the work of one wake-up.
    func turn(_ wire: some RecordWire, isReadable: Bool, handler: Handler) -> Turn {
        if isReadable, !wire.consumeInput() {
            // Why: results and notifications that arrived before the loss are still valid.
            _ = drainResults(wire, handler)
            applyNotifications(wire, handler)
            return .lost
        }
        while true {
            let unsent = wire.flush()
            guard unsent >= 0, drainResults(wire, handler) else { return .lost }
            applyNotifications(wire, handler)
            if !handler.sendWaiting() { return .open(hasUnsent: unsent > 0) }
        }
    }

    private func applyNotifications(_ wire: some RecordWire, _ handler: Handler) {
        var notifications: [[UInt8]] = []
        while let notification = wire.nextNotification() { notifications.append(notification) }
        if !notifications.isEmpty { handler.apply(notifications) }
    }

    /// Collects results until one is incomplete. False if libpq answered out of order.
    private func drainResults(_ wire: some RecordWire, _ handler: Handler) -> Bool {
        while let head = pending.first, !wire.isBusy() {
            guard let reply = wire.nextResult() else {
                guard head.isDone, case .query = head.expected else { return false }
                _ = pending.popFirst()
                continue
            }
            replyCount += 1
            switch (head.expected, reply) {
            case (.sync, .sync): _ = pending.popFirst()
            case (.query(let item), .rows), (.query(let item), .done), (.query(let item), .failure):
                guard !head.isDone else { continue }
                pending.first = (head.expected, true)
                handler.receive(reply, for: item)
            default: return false
            }
        }
        return true
    }
}
