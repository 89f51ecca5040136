// SPDX-License-Identifier: Apache-2.0
import Base
import Glibc
import Synchronization
import Testing

@testable import Records

extension DatabaseTests {
    /// The engine against a real PostgreSQL that stays up.
    @Suite(.serialized) struct EngineTests {
        /// A database with the triggers and two rows.
        func setUp(_ sources: [[String]] = [TestBench.standard]) throws -> (
            TestDatabase, TestSession
        ) {
            let server = try #require(PostgresServer.shared)
            let database = try server.database()
            let writer = try database.session()
            try writer.run(
                """
                insert into tenants values ('1', 'Ann', 'ann', 'ann.example', 'pro', 7),
                                           ('2', 'Bob "B"', 'bob', null, 'free', null);
                """)
            let parsed = try sources.map { try RecordSource(arguments: $0) }
            try PostgresSetup.apply(RecordTriggers.setup(parsed), url: database.url)
            return (database, writer)
        }

        @Test func oneLoadFillsAllKeysOfTheRow() throws {
            let (database, _) = try setUp()
            let bench = try TestBench(url: database.url)
            try bench.ready()
            let json =
                #"{"id":"1","name":"Ann","subdomain":"ann","custom_domain":"ann.example","#
                + #""plan_type":"pro","user_id":7}"#
            #expect(try bench.request("tenant:subdomain:ann") == .loaded)
            for key in ["tenant:id:1", "tenant:subdomain:ann", "tenant:domain:ann.example"] {
                #expect(bench.cache.text(key) == json)
                #expect(bench.cache.entry(key)?.lifeMilliseconds == 3_600_000)
            }
            #expect(bench.cache.state.withLock { $0.tenants } == ["1": "pro"])
            #expect(try bench.request("tenant:id:2") == .loaded)
            #expect(bench.cache.state.withLock { $0.entries.count } == 5)
            let figures = bench.engine.statistics().sources[0]
            #expect(figures.batches == 2 && figures.rows == 2 && figures.failures == 0)
        }

