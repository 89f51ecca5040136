# SPDX-License-Identifier: Apache-2.0
"""Another session, in a process of its own, that sends PING every millisecond and times each."""

from __future__ import annotations

import mmap
import os
import signal
import struct
import time

from .process import die_with_parent
from .resp import Client


class Bystander:
    """Notes the longest wait for a PONG, the one under way included.

    Shared memory holds four doubles: when the PING under way was sent (0 if none is), the longest
    wait since the last `begin`, the number of the `begin` that is asked for, and the number of the
    one that is done. Each process writes its own.
    """

    def __init__(self, address: tuple[str, int], secret: str | None = None) -> None:
        self._shared = mmap.mmap(-1, 32)
        self._round = 0.0
        self._address = address
        self._secret = secret
        tie = die_with_parent(signal.SIGKILL)
        self._pid = os.fork()
        if self._pid == 0:
            try:
                tie()
                self._work()
            finally:
                os._exit(0)

    def _work(self) -> None:
        with Client(self._address, timeout=60) as client:
            if self._secret:
                client.value("AUTH", self._secret)
            longest, current = 0.0, -1.0
            while True:
                (wanted,) = struct.unpack_from("d", self._shared, 16)
                if wanted != current:
                    longest, current = 0.0, wanted
                began = time.monotonic()
                struct.pack_into("d", self._shared, 0, began)
                client.call("PING")
                longest = max(longest, time.monotonic() - began)
                struct.pack_into("dd", self._shared, 0, 0.0, longest)
                struct.pack_into("d", self._shared, 24, current)
                time.sleep(0.001)

    def begin(self) -> None:
        """Forgets all waits so far; returns when the next PING has been answered."""
        self._round += 1
        struct.pack_into("d", self._shared, 16, self._round)
        while struct.unpack_from("d", self._shared, 24)[0] != self._round:
            os.kill(self._pid, 0)
            time.sleep(0.0005)

    def worst(self) -> float:
        """The longest wait in seconds since `begin`."""
        sent, longest = struct.unpack_from("dd", self._shared, 0)
        return max(longest, time.monotonic() - sent if sent else 0.0)

    def stop(self) -> None:
        """Ends the process."""
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
            self._pid = 0

    def __enter__(self) -> "Bystander":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
