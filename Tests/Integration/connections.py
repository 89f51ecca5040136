#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Connections: half-closed, slow, waiting, killed, many, idle, and at the server's end."""

from __future__ import annotations

import random
import resource
import socket
import sys
import threading
import time

from support.ends import Ends, context_switches, info, read_all
from support.driver import Report, parser, run, seed_of, wait_until
from support.process import cpu_seconds, open_files
from support.resp import Client, ConnectionLost, Reply, connect, encode
from support.server import Server, is_redis

MEGABYTE = 1 << 20


class Connections:
    """The checks on one server with several threads."""

    def __init__(self, server: Server, report: Report, seed: int) -> None:
        self.server = server
        self.report = report
        self.redis = server.is_redis
        self.random = random.Random(seed)

    def half_closed(self) -> None:
        """A client that sends commands and shuts its write side still gets every reply."""
        with connect(self.server.address, 10) as stream:
            stream.sendall(b"PING\r\n")
            stream.shutdown(socket.SHUT_WR)
            self.report.equal("PING", read_all(stream), b"+PONG\r\n")
        with self.server.client() as client:
            client.value("SET", "large", b"x" * MEGABYTE)
        if self.redis:
            self.report.skip("100 MB of replies", "redis-server drops what the socket is too full for")
            return
        each = len(b"$1048576\r\n\r\n") + MEGABYTE
        with connect(self.server.address, 10) as stream:
            stream.sendall(encode(["GET", "large"]) * 100)
            stream.shutdown(socket.SHUT_WR)
            time.sleep(0.3)
            self.report.equal("100 MB of replies", len(read_all(stream)), 100 * each)
        with connect(self.server.address, 10) as stream:
            stream.sendall(encode(["GET", "large"]) * 20 + encode(["QUIT"]))
            stream.shutdown(socket.SHUT_WR)
            time.sleep(0.3)
            self.report.equal("20 MB before QUIT", len(read_all(stream)), 20 * each + 5)

    def half_closed_and_waiting(self) -> None:
        """Waiting takes nothing from a half-closed client: neither a throttle nor a pause."""
        if self.redis:
            self.report.skip("half-closed and waiting", "redis-server closes them")
            return
        each = len(b"$1048576\r\n\r\n") + MEGABYTE
        with self.server.client() as admin:
            admin.value("CONFIG", "SET", "requirepass", "root")
            admin.value("TENANT", "CREATE", "slow", "PLAN", "slow", "SECRET", "slow-secret")
            with connect(self.server.address, 10) as stream:
                stream.sendall(encode(["AUTH", "slow-secret"]) + encode(["SET", "a", "b" * MEGABYTE]))
                stream.sendall(encode(["GET", "a"]) * 30)
                stream.shutdown(socket.SHUT_WR)
                self.report.equal("throttled", len(read_all(stream)), 10 + 30 * each)
            admin.value("TENANT", "DELETE", "slow")
            admin.value("CONFIG", "SET", "requirepass", "")
            admin.value("SET", "large", b"x" * MEGABYTE)
            admin.value("CLIENT", "PAUSE", 60_000, "WRITE")
            with connect(self.server.address, 10) as stream:
                stream.sendall(encode(["SET", "paused", 1]) + encode(["GET", "large"]) * 20)
                stream.shutdown(socket.SHUT_WR)
                time.sleep(0.5)
                admin.value("CLIENT", "UNPAUSE")
                self.report.equal("paused", len(read_all(stream)), 5 + 20 * each)
            self.report.equal("and what it wrote", admin.value("GET", "paused"), b"1")
            admin.value("DEL", "paused")

    def sends_before_it_reads(self) -> None:
        """200,000 commands, then the replies."""
        count = 200_000
        with connect(self.server.address, 30) as stream:
            stream.sendall(encode(["ECHO", "y" * 100]) * count)
            stream.shutdown(socket.SHUT_WR)
            expected = count * (len(b"$100\r\n\r\n") + 100)
            with self.server.client() as client:
                self.report.equal("others are answered", client.value("PING"), b"PONG")
            data = read_all(stream)
            # Redis closes at the end of input, even if replies are still unsent.
            fine = len(data) == expected or self.redis
            self.report.check(f"{count} replies", fine, f"{len(data)} of {expected} bytes")

    def byte_by_byte(self) -> None:
        """A request of 3,000 arguments in pieces of one to three bytes."""
        names = [f"piece:{number}" for number in range(3000)]
        data = encode(["DEL", *names]) + b"PING\r\n"
        with connect(self.server.address, 10) as stream:
            place = 0
            before = cpu_seconds(self.server.pid)
            while place < len(data):
                size = self.random.randint(1, 3)
                stream.sendall(data[place : place + size])
                place += size
            stream.shutdown(socket.SHUT_WR)
            self.report.equal("answered", read_all(stream), b":0\r\n+PONG\r\n")
            used = cpu_seconds(self.server.pid) - before
            self.report.check("at under 2 s of CPU", used < 2, f"{used:.2f} s")

    def slow_reader(self) -> None:
        """A reader that is always a little behind costs only that backlog, not all that it read."""
        with self.server.client() as client:
            client.value("SET", "large", b"x" * MEGABYTE)
        before = self.server.resident()
        most = 0
        received = 0
        with connect(self.server.address, 20) as stream:
            each = MEGABYTE + len(b"$1048576\r\n\r\n")
            stream.sendall(encode(["GET", "large"]) * 8)
            for _ in range(150):
                stream.sendall(encode(["GET", "large"]))
                wanted = received + each
                while received < wanted:
                    received += len(stream.recv(min(1 << 16, wanted - received)))
                most = max(most, self.server.resident() - before)
        self.report.measured("under 48 MB", most < 48 * MEGABYTE, f"{most / MEGABYTE:.1f} MB")

    def kill(self) -> None:
        """CLIENT KILL over all threads: at once, and the killer's own reply comes first."""
        others = [self.server.client() for _ in range(20)]
        for number, other in enumerate(others):
            other.value("CLIENT", "SETNAME", f"victim{number}")
        with self.server.client() as client:
            identifiers = [other.value("CLIENT", "ID") for other in others]
            kills = [("CLIENT", "KILL", "ID", identifier) for identifier in identifiers]
            replies = client.pipeline([*kills, ("CLIENT", "LIST"), ("CLIENT", "KILL", "ID", identifiers[0])])
            self.report.equal("all were there", replies[:20], [Reply(":", 1)] * 20)
            self.report.check("and are not listed", b"victim" not in replies[20].value)
            self.report.equal("nor killed again", replies[21], Reply(":", 0))
            self.report.check("their connections are closed", all(map(self._is_closed, others)))
            for other in others:
                other.close()
            address = client.value("CLIENT", "INFO").decode().split("addr=")[1].split()[0]
            client.send_raw(encode(["CLIENT", "KILL", address]) + encode(["PING"]))
            self.report.equal("itself", read_all(client.socket), b"+OK\r\n")
        with self.server.client() as client:
            reply = client.call("CLIENT", "KILL", "127.0.0.1:1")
            self.report.equal("nobody", reply, Reply("-", b"ERR No such client"))
            reply = client.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "no")
            self.report.check("everybody", reply.kind == ":" and reply.value >= 1, reply)

    @staticmethod
    def _is_closed(client: Client) -> bool:
        try:
            client.call("PING")
            return False
        except (ConnectionLost, OSError):
            return True

    def pause(self) -> None:
        """CLIENT PAUSE over all threads, with transactions, and clients that go away meanwhile."""
        with self.server.client() as admin, self.server.client() as transaction:
            transaction.value("MULTI")
            transaction.value("SET", "paused", 1)
            admin.value("CLIENT", "PAUSE", 60_000, "WRITE")
            with self.server.client() as queuing:
                queuing.value("MULTI")
                queuing.send("SET", "queued", 1)
                took = wait_until(lambda: info(admin, "clients", "blocked_clients") == 1, 5)
                self.report.check("a write waits to be queued", took is not None)
            took = wait_until(lambda: info(admin, "clients", "blocked_clients") == 0, 5)
            self.report.check("and waits no more when its client goes", took is not None)
            transaction.send("EXEC")
            writers = [self.server.client() for _ in range(8)]
            for number, writer in enumerate(writers):
                writer.send_raw(encode(["SET", f"paused:{number}", 1]) + encode(["PING"]))
            took = wait_until(lambda: info(admin, "clients", "blocked_clients") == 9, 5)
            self.report.check("nine wait", took is not None)
            with self.server.client() as reader:
                transaction_of_reads = [("MULTI",), ("GET", "paused"), ("EXEC",)]
                replies = reader.pipeline(transaction_of_reads)
                self.report.equal("reads in MULTI go on", replies[2], Reply("*", (Reply("$", None),)))
            gone = writers[:4]
            before = cpu_seconds(self.server.pid)
            for writer in gone:
                writer.close()
            took = wait_until(lambda: info(admin, "clients", "blocked_clients") == 5, 5)
            self.report.check("who is gone waits no more", took is not None)
            time.sleep(0.5)
            used = cpu_seconds(self.server.pid) - before
            self.report.check("nobody spins", used < 0.2, f"{used:.2f} s of CPU")
            admin.value("CLIENT", "UNPAUSE")
            for writer in writers[4:]:
                got = (writer.read(), writer.read())
                if got != (Reply("+", b"OK"), Reply("+", b"PONG")):
                    self.report.check("goes on", False, got)
                writer.close()
            self.report.equal("EXEC goes on", transaction.read(), Reply("*", (Reply("+", b"OK"),)))
            self.report.equal("nobody waits", info(admin, "clients", "blocked_clients"), 0)
            admin.value("CLIENT", "PAUSE", 300, "ALL")
            began = time.monotonic()
            transaction.value("GET", "paused")
            took_seconds = time.monotonic() - began
            fine = 0.2 < took_seconds < 1
            self.report.check("a pause ends by itself", fine, f"{took_seconds * 1000:.0f} ms")
            admin.value("DEL", "paused", *[f"paused:{number}" for number in range(8)])

    def churn(self, seconds: float) -> None:
        """Connections come, work and go by close, half-close and reset, while others list and kill them."""
        stop = time.monotonic() + seconds
        failures: list[str] = []
        counts = [0] * 4

        def client(number: int) -> None:
            source = random.Random(number)
            while time.monotonic() < stop:
                with connect(self.server.address, 10) as stream:
                    try:
                        stream.sendall(encode(["SET", f"churn:{number}", "v" * source.randint(1, 99999)]))
                        stream.sendall(encode(["GET", f"churn:{number}"]) * source.randint(0, 20))
                        way = source.randrange(3)
                        if way == 0:
                            linger = b"\1\0\0\0\0\0\0\0"
                            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                        elif way == 1:
                            stream.shutdown(socket.SHUT_WR)
                            data = read_all(stream)
                            if not data.startswith(b"+OK\r\n") and data not in (b"", b"(reset)"):
                                failures.append(repr(data[:50]))
                        counts[number] += 1
                    except OSError:
                        pass

        threads = [threading.Thread(target=client, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        with self.server.client() as admin:
            while time.monotonic() < stop:
                listed = admin.value("CLIENT", "LIST").decode().split("\n")
                victim = self.random.choice(listed[:-1]).split()[0].partition("=")[2]
                if int(victim) != admin.value("CLIENT", "ID"):
                    admin.value("CLIENT", "KILL", "ID", victim)
                admin.value("INFO")
        for thread in threads:
            thread.join()
        self.report.equal(f"{sum(counts)} connections", failures, [])
        with self.server.client() as client_:
            client_.value("DEL", *[f"churn:{number}" for number in range(4)])
            took = wait_until(lambda: info(client_, "clients", "connected_clients") == 1, 5)
            self.report.check("all are gone", took is not None)

    def idle(self) -> None:
        """A server without requests sleeps, with and without connections."""
        with self.server.client() as client:
            client.value("SET", "idle", 1)
            time.sleep(3)
            before, cpu = context_switches(self.server.pid), cpu_seconds(self.server.pid)
            time.sleep(5)
            woken = context_switches(self.server.pid) - before
            used = cpu_seconds(self.server.pid) - cpu
            fine = woken <= 1 or self.redis
            self.report.measured("no timer wakes it", fine, f"{woken} times in 5 s")
            self.report.measured("no CPU", used < 0.05, f"{used:.2f} s")

    def memory(self, count: int) -> None:
        """What an idle connection costs."""
        before = self.server.resident()
        streams = []
        for _ in range(count):
            stream = connect(self.server.address, 10)
            stream.sendall(b"*1\r\n$4\r\nPING\r\n")
            stream.recv(100)
            streams.append(stream)
        each = (self.server.resident() - before) / count
        fine = each < 2048 or self.redis
        self.report.measured("under 2 KB for each idle connection", fine, f"{each:.0f} bytes")
        for stream in streams:
            stream.close()
        with self.server.client() as client:
            wait_until(lambda: info(client, "clients", "connected_clients") == 1, 10)
            files = open_files(self.server.pid)
            self.report.check("no descriptor is left behind", files < 60, files)


def main() -> int:
    """All checks; 0 when every one held."""
    arguments = parser(__doc__ or "")
    arguments.add_argument("--churn-seconds", type=float, default=3.0)
    arguments.add_argument("--connections", type=int, default=5000)
    options = arguments.parse_args()
    seed = seed_of(options)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    report = Report("connections")
    binary = options.server_binary
    plan = "slow ops-per-second=20 at-limit=throttle"
    threads = [] if is_redis(binary) else [("threads", 4), ("tenant-plan", plan)]
    with Server(binary, threads) as server:
        checks = Connections(server, report, seed)
        for title, check in [
            ("memory", lambda: checks.memory(options.connections)),
            ("half-closed", checks.half_closed),
            ("half-closed and waiting", checks.half_closed_and_waiting),
            ("sends before it reads", checks.sends_before_it_reads),
            ("byte by byte", checks.byte_by_byte),
            ("slow reader", checks.slow_reader),
            ("kill", checks.kill),
            ("pause", checks.pause),
            ("churn", lambda: checks.churn(options.churn_seconds)),
            ("idle", checks.idle),
        ]:
            with report.section(title):
                check()
    ends = Ends(report, binary)
    for title, check in [
        ("soft limit", ends.soft_limit),
        ("end while paused", ends.end_while_paused),
        ("end under load", ends.end_under_load),
        ("no descriptors", ends.no_descriptors),
        ("process", ends.process),
        ("verbs", ends.verbs),
    ]:
        with report.section(title):
            check()
    return report.finish()


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    run(main)