        @Test func aThousandMissesOfOneKeyMakeOneQuery() throws {
            let (database, _) = try setUp()
            let bench = try TestBench(url: database.url)
            try bench.ready()
            let key = try bench.key("tenant:id:1")
            let threads = (0..<4).map { thread in
                Thread("miss-\(thread)") {
                    for number in 0..<250 {
                        let low = UInt64(1_000_000 + thread * 1000 + number)
                        bench.engine.request([key], waiter: RecordWaiter(high: 0, low: low))
                    }
                }
            }
            for thread in threads { try #require(thread).join() }
            try until("a thousand answers") {
                bench.cache.state.withLock { $0.outcomes.count } == 1000
            }
            #expect(bench.cache.state.withLock { $0.outcomes.values.allSatisfy { $0 == .loaded } })
            #expect(bench.cache.state.withLock { $0.repeated } == 0)
            #expect(bench.engine.statistics().sources[0].batches == 1)
            #expect(try database.callCount(like: "%row_to_json%any($1)") == 1)
        }

        @Test func aRequestOfManyKeysIsLoadedInBatches() throws {
            let (database, writer) = try setUp()
            try writer.run(
                "insert into tenants select 'n' || i, 'N', 's' || i from generate_series(1, 500) i")
            let bench = try TestBench(url: database.url)
            try bench.ready()
            let waiter = try #require(try bench.begin((1...600).map { "tenant:id:n\($0)" }))
            #expect(try bench.wait(waiter) == .loaded)
            #expect(bench.cache.text("tenant:subdomain:s500") != nil)
            #expect(bench.cache.entry("tenant:id:n501")?.value == nil)
            #expect(bench.engine.statistics().sources[0].batches == 6)
            #expect(bench.engine.statistics().sources[0].negatives == 100)
        }

        @Test func aMissingRowIsRememberedUntilItIsInserted() throws {
            let (database, writer) = try setUp()
            let bench = try TestBench(url: database.url)
            try bench.ready()
            #expect(try bench.request("tenant:subdomain:new") == .missing)
            let entry = try #require(bench.cache.entry("tenant:subdomain:new"))
            #expect(entry.value == nil && entry.lifeMilliseconds == 60_000)
            try writer.run("insert into tenants values ('9', 'Nia', 'new')")
            usleep(50_000)
            #expect(try bench.read("tenant:subdomain:new")?.contains("Nia") == true)
        }

        @Test func aCommittedUpdateIsSeenWithin50Milliseconds() throws {
            let (database, writer) = try setUp()
            let bench = try TestBench(url: database.url)
            try bench.ready()
            for round in 0..<50 {
                _ = try bench.read("tenant:id:1")
                try writer.run(
                    "begin; update tenants set name = 'round \(round)' where id = '1'; commit")
                usleep(50_000)
                #expect(try bench.read("tenant:id:1")?.contains("\"round \(round)\"") == true)
            }
            let before = bench.engine.statistics().sources[0].invalidations
            try writer.run("update tenants set version = version + 1 where id = '1'")
            usleep(50_000)
            #expect(bench.engine.statistics().sources[0].invalidations == before)
        }

        @Test func aNewSubdomainDropsBothNames() throws {
            let (database, writer) = try setUp()
            let bench = try TestBench(url: database.url)
            try bench.ready()
            try bench.request("tenant:subdomain:ann")
            #expect(try bench.request("tenant:subdomain:anna") == .missing)
            try writer.run("update tenants set subdomain = 'anna' where id = '1'")
            usleep(50_000)
            #expect(try bench.read("tenant:subdomain:ann") == nil)
            #expect(try bench.read("tenant:subdomain:anna")?.contains("\"Ann\"") == true)
            try writer.run("truncate tenants")
            usleep(50_000)
            #expect(try bench.read("tenant:subdomain:anna") == nil)
            #expect(try bench.read("tenant:id:1") == nil)
        }

        @Test func aManyRowedStatementAnnouncesItsKeysInParts() throws {
            let (database, writer) = try setUp()
            try writer.run(
                "insert into tenants select 'n' || i, 'N', 's' || i from generate_series(1, 9000) i"
            )
            let bench = try TestBench(url: database.url)
            try bench.ready()
            try bench.request("tenant:id:n1500", "tenant:id:n8000")
            let flushes = bench.engine.statistics().sources[0].flushes
            try writer.run("update tenants set name = 'M' where id like 'n1___'")
            usleep(100_000)
            #expect(try bench.read("tenant:id:n1500")?.contains("\"M\"") == true)
            #expect(bench.engine.statistics().sources[0].flushes == flushes)
            try writer.run("update tenants set name = 'O'")
            usleep(100_000)
            #expect(bench.engine.statistics().sources[0].flushes == flushes + 1)
            #expect(try bench.read("tenant:id:n8000")?.contains("\"O\"") == true)
        }

        @Test func theNewPlanOfACachedRowArrivesUnasked() throws {
            let (database, writer) = try setUp()
            let bench = try TestBench(url: database.url)
            try bench.ready()
            try bench.request("tenant:id:1")
            try writer.run("update tenants set plan_type = 'enterprise'")
            try until("the plan") { bench.cache.state.withLock { $0.tenants["1"] } == "enterprise" }
            #expect(bench.cache.state.withLock { $0.tenants["2"] } == nil)
        }

        @Test func columnsOfOtherTypesAndHashes() throws {
            let source = [
                "orders", "table=public.orders", "key=order:{id}", "key=order:ref:{ref}:row",
                "format=hash",
                "ttl=30",
            ]
            let server = try #require(PostgresServer.shared)
            let database = try server.database()
            let writer = try database.session()
            let identifier = "6f9619ff-8b86-d011-b42d-00cf4fc964ff"
            try writer.run(
                """
                create table orders (id bigint primary key, ref uuid unique, "odd ""name" jsonb,
                  at date, note text);
                insert into orders
                  values (7, '\(identifier)', '{"a": [1, "x"]}', '2024-02-29', null);
                """)
            try PostgresSetup.apply(
                RecordTriggers.setup([try RecordSource(arguments: source)]), url: database.url)
            let bench = try TestBench(url: database.url, sources: [source])
            try bench.ready()
            #expect(try bench.request("order:ref:\(identifier):row") == .loaded)
            let fields = [
                ("id", "7"), ("ref", identifier), ("odd \"name", #"{"a": [1, "x"]}"#),
                ("at", "2024-02-29"),
            ].map { RecordField(name: Array($0.0.utf8), value: Array($0.1.utf8)) }
            #expect(bench.cache.entry("order:7")?.value == .hash(fields))
            #expect(
                try bench.request("order:007", "order:x", "order:99999999999999999999", "order:8")
                    == .missing)
            #expect(try bench.request("order:x\u{0}", "order:7") == .missing)
            #expect(bench.engine.statistics().sources[0].failures == 0)
            try writer.run("update orders set note = 'n' where id = 7")
            usleep(50_000)
            #expect(bench.cache.entry("order:7") == nil)
        }

        @Test func invalidateDropsEveryKeyOfTheRow() throws {
            let (database, _) = try setUp()
            let bench = try TestBench(url: database.url)
            try bench.ready()
            try bench.request("tenant:id:1", "tenant:id:2")
            let waiter = bench.waiter()
            bench.engine.invalidate(try bench.key("tenant:id:1"), waiter: waiter)
            #expect(try bench.wait(waiter) == .loaded)
            for key in ["tenant:id:1", "tenant:subdomain:ann", "tenant:domain:ann.example"] {
                #expect(bench.cache.entry(key) == nil)
            }
            #expect(bench.cache.text("tenant:subdomain:bob") != nil)
            let again = bench.waiter()
            bench.engine.load([try bench.key("tenant:id:1")], waiter: again)
            #expect(try bench.wait(again) == .loaded)
            #expect(bench.cache.text("tenant:subdomain:ann") != nil)
        }

        @Test func aLockedTableFailsInTimeAndOpensTheBreaker() throws {
            let (database, writer) = try setUp()
            let bench = try TestBench(url: database.url) {
                $0.lockTimeoutMilliseconds = 100
                $0.breakerTimeoutMilliseconds = 300
            }
            try bench.ready()
            try writer.run("begin")
            try writer.run("lock table tenants in access exclusive mode")
            for number in 0..<3 {
                #expect(
                    try bench.request("tenant:id:l\(number)") == .unavailable(source: "tenants"))
            }
            #expect(bench.engine.statistics().sources[0].breaker == "open")
            let start = Clock.monotonicMilliseconds
            #expect(try bench.request("tenant:id:1") == .unavailable(source: "tenants"))
            #expect(Clock.monotonicMilliseconds - start < 50)
            #expect(bench.engine.statistics().sources[0].refused == 1)
            try writer.run("rollback")
            usleep(300_000)
            #expect(try bench.request("tenant:id:1") == .loaded)
            #expect(bench.engine.statistics().sources[0].breaker == "closed")
            #expect(bench.engine.statistics().reconnects == 0)
        }

