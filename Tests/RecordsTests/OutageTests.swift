// SPDX-License-Identifier: Apache-2.0
import Base
import Glibc
import Synchronization
import Testing

@testable import Records

extension DatabaseTests {
    /// The engine while PostgreSQL goes away and comes back. Each test stops its own server.
    @Suite(.serialized) struct OutageTests {
        private func withServer(
            _ source: [String] = TestBench.standard,
            _ change: (inout RecordOptions) -> Void = { _ in },
            _ body: (TestBench, TestDatabase) throws -> Void
        ) throws {
            let server = try #require(PostgresServer())
            defer { server.remove() }
            let database = try server.database()
            try database.session().run(
                "insert into tenants select i, 'T', 's' || i from generate_series(1, 200) i")
            let setup = RecordTriggers.setup([try RecordSource(arguments: source)])
            try PostgresSetup.apply(setup, url: database.url)
            let bench = try TestBench(url: database.url, sources: [source], change: change)
            try bench.ready()
            try body(bench, database)
        }

        /// Readers read all the time while the server restarts and a row changes without a
        /// notification.
        @Test(arguments: ["fast", "immediate"])
        func restartUnderLoad(mode: String) throws {
            try withServer { bench, database in
                let readers = Readers(bench)
                try readers.run {
                    database.server.stop(mode)
                    #expect(bench.cache.entry("tenant:id:1") == nil)
                    #expect(throws: RecordError.self) { _ = try bench.read("tenant:id:1") }
                    usleep(700_000)
                    database.server.start()
                    // Why: a read must return the new row, whether or not the link is back.
                    try database.session().run("update tenants set name = 'U'")
                    let back = Clock.monotonicMilliseconds
                    try until("an answer") { (try? bench.read("tenant:id:1")) != nil }
                    #expect(Clock.monotonicMilliseconds - back < 2000)
                    usleep(50_000)
                    #expect(try bench.read("tenant:id:1")?.contains("\"U\"") == true)
                    #expect(bench.engine.statistics().sources[0].breaker == "closed")
                    #expect(bench.engine.statistics().reconnects == 1)
                }
                #expect(readers.wrong.load(ordering: .relaxed) == 0)
                #expect(readers.slowestMilliseconds.load(ordering: .relaxed) < 3500)
                #expect(bench.cache.state.withLock { $0.repeated } == 0)
            }
        }

        /// Three threads that read existing rows; no answer may be "no such key".
        private final class Readers: Sendable {
            let bench: TestBench
            let isDone = Atomic<Bool>(false)
            let wrong = Atomic<Int>(0)
            let answered = Atomic<Int>(0)
            let slowestMilliseconds = Atomic<Int64>(0)

            init(_ bench: TestBench) { self.bench = bench }

            func run(_ body: () throws -> Void) throws {
                let threads = (0..<3).map { thread in
                    Thread("reader-\(thread)") { self.read(thread) }
                }
                defer {
                    isDone.store(true, ordering: .relaxed)
                    for thread in threads { thread?.join() }
                }
                try until("the readers to begin") { answered.load(ordering: .relaxed) > 1000 }
                try body()
            }

            private func read(_ thread: Int) {
                var number = thread
                while !isDone.load(ordering: .relaxed) {
                    number = (number * 31 + 7) % 200
                    let start = Clock.monotonicMilliseconds
                    do {
                        if try bench.read("tenant:id:\(number + 1)") == nil {
                            wrong.add(1, ordering: .relaxed)
                        }
                    } catch {
                        if !"\(error)".hasPrefix("TRYAGAIN") { wrong.add(1, ordering: .relaxed) }
                        usleep(1000)
                    }
                    answered.add(1, ordering: .relaxed)
                    slowestMilliseconds.max(
                        Clock.monotonicMilliseconds - start, ordering: .relaxed)
                }
            }
        }

        @Test func staleEntriesStayUntilTheLinkIsBack() throws {
            try withServer(TestBench.standard + ["stale-ttl=60"]) { bench, database in
                try bench.request("tenant:id:1")
                database.server.stop()
                try until("the loss to be noticed") {
                    bench.cache.state.withLock { $0.suspected } == 1
                }
                usleep(100_000)
                #expect(bench.cache.text("tenant:id:1") != nil)
                #expect(bench.cache.state.withLock { $0.flushes } == 0)
                #expect(try bench.request("tenant:id:2") == .unavailable(source: "tenants"))
                database.server.start()
                try bench.ready()
                #expect(bench.cache.entry("tenant:id:1") == nil)
            }
        }

