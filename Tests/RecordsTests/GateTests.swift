// SPDX-License-Identifier: Apache-2.0
import Glibc
import Testing

@testable import Records

extension DatabaseTests {
    /// Loads that PostgreSQL holds up or refuses while something else happens.
    @Suite(.serialized) struct GateTests {
        /// A database whose rows a load can read only through a gate: a policy that waits for a
        /// lock, or raises the error that the table `gate` names.
        private struct Gate {
            let writer: TestSession
            let keeper: TestSession
            let bench: TestBench

            init(_ change: (inout RecordOptions) -> Void) throws {
                let server = try #require(PostgresServer.shared)
                let database = try server.database()
                writer = try database.session()
                keeper = try database.session()
                try writer.run(
                    """
                    insert into tenants values ('1', 'Ann', 'ann', 'ann.example', 'pro', 7);
                    do $$ begin create role reader login;
                      exception when duplicate_object then null; end $$;
                    create table gate as select ''::text as code;
                    grant select on tenants, gate to reader;
                    create function pass() returns boolean language plpgsql volatile as $$
                      declare wanted text;
                      begin
                        select code into wanted from gate;
                        if wanted <> '' then raise exception 'shut' using errcode = wanted; end if;
                        perform pg_advisory_xact_lock_shared(1);
                        return true;
                      end $$;
                    alter table tenants enable row level security;
                    create policy gate on tenants for select using (pass());
                    """)
                let source = try RecordSource(arguments: TestBench.standard)
                try PostgresSetup.apply(RecordTriggers.setup([source]), url: database.url)
                let url = "host=\(server.folder) user=reader dbname=\(database.name)"
                bench = try TestBench(url: url, change: change)
                try bench.ready()
            }

            var figures: RecordStatistics.Source { bench.engine.statistics().sources[0] }

            func refuse(with code: String) throws {
                try writer.run("update gate set code = '\(code)'")
            }

            func shut() throws { try keeper.run("select pg_advisory_lock(1)") }
            func open() throws { try keeper.run("select pg_advisory_unlock(1)") }

            /// Begins a load and returns when its snapshot is taken.
            func beginLoad(_ key: String) throws -> RecordWaiter {
                let waiter = try #require(try bench.begin([key]))
                try waitForQuery()
                return waiter
            }

            func waitForQuery() throws {
                try until("a query at the gate") {
                    let rows = try writer.run(
                        """
                        select count(*) from pg_locks l join pg_database d on d.oid = l.database
                         where l.locktype = 'advisory' and not l.granted
                           and d.datname = current_database()
                        """)
                    return rows[0][0] == "1"
                }
            }

            /// Changes rows unannounced.
            func change(_ statement: String) throws {
                try writer.run("alter table tenants disable trigger user; \(statement)")
            }
        }

        static let keys = ["tenant:id:1", "tenant:subdomain:ann", "tenant:domain:ann.example"]

        @Test(arguments: ["40001", "40P01", "0A000"])
        func aTrialThatIsGivenUpOpensTheBreakerAgain(code: String) throws {
            let gate = try Gate {
                $0.breakerThreshold = 1
                $0.breakerTimeoutMilliseconds = 1
            }
            try gate.refuse(with: "57014")
            #expect(try gate.bench.request("tenant:id:1") == .unavailable(source: "tenants"))
            #expect(gate.figures.breaker == "open")
            try gate.refuse(with: code)
            let queries = gate.figures.batches
            try until("a trial") {
                let outcome = try gate.bench.request("tenant:id:1")
                #expect(outcome == .unavailable(source: "tenants"))
                return gate.figures.batches > queries
            }
            #expect(gate.figures.breaker == "open" && gate.figures.failures >= 2)
            try gate.refuse(with: "")
            try until("the row", milliseconds: 2000) {
                try gate.bench.request("tenant:id:1") == .loaded
            }
            #expect(gate.figures.breaker == "closed")
        }

        @Test(arguments: ["tenant:id:1", "tenant:subdomain:ann"])
        func invalidatingASourceCoversALoadUnderWay(key: String) throws {
            let gate = try Gate { $0.lockTimeoutMilliseconds = 2000 }
            try gate.shut()
            let waiter = try gate.beginLoad(key)
            try gate.change("update tenants set name = 'Eve'")
            gate.bench.engine.invalidateAll(source: 0)
            try until("the flush") { gate.figures.flushes == 1 }
            try gate.open()
            #expect(try gate.bench.wait(waiter) == .loaded)
            for key in Self.keys {
                #expect(gate.bench.cache.text(key)?.contains("Eve") == true)
            }
            #expect(gate.figures.batches == 2 && gate.figures.failures == 0)
        }

        @Test(arguments: ["tenant:id:1", "tenant:subdomain:ann"])
        func invalidatingADeletedRowCoversALoadUnderWay(key: String) throws {
            let gate = try Gate { $0.lockTimeoutMilliseconds = 2000 }
            try gate.shut()
            let waiter = try gate.beginLoad(key)
            try gate.change("delete from tenants")
            let drop = gate.bench.waiter()
            gate.bench.engine.invalidate(try gate.bench.key("tenant:id:1"), waiter: drop)
            try until("the drop") { gate.figures.batches == 2 }
            try gate.open()
            #expect(try gate.bench.wait(drop) == .missing)
            #expect(try gate.bench.wait(waiter) == .missing)
            for key in Self.keys { #expect(gate.bench.cache.text(key) == nil) }
        }

        /// A second invalidation is not content with the query of the first, which may have read
        /// the row before it changed.
        @Test func aSecondInvalidationReadsTheRowAgain() throws {
            let gate = try Gate { $0.lockTimeoutMilliseconds = 2000 }
            let bench = gate.bench
            #expect(try bench.request("tenant:subdomain:eve") == .missing)
            try gate.shut()
            let drops = [bench.waiter(), bench.waiter()]
            bench.engine.invalidate(try bench.key("tenant:id:1"), waiter: drops[0])
            try gate.waitForQuery()
            try gate.change("update tenants set subdomain = 'eve'")
            bench.engine.invalidate(try bench.key("tenant:id:1"), waiter: drops[1])
            let loads = gate.figures.loads
            let next = try #require(try bench.begin(["tenant:id:2"]))
            try until("the second drop") { gate.figures.loads == loads + 1 }
            try gate.open()
            for drop in drops { #expect(try bench.wait(drop) == .loaded) }
            #expect(try bench.wait(next) == .missing)
            #expect(bench.cache.entry("tenant:subdomain:eve") == nil)
        }
    }
}