        @Test func withoutTriggersRowsAreAnsweredAndNotKept() throws {
            let (database, writer) = try setUp()
            try writer.run("alter table tenants disable trigger martlet_tenants_upd")
            let bench = try TestBench(url: database.url) { $0.tableCheckMilliseconds = 100 }
            try bench.ready()
            #expect(try bench.request("tenant:id:1") == .loaded)
            #expect((bench.cache.entry("tenant:id:1")?.lifeMilliseconds ?? 50) == 50)
            #expect(bench.cache.hasLogged("missing or disabled"))
            try writer.run("alter table tenants enable always trigger martlet_tenants_upd")
            try until("the trigger to be noticed") {
                bench.engine.statistics().sources[0].isWatched
            }
            usleep(60_000)
            #expect(try bench.request("tenant:id:1") == .loaded)
            #expect(bench.cache.entry("tenant:id:1")?.lifeMilliseconds == 3_600_000)
            try writer.run("alter table tenants enable trigger martlet_tenants_upd")
            try until("the change to be noticed") {
                !bench.engine.statistics().sources[0].isWatched
            }
            #expect(bench.cache.entry("tenant:id:1") == nil)
        }

        /// A server that accepts no more sessions, for example because an application has them all,
        /// is no reason to drop the cache: the listening session still hears of changes.
        @Test func aProbeThatCannotBeSentDropsNothing() throws {
            let (database, writer) = try setUp()
            let bench = try TestBench(url: database.url) { $0.probeIntervalMilliseconds = 100 }
            try bench.ready()
            #expect(try bench.request("tenant:id:1") == .loaded)
            let administrator = try TestSession(url: database.server.url())
            try administrator.run("alter database \(database.name) allow_connections false")
            try until("the probe to fail") { bench.cache.hasLogged("probe could not be sent") }
            #expect(bench.cache.entry("tenant:id:1")?.lifeMilliseconds == 3_600_000)
            #expect(bench.engine.statistics().link == .ready)
            try writer.run("update tenants set name = 'Ada' where id = '1'")
            try until("the change to be heard") {
                bench.cache.text("tenant:id:1")?.contains("Ada") == true
            }
        }

