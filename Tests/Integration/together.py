#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Everything together: what no other driver mixes, on four threads.

    together.py [--seconds 6] [--rounds 2] [--processes 3] [--connections 8]

Tenants come and go, databases are swapped and flushed, keys move between
tenants, expire and are evicted, clients are killed and paused, rows change.
At the end everything is accounted for, and nothing is left behind. The other
half of this test is scripts/sanitize, which runs it under a sanitizer.
"""

from __future__ import annotations

import sys
import threading

from support.driver import Report, parser, run, seed_of, wait_until
from support.mixed_load import CREATED, PASSWORD, ROWS, run_mix
from support.postgres import Postgres
from support.records import directives, setup
from support.resp import Client, ReplyError
from support.server import Directive, Server, is_redis
from support.tenancy import info_number, measured_memory, tenant_info

PLANS: list[Directive] = [
    ("tenant-plan", "small memory=200kb keys=40 at-limit=evict"),
    ("tenant-plan", "slow ops-per-second=2000 at-limit=throttle"),
]
# Growth allowed over the round before: buffers, and what the allocator keeps for a thread.
SLACK_BYTES = 3 << 20


class Writer:
    """Changes rows until it is told to stop."""

    def __init__(self, postgres: Postgres, seed: int) -> None:
        self.postgres = postgres
        self.ended = threading.Event()
        self.seed = seed
        self.thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        with self.postgres.session() as session:
            row = self.seed
            while not self.ended.wait(0.003):
                row = (row * 31 + 7) % ROWS
                session.execute(f"update tenants set name = name || '.' where id = '{row}'")

    def __enter__(self) -> "Writer":
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self.thread.join()


def application(server: Server) -> Client:
    """A client that may do everything."""
    client = server.client()
    client.value("AUTH", PASSWORD)
    return client


def check_accounts(report: Report, client: Client) -> None:
    """Every tenant's charge matches a walk over its entries."""
    names = tenant_names(client)
    wrong = []
    for name in names:
        try:
            charged = int(tenant_info(client, name)["memory"])
            measured = measured_memory(client, name)
        except ReplyError as error:
            # A tenant that only keys named goes with its last key, which may expire meanwhile.
            if name in tenant_names(client):
                wrong.append((name, str(error)))
            continue
        if charged != measured:
            wrong.append((name, charged, measured))
    report.check("memory of every tenant", not wrong, wrong[:3] or len(names))


def tenant_names(client: Client) -> list[str]:
    """All tenants except the server's own."""
    return [name.decode() for name in client.value("TENANT", "LIST")]


def clear(client: Client) -> None:
    """Nothing is left: no key, no tenant, no limit."""
    client.value("CONFIG", "SET", "maxmemory", 0)
    client.value("FLUSHALL")
    client.value("RECORDS", "INVALIDATE", "tenants")
    for name in tenant_names(client):
        client.call("TENANT", "DELETE", name)


def check_empty(report: Report, client: Client) -> int:
    """Checks that no tenant and no key is left; returns the bytes still allocated."""
    clear(client)
    report.equal("tenants that are left", tenant_names(client), [])
    report.equal("keys that are left", client.value("DBSIZE"), 0)
    freed = wait_until(lambda: info_number(client, "memory", "lazyfree_pending_objects") == 0, 10)
    report.check("nothing waits to be freed", freed is not None)
    charged = int(tenant_info(client, "default")["memory"])
    report.equal("charged to nobody", charged, measured_memory(client, "default"))
    return info_number(client, "memory", "used_memory")


def main() -> int:
    """Rounds of the mix; 0 when every check held."""
    arguments = parser(__doc__ or "")
    arguments.add_argument("--seconds", type=float, default=6.0)
    arguments.add_argument("--rounds", type=int, default=2)
    arguments.add_argument("--processes", type=int, default=3)
    arguments.add_argument("--connections", type=int, default=8)
    options = arguments.parse_args()
    seed = seed_of(options)
    report = Report("together")
    if is_redis(options.server_binary):
        report.skip("everything", "redis-server has neither tenants nor records")
        return report.finish()
    with Postgres(ROWS) as postgres:
        setup(options.server_binary, postgres, "--apply")
        lines = [*directives(postgres), *PLANS, ("tenant-key-pattern", "tenant:{tenant}:*")]
        lines += [("requirepass", PASSWORD), ("threads", 4)]
        with Server(options.server_binary, lines) as server, Writer(postgres, seed):
            used: list[int] = []
            for number in range(options.rounds):
                with report.section(f"round {number + 1}"):
                    count, unexpected = run_mix(
                        server.address,
                        options.processes,
                        options.connections,
                        options.seconds,
                        seed + number,
                    )
                    report.equal("unexpected", unexpected[:5], [])
                    report.check("commands", count > 0, count)
                    with application(server) as client:
                        check_accounts(report, client)
                        used.append(check_empty(report, client))
            grown = used[-1] - used[0]
            report.check("memory is back", grown < SLACK_BYTES, f"{used}")
    return report.finish()


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    run(main)
