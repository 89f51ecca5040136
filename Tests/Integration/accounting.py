#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Accounting: tenant by tenant, charges match what was done; and the limits.

    accounting.py [--operations 200000] [--tenants 1000] [--connections 4]

redis-server has no tenants. Against it the driver checks only its own
counting, by the sums that INFO gives.
"""

from __future__ import annotations

import sys

import limits
from support.driver import Report, parser, run, seed_of
from support.resp import Client
from support.server import Directive, Server, is_redis
from support.tenancy import FIELDS, Model, info_number, measured_memory, tenant_infos
from support.tenant_load import run_load

COUNTERS = ("commands", "reads", "writes", "hits", "misses")


def check_sums(report: Report, client: Client, model: Model) -> None:
    """INFO's hits and misses, which Redis and Martlet both have."""
    for name in ("hits", "misses"):
        counted = info_number(client, "stats", f"keyspace_{name}")
        report.equal(f"sum of {name}", counted, model.total(name))


def check_tenants(report: Report, client: Client, model: Model, tenants: int) -> None:
    """TENANT INFO of every tenant against the model."""
    infos = tenant_infos(client, [str(number) for number in range(tenants)])
    missing = [field for field in FIELDS if field not in infos["0"]]
    report.equal("fields that TENANT INFO lacks", missing, [])
    for name in COUNTERS:
        expected = getattr(model, name)
        wrong = {
            tenant: (int(info[name]), expected[int(tenant)])
            for tenant, info in infos.items()
            if int(info[name]) != expected[int(tenant)]
        }
        detail = f"{len(wrong)} differ, first {list(wrong.items())[:3]}" if wrong else ""
        report.check(f"{name} of every tenant", not wrong, detail or model.total(name))
    for name in ("expired", "evicted", "rejected"):
        report.equal(f"sum of {name}", sum(int(info[name]) for info in infos.values()), 0)
    keys = sum(int(info["keys"]) for info in infos.values())
    report.equal("sum of keys", keys, client.value("DBSIZE"))


def check_memory(report: Report, client: Client, tenants: int) -> None:
    """The memory charged against the memory measured entry by entry."""
    names = [str(number) for number in range(tenants)]
    infos = tenant_infos(client, names)
    charged = {name: int(infos[name]["memory"]) for name in names}
    measured = {name: measured_memory(client, name) for name in names}
    wrong = [(name, charged[name], measured[name]) for name in names
             if charged[name] != measured[name]]
    report.check("memory of every tenant", not wrong, wrong[:3])
    report.equal("sum charged", sum(charged.values()), sum(measured.values()))
    report.check("something is charged", min(charged.values()) > 0, min(charged.values()))


def check_gone(report: Report, server: Server, tenants: int) -> None:
    """Implicit tenants go with their last key."""
    with server.client() as client:
        client.value("FLUSHALL")
        left = client.value("TENANT", "LIST")
        report.check("no tenant is left after FLUSHALL", len(left) <= 1, left[:5])
        before = server.resident()
        count = 100 * tenants
        client.pipeline([("SET", f"tenant:made-up-{n}:k", 1) for n in range(count)])
        each = (server.resident() - before) / count
        report.measured("a made-up tenant costs under 1 KB", each < 1024, f"{each:.0f} bytes")
        client.pipeline([("DEL", f"tenant:made-up-{n}:k") for n in range(count)])
        left = client.value("TENANT", "LIST")
        report.check("made-up tenants go with their key", len(left) <= 1, left[:5])


def count_operations(report: Report, options, seed: int) -> None:
    """Random operations, then every counter of every tenant."""
    binary = options.server_binary
    directives: list[Directive] = []
    if not is_redis(binary):
        directives = [("tenant-key-pattern", "tenant:{tenant}:*")]
    with Server(binary, directives) as server:
        title = f"{options.operations} operations by {options.tenants} tenants"
        with report.section(title):
            model, wrong = run_load(
                server.address, options.tenants, options.operations, options.connections, seed
            )
            report.equal("replies as the model foresaw", wrong[:3], [])
            with server.client() as client:
                check_sums(report, client, model)
        if server.is_redis:
            report.skip("tenants", "redis-server has none")
            return
        with server.client() as client:
            with report.section("counters per tenant"):
                check_tenants(report, client, model, options.tenants)
            with report.section("memory per tenant"):
                check_memory(report, client, options.tenants)
        with report.section("tenants that go"):
            check_gone(report, server, options.tenants)


def main() -> int:
    """Counts, then the limits; 0 when every check held."""
    arguments = parser(__doc__ or "")
    arguments.add_argument("--operations", type=int, default=200_000)
    arguments.add_argument("--tenants", type=int, default=1000)
    arguments.add_argument("--connections", type=int, default=4)
    options = arguments.parse_args()
    seed = seed_of(options)
    report = Report("accounting")
    count_operations(report, options, seed)
    limits.check_all(report, options.server_binary)
    return report.finish()


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    run(main)
