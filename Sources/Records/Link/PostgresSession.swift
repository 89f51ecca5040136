// SPDX-License-Identifier: Apache-2.0
import Base
import CPostgres
import Glibc

/// An open connection on its way from the thread that made it to the thread that uses it.
///
/// Safety: libpq allows only one thread at a time to use a connection. A handle has one owner:
/// `take` moves the connection out, and a handle that is not taken closes it.
struct PostgresHandle: ~Copyable, @unchecked Sendable {
    private let connection: OpaquePointer

    init(_ connection: OpaquePointer) { self.connection = connection }

    consuming func take() -> OpaquePointer {
        let taken = connection
        discard self
        return taken
    }

    deinit { PQfinish(connection) }
}

/// Where PostgreSQL is and how to set up a session there.
///
/// The settings are sent as start-up options and never with SET. Behind a pool that shares
/// sessions, SET would change the sessions of other programs. Such a pool refuses start-up options,
/// and its refusal names the problem.
struct PostgresAddress: Sendable, Equatable {
    let parameters: [String: String]

    /// Parses a URL or a keyword=value string. Appends `options` to those that it has.
    init(_ url: String, options: [String], applicationName: String) throws(RecordError) {
        var problem: UnsafeMutablePointer<CChar>?
        guard let list = PQconninfoParse(url, &problem) else {
            defer { PQfreemem(problem) }
            // Why: the message may repeat the text, including a password.
            let text = PostgresText.line(problem)
            let isSafe = !text.contains("@") && !text.contains("password")
            throw RecordError("postgres-url: " + (isSafe ? text : "this is no PostgreSQL URL"))
        }
        defer { PQconninfoFree(list) }
        var parameters: [String: String] = [
            "application_name": applicationName, "client_encoding": "UTF8",
            "keepalives_idle": "10", "keepalives_interval": "3", "keepalives_count": "3",
            "tcp_user_timeout": "5000", "target_session_attrs": "primary",
        ]
        // Safety: the list ends with an entry without a keyword.
        var option = list
        while let keyword = option.pointee.keyword {
            if let value = option.pointee.val {
                parameters[String(cString: keyword)] = String(cString: value)
            }
            option += 1
        }
        let given = parameters["options"].map { [$0] } ?? []
        parameters["options"] = (given + options).joined(separator: " ")
        parameters["client_encoding"] = "UTF8"
        self.parameters = parameters
    }

    private init(parameters: [String: String]) { self.parameters = parameters }

    /// The same address without the settings that PostgreSQL 14 introduced.
    var withoutNewSettings: PostgresAddress {
        var older = parameters
        let words = older["options"]?.split(separator: " ").map(String.init) ?? []
        var kept: [String] = []
        for word in words {
            if ["idle_session_timeout=", "client_connection_check_interval="].contains(
                where: word.hasPrefix)
            {
                kept.removeLast()
            } else {
                kept.append(word)
            }
        }
        older["options"] = kept.joined(separator: " ")
        return PostgresAddress(parameters: older)
    }
}

/// A connection used by one thread that may wait: to connect, for setup, and for the probe.
///
/// Nothing waits longer than its deadline, except the look-up of a host name, for which the C
/// library has no limit. Therefore no thread that others depend on connects.
struct PostgresSession: ~Copyable {
    static let sliceMilliseconds: Int32 = 50
    private let connection: OpaquePointer

    /// Connects. Calls `isCancelled` every 50 ms.
    init(
        _ address: PostgresAddress, timeoutMilliseconds: Int64, isCancelled: () -> Bool = { false }
    ) throws(RecordError) {
        let connection = PostgresSession.start(address)
        guard let connection else { throw RecordError("PostgreSQL: out of memory") }
        if let problem = PostgresSession.establish(connection, timeoutMilliseconds, isCancelled) {
            PQfinish(connection)
            throw problem
        }
        _ = PQsetNoticeProcessor(connection, { _, _ in }, nil)
        self.connection = connection
    }

    deinit { PQfinish(connection) }

    /// Gives the connection away.
    consuming func release() -> PostgresHandle {
        let handle = PostgresHandle(connection)
        discard self
        return handle
    }

