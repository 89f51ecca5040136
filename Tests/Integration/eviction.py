#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""maxmemory with each of Redis's eight policies.

Each policy may evict only the keys that it names: those with a TTL, or all.
Memory stays under the limit, whatever is written. A limit that is lowered on a
full server keeps no command waiting, and is reached soon.
"""

from __future__ import annotations

import sys
import time
from typing import Callable

from support.driver import SANITIZER, Report, parser, run, seed_of, wait_until
from support.resp import Client, encode
from support.server import Server
from support.tenancy import info_number, tenant_info
from support.watch import Watch

MEGABYTE = 1 << 20
ROOM = 16 * MEGABYTE
VALUE = b"x" * 1000
TTL_SECONDS = 10_000
# A sanitizer takes ten times as long for each.
SMALL_KEYS = 40_000 if SANITIZER else 400_000
TENANT_LIMIT = 40 * SMALL_KEYS
WAIT_LIMIT_SECONDS = 0.03
REACHED_WITHIN_SECONDS = 10
ATTEMPTS = 3
OUT_OF_MEMORY = b"OOM command not allowed when used memory > 'maxmemory'."
POLICIES = [
    "noeviction", "allkeys-lru", "allkeys-lfu", "allkeys-random",
    "volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl",
]


def empty(client: Client) -> None:
    """Removes all keys. What waits to be freed afterwards is memory in use, so that is waited for."""
    client.value("CONFIG", "SET", "maxmemory", 0)
    client.value("FLUSHALL")
    wait_until(lambda: info_number(client, "memory", "lazyfree_pending_objects") == 0, 10)


def fill(client: Client, prefix: str, count: int, volatile: bool) -> list[bytes]:
    """Writes keys of a kilobyte; returns the error texts."""
    extra = ["EX", TTL_SECONDS] if volatile else []
    commands = [["SET", f"{prefix}:{number}", VALUE, *extra] for number in range(count)]
    return [reply.value for reply in client.pipeline(commands) if reply.is_error]


def count_of(client: Client, prefix: str, count: int) -> int:
    """The number of these keys that still exist."""
    names = [f"{prefix}:{number}" for number in range(count)]
    return sum(reply.value for reply in client.pipeline([["EXISTS", name] for name in names]))


def check_policy(report: Report, client: Client, policy: str) -> None:
    """Fills half with lasting keys, then four times the room with others."""
    empty(client)
    client.value("CONFIG", "RESETSTAT")
    limit = info_number(client, "memory", "used_memory") + ROOM
    client.value("CONFIG", "SET", "maxmemory", limit, "maxmemory-policy", policy)
    lasting = 4000
    errors = fill(client, "lasting", lasting, volatile=False)
    report.equal("the first quarter fits", errors[:1], [])
    volatile = policy.startswith(("volatile", "noev"))
    errors = fill(client, "more", 60_000, volatile)
    used = info_number(client, "memory", "used_memory")
    report.check("memory stays under the limit", used <= limit + MEGABYTE, f"{used} of {limit}")
    evicted = info_number(client, "stats", "evicted_keys")
    if policy == "noeviction":
        report.check("writes are refused", set(errors) == {OUT_OF_MEMORY}, set(errors))
        report.equal("evicted_keys", evicted, 0)
        report.equal("reads go on", client.value("GET", "lasting:1"), VALUE)
        report.equal("deletes go on", client.value("DEL", "lasting:1"), 1)
        return
    report.equal("nothing is refused", errors[:1], [])
    report.check("evicted_keys", evicted > 30_000, evicted)
    left = count_of(client, "lasting", lasting)
    if policy.startswith("volatile"):
        report.equal("keys without a TTL stay", left, lasting)
    else:
        report.check("any key may go", left < lasting, left)


def check_recency(report: Report, client: Client, policy: str) -> None:
    """Keys that are read all the time outlive the others."""
    empty(client)
    limit = info_number(client, "memory", "used_memory") + ROOM
    fill(client, "hot", 500, volatile=False)
    client.value("CONFIG", "SET", "maxmemory", limit, "maxmemory-policy", policy)
    for turn in range(40):
        client.pipeline([["GET", f"hot:{number}"] for number in range(500)])
        fill(client, f"cold{turn}", 1000, volatile=False)
        # Why: the clock of the policy may be as coarse as a second.
        time.sleep(0.1)
    left = count_of(client, "hot", 500)
    # Bound: picking at random would leave 150 or fewer.
    report.check(f"{policy}: hot keys stay", left > 250, f"{left} of 500")


def fill_small(client: Client, prefix: str, count: int) -> None:
    """Writes keys of some 130 bytes."""
    for start in range(0, count, 1000):
        numbers = range(start, min(start + 1000, count))
        client.send_raw(
            b"".join(encode(["SET", f"{prefix}:{number}", b"x" * 100]) for number in numbers)
        )
        client.raw_replies(len(numbers))


def write_until(
    report: Report, client: Client, key: str, is_reached: Callable[[], bool]
) -> tuple[float, float]:
    """Writes `key` until a limit is reached. The longest wait, and how long it took to reach it."""
    began = time.monotonic()
    longest = 0.0
    refused = 0
    while not is_reached() and time.monotonic() < began + REACHED_WITHIN_SECONDS:
        asked = time.monotonic()
        refused += client.call("SET", key, "value").is_error
        longest = max(longest, time.monotonic() - asked)
        time.sleep(0.003)
    report.equal("no write is refused meanwhile", refused, 0)
    return longest, time.monotonic() - began


def check_shrink(
    report: Report, address: tuple[str, int], client: Client, shrink: Shrink
) -> None:
    """A limit is lowered to a third. Repeated if a command waited too long: the machine may."""
    waited = 0.0
    for _ in range(ATTEMPTS):
        shrink.prepare(client)
        with Watch(address, "none") as watch:
            asked = time.monotonic()
            shrink.lower(client)
            waited = time.monotonic() - asked
            longest, seconds = write_until(
                report, client, shrink.key, lambda: shrink.is_reached(client)
            )
        waited = max(waited, longest, watch.result.longest)
        if waited <= WAIT_LIMIT_SECONDS:
            break
    report.equal("the other client", watch.result.failure, "")
    report.measured("no command waits", waited <= WAIT_LIMIT_SECONDS, f"{waited * 1000:.1f} ms")
    report.check("the limit is reached", shrink.is_reached(client), f"after {seconds:.2f} s")


class Shrink:
    """maxmemory is lowered."""

    key = "key"

    def prepare(self, client: Client) -> None:
        """A server full of small keys."""
        client.value("CONFIG", "SET", "maxmemory", 0, "maxmemory-policy", "allkeys-lru")
        fill_small(client, "key", SMALL_KEYS)
        self.limit = info_number(client, "memory", "used_memory") // 3

    def lower(self, client: Client) -> None:
        """Lowers the limit."""
        client.value("CONFIG", "SET", "maxmemory", self.limit)

    def is_reached(self, client: Client) -> bool:
        """Whether memory is within it."""
        return info_number(client, "memory", "used_memory") <= self.limit + MEGABYTE // 2


class TenantShrink(Shrink):
    """A tenant gets a smaller plan."""

    key = "t:acme:key"

    def prepare(self, client: Client) -> None:
        """A tenant full of small keys."""
        client.value("SET", self.key, "value")
        client.value("TENANT", "PLAN", "acme", "large")
        fill_small(client, "t:acme", SMALL_KEYS)

    def lower(self, client: Client) -> None:
        """Lowers the limit."""
        client.value("TENANT", "PLAN", "acme", "small")

    def is_reached(self, client: Client) -> bool:
        """Whether memory is within it."""
        return tenant_info(client, "acme")["memory"] <= TENANT_LIMIT + 1000


def main() -> int:
    """All policies; 0 when every check held."""
    options = parser(__doc__ or "").parse_args()
    seed_of(options)
    report = Report("eviction")
    with Server(options.server_binary) as server, server.client(timeout=60) as client:
        for policy in POLICIES:
            with report.section(policy):
                check_policy(report, client, policy)
        with report.section("recency and frequency"):
            for policy in ("allkeys-lru", "allkeys-lfu"):
                check_recency(report, client, policy)
        with report.section("maxmemory is lowered"):
            empty(client)
            check_shrink(report, server.address, client, Shrink())
    plans = [
        ("tenant-key-pattern", "t:{tenant}:*"),
        ("tenant-plan", "large memory=1gb at-limit=evict"),
        ("tenant-plan", f"small memory={TENANT_LIMIT} at-limit=evict"),
    ]
    with Server(options.server_binary, plans) as server, server.client(timeout=60) as client:
        with report.section("a plan is lowered"):
            check_shrink(report, server.address, client, TenantShrink())
    return report.finish()


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    run(main)
