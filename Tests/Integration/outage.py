#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""PostgreSQL stopped and started under load.

No read hangs, denies an existing row, or returns a wrong row. Two seconds
after PostgreSQL is back every row can be read, including the changes made
while nobody listened. Called by records.py, or alone.
"""

from __future__ import annotations

import random
import signal
import sys
import time

from support.driver import Report, parser, run, seed_of, wait_until
from support.postgres import Postgres
from support.records import UNAVAILABLE, Repeated, directives, matches, prefill, row_of, setup
from support.server import Server, is_redis

ROWS = 2000
WARM_ROWS = 500
LONGEST_WAIT_SECONDS = 2.0
RECOVERY_SECONDS = 2.0
CHANGED_ROW = 7


class Reader:
    """Reads random rows on one connection and judges every answer."""

    def __init__(self, server: Server, seed: int) -> None:
        self.client = server.client(timeout=20)
        self.random = random.Random(seed)
        self.answered = 0
        self.unavailable = 0
        self.longest = 0.0

    def read(self) -> None:
        """One read; raises at the first wrong answer."""
        number = self.random.randrange(1, ROWS + 1)
        if number == CHANGED_ROW:
            return
        began = time.monotonic()
        reply = self.client.call("GET", f"tenant:id:{number}")
        self.longest = max(self.longest, time.monotonic() - began)
        if reply.is_error:
            if reply.value != UNAVAILABLE:
                raise AssertionError(f"error text {reply.value!r}")
            self.unavailable += 1
        elif not matches(reply, number):
            raise AssertionError(f"row {number} answered {reply!r}")
        self.answered += 1
        time.sleep(0.0005)


def stop_and_start(report: Report, server: Server, postgres: Postgres, how: signal.Signals) -> None:
    """One outage of two seconds, with readers at work before, during and after."""
    readers = [Reader(server, number) for number in range(3)]
    loops = [Repeated(reader.read) for reader in readers]
    for loop in loops:
        loop.__enter__()
    time.sleep(0.5)
    postgres.stop(how)
    with server.client() as client:
        began = time.monotonic()
        client.call("SET", "plain", 1)
        report.check("other keys are answered", time.monotonic() - began < 0.5)
    time.sleep(2)
    postgres.start()
    began = time.monotonic()
    name = f"after {how.name}"
    postgres.psql(f"update tenants set name = '{name}' where id = '{CHANGED_ROW}'")
    with server.client() as client:
        if server.is_redis:
            row = '{"name": "%s"}' % name
            client.call("SET", f"tenant:id:{CHANGED_ROW}", row)

        def recovered() -> bool:
            reply = client.call("GET", f"tenant:id:{CHANGED_ROW}")
            if reply.is_error:
                return False
            row = row_of(reply)
            return row is not None and row["name"] == name

        took = wait_until(recovered, 10, 0.02)
        fine = took is not None and time.monotonic() - began <= RECOVERY_SECONDS
        report.check("the change is seen within 2 s of the return", fine, took)
        cold = random.Random(1).sample(range(1, ROWS + 1), 200)
        replies = client.pipeline([("GET", f"tenant:id:{n}") for n in cold if n != CHANGED_ROW])
        errors = sum(reply.is_error for reply in replies)
        report.equal("then every row is answered", errors, 0)
    for loop in loops:
        loop.__exit__()
    failures = [loop.failure for loop in loops if loop.failure]
    report.equal("no wrong answer", failures, [])
    longest = max(reader.longest for reader in readers)
    total = sum(reader.answered for reader in readers)
    refused = sum(reader.unavailable for reader in readers)
    report.check(
        "no read waited for long",
        longest < LONGEST_WAIT_SECONDS,
        f"longest {longest * 1000:.0f} ms of {total} reads, {refused} said TRYAGAIN",
    )
    report.check("many reads were made", total > 500, total)


def check_outages(report: Report, binary: str) -> None:
    """A clean stop, then an immediate one that cuts the sessions."""
    with Postgres(ROWS) as postgres:
        servers_own = [] if is_redis(binary) else directives(postgres)
        if not is_redis(binary):
            setup(binary, postgres, "--apply")
        with Server(binary, servers_own) as server:
            with server.client() as client:
                if server.is_redis:
                    prefill(client, ROWS)
                warm = range(1, WARM_ROWS + 1)
                client.pipeline([("GET", f"tenant:id:{number}") for number in warm])
            for how in (signal.SIGINT, signal.SIGQUIT):
                with report.section(f"outage by {how.name}"):
                    stop_and_start(report, server, postgres, how)


def main() -> int:
    """Runs the outages alone."""
    options = parser(__doc__ or "").parse_args()
    seed_of(options)
    report = Report("outage")
    check_outages(report, options.server_binary)
    return report.finish()


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    run(main)