        /// No trigger announces a change of the table as a whole.
        @Test(arguments: [
            "alter table tenants add column region text default 'eu'",
            "alter table tenants alter column name type varchar using 'Dr. ' || name",
            "alter table tenants rename column name to title",
            """
            alter table tenants disable trigger martlet_tenants_upd;
            update tenants set name = 'unheard' where id = '1';
            alter table tenants enable always trigger martlet_tenants_upd
            """,
        ])
        func nothingIsKeptOfAnAlteredTable(change: String) throws {
            let (database, writer) = try setUp()
            let bench = try TestBench(url: database.url) { $0.tableCheckMilliseconds = 50 }
            try bench.ready()
            #expect(try bench.request("tenant:id:1") == .loaded)
            let before = bench.cache.entry("tenant:id:1")?.value
            #expect(before != nil)
            usleep(120_000)
            #expect(bench.cache.entry("tenant:id:1")?.value == before, "dropped for nothing")
            try writer.run(change)
            try until("the entry to go") { bench.cache.entry("tenant:id:1") == nil }
        }

        @Test func triggersOfAnotherConfigurationDoNotCount() throws {
            let (database, _) = try setUp()
            var other = TestBench.standard
            other[5] = "columns=id,name,version"
            let bench = try TestBench(url: database.url, sources: [other])
            try bench.ready()
            #expect(!bench.engine.statistics().sources[0].isWatched)
            #expect(bench.cache.hasLogged("another configuration"))
        }

        @Test func aTableThatChangesUnderneath() throws {
            let (database, writer) = try setUp()
            let bench = try TestBench(url: database.url)
            try bench.ready()
            try bench.request("tenant:id:1")
            try writer.run(
                "alter table tenants add column more text; alter table tenants rename name to title"
            )
            #expect(try bench.request("tenant:id:2") == .unavailable(source: "tenants"))
            #expect(bench.cache.entry("tenant:id:1") == nil)
            try writer.run("alter table tenants rename title to name")
            #expect(try bench.request("tenant:id:2") == .loaded)
        }

        @Test func anIdleCacheMakesNoQuery() throws {
            let (database, _) = try setUp()
            let bench = try TestBench(url: database.url) { $0.heartbeatMilliseconds = 20 }
            try bench.ready()
            try bench.request("tenant:id:1")
            usleep(300_000)
            let reader = try database.session()
            let count = """
                select sum(calls)::text from pg_stat_statements where query not like '%pg_stat%'
                   and dbid = (select oid from pg_database where datname = current_database())
                """
            let before = try reader.run(count)
            usleep(500_000)
            for _ in 0..<100 { #expect(try bench.read("tenant:id:1") != nil) }
            #expect(try reader.run(count) == before)
            #expect(bench.engine.statistics().link == .ready)
            #expect(bench.engine.statistics().reconnects == 0)
        }

        @Test func setupCanBeRepeatedAndUndone() throws {
            let (database, writer) = try setUp()
            let sources = [try RecordSource(arguments: TestBench.standard)]
            try PostgresSetup.apply(RecordTriggers.setup(sources), url: database.url)
            let count =
                """
                select count(*)::text from pg_trigger
                 where tgname like 'martlet%' and tgenabled = 'A'
                """
            #expect(try writer.run(count) == [["4"]])
            try PostgresSetup.apply(RecordTriggers.teardown(sources), url: database.url)
            try PostgresSetup.apply(RecordTriggers.teardown(sources), url: database.url)
            #expect(try writer.run(count) == [["0"]])
            #expect(
                try writer.run("select count(*)::text from pg_namespace where nspname = 'martlet'")
                    == [["0"]])
            var wrong = TestBench.standard
            wrong[1] = "table=nowhere"
            let setup = RecordTriggers.setup([try RecordSource(arguments: wrong)])
            let error = #expect(throws: RecordError.self) {
                try PostgresSetup.apply(setup, url: database.url)
            }
            #expect(error?.message == #"postgres-setup: relation "nowhere" does not exist [42P01]"#)
        }
    }
}
