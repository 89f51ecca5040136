#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""SCAN, HSCAN and SSCAN while the table under them grows and shrinks.

The guarantee: an element that exists from the first call to the last is
returned at least once, one that never exists is not, and the iteration ends.
"""

from __future__ import annotations

import random
import sys
import time
from typing import Callable

from support.driver import Report, parser, run, seed_of
from support.resp import Client
from support.server import Server

STAYING = 2000
MOST_CALLS = 200_000


class Keys:
    """SCAN over the keys of a database."""

    scan = ["SCAN"]

    @staticmethod
    def add(names: list[str]) -> list[list[str]]:
        """Commands that add elements."""
        return [["SET", name, "v"] for name in names]

    @staticmethod
    def remove(names: list[str]) -> list[list[str]]:
        """Commands that remove elements."""
        return [["DEL", name] for name in names]

    @staticmethod
    def elements(items: tuple) -> list[bytes]:
        """The names in one answer."""
        return [item.value for item in items]


class Fields(Keys):
    """HSCAN over the fields of a hash."""

    scan = ["HSCAN", "hash"]

    @staticmethod
    def add(names: list[str]) -> list[list[str]]:
        """Commands that add elements."""
        return [["HSET", "hash", name, "v"] for name in names]

    @staticmethod
    def remove(names: list[str]) -> list[list[str]]:
        """Commands that remove elements."""
        return [["HDEL", "hash", name] for name in names]

    @staticmethod
    def elements(items: tuple) -> list[bytes]:
        """The names in one answer."""
        return [item.value for item in items[0::2]]


class Members(Keys):
    """SSCAN over the members of a set."""

    scan = ["SSCAN", "set"]

    @staticmethod
    def add(names: list[str]) -> list[list[str]]:
        """Commands that add elements."""
        return [["SADD", "set", name] for name in names]

    @staticmethod
    def remove(names: list[str]) -> list[list[str]]:
        """Commands that remove elements."""
        return [["SREM", "set", name] for name in names]


def iterate(
    report: Report, client: Client, kind: type[Keys], count: int, change: Callable[[int], None]
) -> None:
    """One whole iteration, with a change after every call."""
    place = len(kind.scan)
    command: list = [*kind.scan, "0", "COUNT", count]
    seen: set[bytes] = set()
    for calls in range(1, MOST_CALLS):
        cursor, items = client.call(*command).value
        seen.update(kind.elements(items.value or ()))
        if cursor.value == b"0":
            break
        command[place] = cursor.value
        change(calls)
    else:
        report.check("the iteration ends", False, f"{MOST_CALLS} calls")
        return
    missed = [n for n in range(STAYING) if b"stay:%d" % n not in seen]
    strange = [name for name in seen if not name.startswith((b"stay:", b"go:"))]
    report.check(
        f"all that stayed was returned, COUNT {count}",
        not missed and not strange,
        f"{calls} calls, {len(seen)} seen, missed {missed[:5]}, strange {strange[:5]}",
    )


def check(report: Report, client: Client, kind: type[Keys], source: random.Random) -> None:
    """Growth to many times the size, shrinking again, and both at random."""
    extra = [f"go:{number}" for number in range(40_000)]
    client.value("FLUSHALL")
    client.pipeline(kind.add([f"stay:{number}" for number in range(STAYING)]))

    def grow(calls: int) -> None:
        client.pipeline(kind.add(extra[calls * 200 : calls * 200 + 200]))

    def shrink(calls: int) -> None:
        client.pipeline(kind.remove(extra[calls * 200 : calls * 200 + 200]))

    def both(_: int) -> None:
        start = source.randrange(len(extra))
        make = source.choice([kind.add, kind.remove])
        client.pipeline(make(extra[start : start + source.randrange(2000)]))

    for count in (5, 50):
        iterate(report, client, kind, count * 2, grow)
        client.pipeline(kind.add(extra))
        iterate(report, client, kind, count * 2, shrink)
        iterate(report, client, kind, count * 10, both)
        client.pipeline(kind.remove(extra))


def patterns(report: Report, client: Client, oracle: Client, source: random.Random) -> None:
    """The same keys match the same random patterns as in redis-server."""
    letters = b"aabbcAB0*?[]^-\\-[\xff\x80\x00"

    def draw(most: int) -> bytes:
        return bytes(source.choice(letters) for _ in range(source.randrange(most)))

    names = {draw(8) for _ in range(1500)} | {b"x" * 200 + draw(100) for _ in range(50)}
    for each in (client, oracle):
        each.value("FLUSHALL")
        each.value("MSET", *(word for name in names for word in (name, b"v")))
        each.value("SADD", "set", *names)
    wrong = []
    found = 0
    for _ in range(3000):
        pattern = draw(12)
        if source.randrange(8) == 0:
            pattern = b"*".join(b"?" * source.randrange(80) + draw(3) for _ in range(4))
        for command in (["KEYS", pattern], ["SSCAN", "set", 0, "MATCH", pattern, "COUNT", 9999]):
            answers = [each.call(*command).value for each in (client, oracle)]
            if command[0] == "SSCAN":
                answers = [answer[1].value for answer in answers]
            kept = [{item.value for item in answer} for answer in answers]
            found += len(kept[1])
            if kept[0] != kept[1]:
                wrong.append((pattern, kept[0] ^ kept[1]))
    report.check("3,000 random patterns", not wrong and found > 10_000, (found, wrong[:3]))


def costly(report: Report, server: Server) -> None:
    """Patterns that cost a naive matcher their size times the text's."""
    with server.client() as client, server.client() as watcher:
        client.value("SADD", "large", "z" * 100_000, "x" * 100_000)
        large = [
            "*[" + "z" * 20_000 + "]q", "*" + "z?" * 500 + "q*", "*" + "[a-z]z" * 170 + "q*",
            "*z" * 1000 + "q", "*?" * 50_000 + "b", "*" + "?" * 1023 + "q*",
        ]
        worst = 0.0
        for pattern in large:
            client.send("SSCAN", "large", 0, "MATCH", pattern)
            began = time.monotonic()
            watcher.call("PING")
            worst = max(worst, time.monotonic() - began)
            report.check(f"{pattern[:12]}...", not client.read().is_error)
        report.measured("nobody waits for them", worst < 0.05, f"{worst * 1000:.1f} ms")
        long = "*" + "a" * 1025 + "*"
        for command in (
            ["KEYS", long], ["SCAN", 0, "MATCH", long], ["SSCAN", "large", 0, "MATCH", long],
            ["CONFIG", "GET", long], ["COMMAND", "LIST", "FILTERBY", "PATTERN", long],
        ):
            text = client.call(*command).value
            told = isinstance(text, bytes) and text.startswith(b"ERR pattern too long")
            report.check(f"{command[0]} refuses a longer one", told, text)
        client.value("HSET", "h", "f", "v")
        text = client.call("HSCAN", "h", 0, "MATCH", long).value
        report.check("HSCAN too", str(text).startswith("b'ERR pattern too long"), text)


def main() -> int:
    """All three kinds; 0 when every check held."""
    options = parser(__doc__ or "").parse_args()
    source = random.Random(seed_of(options))
    report = Report("scanning")
    with Server(options.server_binary) as server, server.client() as client:
        for kind in (Keys, Fields, Members):
            with report.section(f"{kind.scan[0]} while the table changes"):
                check(report, client, kind, source)
        if not server.is_redis:
            with report.section("patterns as in redis-server"):
                with Server("redis-server") as redis, redis.client() as oracle:
                    patterns(report, client, oracle, source)
            with report.section("costly patterns"):
                costly(report, server)
    return report.finish()


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    run(main)
