// SPDX-License-Identifier: Apache-2.0
import Glibc
import Synchronization
import Testing

@testable import Records

extension DatabaseTests {
    /// PgBouncer between Martlet and PostgreSQL, if it is installed: Martlet must notice and name
    /// each way in which it would make the cache stale.
    @Suite(.serialized, .enabled(if: access(Pool.binary, X_OK) == 0)) struct PoolTests {
        @Test func aPoolThatRefusesOptions() throws {
            let pool = try Pool(mode: "session", more: "")
            defer { pool.stop() }
            let bench = try TestBench(url: pool.url)
            #expect(try bench.request("tenant:id:1") == .unavailable(source: "tenants"))
            #expect(bench.engine.statistics().lastError.contains("a pool stands before PostgreSQL"))
        }

        @Test func aPoolThatDropsOptions() throws {
            let pool = try Pool(mode: "session", more: "ignore_startup_parameters=options")
            defer { pool.stop() }
            let bench = try TestBench(url: pool.url)
            #expect(try bench.request("tenant:id:1") == .unavailable(source: "tenants"))
            #expect(
                bench.engine.statistics().lastError.contains("a pool that drops start-up options"))
            #expect(bench.cache.state.withLock { $0.entries.isEmpty })
        }

        @Test func aPoolThatSharesSessionsKeepsNothing() throws {
            let pool = try Pool(mode: "transaction", more: "ignore_startup_parameters=options")
            defer { pool.stop() }
            try pool.database.session().run(
                """
                alter database \(pool.database.name) set lock_timeout = 1000;
                alter database \(pool.database.name) set statement_timeout = 2000;
                alter database \(pool.database.name) set default_transaction_read_only = on;
                """)
            let bench = try TestBench(url: pool.url) { $0.probeTimeoutMilliseconds = 300 }
            try bench.ready(.uncached)
            #expect(bench.cache.hasLogged("notifications of other sessions do not arrive"))
            if try bench.request("tenant:id:1") == .loaded {
                #expect((bench.cache.entry("tenant:id:1")?.lifeMilliseconds ?? 50) == 50)
            }
        }

        @Test func aSessionPoolWithTheSettingsOfTheRoleIsGood() throws {
            let pool = try Pool(mode: "session", more: "ignore_startup_parameters=options")
            defer { pool.stop() }
            try pool.database.session().run(
                """
                alter database \(pool.database.name) set lock_timeout = 1000;
                alter database \(pool.database.name) set statement_timeout = 2000;
                alter database \(pool.database.name) set default_transaction_read_only = on;
                """)
            let bench = try TestBench(url: pool.url)
            try bench.ready()
            #expect(try bench.request("tenant:id:1") == .loaded)
            #expect(bench.cache.entry("tenant:id:1")?.lifeMilliseconds == 3_600_000)
        }
    }
}

/// A PgBouncer for the tests, in front of the shared server.
private final class Pool {
    static let binary = "/usr/sbin/pgbouncer"
    let database: TestDatabase
    private let folder: String
    /// PgBouncer listens on a unix socket whose name contains a port.
    private let port = 6432

    var url: String { "host=\(folder) port=\(port) user=postgres dbname=\(database.name)" }

    init(mode: String, more: String) throws {
        let server = try #require(PostgresServer.shared)
        database = try server.database()
        try database.session().run("insert into tenants values ('1', 'Ann', 'ann')")
        let setup = RecordTriggers.setup([try RecordSource(arguments: TestBench.standard)])
        try PostgresSetup.apply(setup, url: database.url)
        folder = "\(server.folder)/pool-\(database.name)"
        let settings = """
            [databases]
            * = host=\(server.folder)
            [pgbouncer]
            listen_addr =
            unix_socket_dir = \(folder)
            listen_port = \(port)
            auth_type = any
            pool_mode = \(mode)
            pidfile = \(folder)/pid
            logfile = \(folder)/log
            \(more)

            """
        // Why: auth_type any takes the user from the database line.
        let text = settings.split(separator: "\n").map {
            $0.hasPrefix("* =") ? $0 + " user=postgres" : $0
        }.joined(separator: "\n")
        let user = geteuid() == 0 ? "setpriv --reuid=postgres --regid=postgres --clear-groups" : ""
        let command =
            "\(user) mkdir \(folder) && "
            + "\(user) tee \(folder)/ini >/dev/null <<'END'\n\(text)\nEND\n"
        try #require(system(command) == 0)
        try #require(system("\(user) \(Pool.binary) -q -d \(folder)/ini >/dev/null 2>&1") == 0)
        try until("the pool") { access("\(folder)/.s.PGSQL.\(port)", F_OK) == 0 }
    }

    func stop() { _ = system("kill $(cat \(folder)/pid)") }
}
