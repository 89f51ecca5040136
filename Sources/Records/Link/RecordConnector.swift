// SPDX-License-Identifier: Apache-2.0
import Base
import Synchronization

/// Threads that connect, so the records thread never waits for a name server or a handshake.
///
/// Each attempt has its own short-lived thread and ends with one message to the inbox.
/// `isCancelled` ends an attempt that outlives the server; its connection is closed with the
/// message.
final class RecordConnector: Sendable {
    private let inbox: RecordInbox
    private let address: PostgresAddress
    private let timeoutMilliseconds: Int64
    private let isCancelled = Atomic<Bool>(false)

    init(inbox: RecordInbox, address: PostgresAddress, timeoutMilliseconds: Int64) {
        self.inbox = inbox
        self.address = address
        self.timeoutMilliseconds = timeoutMilliseconds
    }

    // Order: relaxed, because the flag publishes nothing else.
    func cancel() { isCancelled.store(true, ordering: .relaxed) }

    /// Starts an attempt to open the listening connection. False if no thread can be started.
    func connect() -> Bool {
        spawn("records-connect") { connector in
            do throws(RecordError) {
                let session = try connector.open()
                connector.inbox.post(.connected(RecordArrival(session.release())))
            } catch {
                connector.inbox.post(.connectFailed(error))
            }
        }
    }

    /// Sends a notification over a second connection, to check that it reaches the first.
    func probe(number: UInt64, payload: String) -> Bool {
        spawn("records-probe") { connector in
            do throws(RecordError) {
                let session = try connector.open()
                _ = try session.run(
                    "select pg_notify('\(RecordSQL.channel)', $1)", [payload],
                    timeoutMilliseconds: connector.timeoutMilliseconds)
            } catch {
                connector.inbox.post(.probeFailed(number: number, error))
            }
        }
    }

    private func open() throws(RecordError) -> PostgresSession {
        do throws(RecordError) {
            return try attempt(address)
        } catch {
            // Why: PostgreSQL before 14 refuses a session that names an unknown setting.
            guard error.message.contains("unrecognized configuration parameter") else {
                throw error
            }
        }
        return try attempt(address.withoutNewSettings)
    }

    private func attempt(_ address: PostgresAddress) throws(RecordError) -> PostgresSession {
        try PostgresSession(address, timeoutMilliseconds: timeoutMilliseconds) {
            isCancelled.load(ordering: .relaxed)
        }
    }

    private func spawn(_ name: String, _ body: @escaping @Sendable (RecordConnector) -> Void)
        -> Bool
    {
        guard let thread = Thread(name, { body(self) }) else { return false }
        thread.detach()
        return true
    }
}

/// A connection in a message. If no receiver takes it, it is closed with the message.
final class RecordArrival: Sendable {
    private let handle: Mutex<PostgresHandle?>

    init(_ handle: consuming PostgresHandle) { self.handle = Mutex(handle) }

    func take() -> PostgresHandle? {
        handle.withLock { slot -> PostgresHandle? in
            let taken = slot.take()
            return taken
        }
    }
}
