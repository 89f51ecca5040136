#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Storms: many clients at once, with the transactions that reach furthest.

Two threads serve them. EXEC must hold all shards that its commands touch, taken in order:
otherwise two threads change one table, or wait for each other forever.
"""

from __future__ import annotations

import multiprocessing
import random
import sys
import time
from typing import Callable

from support.driver import Report, parser, run, seed_of
from support.resp import Client
from support.server import Directive, Server

Commands = list[list]
Storm = Callable[[random.Random, int], Commands]
SECONDS = 4.0
TENANTS = 6
PATTERN: Directive = ("tenant-key-pattern", "tenant:{tenant}:*")


def logins(source: random.Random, number: int) -> Commands:
    """Some write as a tenant, others log in as that tenant inside EXEC."""
    keys = [f"k{source.randrange(2000)}" for _ in range(60)]
    writes = [["SET", key, "x" * source.randrange(300)] for key in keys[:30]]
    writes += [["DEL", key] for key in keys[30:]]
    if number % 2:
        return [["AUTH", "acme-secret"], *writes]
    return [["AUTH", "password"], ["MULTI"], ["AUTH", "acme-secret"], *writes, ["EXEC"]]


def databases(source: random.Random, number: int) -> Commands:
    """Some write to the first database, others after a SELECT inside EXEC that fails."""
    keys = [f"k{source.randrange(2000)}" for _ in range(60)]
    writes = [["SET", key, "x" * source.randrange(300)] for key in keys[:30]]
    writes += [["DEL", key] for key in keys[30:]]
    return writes if number % 2 else [["MULTI"], ["SELECT", 7], *writes, ["EXEC"]]


def watches(source: random.Random, number: int) -> Commands:
    """Some write many keys at once, others UNWATCH inside EXEC."""
    def key() -> str:
        return f"k{source.randrange(40)}"

    if number % 2:
        return [["MSET", *[word for _ in range(10) for word in (key(), 1)]] for _ in range(20)]
    watched = [key() for _ in range(8)]
    return [
        ["WATCH", *watched], ["MULTI"], ["SET", key(), 1], ["SET", key(), 1], ["UNWATCH"], ["EXEC"],
    ]


def whole(source: random.Random, number: int) -> Commands:
    """Tenants come and go with their keys while EXEC swaps, flushes and walks databases."""
    def key() -> str:
        return f"tenant:{source.randrange(TENANTS)}:{source.randrange(3)}"

    def single() -> list:
        return source.choice([
            ["DEL", key()], ["UNLINK", key()], ["SET", key(), "x" * source.randrange(200)],
            ["SET", key(), 1, "PXAT", 1], ["RENAME", key(), key()], ["MOVE", key(), 1],
            ["COPY", key(), key(), "DB", source.randrange(3)], ["MSET", key(), 1, key(), 2],
            ["SELECT", source.randrange(4)], ["GET", key()], ["SADD", f"{key()}:s", 1],
        ])

    wide = [
        ["FLUSHDB"], ["FLUSHALL", "ASYNC"], ["SWAPDB", 0, source.randrange(4)], ["SWAPDB", 1, 2],
        ["DBSIZE"], ["KEYS", "*"], ["RANDOMKEY"], ["SCAN", 0], ["INFO", "keyspace"], ["UNWATCH"],
    ]
    if number % 2:
        return [single() for _ in range(30)] + [["WATCH", key(), key()], ["SELECT", 0]]
    queued = [single() for _ in range(source.randint(1, 10))]
    queued += source.sample(wide, source.randint(0, 3))
    source.shuffle(queued)
    return [["WATCH", key(), key()], ["MULTI"], *queued, ["EXEC"]]


def rage(address: tuple[str, int], storm: Storm, seed: int, number: int) -> None:
    """One client, until the time is over or the server stops answering."""
    source = random.Random(seed * 100 + number)
    end = time.monotonic() + SECONDS
    with Client(address, timeout=10) as client:
        while time.monotonic() < end:
            client.pipeline(storm(source, number))


def check(server: Server, storm: Storm, seed: int, report: Report) -> None:
    """Four clients at full speed; then the server still answers, and its key count is right."""
    clients = [
        multiprocessing.Process(target=rage, args=(server.address, storm, seed, number))
        for number in range(4)
    ]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    report.equal("all were answered", [client.exitcode for client in clients], [0] * 4)
    sizes, listed, left = [], [], []
    with Client(server.address, timeout=5) as client:
        for password in ("password", "acme-secret"):
            client.call("AUTH", password)
            for number in range(4):
                client.call("SELECT", number)
                keys = client.value("KEYS", "*")
                listed.append(len(keys))
                sizes.append(client.value("DBSIZE"))
                for key in keys:
                    client.call("DEL", key)
                left.append(client.value("DBSIZE"))
    report.equal("each database has as many keys as it says", sizes, listed)
    report.equal("and none when they are deleted", left, [0] * 8)


def main() -> int:
    """All storms; 0 when every check held."""
    options = parser(__doc__ or "").parse_args()
    seed = seed_of(options)
    report = Report("storms")
    secrets: list[Directive] = [("requirepass", "password"), ("tenant", "acme secret=acme-secret")]
    for storm, directives in (
        (logins, secrets), (databases, [("databases", 4)]), (watches, []), (whole, [PATTERN]),
    ):
        with report.section(storm.__doc__ or ""):
            with Server(options.server_binary, directives) as server:
                check(server, storm, seed, report)
    return report.finish()


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    run(main)
