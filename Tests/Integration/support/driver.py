# SPDX-License-Identifier: Apache-2.0
"""The frame of every driver: arguments, checks, and the exit status."""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
import traceback
from contextlib import contextmanager
from typing import Callable, Iterator

from .server import DEFAULT_BINARY

# The sanitizer that the server under test is built with; set by scripts/sanitize.
SANITIZER = os.environ.get("SANITIZER", "")


def parser(description: str) -> argparse.ArgumentParser:
    """An argument parser with what all drivers understand."""
    result = argparse.ArgumentParser(description=description)
    result.add_argument(
        "--server-binary",
        # Why: servers run in their own directories; a bare name is looked up in PATH.
        type=lambda path: os.path.abspath(path) if os.sep in path else path,
        default=DEFAULT_BINARY,
        help="the server under test; redis-server proves the driver itself",
    )
    result.add_argument("--seed", type=int, default=None)
    return result


def seed_of(options: argparse.Namespace) -> int:
    """The given seed or a new one, printed either way."""
    seed = options.seed
    if seed is None:
        seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}", flush=True)
    return seed


class Report:
    """Counts checks, prints each, and knows the exit status."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.passed = 0
        self.failed = 0
        self.skipped = 0
        self._began = time.monotonic()

    def check(self, what: str, condition: bool, detail: object = "") -> bool:
        """Records one check; the detail is shown with it."""
        if condition:
            self.passed += 1
        else:
            self.failed += 1
        word = "ok  " if condition else "FAIL"
        text = f"  {word} {what}"
        if detail != "" and detail is not None:
            shown = str(detail).replace("\n", "\\n")
            text += f" ({shown[:800]})"
        print(text, flush=True)
        return condition

    def equal(self, what: str, actual: object, expected: object) -> bool:
        """Records that two things are equal."""
        if actual == expected:
            return self.check(what, True)
        return self.check(what, False, f"got {actual!r}, expected {expected!r}")

    def measured(self, what: str, condition: bool, detail: object = "") -> bool:
        """A check of a time or of resident memory: skipped under a sanitizer, which takes more."""
        if SANITIZER:
            self.skip(what, f"{SANITIZER} sanitizer; {detail}")
            return True
        return self.check(what, condition, detail)

    def skip(self, what: str, reason: str) -> None:
        """Records a skipped check, and why."""
        self.skipped += 1
        print(f"  skip {what} ({reason})", flush=True)

    @contextmanager
    def section(self, title: str) -> Iterator[None]:
        """A group of checks; an exception inside is one failed check."""
        print(f"{self.name}: {title}", flush=True)
        try:
            yield
        except Exception as error:  # pylint: disable=broad-except
            traceback.print_exc()
            self.check(title, False, f"{type(error).__name__}: {error}")

    def finish(self) -> int:
        """Prints the sum and returns the exit status."""
        seconds = time.monotonic() - self._began
        print(
            f"{self.name}: {self.passed} passed, {self.failed} failed, "
            f"{self.skipped} skipped in {seconds:.1f} s",
            flush=True,
        )
        return 1 if self.failed else 0


def run(main: Callable[[], int]) -> None:
    """Runs a driver's main and exits with its status."""
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)


def wait_until(
    condition: Callable[[], bool], timeout: float, step: float = 0.01
) -> float | None:
    """Seconds until the condition held, or None when it never did."""
    began = time.monotonic()
    while True:
        if condition():
            return time.monotonic() - began
        if time.monotonic() - began > timeout:
            return None
        time.sleep(step)
