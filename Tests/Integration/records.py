#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tenant records against a real PostgreSQL: loads, coherence, outages.

redis-server cannot load records. In its case the driver stores the rows by
hand, and tests only what needs no load.
"""

from __future__ import annotations

import json
import sys
import time

import outage
import waiting
from support.driver import Report, parser, run, seed_of
from support.postgres import Postgres
from support.records import COLUMNS, History, Repeated, Stalls, directives, expected_row
from support.records import matches, prefill, row_of, setup
from support.resp import Client, encode
from support.server import Server, is_redis
from support.tenancy import tenant_info

ROWS = 2000
GRACE_SECONDS = 0.05
# A change goes from PostgreSQL's backend through the listening backend to the server's worker;
# on a busy machine each of them waits for its turn.
HOPS = 3


def check_setup(report: Report, binary: str, postgres: Postgres) -> None:
    """postgres-setup prints SQL, applies it, and may be applied again."""
    printed = setup(binary, postgres, "--print")
    report.equal("--print exits with 0", printed.returncode, 0)
    report.check("--print shows triggers", "create" in printed.stdout.lower()
                 and "trigger" in printed.stdout.lower())
    for turn in ("first", "second"):
        applied = setup(binary, postgres, "--apply")
        report.equal(f"--apply, {turn} time", (applied.returncode, applied.stderr), (0, ""))
    enabled = postgres.psql(
        "select count(*) filter (where tgenabled = 'A') from pg_trigger "
        "where tgrelid = 'tenants'::regclass and not tgisinternal"
    )
    report.equal("four triggers, all enabled always", enabled, "4")


class Records:
    """The checks that share one server and one PostgreSQL."""

    def __init__(self, report: Report, server: Server, postgres: Postgres) -> None:
        self.report = report
        self.server = server
        self.postgres = postgres

    def single_flight(self) -> None:
        """1,000 misses of one key wait behind a locked table, and make one query."""
        count = 1000
        self.postgres.reset_statements()
        clients = [self.server.client() for _ in range(count)]
        with self.postgres.session() as session:
            session.execute("begin")
            session.execute("lock table tenants in access exclusive mode")
            began = time.monotonic()
            for client in clients:
                client.send("GET", "tenant:id:11")
            time.sleep(max(0.0, 0.2 - (time.monotonic() - began)))
            session.execute("commit")
        right = sum(matches(client.read(), 11) for client in clients)
        for client in clients:
            client.close()
        self.report.equal("all were answered with the row", right, count)
        self.report.equal("queries", self.postgres.calls_reading("tenants"), 1)

    def whole_row(self) -> None:
        """One load fills all keys of the row."""
        with self.server.client() as client:
            client.call("GET", "tenant:subdomain:sub20")
            self.postgres.reset_statements()
            for key in ("tenant:id:20", "tenant:subdomain:sub20",
                        "tenant:domain:www.tenant20.example"):
                self.report.check(key, matches(client.call("GET", key), 20))
            self.report.equal("queries", self.postgres.calls_reading("tenants"), 0)

    def commands(self) -> None:
        """Every command that reads a record, on rows that are not loaded yet."""
        with self.server.client() as client:
            self.report.equal("EXISTS", client.value("EXISTS", "tenant:id:30", "tenant:id:no"), 1)
            self.report.equal("TYPE", client.value("TYPE", "tenant:id:31"), b"string")
            ttl = client.value("TTL", "tenant:id:32")
            self.report.check("TTL", 3590 <= ttl <= 3600, ttl)
            text = client.value("GET", "tenant:id:33")
            self.report.equal("STRLEN", client.value("STRLEN", "tenant:id:33"), len(text))
            self.report.equal("GETRANGE", client.value("GETRANGE", "tenant:id:34", 0, 0), b"{")
            self.report.check("GETEX", matches(client.call("GETEX", "tenant:id:35", "EX", 60), 35))
            self.report.check("GETDEL", matches(client.call("GETDEL", "tenant:id:36"), 36))
            common = client.value("LCS", "tenant:id:37", "tenant:id:38", "LEN")
            self.report.check("LCS", common > 50, common)
            columns = [name for name in COLUMNS if name not in json.loads(text)]
            self.report.equal("columns that are missing", columns, [])
            keys = [f"tenant:id:{number}" for number in range(100, 200)]
            self.postgres.reset_statements()
            reply = client.call("MGET", *keys, "tenant:id:none", "plain-key")
            right = sum(matches(item, 100 + place) for place, item in enumerate(reply.value[:100]))
            self.report.equal("MGET of 100 rows", right, 100)
            self.report.equal("MGET of no row", [item.value for item in reply.value[100:]],
                              [None, None])
            calls = self.postgres.calls_reading("tenants")
            self.report.check("MGET makes one query or two", 1 <= calls <= 2, calls)

    def batches(self) -> None:
        """Concurrent misses of different keys share queries."""
        self.postgres.reset_statements()
        with self.server.client() as client:
            commands = [encode(["GET", f"tenant:id:{n}"]) for n in range(300, 800)]
        clients = [self.server.client() for _ in commands]
        with self.postgres.session() as session:
            session.execute("begin")
            session.execute("lock table tenants in access exclusive mode")
            for client, command in zip(clients, commands):
                client.send_raw(command)
            time.sleep(0.1)
            session.execute("commit")
        right = sum(matches(client.read(), 300 + n) for n, client in enumerate(clients))
        for client in clients:
            client.close()
        self.report.equal("all were answered", right, 500)
        calls = self.postgres.calls_reading("tenants")
        self.report.check("500 misses make at most 50 queries", 1 <= calls <= 50, calls)

    def negative(self) -> None:
        """A row that does not exist is queried once, and seen when it comes."""
        with self.server.client() as client:
            self.postgres.reset_statements()
            for _ in range(50):
                if client.call("GET", "tenant:id:new-one").value is not None:
                    self.report.check("no such row", False)
            calls = self.postgres.calls_reading("tenants")
            self.report.equal("50 reads of no row make one query", calls, 1)
            self.postgres.psql("insert into tenants (id, name, subdomain) "
                               "values ('new-one', 'New', 'new-sub')")
            time.sleep(GRACE_SECONDS)
            row = row_of(client.call("GET", "tenant:id:new-one"))
            self.report.check("seen after its INSERT", bool(row) and row["name"] == "New", row)

    def changes(self) -> None:
        """Key changes, deletes and rollbacks are seen 50 ms after the commit."""
        def settled(sql: str) -> None:
            session.execute(sql)
            time.sleep(GRACE_SECONDS)

        with self.server.client() as client, self.postgres.session() as session:
            client.call("MGET", "tenant:id:40", "tenant:subdomain:sub40",
                        "tenant:subdomain:moved40", "tenant:id:41")
            settled("update tenants set subdomain = 'moved40' where id = '40'")
            gone = client.call("GET", "tenant:subdomain:sub40")
            self.report.check("the old subdomain is gone", not gone.is_error and gone.is_null)
            row = row_of(client.call("GET", "tenant:subdomain:moved40"))
            self.report.check("the new one is there", bool(row) and row["id"] == "40", row)
            session.execute("begin")
            session.execute("update tenants set name = 'never' where id = '41'")
            settled("rollback")
            self.report.check("a rollback", matches(client.call("GET", "tenant:id:41"), 41))
            settled("delete from tenants where id = '41'")
            reply = client.call("GET", "tenant:id:41")
            self.report.check("a DELETE", not reply.is_error and reply.is_null, reply)
            settled("update tenants set name = 'all' where id ~ '^2[0-9]$'")
            row = row_of(client.call("GET", "tenant:id:20"))
            self.report.check("an UPDATE of many rows", bool(row) and row["name"] == "all", row)

    def coherence(self, seconds: float) -> None:
        """Readers and a writer of one row: no read is older than 50 ms."""
        history = History(0)
        stalls = Stalls(self.postgres)
        late: list[float] = [0.0]
        session = self.postgres.session()
        session.execute("update tenants set name = '0' where id = '50'")
        time.sleep(GRACE_SECONDS)
        version = 0

        def write() -> None:
            nonlocal version
            version += 1
            session.execute(f"update tenants set name = '{version}' where id = '50'")
            history.committed(version)
            time.sleep(0.002)

        def reader(client: Client, key: str):
            def read() -> None:
                began = time.monotonic()
                row = row_of(client.call("GET", key))
                if row is None:
                    raise AssertionError(f"{key}: no row")
                late.append(history.lateness(began, int(row["name"])))
            return read

        keys = ["tenant:id:50", "tenant:subdomain:sub50", "tenant:domain:www.tenant50.example"]
        clients = [self.server.client() for _ in keys]
        loops = [Repeated(reader(client, key)) for client, key in zip(clients, keys)]
        with session, Repeated(stalls.probe), Repeated(write) as writer:
            for loop in loops:
                loop.__enter__()
            time.sleep(seconds)
            for loop in loops:
                loop.__exit__()
        failures = [loop.failure for loop in [*loops, writer] if loop.failure]
        self.report.equal("no read failed", failures, [])
        worst, stall = max(late), stalls.longest
        self.report.check("no read is older than 50 ms and the machine's stalls",
                          worst <= GRACE_SECONDS + HOPS * stall,
                          f"oldest {worst * 1000:.1f} ms, longest stall {stall * 1000:.1f} ms")
        reads = sum(loop.count for loop in loops)
        self.report.check("reads and writes were made", reads > 500 and version > 50,
                          f"{reads} reads, {version} writes")
        for client in clients:
            client.close()

    def steady_state(self) -> None:
        """Warm rows are answered without a query."""
        with self.server.client() as client:
            warm = [("GET", f"tenant:id:{number}") for number in range(1000, 1500)]
            client.pipeline(warm)
            time.sleep(0.1)
            self.postgres.reset_statements()
            replies = client.pipeline(warm * 40)
            wrong = sum(not matches(reply, 1000 + n % 500) for n, reply in enumerate(replies))
            self.report.equal("20,000 reads, wrong ones", wrong, 0)
            self.report.equal("queries", self.postgres.calls_reading("tenants"), 0)

    def invalidate(self) -> None:
        """TENANT INVALIDATE and DEL drop the row, the next read loads it."""
        with self.server.client() as client:
            for name, command in (("TENANT INVALIDATE", ["TENANT", "INVALIDATE", "60"]),
                                  ("DEL", ["DEL", "tenant:id:60"])):
                client.call("GET", "tenant:id:60")
                reply = client.call(*command)
                self.report.check(name, not reply.is_error, reply.value)
                self.postgres.reset_statements()
                self.report.check("the row", matches(client.call("GET", "tenant:id:60"), 60))
                self.report.equal("queries", self.postgres.calls_reading("tenants"), 1)

    def plan(self) -> None:
        """The row's plan column sets the tenant's plan, also when it changes."""
        with self.server.client() as client:
            client.call("GET", "tenant:id:62")
            client.call("TENANT", "CREATE", "62")
            plan = tenant_info(client, "62")["plan"].decode()
            self.report.equal("plan", plan, expected_row(62)["plan_type"])
            self.postgres.psql("update tenants set plan_type = 'pro' where id = '62'")
            time.sleep(GRACE_SECONDS)
            self.report.equal("new plan", tenant_info(client, "62")["plan"], b"pro")


def check_records(report: Report, binary: str, seconds: float) -> None:
    """All checks with PostgreSQL running."""
    with Postgres(ROWS) as postgres:
        redis = is_redis(binary)
        if not redis:
            with report.section("postgres-setup"):
                check_setup(report, binary, postgres)
        with Server(binary, [] if redis else directives(postgres)) as server:
            records = Records(report, server, postgres)
            if redis:
                with server.client() as client:
                    prefill(client, ROWS)
                report.skip("loads and coherence", "redis-server has no records")
            else:
                for check in (records.single_flight, records.whole_row, records.commands,
                              records.batches, records.negative, records.changes,
                              records.invalidate, records.plan):
                    with report.section(check.__name__.replace("_", " ")):
                        check()
                with report.section("coherence"):
                    records.coherence(seconds)
            with report.section("steady state"):
                records.steady_state()


def main() -> int:
    """Records, then outages; 0 when every check held."""
    arguments = parser(__doc__ or "")
    arguments.add_argument("--coherence-seconds", type=float, default=5.0)
    options = arguments.parse_args()
    seed_of(options)
    report = Report("records")
    check_records(report, options.server_binary, options.coherence_seconds)
    outage.check_outages(report, options.server_binary)
    if not is_redis(options.server_binary):
        waiting.check_waiting(report, options.server_binary)
    return report.finish()


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    run(main)
