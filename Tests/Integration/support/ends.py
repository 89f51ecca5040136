# SPDX-License-Identifier: Apache-2.0
"""The checks of connections.py with their own servers: limits, ends, the process, its verbs."""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import time
from pathlib import Path

from .driver import Report, wait_until
from .process import cpu_seconds, free_port, open_files
from .resp import Client, connect, encode
from .server import Server, is_redis

MEGABYTE = 1 << 20


def read_all(stream: socket.socket, seconds: float = 20.0) -> bytes:
    """Everything up to the server's close."""
    stream.settimeout(seconds)
    data = bytearray()
    try:
        while chunk := stream.recv(1 << 16):
            data += chunk
    except ConnectionResetError:
        data += b"(reset)"
    except TimeoutError:
        data += b"(still open)"
    return bytes(data)


def info(client: Client, section: str, field: str) -> int:
    """A number of INFO."""
    text = client.value("INFO", section).decode()
    return int(text.split(f"{field}:")[1].split()[0])


def context_switches(pid: int) -> int:
    """How often any thread of the process has gone to sleep."""
    total = 0
    for thread in Path(f"/proc/{pid}/task").iterdir():
        text = (thread / "status").read_text(encoding="ascii")
        total += int(text.split("\nvoluntary_ctxt_switches:")[1].split()[0])
    return total


