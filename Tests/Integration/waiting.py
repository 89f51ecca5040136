#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Sessions that read records: transactions, other databases, tenants' own sessions, waits cut short.

Called by records.py, or alone. A locked table keeps a load waiting for as long as a check needs.
"""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import Iterator

from support.driver import Report, parser, run, seed_of, wait_until
from support.postgres import Postgres
from support.records import SOURCE, UNAVAILABLE, directives, matches, row_of, setup
from support.resp import Client, ConnectionLost
from support.server import Server
from support.tenancy import info_number, tenant_info

ROWS = 500
GRACE_SECONDS = 0.05


@contextmanager
def locked(postgres: Postgres) -> Iterator[None]:
    """The table cannot be read inside the block."""
    with postgres.session() as session:
        session.execute("begin")
        session.execute("lock table tenants in access exclusive mode")
        yield
        session.execute("commit")


class Waiting:
    """The checks that share one server."""

    def __init__(self, report: Report, server: Server, postgres: Postgres) -> None:
        self.report = report
        self.server = server
        self.postgres = postgres

    def transactions(self) -> None:
        """EXEC loads what its commands miss before any of them runs."""
        with self.server.client() as client:
            client.call("MULTI")
            client.call("SET", "beside", "1")
            client.call("GET", "tenant:id:1")
            client.call("EXISTS", "tenant:id:none-1")
            replies = client.call("EXEC").value
            self.report.check("EXEC", matches(replies[1], 1), replies)
            self.report.equal("no row", replies[2].value, 0)
            client.call("SELECT", 1)
            client.call("MULTI")
            client.call("GET", "tenant:id:2")
            client.call("SELECT", 0)
            client.call("GET", "tenant:id:2")
            replies = client.call("EXEC").value
            self.report.check("EXEC in database 1", replies[0].is_null, replies[0])
            self.report.check("after SELECT 0 inside it", matches(replies[2], 2), replies[2])

    def mixed(self) -> None:
        """Record keys beside other keys, known and unknown rows in one command."""
        with self.server.client() as client:
            client.call("SET", "plain", "1")
            client.call("GET", "tenant:id:none-2")
            reply = client.call("MGET", "plain", "tenant:id:none-2", "tenant:id:3", "absent",
                                "tenant:subdomain:sub4", "tenant:id:none-3", "tenant:id:x\0y")
            items = reply.value
            self.report.equal("plain key", items[0].value, b"1")
            self.report.check("rows", matches(items[2], 3) and matches(items[4], 4), items)
            nulls = [items[n].value for n in (1, 3, 5, 6)]
            self.report.equal("what is not there", nulls, [None] * 4)
            before = client.value("DBSIZE")
            client.call("GET", "tenant:id:none-4")
            self.report.equal("a missing row is no key", client.value("DBSIZE"), before)
            found = client.value("KEYS", "tenant:id:none*")
            self.report.equal("KEYS", found, [])
            replies = client.pipeline([("GET", f"tenant:id:{n}") for n in range(200, 300)])
            right = sum(matches(reply, 200 + n) for n, reply in enumerate(replies))
            self.report.equal("a pipeline of rows not loaded", right, 100)

    def isolation(self) -> None:
        """Only the application's database 0 answers records; their keys name no tenant."""
        with self.server.client() as admin, self.server.client() as client:
            admin.call("TENANT", "CREATE", "own", "SECRET", "secret-of-own")
            client.call("AUTH", "secret-of-own")
            for key in ("tenant:id:5", "tenant:subdomain:sub5"):
                admin.call("GET", key)
                reply = client.call("GET", key)
                self.report.check(f"{key} for a tenant's session", reply.is_null, reply)
            for command in (("RECORDS", "STATS"), ("RECORDS", "LOAD", "tenant:id:5"),
                            ("RECORDS", "INVALIDATE", "tenants"),
                            ("TENANT", "INVALIDATE", "5")):
                reply = client.call(*command)
                refused = reply.is_error and reply.value.startswith(b"NOPERM")
                self.report.check(" ".join(command), refused, reply)
            client.call("SET", "tenant:id:5", "its own")
            self.report.check("its own key is its own", matches(admin.call("GET", "tenant:id:5"), 5))
            admin.call("SELECT", 1)
            self.report.check("database 1", admin.call("GET", "tenant:id:5").is_null)
            tenants = admin.value("TENANT", "LIST")
            named = [name for name in (b"id", b"subdomain", b"domain") if name in tenants]
            self.report.equal("tenants that record keys would have named", named, [])
            admin.call("TENANT", "DELETE", "own")

    def plan(self) -> None:
        """The plan column applies to tenants that exist, that come, and that come again."""
        with self.server.client() as client:
            def plan(row: int) -> str:
                return tenant_info(client, str(row))["plan"].decode()

            client.call("SET", "tenant:7:key", 1)
            client.call("GET", "tenant:id:7")
            self.report.equal("of a tenant that is", plan(7), "pro")
            client.call("GET", "tenant:id:8")
            client.call("SET", "tenant:8:key", 1)
            self.report.equal("of one that comes later", plan(8), "enterprise")
            client.call("DEL", "tenant:8:key")
            client.call("SET", "tenant:8:key", 1)
            self.report.equal("of one that comes again", plan(8), "enterprise")
            self.postgres.psql("update tenants set plan_type = 'pro' where id = '8'")
            time.sleep(GRACE_SECONDS)
            self.report.equal("changed, and nobody read the row", plan(8), "pro")
            client.call("TENANT", "CREATE", "10")
            client.call("GET", "tenant:id:10")
            self.report.equal("of a created tenant", plan(10), "pro")

    def commands(self) -> None:
        """RECORDS and its subcommands."""
        with self.server.client() as client:
            source = client.call("RECORDS", "SOURCES").value[0].mapping()
            self.report.equal("SOURCES", source["name"], b"tenants")
            for key in ("tenant:id:20", "tenant:id:21"):
                self.report.check("LOAD", not client.call("RECORDS", "LOAD", key).is_error)
                # Why KEYS: it shows what is cached and loads nothing.
                comes = wait_until(lambda: client.value("KEYS", key) != [], 2, 0.005)
                self.report.check("its row comes", comes is not None)
            self.report.check("LOAD of another key", client.call("RECORDS", "LOAD", "x").is_error)
            client.call("RECORDS", "INVALIDATE", "tenants")
            time.sleep(GRACE_SECONDS)
            self.postgres.reset_statements()
            client.call("GET", "tenant:id:21")
            calls = self.postgres.calls_reading("tenants")
            self.report.equal("INVALIDATE drops every row", calls, 1)
            self.report.check("no such source",
                              client.call("RECORDS", "INVALIDATE", "x").is_error)
            stats = client.call("RECORDS", "STATS").value[0].mapping()
            self.report.equal("STATS", (stats["link"], stats["breaker"]), (b"ready", b"closed"))
            keys = ("tenant:id:22", "tenant:subdomain:sub22", "tenant:domain:www.tenant22.example")
            client.call("GET", keys[0])
            client.call("TENANT", "INVALIDATE", "22")
            time.sleep(GRACE_SECONDS)
            self.report.equal("TENANT INVALIDATE drops every key of the row",
                              [client.value("KEYS", key) for key in keys], [[], [], []])

    def disconnects(self) -> None:
        """Clients that leave while they wait leave nothing behind; others are answered."""
        with self.server.client() as other:
            with locked(self.postgres):
                leaving = [self.server.client() for _ in range(100)]
                for number, client in enumerate(leaving):
                    client.send("GET", f"tenant:id:{100 + number}")
                staying = self.server.client()
                staying.send("GET", "tenant:id:100")
                blocked = wait_until(
                    lambda: info_number(other, "clients", "blocked_clients") == 101, 2, 0.01)
                self.report.check("101 wait", blocked is not None)
                began = time.monotonic()
                other.call("SET", "plain", 2)
                self.report.check("others are answered", time.monotonic() - began < 0.1)
                for client in leaving:
                    client.close()
            self.report.check("who stays is answered", matches(staying.read(), 100))
            staying.close()
            gone = wait_until(
                lambda: info_number(other, "clients", "connected_clients") == 1
                and info_number(other, "clients", "blocked_clients") == 0, 2, 0.01)
            self.report.check("the others are gone", gone is not None,
                              other.value("INFO", "clients"))


