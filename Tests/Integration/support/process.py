# SPDX-License-Identifier: Apache-2.0
"""Child processes that cannot outlive the driver, and their figures in /proc."""

from __future__ import annotations

import ctypes
import os
import random
import signal
import socket
from pathlib import Path
from typing import Callable

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)

_EPHEMERAL_PORTS = Path("/proc/sys/net/ipv4/ip_local_port_range")

# Why not the seeded generator: two drivers with one seed would choose the same ports.
_choices = random.SystemRandom()

# Names in the abstract namespace of unix sockets: they go with the process, however it ends.
_claims: list[socket.socket] = []

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
    """A free TCP port, which no other driver takes while this one runs."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    lowest_ephemeral = int(_EPHEMERAL_PORTS.read_text(encoding="ascii").split()[0])
    # Why below: the kernel may already use a port of its own range for an outgoing connection.
    ports = range(lowest_ephemeral // 2, lowest_ephemeral)
    for _ in ports:
        port = _choices.choice(ports)
        claim = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            claim.bind(f"\0martlet-test-port-{port}")
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((host, port))
        except OSError:
            claim.close()
            continue
        _claims.append(claim)
        return port
    raise OSError("every port is taken")


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
