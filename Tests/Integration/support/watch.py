# SPDX-License-Identifier: Apache-2.0
"""A second client, in its own process, that measures how long it waits.

A thread would share the interpreter lock with the load, and measure that. The
process sends PING and GET in turn on one connection and keeps the longest
wait; `latency()` returns the figures when it is stopped.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from multiprocessing.connection import Connection
from typing import Callable, NamedTuple

from .process import die_with_parent
from .resp import Client

_context = multiprocessing.get_context("fork")


class Latency(NamedTuple):
    """What the watcher saw, in seconds."""

    longest: float
    p99: float
    count: int
    failure: str

    def __str__(self) -> str:
        if self.failure:
            return f"failed: {self.failure}"
        return (
            f"longest {self.longest * 1000:.1f} ms, "
            f"p99 {self.p99 * 1000:.2f} ms of {self.count}"
        )


def _measure(
    tie: Callable[[], None],
    pipe: Connection,
    address: tuple[str, int],
    key: str,
    interval: float,
) -> None:
    tie()
    waits: list[float] = []
    failure = ""
    try:
        with Client(address, timeout=30) as client:
            expected = client.call("GET", key)
            pipe.send("ready")
            turn = 0
            while not pipe.poll():
                turn += 1
                began = time.perf_counter()
                reply = client.call("PING") if turn % 2 else client.call("GET", key)
                waits.append(time.perf_counter() - began)
                if turn % 2 == 0 and reply != expected:
                    failure = f"GET answered {reply!r}"
                    break
                time.sleep(interval)
    except (OSError, EOFError, Exception) as error:  # pylint: disable=broad-except
        failure = f"{type(error).__name__}: {error}"
    waits.sort()
    longest = waits[-1] if waits else 0.0
    p99 = waits[int(len(waits) * 0.99)] if waits else 0.0
    pipe.send(Latency(longest, p99, len(waits), failure))
    os._exit(0)


class Watch:
    """Watches while the block runs; `result` holds the figures afterwards."""

    def __init__(self, address: tuple[str, int], key: str, interval: float = 0.002) -> None:
        self.result = Latency(0, 0, 0, "did not run")
        self._pipe, theirs = _context.Pipe()
        tie = die_with_parent(signal.SIGKILL)
        self._process = _context.Process(
            target=_measure, args=(tie, theirs, address, key, interval), daemon=True
        )

    def __enter__(self) -> "Watch":
        self._process.start()
        first = self._pipe.recv()
        if isinstance(first, Latency):
            raise RuntimeError(str(first))
        return self

    def __exit__(self, *_: object) -> None:
        self._pipe.send("stop")
        if self._pipe.poll(40):
            self.result = self._pipe.recv()
        else:
            self.result = Latency(40, 40, 0, "no answer within 40 s")
            self._process.kill()
        self._process.join()