def check_stale(report: Report, binary: str, postgres: Postgres) -> None:
    """With stale-ttl, cached rows are answered while PostgreSQL is away."""
    source = ("record-source", f"{SOURCE} stale-ttl=60")
    others = [pair for pair in directives(postgres) if pair[0] != "record-source"]
    setup(binary, postgres, "--apply")
    with Server(binary, [*others, source]) as server, server.client() as client:
        report.check("before", matches(client.call("GET", "tenant:id:30"), 30))
        postgres.stop()
        time.sleep(0.3)
        report.check("stale", matches(client.call("GET", "tenant:id:30"), 30))
        ttl = client.value("TTL", "tenant:id:30")
        report.check("for stale-ttl seconds", 50 <= ttl <= 60, ttl)
        report.equal("a row that is not there", client.call("GET", "tenant:id:31").value,
                     UNAVAILABLE)
        client.call("MULTI")
        client.call("GET", "tenant:id:31")
        report.equal("EXEC", client.call("EXEC").value, UNAVAILABLE)
        report.equal("the transaction is over", client.call("PING").value, b"PONG")
        postgres.start()
        postgres.psql("update tenants set name = 'after' where id = '30'")

        def fresh() -> bool:
            reply = client.call("GET", "tenant:id:30")
            row = None if reply.is_error else row_of(reply)
            return row is not None and row["name"] == "after"

        report.check("fresh within 2 s of its return", wait_until(fresh, 2, 0.01) is not None)


