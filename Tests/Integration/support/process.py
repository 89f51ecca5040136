# SPDX-License-Identifier: Apache-2.0
"""Child processes that cannot outlive the driver, and what /proc tells of them."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
from pathlib import Path
from typing import Callable

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)

REPOSITORY = Path(__file__).resolve().parents[3]


def die_with_parent(signal_number: int) -> Callable[[], None]:
    """A preexec function: the child gets this signal when the driver dies."""
    parent = os.getpid()

    def apply() -> None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal_number)
        # Why: a driver killed between fork and prctl would leave an orphan.
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)

    return apply


def free_port(host: str = "127.0.0.1") -> int:
    """A TCP port nobody listens on just now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        return probe.getsockname()[1]


def resident_bytes(pid: int) -> int:
    """Resident memory of a process."""
    fields = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")


def cpu_seconds(pid: int) -> float:
    """User and system time of a process since it started."""
    text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    fields = text.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def open_files(pid: int) -> int:
    """Number of file descriptors that a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))
