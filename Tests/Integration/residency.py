#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Resident memory: what a container of 256 MB is ended for.

Values of changing sizes, over and over, at `maxmemory`; then everything is removed; then one huge
command. Resident memory stays within `maxmemory` and a fixed part, and goes back afterwards.
"""

from __future__ import annotations

import random
import sys
import time

from support.driver import SANITIZER, Report, parser, run, seed_of, wait_until
from support.memory_group import MemoryGroup
from support.resp import Client, encode
from support.server import Server

MEGABYTE = 1 << 20
CONTAINER = 256 * MEGABYTE
# Beyond `maxmemory`: the program, freed pages, gaps between allocations.
FIXED_PART = 24 * MEGABYTE


class Residency:
    """One server, and the most that was resident while a load ran."""

    def __init__(self, server: Server, report: Report, random_source: random.Random) -> None:
        self.server = server
        self.report = report
        self.random = random_source
        self.client: Client = server.client()
        self.memory_max = int(self.client.value("CONFIG", "GET", "maxmemory")[1])

    def churn(self, seconds: float) -> None:
        """Values grow piece by piece and are replaced, in five hundred keys."""
        most, count = 0, 0
        end = time.monotonic() + seconds
        sizes = [100, 1000, 10_000, 50_000]
        while time.monotonic() < end:
            batch = []
            for _ in range(50):
                key = f"k{self.random.randrange(500)}"
                data = b"x" * self.random.choice(sizes)
                batch.append(encode(["APPEND", key, data]))
            if self.random.random() < 0.02:
                batch += [encode(["DEL", f"k{self.random.randrange(500)}"]) for _ in range(50)]
            self.client.send_raw(b"".join(batch))
            self.client.raw_replies(len(batch))
            count += len(batch)
            most = max(most, self.server.resident())
        over = (most - self.memory_max) / MEGABYTE
        self.report.check("the server lives", self.server.alive(), f"{count} commands")
        self.report.measured(
            "resident memory stayed within maxmemory and 24 MB", most <= self.memory_max + FIXED_PART,
            f"{over:+.1f} MB",
        )

    def goes_back(self, what: str, limit: int) -> None:
        """Resident memory falls below the limit although little calls the allocator."""
        took = wait_until(lambda: self.server.resident() < limit, 8, 0.05)
        shown = f"{self.server.resident() / MEGABYTE:.1f} MB"
        self.report.measured(what, took is not None, shown if took is None else f"{took:.2f} s")

    def flush(self) -> None:
        """After FLUSHALL the pages are the system's again."""
        self.client.value("FLUSHALL")
        self.goes_back("after FLUSHALL at most 40 MB is resident", 40 * MEGABYTE)

    def huge_command(self) -> None:
        """What a thread needs for one command it gives back."""
        before = self.server.resident()
        words = b"$1\r\nk\r\n" * 300_000
        self.client.send_raw(b"*300001\r\n$6\r\nEXISTS\r\n" + words)
        self.report.equal("EXISTS of 300,000 keys", self.client.read().value, 0)
        self.goes_back("at most 3 MB of it are left", before + 3 * MEGABYTE)


def main() -> int:
    arguments = parser(__doc__ or "")
    arguments.add_argument("--seconds", type=float, default=6.0)
    options = arguments.parse_args()
    source = random.Random(seed_of(options))
    report = Report("residency")
    with MemoryGroup(CONTAINER) as group:
        prepare = group.join if group.available and not SANITIZER else None
        directives = [("maxmemory-policy", "allkeys-lru"), ("client-query-buffer-limit", "64mb")]
        if prepare is None:
            directives.append(("maxmemory", "192mb"))
        with Server(options.server_binary, directives, prepare=prepare) as server:
            residency = Residency(server, report, source)
            with report.section("values of changing sizes"):
                residency.churn(options.seconds)
            with report.section("everything removed"):
                residency.flush()
            with report.section("a command of many keys"):
                residency.huge_command()
            residency.client.close()
    return report.finish()


if __name__ == "__main__":
    run(main)
