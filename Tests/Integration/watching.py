#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""WATCH under load: 100,000 watches of 1,000 sessions on four threads.

    watching.py [--seconds 5] [--sessions 1000] [--processes 4]

Keys change, expire, are flushed and swapped, tenants are deleted, sessions are killed and vanish.
An EXEC whose watched key had changed before must do nothing; one whose keys nobody touched must
run; and when all have gone no waiter is left. What a sanitizer sees is the other half.
"""

from __future__ import annotations

import sys

from support.driver import Report, parser, run, seed_of, wait_until
from support.resp import Client, encode
from support.server import Directive, Server, is_redis
from support.tenancy import info_number, measured_memory, tenant_info
from support.watch_load import CREATED, KEYS_EACH, PASSWORD, Storms, secret

# What buffers and the allocator may keep of a thousand connections.
SLACK_BYTES = 4 << 20


class Watching:
    """The checks on one server."""

    def __init__(self, server: Server, report: Report) -> None:
        self.server = server
        self.report = report
        self.client = self.connect()
        for number in range(3):
            # Databases are never removed, so they are made before the first measurement.
            self.client.pipeline([["SELECT", number], ["SET", "a", 1], ["DEL", "a"]])
        self.client.value("SELECT", 0)

    def connect(self) -> Client:
        """A connection of the application."""
        client = self.server.client(timeout=60)
        client.value("AUTH", PASSWORD)
        return client

    def charged(self) -> int:
        """What the application's own keys, databases and waiters take; checked by measuring."""
        if self.server.is_redis:
            return 0
        charged = int(tenant_info(self.client, "default")["memory"])
        self.report.equal("charged is measured", charged, measured_memory(self.client, "default"))
        return charged

    def used(self) -> int:
        """What the process has allocated."""
        return info_number(self.client, "memory", "used_memory")

    def make_tenants(self) -> None:
        """The tenants that sessions log in to."""
        for number in range(CREATED):
            self.client.value("TENANT", "CREATE", f"c{number}", "SECRET", secret(number))

    def clear(self) -> None:
        """All sessions have gone; then all keys go."""
        gone = wait_until(
            lambda: info_number(self.client, "clients", "connected_clients") == 1, 30
        )
        self.report.check("every session has ended", gone is not None)
        self.client.value("FLUSHALL")
        if self.server.is_redis:
            return
        # A tenant that keys name is there as long as somebody waits for one of them.
        created = {f"c{number}".encode() for number in range(CREATED)}
        left = set(self.client.value("TENANT", "LIST")) - created
        self.report.equal("tenants that somebody still watches", left, set())
        for name in sorted(created):
            self.client.call("TENANT", "DELETE", name)
        freed = wait_until(
            lambda: info_number(self.client, "memory", "lazyfree_pending_objects") == 0, 10
        )
        self.report.check("nothing waits to be freed", freed is not None)

    def quiet(self) -> None:
        """Nobody else is there: what was changed fails, and nothing else."""
        outcomes = []
        with self.connect() as watcher:
            for number in range(50):
                keys = [f"quiet:{number}:{index}" for index in range(KEYS_EACH)]
                watcher.pipeline([["WATCH", *keys], ["WATCH", *keys[:5]]])
                self.client.value("SET", keys[number] if number % 2 else "other", 1)
                replies = watcher.pipeline([["MULTI"], ["PING"], ["EXEC"]])
                outcomes.append(replies[-1].value is None)
        self.client.value("FLUSHALL")
        self.report.equal("EXEC when it is quiet", outcomes, [bool(n % 2) for n in range(50)])

    def opposed(self, rounds: int) -> None:
        """Two transactions that each write what the other watches: at most one runs."""
        with self.connect() as left, self.connect() as right:
            both = ran = 0
            for _ in range(rounds):
                self.client.value("MSET", "left", 1, "right", 1)
                for client in (left, right):
                    client.value("WATCH", "left", "right")
                for client, key in ((left, "left"), (right, "right")):
                    client.send_raw(
                        encode(["MULTI"]) + encode(["SET", key, 0]) + encode(["EXEC"])
                    )
                replies = [[client.read() for _ in range(3)] for client in (left, right)]
                executed = sum(not reply[-1].is_null for reply in replies)
                both += executed == 2
                ran += executed > 0
        self.report.equal("opposed transactions that both ran", both, 0)
        self.report.check("opposed transactions that ran", ran > 0, ran)

    def torn(self, rounds: int) -> None:
        """Tenants are made by one MSET and read meanwhile: a command sees both keys or none."""
        keys = ["tenant:left:k", "tenant:right:k"]
        made = encode(["MSET", keys[0], 1, keys[1], 1]) + encode(["DEL", *keys])
        reads = [["MGET", *keys], ["MULTI"], ["GET", keys[0]], ["GET", keys[0]], ["EXEC"]] * 20
        with self.connect() as writer, self.connect() as reader:
            torn = seen = 0
            for _ in range(rounds):
                writer.send_raw(made * 4000)
                for _ in range(5):
                    replies = reader.pipeline(reads)
                    for values in (reply.native() for reply in replies[0::5] + replies[4::5]):
                        torn += values[0] != values[1]
                        seen += values[0] is not None
                for _ in range(8000):
                    writer.read()
        self.report.equal("torn reads of new tenants", torn, 0)
        self.report.check("reads of new tenants", self.server.is_redis or seen > 0, seen)


def main() -> int:
    """The storm; 0 when every check held."""
    arguments = parser(__doc__ or "")
    arguments.add_argument("--seconds", type=float, default=5.0)
    arguments.add_argument("--sessions", type=int, default=1000)
    arguments.add_argument("--processes", type=int, default=4)
    options = arguments.parse_args()
    seed = seed_of(options)
    report = Report("watching")
    redis = is_redis(options.server_binary)
    lines: list[Directive] = [("requirepass", PASSWORD)]
    if not redis:
        lines += [("tenant-key-pattern", "tenant:{tenant}:*"), ("threads", 4)]
    with Server(options.server_binary, lines) as server:
        watching = Watching(server, report)
        if not redis:
            watching.make_tenants()
        before, used = watching.charged(), watching.used()
        with report.section(f"{options.sessions} sessions, {options.seconds} seconds"):
            storms = Storms(
                server.address, options.processes, options.sessions, options.seconds, seed,
                not redis,
            )
            expected = options.sessions // options.processes * options.processes * KEYS_EACH
            report.equal("watches to begin with", storms.watches["watches"], expected)
            waiting = watching.charged()
            report.check(
                "waiters are charged", redis or waiting > before, f"{waiting - before} bytes"
            )
            counts, wrong = storms.finish()
            report.equal("EXECs that went wrong, and what else did", wrong[:5], [])
            for name, count in sorted(counts.items()):
                report.check(name, count > 0, count)
        with report.section("afterwards"):
            watching.clear()
            report.equal("charged as before", watching.charged(), before)
            grown = watching.used() - used
            report.measured("memory is back", redis or grown < SLACK_BYTES, f"{grown} bytes")
            watching.quiet()
            watching.opposed(5000)
            watching.torn(40)
            watching.client.value("FLUSHALL")
            report.equal("charged as before", watching.charged(), before)
            report.check("the server is alive", server.alive())
    return report.finish()


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    run(main)
