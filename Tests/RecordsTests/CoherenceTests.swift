// SPDX-License-Identifier: Apache-2.0
import Base
import Glibc
import Synchronization
import Testing

@testable import Records

extension DatabaseTests {
    /// Writers and readers run at full speed while the listening backend is killed again and again.
    /// Whenever the writers pause, the cache must hold what the table holds.
    @Suite(.serialized) struct CoherenceTests {
        private static let source = [
            "tenants", "table=tenants", "key=tenant:id:{id}", "key=tenant:subdomain:{subdomain}",
            "columns=id,subdomain,version",
        ]
        private static let keyCount = 20

        private final class Load: Sendable {
            let isDone = Atomic<Bool>(false)
            let isPaused = Atomic<Bool>(false)
            let paused = Atomic<Int>(0)
            let writes = Atomic<Int>(0)
            let problems = Mutex<[String]>([])

            /// Runs one step after the other, and stops while the others compare.
            func run(_ step: () throws -> Void) {
                while !isDone.load(ordering: .relaxed) {
                    if isPaused.load(ordering: .sequentiallyConsistent) {
                        paused.add(1, ordering: .sequentiallyConsistent)
                        while isPaused.load(ordering: .sequentiallyConsistent) { usleep(200) }
                        paused.subtract(1, ordering: .sequentiallyConsistent)
                    }
                    do { try step() } catch { problems.withLock { $0.append("\(error)") } }
                }
            }

            func write(_ database: TestDatabase, _ seed: Int) {
                guard let session = try? database.session() else { return }
                run {
                    let number = Int.random(in: 1...CoherenceTests.keyCount)
                    switch Int.random(in: 0..<10) {
                    case 0:
                        try session.run("delete from tenants where id = 'k\(number)'")
                        try session.run(
                            """
                            insert into tenants values ('k\(number)', 'N', 's\(number)')
                                on conflict do nothing
                            """
                        )
                    case 1:
                        try session.run(
                            """
                            begin; update tenants set version = version + 1000
                                    where id = 'k\(number)'; rollback
                            """
                        )
                    case 2:
                        try session.run(
                            """
                            update tenants
                               set subdomain = case when subdomain like 's%' then 'z' else 's' end
                                               || \(number) where id = 'k\(number)'
                            """)
                    default:
                        try session.run(
                            "update tenants set version = version + 1 where id = 'k\(number)'")
                    }
                    writes.add(1, ordering: .relaxed)
                }
            }

            func read(_ bench: TestBench) {
                run {
                    let name = ["id:k", "subdomain:s", "subdomain:z"][Int.random(in: 0..<3)]
                    let key = "tenant:\(name)\(Int.random(in: 1...CoherenceTests.keyCount))"
                    _ = try? bench.read(key)
                }
            }
        }

        @Test(arguments: [false, true])
        func theCacheEqualsTheTableWheneverWritersPause(isKilling: Bool) throws {
            let server = try #require(PostgresServer.shared)
            let database = try server.database()
            let writer = try database.session()
            try writer.run(
                "insert into tenants select 'k' || i, 'N', 's' || i from generate_series(1, 20) i")
            let setup = RecordTriggers.setup([try RecordSource(arguments: CoherenceTests.source)])
            try PostgresSetup.apply(setup, url: database.url)
            let bench = try TestBench(url: database.url, sources: [CoherenceTests.source])
            try bench.ready()
            let load = Load()
            let threads =
                (0..<3).map { seed in Thread("writer") { load.write(database, seed) } }
                + (0..<3).map { _ in Thread("reader") { load.read(bench) } }
            defer {
                load.isDone.store(true, ordering: .relaxed)
                load.isPaused.store(false, ordering: .sequentiallyConsistent)
                for thread in threads { thread?.join() }
            }
            for _ in 0..<12 {
                usleep(150_000)
                if isKilling {
                    try writer.run(
                        """
                        select pg_terminate_backend(pid) from pg_stat_activity
                         where application_name = 'martlet' and datname = current_database()
                        """)
                    usleep(60_000)
                }
                try compare(bench, writer, load)
            }
            #expect(load.writes.load(ordering: .relaxed) > 200)
            #expect(bench.engine.statistics().sources[0].invalidations > 100)
            #expect(load.problems.withLock { $0 } == [])
            #expect((bench.engine.statistics().reconnects > 5) == isKilling)
        }

        private func compare(_ bench: TestBench, _ writer: TestSession, _ load: Load) throws {
            load.isPaused.store(true, ordering: .sequentiallyConsistent)
            defer { load.isPaused.store(false, ordering: .sequentiallyConsistent) }
            try until("a pause") { load.paused.load(ordering: .sequentiallyConsistent) == 6 }
            usleep(60_000)
            let rows = try writer.run(
                """
                select id, subdomain, row_to_json(x)::text
                  from (select id, subdomain, version from tenants) x
                """
            )
            var table: [String: String] = [:]
            for row in rows {
                table["tenant:id:\(row[0] ?? "")"] = row[2]
                table["tenant:subdomain:\(row[1] ?? "")"] = row[2]
            }
            let entries = bench.cache.state.withLock { $0.entries }
            let now = Clock.monotonicMilliseconds
            for (key, entry) in entries where entry.deadline > now {
                let name = String(decoding: key, as: UTF8.self)
                #expect(bench.cache.text(name) == table[name], "\(name)")
            }
            try until("the pause to end") {
                load.isPaused.store(false, ordering: .sequentiallyConsistent)
                return load.paused.load(ordering: .sequentiallyConsistent) == 0
            }
        }
    }
}
