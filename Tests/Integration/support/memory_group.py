# SPDX-License-Identifier: Apache-2.0
"""A control group with a memory limit, as a container has it."""

from __future__ import annotations

import os
import time
from pathlib import Path

VERSION_1 = Path("/sys/fs/cgroup/memory")
VERSION_2 = Path("/sys/fs/cgroup")


class MemoryGroup:
    """A group of this process's own; `join` moves the calling process into it.

    `available` is false where the machine does not let this user make one.
    """

    def __init__(self, limit: int) -> None:
        is_version_1 = VERSION_1.is_dir()
        self._folder = (VERSION_1 if is_version_1 else VERSION_2) / f"martlet-test-{os.getpid()}"
        limit_file = "memory.limit_in_bytes" if is_version_1 else "memory.max"
        self.available = True
        try:
            self._folder.mkdir()
            (self._folder / limit_file).write_text(str(limit), encoding="ascii")
        except OSError:
            self.available = False

    def join(self) -> None:
        """For a child process, before it runs its program."""
        (self._folder / "cgroup.procs").write_text(str(os.getpid()), encoding="ascii")

    def close(self) -> None:
        """Removes the group, whose processes have ended."""
        for _ in range(100):
            try:
                self._folder.rmdir()
                return
            except FileNotFoundError:
                return
            except OSError:
                time.sleep(0.02)  # The kernel takes a moment to forget the last process.

    def __enter__(self) -> "MemoryGroup":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