    /// Runs SQL, which may be several statements if there are no parameters. Returns the rows of
    /// the last one.
    func run(
        _ text: String, _ parameters: [String] = [], timeoutMilliseconds: Int64 = 30_000
    ) throws(RecordError) -> [[[UInt8]?]] {
        let isSent =
            parameters.isEmpty
            ? PQsendQuery(connection, text)
            : PostgresSession.withTexts(parameters) { texts in
                PQsendQueryParams(
                    connection, text, Int32(parameters.count), nil, texts, nil, nil, 0)
            }
        guard isSent == 1 else { throw RecordError(PostgresText.line(PQerrorMessage(connection))) }
        let deadline = Clock.monotonicMilliseconds + timeoutMilliseconds
        var rows: [[[UInt8]?]] = []
        var failure: RecordError?
        while true {
            while PQisBusy(connection) != 0 {
                guard Clock.monotonicMilliseconds < deadline else {
                    throw RecordError("PostgreSQL did not answer within \(timeoutMilliseconds) ms")
                }
                PostgresSession.wait(PQsocket(connection), Int16(POLLIN))
                guard PQconsumeInput(connection) == 1 else {
                    throw RecordError(PostgresText.line(PQerrorMessage(connection)), code: "08006")
                }
            }
            guard let result = PQgetResult(connection) else { break }
            switch PQresultStatus(result) {
            case PGRES_TUPLES_OK: rows = PostgresText.rows(result)
            case PGRES_COMMAND_OK, PGRES_EMPTY_QUERY: rows = []
            default: failure = failure ?? PostgresText.error(result)
            }
            PQclear(result)
        }
        if let failure { throw failure }
        return rows
    }

    private static func start(_ address: PostgresAddress) -> OpaquePointer? {
        let pairs = address.parameters.sorted { $0.key < $1.key }
        return withTexts(pairs.map(\.key)) { keywords in
            withTexts(pairs.map(\.value)) { values in PQconnectStartParams(keywords, values, 0) }
        }
    }

    /// Waits until the connection is open. Returns the reason if it fails.
    private static func establish(
        _ connection: OpaquePointer, _ timeoutMilliseconds: Int64, _ isCancelled: () -> Bool
    ) -> RecordError? {
        func failure() -> RecordError {
            RecordError("PostgreSQL: \(PostgresText.line(PQerrorMessage(connection)))")
        }
        guard PQstatus(connection) != CONNECTION_BAD else { return failure() }
        let deadline = Clock.monotonicMilliseconds + timeoutMilliseconds
        var events = Int16(POLLOUT)
        while true {
            if isCancelled() { return RecordError("PostgreSQL: the attempt was given up") }
            guard Clock.monotonicMilliseconds < deadline else {
                return RecordError("PostgreSQL: no connection within \(timeoutMilliseconds) ms")
            }
            guard wait(PQsocket(connection), events) else { continue }
            switch PQconnectPoll(connection) {
            case PGRES_POLLING_OK: return nil
            case PGRES_POLLING_READING: events = Int16(POLLIN)
            case PGRES_POLLING_WRITING: events = Int16(POLLOUT)
            default: return failure()
            }
        }
    }

    /// Waits for one slice of time; true if the socket is ready.
    @discardableResult
    private static func wait(_ socket: Int32, _ events: Int16) -> Bool {
        var item = pollfd(fd: socket, events: events, revents: 0)
        return poll(&item, 1, sliceMilliseconds) > 0
    }

    /// C strings in a null-terminated array, as libpq wants them.
    private static func withTexts<Result>(
        _ texts: [String], _ body: (UnsafePointer<UnsafePointer<CChar>?>) -> Result
    ) -> Result {
        let copies = texts.map { strdup($0) }
        defer { for copy in copies { free(copy) } }
        let pointers = copies.map { UnsafePointer<CChar>($0) } + [nil]
        return pointers.withUnsafeBufferPointer { buffer in
            guard let start = buffer.baseAddress else {
                preconditionFailure("the array is not empty")
            }
            return body(start)
        }
    }
}

/// What `martlet postgres-setup` does.
public enum PostgresSetup {
    /// Runs the text of `RecordTriggers` on the server at this URL.
    public static func apply(_ text: String, url: String) throws(RecordError) {
        let address = try PostgresAddress(
            url, options: [], applicationName: "martlet postgres-setup")
        let session = try PostgresSession(address, timeoutMilliseconds: 10_000)
        do throws(RecordError) {
            _ = try session.run(text, timeoutMilliseconds: 120_000)
        } catch {
            throw RecordError("postgres-setup: \(error.message) [\(error.code)]", code: error.code)
        }
    }
}