class Ends:
    """The checks with servers of their own."""

    def __init__(self, report: Report, binary: str) -> None:
        self.report = report
        self.binary = binary
        self.redis = is_redis(binary)

    def soft_limit(self) -> None:
        """A client that reads nothing is closed at the soft limit's end, even if it is silent."""
        directives = [("client-output-buffer-limit", "normal 0 1048576 1")]
        with Server(self.binary, directives) as server, server.client() as client:
            client.value("SET", "large", b"x" * MEGABYTE)
            with connect(server.address, 10) as stream:
                stream.sendall(encode(["GET", "large"]) * 30)
                wait_until(lambda: info(client, "clients", "connected_clients") == 2, 5)
                took = wait_until(lambda: info(client, "clients", "connected_clients") == 1, 6, 0.05)
            self.report.check("closed within 6 s", took is not None and took > 0.8, took)

    def end_while_paused(self) -> None:
        """SIGTERM while sessions wait: those waiting at the deadline get an error; exit 0."""
        if self.redis:
            self.report.skip("who still waits", "redis-server says nothing")
            return
        server = Server(self.binary).start()
        with server.client() as client, server.client() as admin:
            admin.value("CLIENT", "PAUSE", 60_000, "WRITE")
            client.send("SET", "a", 1)
            wait_until(lambda: info(admin, "clients", "blocked_clients") == 1, 5)
            began = time.monotonic()
            server.process.send_signal(signal.SIGTERM)
            answer = read_all(client.socket)
            status = server.process.wait(15)
            took = time.monotonic() - began
        server.process = None
        server.remove()
        self.report.equal("the error", answer, b"-ERR Server is shutting down\r\n")
        self.report.equal("exit status", status, 0)
        self.report.check("by the deadline", took < 8, f"{took:.1f} s")

    def end_under_load(self) -> None:
        """SIGTERM answers what has arrived, even from clients not accepted yet."""
        server = Server(self.binary, [("threads", 1)] if not self.redis else []).start()
        with server.client() as client:
            client.value("SET", "a", "v" * 1000)
        os.kill(server.pid, signal.SIGSTOP)
        streams = [connect(server.address, 10) for _ in range(20)]
        for stream in streams:
            stream.sendall(encode(["GET", "a"]) * 500)
        time.sleep(0.1)
        server.process.send_signal(signal.SIGTERM)
        os.kill(server.pid, signal.SIGCONT)
        each = len(b"$1000\r\n\r\n") + 1000
        sizes = {len(read_all(stream)) for stream in streams}
        status = server.process.wait(10)
        server.process = None
        server.remove()
        self.report.equal("exit status", status, 0)
        if not self.redis:
            self.report.equal("bytes to each client", sizes, {500 * each})

    def no_descriptors(self) -> None:
        """Without free descriptors clients are refused, and no thread spins."""
        server = Server(self.binary, [("maxclients", 100)])
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        with server, server.client() as client:
            used = open_files(server.pid)
            resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (used + 2, hard))
            streams = [connect(server.address, 5) for _ in range(6)]
            time.sleep(0.5)
            before = cpu_seconds(server.pid)
            time.sleep(1)
            spent = cpu_seconds(server.pid) - before
            fine = spent < 0.2 or self.redis
            self.report.check("nobody spins", fine, f"{spent:.2f} s of CPU")
            self.report.equal("who is there is answered", client.value("PING"), b"PONG")
            resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (used + 100, hard))
            for stream in streams:
                stream.close()
            with server.client() as late:
                self.report.equal("and the next when there are some", late.value("PING"), b"PONG")

    def process(self) -> None:
        """dir, logfile and pidfile act; healthcheck knows passwords and unix sockets."""
        if self.redis:
            self.report.skip("process", "Martlet's own verbs")
            return
        port = free_port()
        server = Server(self.binary, port=port)
        place = server.directory / "place"
        place.mkdir()
        words = [
            ("dir", str(place)), ("logfile", "log"), ("pidfile", "pid"), ("requirepass", "secret word"),
            ("unixsocket", "socket"),
        ]
        server.directives = words
        with server:
            self.report.equal("pidfile", (place / "pid").read_text().strip(), str(server.pid))
            self.report.check("logfile", "Ready to accept" in (place / "log").read_text())
            with server.client() as client:
                client.value("AUTH", "secret word")
                found = client.call("CONFIG", "GET", "dir").mapping()
                self.report.equal("CONFIG GET dir", found["dir"], str(place).encode())
            line = ["--port", str(port), "--requirepass", "secret word"]
            self.report.equal("healthcheck", self._health(line), 0)
            line[3] = "wrong"
            self.report.equal("healthcheck, wrong password", self._health(line), 0)
            line = ["--port", "0", "--dir", str(place), "--unixsocket", "socket"]
            self.report.equal("healthcheck, unix socket", self._health(line), 0)
            os.kill(server.pid, signal.SIGSTOP)
            began = time.monotonic()
            line = ["--port", str(port)]
            self.report.equal("healthcheck, stopped server", self._health(line), 1)
            took = time.monotonic() - began
            self.report.check("ends in time", took < 5, f"{took:.1f} s")
            os.kill(server.pid, signal.SIGCONT)
        self.report.check("pidfile is removed", not (place / "pid").exists())

    def _health(self, line: list[str]) -> int:
        return subprocess.run(
            [self.binary, "healthcheck", *line], capture_output=True, timeout=20, check=False
        ).returncode

    def verbs(self) -> None:
        """commands, postgres-setup --print, import, --help."""
        if self.redis:
            self.report.skip("verbs", "Martlet's own")
            return
        self.report.check("commands", "\nGET key\n" in self._output("commands"))
        self.report.check("commands --markdown", "- `GET key`: " in self._output("commands", "--markdown"))
        source = ["--record-source", "t", "table=tenants", "key=t:{id}"]
        setup = self._output("postgres-setup", "--print", *source)
        self.report.check("postgres-setup --print", "pg_notify" in setup)
        setup = self._output("postgres-setup", "--print", "--teardown", *source)
        self.report.check("--teardown", "drop trigger" in setup.lower())
        self.report.check("--help", "healthcheck" in self._output("--help"))
        for words in (["import"], ["postgres-setup"], ["commands", "--nonsense"]):
            done = subprocess.run([self.binary, *words], capture_output=True, timeout=10, check=False)
            fine = done.returncode == 1 and done.stderr.count(b"\n") == 1
            self.report.check(f"{' '.join(words)}: an error", fine, done.stderr)

    def _output(self, *words: str) -> str:
        done = subprocess.run(
            [self.binary, *words], capture_output=True, text=True, timeout=10, check=True
        )
        return done.stdout
