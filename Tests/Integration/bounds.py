#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What one client can make the server hold: every abuse ends with that client.

A server in 256 MB (a control group, or a limit of its address space where there is none) with
default settings. A neighbour's keys fill a part of it. Then clients ask for replies of gigabytes,
leave requests unfinished, never read, and queue or watch as much as they can. After each the
server lives, the neighbour has all its keys, the books are back, and nobody waited long.
"""

from __future__ import annotations

import os
import resource
import socket
import sys
import time
from contextlib import contextmanager
from typing import Callable, Iterator

from support.bystander import Bystander
from support.driver import SANITIZER, Report, parser, run, wait_until
from support.memory_group import MemoryGroup
from support.resp import Client, ConnectionLost, connect, encode
from support.server import Server
from support.tenancy import info_number, tenant_info

MEGABYTE = 1 << 20
CONTAINER = 256 * MEGABYTE
PASSWORD = "the administrator's"
NEIGHBOUR_KEYS = 50_000

DIRECTIVES = [
    ("requirepass", PASSWORD),
    ("tenant-plan", "small memory=3mb"),
    ("tenant-plan", "tiny memory=1mb"),
    ("tenant", "small plan=small secret=small"),
    ("tenant", "tiny plan=tiny secret=tiny"),
    ("tenant", "neighbour secret=neighbour"),
    ("maxmemory-policy", "allkeys-lru"),
]


def limit_address_space() -> None:
    """Where no control group can be made."""
    resource.setrlimit(resource.RLIMIT_AS, (2 * CONTAINER, 2 * CONTAINER))


class Bounds:
    """One server under abuse, and what must hold after each."""

    def __init__(self, server: Server, report: Report) -> None:
        self.server = server
        self.report = report
        self.admin = self.login(PASSWORD)
        self.worst: list[tuple[str, float, int]] = []

    def login(self, secret: str, timeout: float = 30.0) -> Client:
        """A connection with that password or secret."""
        client = self.server.client(timeout=timeout)
        client.value("AUTH", secret)
        return client

    def fill(self) -> None:
        """The neighbour's keys, and the values that the abuses multiply."""
        with self.login("neighbour") as client:
            value = b"n" * 1000
            commands = [("SET", f"k{n}", value) for n in range(NEIGHBOUR_KEYS)]
            errors = sum(reply.is_error for reply in client.pipeline(commands))
            self.report.equal("the neighbour's keys are there", errors, 0)
        with self.login("small") as client:
            client.value("SET", "big", b"x" * MEGABYTE)
            client.value("SADD", "set", *range(100))
            client.value("HSET", "hash", *[word for n in range(100) for word in (n, n)])
            client.value("SET", "a", os.urandom(11_000))
            client.value("SET", "b", os.urandom(11_000))

    def clients_hold(self, tenant: str) -> int:
        """Bytes that the tenant's clients are charged for."""
        return int(tenant_info(self.admin, tenant)["client_memory"])

    @contextmanager
    def abuse(
        self, what: str, bystander: Bystander, patience: float = 0.25
    ) -> Iterator[None]:
        """Runs one abuse, and checks what must hold afterwards.

        `patience`: seconds that a bystander's PING may take; on two cores that this driver and
        both reactors share.
        """
        with self.report.section(what):
            bystander.begin()
            yield
            worst = bystander.worst()
            self.report.check("the server lives", self.server.alive())
            info = tenant_info(self.admin, "neighbour")
            self.report.equal(
                "the neighbour has its keys", (int(info["keys"]), int(info["evicted"])),
                (NEIGHBOUR_KEYS, 0),
            )
            resident = self.server.resident()
            self.worst.append((what, worst, resident))
            self.report.measured(
                f"the bystander waited at most {patience * 1000:.0f} ms", worst < patience,
                f"{worst * 1000:.0f} ms",
            )
            self.report.measured(
                "resident memory is within the container", resident < 250 * MEGABYTE,
                f"{resident / MEGABYTE:.0f} MB",
            )
            for tenant in ("small", "tiny", "default"):
                back = wait_until(lambda: self.clients_hold(tenant) < 200_000, 5)
                self.report.check(f"the clients of {tenant} hold nothing more", back is not None,
                                  self.clients_hold(tenant))

    def closes(self, client: Client, send: Callable[[], None], counter: str) -> None:
        """The client is closed because of what `send` sends, and INFO counts it."""
        before = info_number(self.admin, "stats", counter)
        try:
            send()
            client.socket.settimeout(10)
            while client.socket.recv(1 << 20):
                pass
            closed = True
        except (ConnectionError, ConnectionLost):
            closed = True
        except TimeoutError:
            closed = False
        self.report.check("the client is closed", closed)
        counted = info_number(self.admin, "stats", counter) - before
        self.report.check("INFO counts it", counted >= 1, counted)

    # Replies that multiply what is stored.

    def replies(self, bystander: Bystander) -> None:
        """Each of these would take from 400 MB to 32 GB."""
        output = "client_output_buffer_limit_disconnections"
        get = encode(["GET", "big"])
        for what, request in [
            ("MGET of one key 400 times", encode(["MGET"] + ["big"] * 400)),
            ("EXEC of 400 GETs", encode(["MULTI"]) + get * 400 + encode(["EXEC"])),
            ("SRANDMEMBER of 900,000", encode(["SRANDMEMBER", "set", "-900000"])),
            ("HRANDFIELD of 450,000", encode(["HRANDFIELD", "hash", "-450000", "WITHVALUES"])),
        ]:
            with self.abuse(what, bystander), self.login("small") as client:
                self.closes(client, lambda: client.send_raw(request), output)
        with self.abuse("counts that no reply can hold", bystander), self.login("small") as client:
            for request in [
                ("SRANDMEMBER", "set", "-1000000000"),
                ("HRANDFIELD", "hash", "-1000000000", "WITHVALUES"),
                ("SRANDMEMBER", "set", "-9223372036854775807"),
            ]:
                reply = client.call(*request)
                self.report.equal(f"{request[0]} {request[2]}", reply.value,
                                  b"ERR value is out of range")
        # One command of 121 million steps, which runs to its end.
        with self.abuse("LCS of two strings of 11 KB", bystander, 3), self.login("small") as client:
            reply = client.call("LCS", "a", "b", "IDX")
            self.report.check("it is answered", not reply.is_error, str(reply)[:100])

    def pipelines(self, bystander: Bystander) -> None:
        """Replies of many requests: the client is held back until it reads."""
        for what, secret, request, count in [
            ("400 GETs of a megabyte", "small", encode(["GET", "big"]), 400),
            ("2,000 COMMAND DOCS", "small", encode(["COMMAND", "DOCS"]), 2000),
        ]:
            with self.abuse(what + ", read late", bystander), self.login(secret) as client:
                client.send_raw(request * count)
                time.sleep(0.5)
                held = self.clients_hold(secret)
                self.report.check("little waits meanwhile", held < 6 * MEGABYTE, held)
                client.socket.settimeout(10)
                for _ in range(count):
                    client.raw_replies(1)
                self.report.check("every request is answered", True)

    # What clients send and never finish.

    def requests(self, bystander: Bystander) -> None:
        """Arguments, queues and watches that are kept until the client goes on."""
        refusal = b"-ERR max request size exceeded. Limit: 1048576 bytes, Actual: 57671680 bytes"
        with self.abuse("an argument larger than the plan", bystander):
            for _ in range(3):
                with self.login("tiny") as client:
                    client.send_raw(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$57671680\r\n")
                    self.report.equal("it is refused at its header", client.raw_replies(1).strip(),
                                      refusal)
        with self.abuse("12 unfinished requests of 60 MB", bystander):
            streams = [self.login(PASSWORD) for _ in range(12)]
            for client in streams:
                try:
                    client.send_raw(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$62914560\r\n")
                    for _ in range(15):
                        client.send_raw(b"x" * MEGABYTE * 4)
                except (ConnectionError, ConnectionLost):
                    pass
            for client in streams:
                client.close()
        with self.abuse("many small arguments of one request", bystander):
            with self.login("tiny") as client:
                half = b"$0\r\n\r\n" * 100_000

                def send() -> None:
                    client.send_raw(b"*2000000\r\n$4\r\nMGET\r\n")
                    for _ in range(19):
                        client.send_raw(half)

                self.closes(client, send, "evicted_clients")
        with self.abuse("a queue of MULTI", bystander), self.login("tiny") as client:
            queued = encode(["SET", "k", b"q" * 10_000])
            self.closes(
                client, lambda: client.send_raw(encode(["MULTI"]) + queued * 2000),
                "evicted_clients",
            )
        with self.abuse("a million watches", bystander), self.login("tiny") as client:
            def watch() -> None:
                for first in range(0, 1_000_000, 10_000):
                    client.send_raw(encode(["WATCH"] + list(range(first, first + 10_000))))

            self.closes(client, watch, "evicted_clients")
        with self.abuse("a name of 40 MB", bystander), self.login("tiny") as client:
            reply = client.call("CLIENT", "SETNAME", b"n" * 1_000_000)
            self.report.equal("a megabyte is taken", reply.value, b"OK")
            held = self.clients_hold("tiny")
            self.report.check("and charged", held >= 1_000_000, held)

    def silent(self, bystander: Bystander) -> None:
        """Clients that never read."""
        with self.abuse("50 clients of one tenant that do not read", bystander):
            clients = [self.login("small") for _ in range(50)]
            for client in clients:
                try:
                    client.send_raw(encode(["MGET"] + ["big"] * 4))
                except (ConnectionError, ConnectionLost):
                    pass
            time.sleep(0.5)
            held = self.clients_hold("small")
            self.report.check("they hold what the plan allows", held <= 7 * MEGABYTE, held)
            for client in clients:
                client.close()
        with self.abuse("40 clients of the application that do not read", bystander):
            self.admin.value("SET", "wide", b"w" * 4 * MEGABYTE)
            clients = [self.login(PASSWORD) for _ in range(40)]
            for client in clients:
                try:
                    client.send_raw(encode(["MGET", "wide", "wide"]))
                except (ConnectionError, ConnectionLost):
                    pass
            time.sleep(0.5)
            total = self.clients_hold("default")
            limit = 192 * MEGABYTE * 12 // 100
            self.report.check("they hold at most maxmemory-clients", total <= limit, total)
            for client in clients:
                client.close()
            self.admin.value("DEL", "wide")

    def table(self) -> None:
        """The figures of all abuses."""
        print("\n| abuse | worst PING of a bystander, ms | resident, MB |\n| --- | --- | --- |")
        for what, worst, resident in self.worst:
            print(f"| {what} | {worst * 1000:.0f} | {resident / MEGABYTE:.0f} |")


def main() -> int:
    options = parser(__doc__ or "").parse_args()
    report = Report("bounds")
    with MemoryGroup(CONTAINER) as group:
        prepare = group.join if group.available else limit_address_space
        if SANITIZER:
            prepare = None
        directives = list(DIRECTIVES)
        if not group.available or SANITIZER:
            directives.append(("maxmemory", "192mb"))
        with Server(options.server_binary, directives, prepare=prepare) as server:
            bounds = Bounds(server, report)
            bounds.fill()
            with Bystander(server.address, "neighbour") as bystander:
                bounds.replies(bystander)
                bounds.pipelines(bystander)
                bounds.requests(bystander)
                bounds.silent(bystander)
            bounds.table()
            bounds.admin.close()
    return report.finish()


if __name__ == "__main__":
    run(main)
