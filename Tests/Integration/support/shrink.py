# SPDX-License-Identifier: Apache-2.0
"""Shortens a failing list of steps by leaving out ever smaller parts."""

from __future__ import annotations

import time
from typing import Callable, Sequence, TypeVar

Item = TypeVar("Item")


def shrink(
    items: Sequence[Item],
    fails: Callable[[list[Item]], bool],
    seconds: float = 60.0,
) -> list[Item]:
    """A shorter list that still fails: first halves go, then quarters, then single items."""
    current = list(items)
    deadline = time.monotonic() + seconds
    size = max(1, len(current) // 2)
    while time.monotonic() < deadline:
        removed = False
        start = 0
        while start < len(current) and time.monotonic() < deadline:
            attempt = current[:start] + current[start + size :]
            if attempt and fails(attempt):
                current = attempt
                removed = True
            else:
                start += size
        if size == 1 and not removed:
            break
        size = max(1, size // 2) if not removed or size > 1 else 1
    return current
