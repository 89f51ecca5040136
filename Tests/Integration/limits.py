#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Plan limits: what happens to a tenant at its limit, and to its neighbour.

Called by accounting.py, or alone.
"""

from __future__ import annotations

import re
import sys
import time
from typing import Callable

from support.driver import Report, parser, run, wait_until
from support.resp import Client, ConnectionLost, Reply, encode
from support.server import Directive, Server, is_redis
from support.tenancy import info_number, tenant_info

REQUESTS = re.compile(rb"^ERR max requests limit exceeded\. Limit: (\d+), Usage: (\d+)")
CAPACITY = re.compile(rb"^ERR DB capacity quota exceeded")
KEYS = re.compile(rb"^ERR max keys limit exceeded\. Limit: (\d+), Usage: (\d+)")
BANDWIDTH = re.compile(rb"^ERR max daily bandwidth limit exceeded\. Limit: (\d+), Usage: ")
CONNECTIONS = re.compile(rb"^ERR max number of clients reached")

PASSWORD = "the administrator's"

PLANS = [
    "memory-reject memory=1mb at-limit=reject",
    "memory-evict memory=1mb at-limit=evict",
    "keys-reject keys=100 at-limit=reject",
    "keys-evict keys=100 at-limit=evict",
    "second-reject ops-per-second=200 at-limit=reject",
    "second-throttle ops-per-second=200 at-limit=throttle",
    "day-reject ops-per-day=500 at-limit=reject",
    "bandwidth-reject bandwidth-per-day=1mb at-limit=reject",
    "connections-reject connections=3 at-limit=reject",
    "free",
]


class Limits:
    """One server with a tenant per plan, each with its secret."""

    def __init__(self, server: Server, report: Report) -> None:
        self.server = server
        self.report = report

    def login(self, tenant: str) -> Client:
        """A connection that sees the tenant's keyspace."""
        client = self.server.client()
        reply = client.call("AUTH", f"secret-{tenant}")
        if reply.is_error:
            client.close()
        reply.native()
        return client

    def admin(self) -> Client:
        """A connection that may administer."""
        client = self.server.client()
        client.value("AUTH", PASSWORD)
        return client

    def first_error(self, client: Client, commands: list) -> tuple[int, bytes]:
        """The number of commands answered before the first error, and its text."""
        for number, reply in enumerate(client.pipeline(commands, window=50)):
            if reply.is_error:
                return number, reply.value
        return len(commands), b""

    def refused(self, tenant: str, text: bytes, pattern: re.Pattern[bytes]) -> None:
        """Checks the text of the refusal, and that it was counted."""
        self.report.check(f"{tenant}: the error's text", bool(pattern.match(text)), text)
        with self.admin() as client:
            rejected = int(tenant_info(client, tenant)["rejected"])
        self.report.check(f"{tenant}: rejections are counted", rejected > 0, rejected)

    def memory_reject(self) -> None:
        """Writes are refused at the limit; reads and deletes go on."""
        with self.login("memory-reject") as client:
            commands = [("SET", f"k{n}", b"x" * 1000) for n in range(2000)]
            stored, text = self.first_error(client, commands)
            self.report.check("about a megabyte was stored", 600 < stored < 1049, stored)
            self.refused("memory-reject", text, CAPACITY)
            self.report.equal("reads go on", client.value("GET", "k0"), b"x" * 1000)
            self.report.equal("deletes go on", client.value("DEL", "k0", "k1", "k2"), 3)
            self.report.equal("then writes again", client.value("SET", "k0", "x"), b"OK")

    def memory_evict(self) -> None:
        """The tenant's own keys are evicted, nobody else's."""
        with self.login("memory-evict") as client:
            commands = [("SET", f"k{n}", b"x" * 1000) for n in range(5000)]
            stored, text = self.first_error(client, commands)
            self.report.equal("nothing was refused", (stored, text), (5000, b""))
            self.report.equal("the last is there", client.value("EXISTS", "k4999"), 1)
        with self.admin() as client:
            info = tenant_info(client, "memory-evict")
        # Bound: the entry that crossed the limit may be there, the next one finds room made.
        memory = int(info["memory"])
        self.report.check("memory is within the limit", memory <= (1 << 20) + 65536, memory)
        self.report.check("evictions are counted", int(info["evicted"]) > 3000, info["evicted"])

    def keys_reject(self) -> None:
        """The number of keys: a new one is refused, an old one may change."""
        with self.login("keys-reject") as client:
            stored, text = self.first_error(client, [("SET", f"k{n}", 1) for n in range(150)])
            self.report.equal("keys stored", stored, 100)
            self.refused("keys-reject", text, KEYS)
            self.report.equal("an old key may change", client.value("SET", "k5", 2), b"OK")

    def keys_evict(self) -> None:
        """The number of keys stays at the limit."""
        with self.login("keys-evict") as client:
            stored, text = self.first_error(client, [("SET", f"k{n}", 1) for n in range(500)])
            self.report.equal("nothing was refused", (stored, text), (500, b""))
            size = client.value("DBSIZE")
            self.report.check("at most 100 keys are left", 50 <= size <= 100, size)

    def second_reject(self) -> None:
        """Operations per second, refused; a second later they go on."""
        with self.login("second-reject") as client:
            answered, text = self.first_error(client, [("GET", "k")] * 2000)
            self.report.check("about 200 were answered", 150 <= answered <= 500, answered)
            self.refused("second-reject", text, REQUESTS)
            took = wait_until(lambda: not client.call("GET", "k").is_error, 3, 0.1)
            self.report.check("it goes on within 1.5 s", took is not None and took < 1.5, took)

    def second_throttle(self) -> None:
        """Operations per second, delayed; a neighbour is not."""
        with self.login("second-throttle") as client, self.login("free") as neighbour:
            began = time.monotonic()
            for _ in range(800):
                client.send("GET", "k")
            longest = 0.0
            for _ in range(200):
                asked = time.monotonic()
                neighbour.value("GET", "k")
                longest = max(longest, time.monotonic() - asked)
                time.sleep(0.005)
            replies = [client.read() for _ in range(800)]
            took = time.monotonic() - began
        errors = sum(reply.is_error for reply in replies)
        self.report.equal("nothing was refused", errors, 0)
        self.report.check("800 at 200 per second took 2 to 5 s", 2 <= took <= 5, f"{took:.2f} s")
        self.report.measured("the neighbour never waited", longest < 0.05, f"{longest * 1000:.1f} ms")

    def day_reject(self) -> None:
        """Operations per day, refused until midnight, UTC."""
        with self.login("day-reject") as client:
            answered, text = self.first_error(client, [("GET", "k")] * 3000)
            # Bound: each thread may spend one lease beyond the limit.
            self.report.check("about 500 were answered", 450 <= answered <= 1000, answered)
            self.refused("day-reject", text, REQUESTS)
        with self.admin() as client:
            today = tenant_info(client, "day-reject")["commands_today"]
            self.report.check("the day's commands are counted", 450 <= today <= 1000, today)
            free = tenant_info(client, "free")["commands_today"]
            self.report.equal("without a limit they are not", free, None)

    def bandwidth_reject(self) -> None:
        """Bytes in and out per day."""
        with self.login("bandwidth-reject") as client:
            client.call("SET", "k", b"x" * 10_000)
            answered, text = self.first_error(client, [("GET", "k")] * 400)
            self.report.check("about a megabyte came", 80 <= answered <= 250, answered)
            self.refused("bandwidth-reject", text, BANDWIDTH)

    def connections_reject(self) -> None:
        """The fourth connection is refused, until one of the three goes."""
        clients = [self.login("connections-reject") for _ in range(3)]
        with self.server.client() as fourth:
            reply = fourth.call("AUTH", "secret-connections-reject")
            self.refused("connections-reject", reply.value, CONNECTIONS)
        for client in clients:
            client.close()

        def again() -> bool:
            with self.server.client() as client:
                return client.call("AUTH", "secret-connections-reject") == Reply("+", b"OK")

        self.report.check("free again after a close", wait_until(again, 2, 0.05) is not None)

    def deletion(self) -> None:
        """A deleted tenant's sessions end, its memory comes back, nobody waits."""
        with self.admin() as admin, self.server.client() as client:
            admin.value("TENANT", "CREATE", "doomed", "SECRET", "secret-doomed")
            before = info_number(admin, "memory", "used_memory")
            client.value("AUTH", "secret-doomed")
            client.pipeline([("SET", f"k{n}", b"x" * 30) for n in range(100_000)])
            began = time.monotonic()
            admin.value("TENANT", "DELETE", "doomed")
            took = time.monotonic() - began
            self.report.check("it took under 100 ms", took < 0.1, f"{took * 1000:.1f} ms")
            try:
                reply = client.call("GET", "k1")
                ended = reply.is_error
            except ConnectionLost:
                ended = True
            self.report.check("its session sees nothing any more", ended)
            gone = admin.call("TENANT", "INFO", "doomed")
            self.report.check("it is gone", gone.is_error, gone)

            def left() -> int:
                return info_number(admin, "memory", "used_memory") - before

            freed = wait_until(lambda: left() < 1 << 20, 5, 0.05)
            self.report.check("its memory comes back", freed is not None, left())
            with self.server.client() as again:
                wrong = again.call("AUTH", "secret-doomed")
            self.report.check("its secret too", wrong.value.startswith(b"WRONGPASS"), wrong)

    def isolation(self) -> None:
        """A tenant sees its own keys, and no administration."""
        with self.login("free") as client, self.login("memory-evict") as other:
            client.value("SET", "mine", 1)
            self.report.equal("the neighbour does not see it", other.value("EXISTS", "mine"), 0)
            self.report.equal("WHOAMI", b"free" in str(client.call("TENANT", "WHOAMI")).encode(),
                              True)
            for command in (["CONFIG", "GET", "*"], ["SHUTDOWN"],
                            ["TENANT", "CREATE", "x"], ["DEBUG", "SLEEP", 0]):
                reply = client.call(*command)
                refused = reply.is_error and reply.value.startswith(b"NOPERM")
                self.report.check(f"{command[0]} is refused", refused, reply.value)
            self.report.check("CLIENT INFO names the tenant",
                              b" user=free " in client.value("CLIENT", "INFO"))
            with self.admin() as admin:
                for command in (["CREATE", "y", "SECRET", PASSWORD], ["SECRET", "free", PASSWORD]):
                    reply = admin.call("TENANT", *command)
                    self.report.check(f"{command[0]} with the server's password is refused",
                                      reply.is_error, reply.value)
            wrong = self.server.client().call("AUTH", "secret-nobody")
            self.report.check("a wrong secret", wrong.value.startswith(b"WRONGPASS"), wrong.value)

    def bytes_counted(self) -> None:
        """Bytes in and out match the connection's traffic, including refusals and MULTI."""
        conversations = {
            "a transaction": ["SET b v", "MULTI", "GET b", "PING", "SET c v", "EXEC"],
            "a transaction of a large value": ["SET b " + 10_000 * "x", "MULTI", "GET b", "EXEC"],
            "a discarded transaction": ["MULTI", "SET b v", "GET b", "DISCARD"],
            "an aborted transaction": ["MULTI", "SET b v", "GET", "EXEC"],
            "a transaction that was watched": ["WATCH b", "SET b 2", "MULTI", "GET b", "EXEC"],
            "a transaction that RESET ends": ["MULTI", "SET b v", "RESET"],
            "a transaction that the connection's end ends": ["MULTI", "SET b v"],
            "refusals": ["GET", "NOSUCH a", "CONFIG GET x", "TENANT LIST", "CLIENT NOSUCH"],
            "wrong types": ["DEL b", "SADD b 1", "GET b"],
            "other databases": ["SELECT 1", "SET d 1", "COPY d e DB 2", "SELECT 0", "DBSIZE"],
            "many at once": [f"SET b{n} {n * 'x'}" for n in range(1, 100)],
        }
        with self.admin() as admin:
            for title, lines in conversations.items():
                with self.login("free") as client:
                    before = tenant_info(admin, "free")
                    sent = b"".join(encode(line.split(" ")) for line in lines)
                    client.send_raw(sent)
                    replies = client.raw_replies(len(lines))
                expected = {"bytes_in": len(sent), "bytes_out": len(replies)}
                # Bound: a connection's queued commands are counted when the server sees its end.
                wait_until(lambda: self.counted(admin, before) == expected, 1)
                self.report.equal(title, self.counted(admin, before), expected)

    @staticmethod
    def counted(admin: Client, before: dict) -> dict[str, int]:
        """The bytes charged to the tenant since then."""
        after = tenant_info(admin, "free")
        return {name: int(after[name]) - int(before[name]) for name in ("bytes_in", "bytes_out")}

    def plan_changes(self) -> None:
        """The day's figures match the use, whatever plans the tenant had that day."""
        plans = ["free", "bandwidth-reject", "day-reject", "day-reject", "second-reject",
                 "bandwidth-reject", "day-reject"]
        with self.admin() as admin:
            admin.value("TENANT", "CREATE", "mover", "SECRET", "secret-mover")
            with self.login("mover") as client:
                before = tenant_info(admin, "mover")
                for plan in plans:
                    admin.value("TENANT", "PLAN", "mover", plan)
                    reply = client.call("GET", "k")
                    self.report.check(f"{plan} answers", not reply.is_error, reply.value)
            after = tenant_info(admin, "mover")
            self.report.equal("commands of the day", after["commands_today"],
                              after["commands"])
            self.report.equal("it ran", after["commands"] - before["commands"], len(plans))

    def transactions(self) -> None:
        """A transaction stays in its tenant: EXEC holds that one's shards and no other's."""
        with self.login("free") as client, self.login("memory-evict") as other:
            other.value("SET", "theirs", 1)
            for login in (["AUTH", "secret-memory-evict"],
                          ["HELLO", 3, "AUTH", "default", "secret-memory-evict"]):
                client.value("MULTI")
                client.value(*login)
                client.value("EXISTS", "theirs")
                reply = client.call("EXEC")
                self.report.check(f"{login[0]} is refused", reply.value[0].is_error, reply)
                self.report.equal("the tenant stays", reply.value[1].value, 0)

    def queued_size(self) -> None:
        """Commands queued by MULTI count as part of the query buffer."""
        queued = 0
        with self.login("free") as client:
            client.value("MULTI")
            try:
                while queued < 64:
                    client.value("SET", f"k{queued}", b"x" * 1_000_000)
                    queued += 1
            except ConnectionLost:
                pass
        self.report.check("closed at the limit of 8 MB", 6 <= queued <= 9, f"{queued} MB")


