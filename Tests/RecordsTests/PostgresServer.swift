// SPDX-License-Identifier: Apache-2.0
import Glibc
import Synchronization
import Testing

@testable import Records

/// A PostgreSQL for the tests, in a temporary folder, reachable only by its unix socket.
///
/// PostgreSQL refuses to run as root, so root gives the folder to the user `postgres`.
final class PostgresServer: Sendable {
    static let binaries = "/usr/lib/postgresql/15/bin"
    let folder: String
    private let databaseCount = Atomic<Int>(0)

    /// The server shared by all tests that do not stop it. It is removed when the process ends.
    static let shared: PostgresServer? = {
        let server = PostgresServer()
        atexit { PostgresServer.shared?.remove() }
        return server
    }()

    init?() {
        var template = Array("/tmp/martlet-postgres-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { return nil }
        folder = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        if geteuid() == 0 {
            guard shell("chown postgres:postgres \(folder)") else { return nil }
        }
        let options = "-A trust -U postgres -E UTF8 --locale=C.UTF-8 --no-sync"
        guard run("\(PostgresServer.binaries)/initdb -D \(folder)/data \(options)"), start() else {
            return nil
        }
    }

    /// Starts the server and waits until it answers.
    @discardableResult
    func start() -> Bool {
        let options = [
            "-c listen_addresses=", "-c unix_socket_directories=\(folder)", "-c fsync=off",
            "-c max_connections=60", "-c shared_buffers=16MB", "-c synchronous_commit=off",
            "-c shared_preload_libraries=pg_stat_statements",
        ].joined(separator: " ")
        return run(
            "\(PostgresServer.binaries)/pg_ctl -D \(folder)/data -w -t 30 -l \(folder)/log "
                + "-o '\(options)' start")
    }

    @discardableResult
    func stop(_ mode: String = "fast") -> Bool {
        run("\(PostgresServer.binaries)/pg_ctl -D \(folder)/data -w -t 30 -m \(mode) stop")
    }

    func remove() {
        stop("immediate")
        _ = shell("rm -rf \(folder)")
    }

    func url(_ database: String = "postgres") -> String {
        "host=\(folder) user=postgres dbname=\(database)"
    }

    /// A database with a unique name and an empty `tenants` table.
    func database() throws -> TestDatabase {
        let name = "d\(databaseCount.add(1, ordering: .relaxed).newValue)"
        let administrator = try TestSession(url: url())
        try administrator.run("create database \(name)")
        let database = TestDatabase(server: self, name: name)
        try database.session().run(
            """
            create extension pg_stat_statements;
            create table tenants (id text primary key, name text, subdomain text unique,
              custom_domain text unique, plan_type text, user_id bigint, version bigint default 0);
            """)
        return database
    }

    private func run(_ command: String) -> Bool {
        geteuid() == 0
            ? shell("setpriv --reuid=postgres --regid=postgres --clear-groups \(command)")
            : shell(command)
    }

    private func shell(_ command: String) -> Bool {
        system("cd / && \(command) </dev/null >>\(folder).out 2>&1") == 0
            && unlink("\(folder).out") <= 0
    }
}

struct TestDatabase: Sendable {
    let server: PostgresServer
    let name: String

    var url: String { server.url(name) }

    func session() throws -> TestSession { try TestSession(url: url) }

    /// How often statements that contain this text were executed.
    func callCount(like pattern: String) throws -> Int {
        let rows = try session().run(
            """
            select coalesce(sum(calls), 0)::text from pg_stat_statements
             where dbid = (select oid from pg_database where datname = current_database())
               and query like '\(pattern)'
            """)
        return rows.first?.first.flatMap { Int($0 ?? "") } ?? -1
    }
}

/// A writer's session.
final class TestSession {
    private let session: PostgresSession

    init(url: String) throws {
        let address = try PostgresAddress(url, options: [], applicationName: "test")
        session = try PostgresSession(address, timeoutMilliseconds: 5000)
    }

    @discardableResult
    func run(_ text: String) throws -> [[String?]] {
        try session.run(text).map { row in
            row.map { value in value.map { String(decoding: $0, as: UTF8.self) } }
        }
    }
}

/// All tests with a database, one after the other: some check what must happen within 50 ms.
@Suite(.serialized) enum DatabaseTests {}
