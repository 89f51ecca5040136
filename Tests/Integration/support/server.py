# SPDX-License-Identifier: Apache-2.0
"""Starts and stops one server: Martlet, or redis-server in its place.

The same driver must run against both, because a driver that redis-server does
not pass proves nothing about Martlet. The differences between the two are kept
here: how the command line begins, and which directives turn redis-server into
a mere cache.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Callable, Sequence

from .process import REPOSITORY, die_with_parent, free_port, resident_bytes
from .resp import Client, ConnectionLost

DEFAULT_BINARY = str(REPOSITORY / ".build" / "release" / "martlet")
Directive = tuple[str, str | int]


def is_redis(binary: str) -> bool:
    """True when the server is a Redis or Valkey instead of Martlet."""
    return os.path.basename(binary).startswith(("redis", "valkey"))


class ServerFailed(Exception):
    """The server did not start, or did not stop as it should."""


class Server:
    """One server process on a free port, in a directory of its own.

    `host` is where clients connect, `bind` what the server listens on if that differs.
    `prepare` runs in the child before the program, for example to limit its memory.
    Use as a context manager: leaving it sends SIGTERM and requires exit 0.
    """

    def __init__(
        self,
        binary: str = DEFAULT_BINARY,
        directives: Sequence[Directive] = (),
        host: str = "127.0.0.1",
        port: int | None = None,
        environment: dict[str, str] | None = None,
        config_text: str | None = None,
        bind: str | None = None,
        prepare: Callable[[], None] | None = None,
    ) -> None:
        self.binary = binary
        self.is_redis = is_redis(binary)
        self.host = host
        self.bind = bind or host
        self.port = port or free_port(host)
        self.directory = Path(tempfile.mkdtemp(prefix="martlet-test-"))
        self.log_path = self.directory / "server.log"
        self.config_path = self.directory / "server.conf"
        self.directives = list(directives)
        if not self.is_redis and all(name != "threads" for name, _ in self.directives):
            # Two on any machine, so that commands run concurrently.
            self.directives.append(("threads", os.environ.get("TEST_THREADS", "2")))
        self.environment = environment
        self.prepare = prepare
        self.process: subprocess.Popen[bytes] | None = None
        self.seconds_to_pong = 0.0
        if config_text is not None:
            self.config_path.write_text(config_text, encoding="utf-8")

    @property
    def address(self) -> tuple[str, int]:
        """Where clients connect."""
        return (self.host, self.port)

    @property
    def pid(self) -> int:
        """Process id of the running server."""
        if self.process is None:
            raise ServerFailed("the server is not running")
        return self.process.pid

    def command_line(self) -> list[str]:
        """The arguments that start the server."""
        line = [self.binary] if self.is_redis else [self.binary, "serve"]
        if self.config_path.exists():
            line.append(str(self.config_path))
        line += ["--port", str(self.port), "--bind", self.bind]
        if self.is_redis:
            line += ["--save", "", "--appendonly", "no", "--dir", str(self.directory)]
        for name, value in self.directives:
            line += [f"--{name}", str(value)]
        return line

    def launch(self) -> None:
        """Starts the process and does not wait for it to answer."""
        environment = dict(os.environ, **(self.environment or {}))
        tie = die_with_parent(signal.SIGKILL)

        def before() -> None:
            tie()
            if self.prepare is not None:
                self.prepare()

        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                self.command_line(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.directory,
                env=environment,
                preexec_fn=before,
            )

    def start(self, timeout: float = 10.0) -> "Server":
        """Starts the server and waits until it answers PING."""
        began = time.monotonic()
        self.launch()
        while time.monotonic() - began < timeout:
            if self.process is not None and self.process.poll() is not None:
                raise ServerFailed(
                    f"exit status {self.process.returncode} at start:\n{self.log()}"
                )
            try:
                with Client(self.address, timeout=timeout) as client:
                    # With a password the answer is an error, which counts too.
                    client.call("PING")
                self.seconds_to_pong = time.monotonic() - began
                return self
            except (OSError, ConnectionLost):
                time.sleep(0.002)
        self.kill()
        raise ServerFailed(f"no answer to PING in {timeout} s:\n{self.log()}")

    def stop(self, timeout: float = 20.0) -> int:
        """Sends SIGTERM and returns the exit status."""
        if self.process is None:
            return 0
        process, self.process = self.process, None
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            return process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise ServerFailed(f"still running {timeout} s after SIGTERM") from None

    def kill(self) -> None:
        """Ends the process at once."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def remove(self) -> None:
        """Removes the server's directory."""
        shutil.rmtree(self.directory, ignore_errors=True)

    def client(self, protocol: int = 2, timeout: float = 30.0) -> Client:
        """A new connection."""
        return Client(self.address, protocol, timeout)

    def resident(self) -> int:
        """Resident memory in bytes."""
        return resident_bytes(self.pid)

    def alive(self) -> bool:
        """True while the process runs."""
        return self.process is not None and self.process.poll() is None

    def log(self, last_bytes: int = 4000) -> str:
        """The end of the server's output."""
        if not self.log_path.exists():
            return ""
        return self.log_path.read_bytes()[-last_bytes:].decode("utf-8", "replace")

    def __enter__(self) -> "Server":
        return self.start()

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is not None:
            self.kill()
            self.remove()
            return
        crashed = not self.alive()
        status = self.stop()
        log = self.log()
        self.remove()
        if status != 0:
            when = "died with" if crashed else "after SIGTERM"
            raise ServerFailed(f"{when} exit status {status}:\n{log}")