def many_tenants(report: Report, binary: str) -> None:
    """A command over many tenants costs what its keys cost."""
    directives = [
        ("tenant-key-pattern", "t:{tenant}:*"), ("tenant-plan", "default keys=1000 memory=1gb"),
    ]
    with Server(binary, directives) as server, server.client() as client:

        def seconds_per_key(count: int) -> float:
            pairs = [word for n in range(count) for word in (f"t:{n}:k", "v")]
            best = 60.0
            for _ in range(5):
                began = time.monotonic()
                client.value("MSET", *pairs)
                best = min(best, time.monotonic() - began)
            return best / count

        small = seconds_per_key(1000)
        large = seconds_per_key(16_000)
        report.measured(
            "a key of one of 16,000 tenants costs about what one of 1,000 costs",
            large < 4 * small,
            f"{small * 1e6:.2f} and {large * 1e6:.2f} us",
        )


def check_all(report: Report, binary: str) -> None:
    """All limits; nothing against redis-server, which has none of them."""
    if is_redis(binary):
        report.skip("plan limits", "redis-server has none")
        return
    directives: list[Directive] = [("requirepass", PASSWORD), ("enable-debug-command", "yes")]
    directives.append(("client-query-buffer-limit", "8mb"))
    directives += [("tenant-plan", plan) for plan in PLANS]
    for plan in PLANS:
        name = plan.split()[0]
        directives.append(("tenant", f"{name} plan={name} secret=secret-{name}"))
    with Server(binary, directives) as server:
        limits = Limits(server, report)
        checks: list[Callable[[], None]] = [
            limits.memory_reject, limits.memory_evict, limits.keys_reject, limits.keys_evict,
            limits.second_reject, limits.second_throttle, limits.day_reject,
            limits.bandwidth_reject, limits.connections_reject, limits.deletion, limits.isolation,
            limits.bytes_counted, limits.plan_changes, limits.transactions,
            limits.queued_size,
        ]
        for check in checks:
            with report.section("limit " + check.__name__.replace("_", " ")):
                check()
    with report.section("limit many tenants"):
        many_tenants(report, binary)


def main() -> int:
    """Runs the limits alone."""
    options = parser(__doc__ or "").parse_args()
    report = Report("limits")
    check_all(report, options.server_binary)
    return report.finish()


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    run(main)
