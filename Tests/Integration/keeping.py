#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The file of created tenants: what was answered survives, what failed did not happen.

kill -9 right after an answer, a file that may not grow, a torn last line, a
thousand changes in one pipeline, and a bystander beside ten thousand tenants.
"""

from __future__ import annotations

import random
import resource
import sys
import threading
import time

from support.driver import Report, parser, run, seed_of
from support.resp import Client
from support.server import Server, ServerFailed

PLANS = [("requirepass", "app"), ("tenant-plan", "free keys=10"), ("tenant-plan", "pro keys=20")]


def admin(server: Server) -> Client:
    """A session of the application."""
    client = server.client()
    client.call("AUTH", "app")
    return client


def state(client: Client) -> dict[str, tuple]:
    """Plan and secret of every tenant."""
    names = [item.value.decode() for item in client.call("TENANT", "LIST").value]
    return {
        name: (client.value("TENANT", "PLAN", name), client.value("TENANT", "SECRET", name))
        for name in names
    }


def restart(server: Server) -> None:
    """kill -9, and a new process over the same folder."""
    server.kill()
    server.start()


def survival(report: Report, server: Server, source: random.Random) -> None:
    """Random changes, each killed right after its answer."""
    expected: dict[str, tuple] = {}
    for _ in range(12):
        client = admin(server)
        for _ in range(source.randrange(1, 30)):
            name = f"t{source.randrange(8)}"
            kind = source.randrange(5)
            if name not in expected:
                client.call("TENANT", "CREATE", name, "PLAN", "free", "SECRET", f"s-{name}")
                expected[name] = (b"free", b"set")
            elif kind == 0:
                client.call("TENANT", "DELETE", name)
                del expected[name]
            elif kind == 1:
                client.call("TENANT", "SECRET", name, "NONE")
                expected[name] = (expected[name][0], b"none")
            elif kind == 2:
                client.call("TENANT", "SECRET", name, "NEW")
                expected[name] = (expected[name][0], b"set")
            else:
                plan = source.choice(["free", "pro"])
                client.call("TENANT", "PLAN", name, plan)
                expected[name] = (plan.encode(), expected[name][1])
        restart(server)
        with admin(server) as again:
            if not report.check("what was answered is there", state(again) == expected):
                return
    path = server.directory / "tenants.conf"
    content = path.read_bytes()
    report.check("the file is for its owner alone", path.stat().st_mode & 0o777 == 0o600)
    server.kill()
    path.write_bytes(content + b"tenant torn plan=fr")
    server.start()
    with admin(server) as again:
        report.check("a torn last line is ignored", state(again) == expected)
        again.call("TENANT", "CREATE", "behind")
    server.kill()
    path.write_bytes(path.read_bytes() + bytes(4096))
    server.start()
    with admin(server) as again:
        report.check("and so are zeros behind it", "behind" in state(again))


def limit_file_size(server: Server, size: int) -> None:
    """From now on no file of the server may grow beyond `size`."""
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def failure(report: Report, server: Server) -> None:
    """Changes that cannot be written."""
    path = server.directory / "tenants.conf"
    with admin(server) as client:
        client.call("TENANT", "CREATE", "a", "PLAN", "free", "SECRET", "sa")
        before = state(client)
        size = path.stat().st_size
        for limit in (size, size + 5, 1):
            limit_file_size(server, limit)
            for command in (
                ["CREATE", "b"], ["CREATE", "b", "SECRET", "sb"], ["PLAN", "a", "pro"],
                ["SECRET", "a", "NONE"], ["SECRET", "a", "NEW"], ["DELETE", "a"],
            ):
                reply = client.call("TENANT", *command)
                told = reply.kind == "-" and b"could not be written" in reply.value
                report.check(f"{' '.join(command)} fails", told, reply.value)
            report.check("nothing has changed", state(client) == before)
            with server.client() as tenant:
                reply = tenant.value("AUTH", "sa")
                report.check("nor has a secret", reply == b"OK", reply)
        limit_file_size(server, resource.RLIM_INFINITY)
        report.equal("once there is room", client.value("TENANT", "CREATE", "b"), b"OK")
        before = state(client)
    restart(server)
    with admin(server) as client:
        report.check("it is as before after a restart", state(client) == before)


def passwords(report: Report, server: Server) -> None:
    """A tenant's secret and the server's password differ, whoever comes second."""
    with admin(server) as client:
        reply = client.call("CONFIG", "SET", "requirepass", "sa")
        report.check(
            "a secret does not become the password",
            reply.kind == "-" and b"a tenant has that password as its secret" in reply.value,
            reply.value,
        )
        for command in (["CREATE", "c", "SECRET", "app"], ["SECRET", "a", "app"]):
            reply = client.call("TENANT", *command)
            report.equal(
                "nor the password a secret", reply.value,
                b"ERR that secret is the server's own password",
            )
        client.call("MULTI")
        reply = client.call("TENANT", "CREATE", "c")
        report.check("MULTI does not queue a change", reply.kind == "-", reply.value)
        client.call("DISCARD")
    for password in ("sa", "other"):
        server.stop()
        server.directives[0] = ("requirepass", password)
        try:
            server.start()
            report.check(f"it starts with {password}", password == "other")
        except ServerFailed as error:
            report.check(f"it does not start with {password}", "secret of tenant" in str(error))
    server.stop()
    server.directives[0] = ("requirepass", "app")
    server.start()


def pipelines(report: Report, server: Server, count: int) -> None:
    """Many changes at once, by one client and by several."""
    with admin(server) as client:
        began = time.monotonic()
        replies = client.pipeline([["TENANT", "CREATE", f"p{n}"] for n in range(count)])
        seconds = time.monotonic() - began
        good = all(reply.value == b"OK" for reply in replies)
        report.check(f"{count} CREATEs in one pipeline", good, f"{seconds:.2f} s")
    clients = [admin(server) for _ in range(20)]

    def create(number: int) -> None:
        commands = []
        for step in range(count // 20):
            commands += [["TENANT", "CREATE", f"q{number}-{step}"], ["TENANT", "CREATE", "same"]]
        results[number] = clients[number].pipeline(commands)

    results: dict[int, list] = {}
    began = time.monotonic()
    threads = [threading.Thread(target=create, args=(n,)) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.monotonic() - began
    own = all(reply.value == b"OK" for replies in results.values() for reply in replies[::2])
    same = sum(reply.value == b"OK" for replies in results.values() for reply in replies[1::2])
    report.check("each of 20 clients creates its own", own, f"{seconds:.2f} s")
    report.equal("and one of them the one that all want", same, 1)
    for client in clients:
        client.close()
    restart(server)
    with admin(server) as client:
        names = {item.value for item in client.call("TENANT", "LIST").value}
        wanted = {b"p%d" % n for n in range(count)} | {b"same"}
        wanted |= {b"q%d-%d" % (n, step) for n in range(20) for step in range(count // 20)}
        report.check("all are there after kill -9", wanted <= names, len(names))


def bystander(report: Report, server: Server) -> None:
    """PING every millisecond beside 10,000 tenants and 200 more."""
    path = server.directory / "tenants.conf"
    server.kill()
    lines = "".join(f"tenant many{n} plan=free\n" for n in range(10_000))
    path.write_bytes(path.read_bytes() + lines.encode())
    server.start()
    worst = 0.0
    is_over = threading.Event()

    def ping() -> None:
        nonlocal worst
        while not is_over.is_set():
            began = time.monotonic()
            watcher.call("PING")
            worst = max(worst, time.monotonic() - began)
            time.sleep(0.001)

    with admin(server) as client, admin(server) as watcher:
        thread = threading.Thread(target=ping)
        thread.start()
        began = time.monotonic()
        replies = client.pipeline([["TENANT", "CREATE", f"more{n}"] for n in range(200)])
        seconds = time.monotonic() - began
        is_over.set()
        thread.join()
    report.check("200 more are created", all(r.value == b"OK" for r in replies), f"{seconds:.2f} s")
    report.measured("nobody waits for that", worst <= 0.020, f"worst PING {worst * 1000:.1f} ms")
    size = path.stat().st_size
    report.check("the file grew by lines", size < 10_000 * 80 + 200_000, size)


def main() -> int:
    """All parts over one folder."""
    options = parser(__doc__ or "").parse_args()
    source = random.Random(seed_of(options))
    report = Report("keeping")
    with Server(options.server_binary, [*PLANS, ("threads", 1)]) as server:
        with report.section("kill -9 after an answer"):
            survival(report, server, source)
        with report.section("a file that cannot be written"):
            with admin(server) as client:
                for name in state(client):
                    client.call("TENANT", "DELETE", name)
            failure(report, server)
        with report.section("secrets and the password"):
            passwords(report, server)
        with report.section("many changes at once"):
            pipelines(report, server, 1000)
        with report.section("a bystander"):
            bystander(report, server)
    return report.finish()


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    run(main)
