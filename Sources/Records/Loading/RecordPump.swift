// SPDX-License-Identifier: Apache-2.0

/// What libpq gives back for one message of a result.
enum RecordReply: Equatable {
    /// The values of each row as text, nil where null.
    case rows([[[UInt8]?]])
    case done
    case sync
    case failure(code: String, message: String)
}

/// The calls of libpq that the pump makes, so that their order can be tested without a server.
protocol RecordWire: AnyObject {
    /// Reads what has arrived; false when the connection is lost.
    func consumeInput() -> Bool
    /// Sends what is buffered: 0 all sent, 1 some left, -1 lost. May read as a side effect.
    func flush() -> Int32
    func isBusy() -> Bool
    /// nil is libpq's NULL: the end of a query's results.
    func nextResult() -> RecordReply?
    func nextNotification() -> [UInt8]?
}

/// What the pump's owner does with what arrived.
protocol RecordPumpHandler: AnyObject {
    associatedtype Item
    /// A result of a query that was sent. Rows must be in the cache when this returns.
    func receive(_ reply: RecordReply, for item: Item)
    /// Notifications, in order, after every result that had arrived before them. May not send.
    func apply(_ notifications: [[UInt8]])
    /// Sends what waits, and says whether anything was sent.
    func sendWaiting() -> Bool
}

/// Drives one pipelined connection in the one order that keeps the cache coherent.
///
/// Why: libpq hands out a notification as soon as it has parsed it, even if rows that came before
/// it on the wire have not been collected. Taking notifications first would drop an entry and then
/// install the old row over the gap, for ever. So every complete result is collected first, and
/// only then are the notifications taken; whatever is outstanding after that comes later on the
/// wire.
///
/// Invariants: 1. no notification is taken while a collectable result stands; 2. nothing is read or
/// sent between the results and the notifications of one turn; 3. after sending, the turn begins
/// again before the thread sleeps, because sending may have read.
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
    /// The number of replies taken so far; a server that makes progress makes it grow.
    private(set) var replyCount: UInt64 = 0

    var isIdle: Bool { pending.isEmpty }

    /// Notes a query that was sent; its result comes in this order.
    func expect(_ item: Handler.Item) { pending.append((.query(item), false)) }

    func expectSync() { pending.append((.sync, false)) }

    /// The queries that were sent and not answered, for failing or sending again.
    func takePending() -> [Handler.Item] {
        pending.takeAll().compactMap { entry in
            guard case .query(let item) = entry.expected, !entry.isDone else { return nil }
            return item
        }
    }

    /// Everything that one wake-up asks for.
    func turn(_ wire: some RecordWire, isReadable: Bool, handler: Handler) -> Turn {
        if isReadable, !wire.consumeInput() {
            // Why: results that arrived before the end are still valid, and so are notifications.
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

    /// Collects results until one is incomplete. False if libpq answered out of turn.
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
