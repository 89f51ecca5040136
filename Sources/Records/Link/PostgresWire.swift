// SPDX-License-Identifier: Apache-2.0
import CPostgres
import Glibc

/// One connection of libpq in pipeline mode, owned by one thread.
///
/// It receives notices because libpq reports errors on an idle session as notices, for example the
/// reason why the server ends it. Otherwise they would go to standard error.
final class PostgresWire: RecordWire {
    /// The connection; closed by `deinit`.
    private let connection: OpaquePointer
    private let notices: UnsafeMutablePointer<PostgresNotices>
    let socket: Int32

    /// Takes over an established connection.
    init?(_ handle: consuming PostgresHandle) {
        connection = handle.take()
        socket = PQsocket(connection)
        notices = UnsafeMutablePointer<PostgresNotices>.allocate(capacity: 1)
        notices.initialize(to: PostgresNotices())
        // Safety: the notices outlive the connection; see deinit.
        PQsetNoticeReceiver(connection, PostgresNotices.receive, notices)
        guard PQsetnonblocking(connection, 1) == 0, PQenterPipelineMode(connection) == 1 else {
            return nil
        }
    }

    deinit {
        PQfinish(connection)
        notices.deinitialize(count: 1)
        notices.deallocate()
    }

    var errorMessage: String { PostgresText.line(PQerrorMessage(connection)) }

    /// The server's reason for ending the session, once it has sent one.
    var endingNotice: String? { notices.pointee.ending }

    func consumeInput() -> Bool {
        PQconsumeInput(connection) == 1 && PQstatus(connection) == CONNECTION_OK
    }

    func flush() -> Int32 { PQflush(connection) }

    func isBusy() -> Bool { PQisBusy(connection) != 0 }

    func nextResult() -> RecordReply? {
        guard let result = PQgetResult(connection) else { return nil }
        defer { PQclear(result) }
        switch PQresultStatus(result) {
        case PGRES_TUPLES_OK: return .rows(PostgresText.rows(result))
        case PGRES_COMMAND_OK, PGRES_EMPTY_QUERY: return .done
        case PGRES_PIPELINE_SYNC: return .sync
        case PGRES_PIPELINE_ABORTED: return .failure(code: "", message: "pipeline aborted")
        default:
            let error = PostgresText.error(result)
            return .failure(code: error.code, message: error.message)
        }
    }

    func nextNotification() -> [UInt8]? {
        while let notification = PQnotifies(connection) {
            defer { PQfreemem(notification) }
            guard strcmp(notification.pointee.relname, RecordSQL.channel) == 0 else { continue }
            return PostgresText.bytes(notification.pointee.extra)
        }
        return nil
    }

    func sendQuery(_ text: String) -> Bool {
        PQsendQueryParams(connection, text, 0, nil, nil, nil, nil, 0) == 1
    }

    func sendPrepare(name: String, _ text: String) -> Bool {
        PQsendPrepare(connection, name, text, 0, nil) == 1
    }

    func sendExecute(name: String, parameter: [UInt8]) -> Bool {
        (parameter + [0]).withUnsafeBufferPointer { bytes in
            // Safety: libpq copies the parameter before it returns.
            bytes.withMemoryRebound(to: CChar.self) { text in
                var pointer: UnsafePointer<CChar>? = text.baseAddress
                return PQsendQueryPrepared(connection, name, 1, &pointer, nil, nil, 0) == 1
            }
        }
    }

    func sendSync() -> Bool { PQpipelineSync(connection) == 1 }
}

/// What the server says outside of results.
struct PostgresNotices {
    /// The last notice that announced the end of the session.
    var ending: String?

    static let receive: @convention(c) (UnsafeMutableRawPointer?, OpaquePointer?) -> Void = {
        context, result in
        guard let context, let result else { return }
        let error = PostgresText.error(result)
        guard RecordFailure.of(error.code) == .lost, !error.code.isEmpty else { return }
        // Safety: the context is the struct that PostgresWire allocated for this connection.
        context.assumingMemoryBound(to: PostgresNotices.self).pointee.ending = error.message
    }
}

/// Reading libpq's C strings.
enum PostgresText {
    /// A message on one line, without the line breaks that libpq puts in.
    static func line(_ text: UnsafePointer<CChar>?) -> String {
        guard let text else { return "" }
        return String(cString: text).split(whereSeparator: \.isNewline)
            .map { $0.drop(while: { $0 == " " || $0 == "\t" }) }.joined(separator: "; ")
    }

    static func bytes(_ text: UnsafePointer<CChar>?) -> [UInt8] {
        guard let text else { return [] }
        // Safety: the text ends with a zero, which is not taken.
        return Array(UnsafeRawBufferPointer(start: text, count: strlen(text)))
    }

    static func rows(_ result: OpaquePointer) -> [[[UInt8]?]] {
        let columns = PQnfields(result)
        return (0..<PQntuples(result)).map { row in
            (0..<columns).map { column in
                guard PQgetisnull(result, row, column) == 0 else { return nil }
                // Safety: the value belongs to the result and has the length that libpq says.
                return Array(
                    UnsafeRawBufferPointer(
                        start: PQgetvalue(result, row, column),
                        count: Int(PQgetlength(result, row, column))))
            }
        }
    }

    /// SQLSTATE, and the message with its detail and hint.
    static func error(_ result: OpaquePointer) -> RecordError {
        func field(_ code: Character) -> String? {
            guard let ascii = code.asciiValue else { return nil }
            return PQresultErrorField(result, Int32(ascii)).map { line($0) }
        }
        var message = field("M") ?? line(PQresultErrorMessage(result))
        if let detail = field("D") { message += "; " + detail }
        if let hint = field("H") { message += "; " + hint }
        return RecordError(message, code: field("C") ?? "")
    }
}