def check_shutdown(report: Report, binary: str, postgres: Postgres) -> None:
    """SIGTERM while sessions wait: they get an error or are closed; the server exits with 0."""
    server = Server(binary, directives(postgres)).start()
    clients: list[Client] = []
    with locked(postgres):
        for number in range(50):
            client = server.client()
            client.send("GET", f"tenant:id:{number + 1}")
            clients.append(client)
        time.sleep(0.1)
        began = time.monotonic()
        status = server.stop(10)
        took = time.monotonic() - began
        # A request waits for three seconds at most.
    report.equal("exit status", status, 0)
    report.check("soon", took < 4, f"{took:.2f} s")
    wrong = 0
    for client in clients:
        try:
            reply = client.read()
            wrong += not (reply.is_error or reply.value is not None)
        except (ConnectionLost, OSError):
            pass
        client.close()
    report.equal("nobody was told that there is no row", wrong, 0)
    server.remove()


def check_waiting(report: Report, binary: str) -> None:
    """All checks."""
    with Postgres(ROWS) as postgres:
        setup(binary, postgres, "--apply")
        pattern = ("tenant-key-pattern", "tenant:{tenant}:*")
        with Server(binary, [*directives(postgres), pattern]) as server:
            waiting = Waiting(report, server, postgres)
            for check in (waiting.transactions, waiting.mixed, waiting.isolation, waiting.plan,
                          waiting.commands, waiting.disconnects):
                with report.section(f"sessions: {check.__name__}"):
                    check()
        with report.section("shutdown"):
            check_shutdown(report, binary, postgres)
        with report.section("stale answers"):
            check_stale(report, binary, postgres)


def main() -> int:
    """Runs these checks alone."""
    options = parser(__doc__ or "").parse_args()
    seed_of(options)
    report = Report("waiting")
    check_waiting(report, options.server_binary)
    return report.finish()


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    run(main)
