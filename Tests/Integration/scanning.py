#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""SCAN, HSCAN and SSCAN while the table under them grows and shrinks.

The guarantee: an element that exists from the first call to the last is
returned at least once, one that never exists is not, and the iteration ends.
"""

from __future__ import annotations

import random
import sys
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


def main() -> int:
    """All three kinds; 0 when every check held."""
    options = parser(__doc__ or "").parse_args()
    source = random.Random(seed_of(options))
    report = Report("scanning")
    with Server(options.server_binary) as server, server.client() as client:
        for kind in (Keys, Fields, Members):
            with report.section(f"{kind.scan[0]} while the table changes"):
                check(report, client, kind, source)
    return report.finish()


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    run(main)