        @Test func aKilledBackendCostsOneReconnection() throws {
            try withServer { bench, database in
                try bench.request("tenant:id:1")
                try database.session().run(
                    """
                    select pg_terminate_backend(pid) from pg_stat_activity
                     where application_name = 'martlet' and query not like '%pg_notify%'
                    """)
                try until("the reconnection") { bench.engine.statistics().reconnects == 1 }
                #expect(bench.cache.entry("tenant:id:1") == nil)
                #expect(try bench.request("tenant:id:1") == .loaded)
                #expect(bench.engine.statistics().lastError.contains("administrator command"))
            }
        }

        @Test func aSilentServerIsGivenUp() throws {
            let quick: (inout RecordOptions) -> Void = {
                $0.heartbeatMilliseconds = 100
                $0.silenceTimeoutMilliseconds = 300
                $0.requestTimeoutMilliseconds = 400
                $0.connectTimeoutMilliseconds = 300
            }
            try withServer(TestBench.standard, quick) { bench, database in
                try bench.request("tenant:id:1")
                let rows = try database.session().run(
                    """
                    select pid::text from pg_stat_activity where application_name = 'martlet'
                    union all select split_part(pg_read_file('postmaster.pid'), E'\\n', 1)
                    """)
                let processes = rows.compactMap { $0[0].flatMap { pid_t($0) } }
                #expect(processes.count >= 2)
                for process in processes { kill(process, SIGSTOP) }
                defer { for process in processes { kill(process, SIGCONT) } }
                let start = Clock.monotonicMilliseconds
                #expect(try bench.request("tenant:id:2") == .unavailable(source: "tenants"))
                #expect(Clock.monotonicMilliseconds - start < 1000)
                try until("the entries to go") { bench.cache.entry("tenant:id:1") == nil }
                for process in processes { kill(process, SIGCONT) }
                let back = Clock.monotonicMilliseconds
                try until("an answer") { (try? bench.read("tenant:id:2")) != nil }
                #expect(Clock.monotonicMilliseconds - back < 2000)
            }
        }

        @Test func nobodyAtTheAddress() throws {
            let bench = try TestBench(url: "host=/nonexistent user=nobody")
            #expect(try bench.request("tenant:id:1") == .unavailable(source: "tenants"))
            try until("the breaker") { bench.engine.statistics().sources[0].breaker == "open" }
            let start = Clock.monotonicMilliseconds
            #expect(try bench.request("tenant:id:1") == .unavailable(source: "tenants"))
            #expect(Clock.monotonicMilliseconds - start < 50)
            #expect(bench.engine.statistics().lastError.contains("No such file"))
            let waiter = bench.waiter()
            bench.engine.invalidate(try bench.key("tenant:id:1"), waiter: waiter)
            #expect(try bench.wait(waiter) == .unavailable(source: "tenants"))
            bench.engine.stop()
            #expect(try bench.request("tenant:id:1") == .unavailable(source: "tenants"))
            #expect(throws: RecordError.self) { try TestBench(url: "nonsense://") }
        }

        /// A probe that cannot connect, because the role may have only one connection.
        @Test func withoutTheProofNothingIsKept() throws {
            let server = try #require(PostgresServer.shared)
            let database = try server.database()
            let writer = try database.session()
            let role = "single_\(database.name)"
            try writer.run(
                """
                insert into tenants values ('1', 'Ann', 'ann');
                create role \(role) login connection limit 1; grant select on tenants to \(role);
                """)
            let setup = RecordTriggers.setup([try RecordSource(arguments: TestBench.standard)])
            try PostgresSetup.apply(setup, url: database.url)
            let url = "host=\(server.folder) dbname=\(database.name) user=\(role)"
            let bench = try TestBench(url: url)
            try bench.ready(.uncached)
            #expect(try bench.request("tenant:id:1") == .loaded)
            #expect((bench.cache.entry("tenant:id:1")?.lifeMilliseconds ?? 50) == 50)
            #expect(bench.cache.hasLogged("nothing is cached"))
            #expect(bench.engine.statistics().sources[0].isWatched)
        }
    }
}
