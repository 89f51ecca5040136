#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The oracle: random commands, and Martlet must answer as redis-server does.

    oracle.py [--count 20000] [--seed N] [--server-binary PATH]

The list is cut into epochs that start with empty databases. At the first
difference the driver shrinks the epoch, and prints the rest as a script.
"""

from __future__ import annotations

import sys
import time
from collections import Counter

from generators.scenarios import SLEEP, Step, steps
from generators.source import Source
from support.driver import parser, run, seed_of
from support.resp import ConnectionLost
from support.server import Directive, Server
from support.shrink import shrink
from support.side_by_side import Mismatch, SideBySide

EPOCH_STEPS = 5000
DIRECTIVES: list[Directive] = [
    ("hash-max-listpack-entries", 128),
    ("hash-max-listpack-value", 64),
    ("set-max-intset-entries", 512),
]


def show(step: Step) -> str:
    """A step as one line of a script."""
    words = " ".join(repr(argument)[1:] for argument in step.arguments)
    if len(words) > 400:
        words = words[:400] + f"... ({len(step.arguments)} arguments)"
    if step.connection == SLEEP:
        return f"      {words}"
    return f"  [{step.connection}] {words}"


def show_reply(reply: object) -> str:
    """A reply, cut to what fits a screen."""
    text = str(reply)
    return text if len(text) < 1500 else text[:1500] + "..."


def related(history: list[Step], failing: Step, most: int = 20) -> list[Step]:
    """The last steps that name a key of the failing one."""
    first = 2 if failing.name == b"OBJECT" else 1
    keys = {argument for argument in failing.arguments[first:] if len(argument) > 1}
    touching = [step for step in history if keys & set(step.arguments[1:])]
    return touching[-most:]


def explain(both: SideBySide, epoch: list[Step], found: Mismatch) -> None:
    """Prints the difference, its history, and the shortest script found."""
    failing = epoch[found.index]
    print(f"DIFFERENCE at step {found.index}: {found.reason}")
    print(show(failing))
    print(f"  reference: {show_reply(found.reference)}")
    print(f"  candidate: {show_reply(found.candidate)}")
    print("last commands that name its keys:")
    for step in related(epoch[: found.index], failing):
        print(show(step))

    def fails(attempt: list[Step]) -> bool:
        both.open()
        again = both.run(attempt)
        return again is not None and attempt[again.index].name == failing.name

    failed = epoch[: found.index + 1]
    try:
        if not fails(failed):
            print("it did not happen again when the epoch was repeated")
            return
        shortest = shrink(failed, fails)
        both.open()
        again = both.run(shortest)
    except (OSError, ConnectionLost) as error:
        print(f"the server has died, so the list cannot be shrunk: {error}")
        return
    print(f"shortest script found, {len(shortest)} steps ([0] speaks RESP2, [1] RESP3):")
    for step in shortest:
        print(show(step))
    if again is not None:
        print(f"  reference: {show_reply(again.reference)}")
        print(f"  candidate: {show_reply(again.candidate)}  {again.reason}")


def main() -> int:
    """Runs the oracle; 0 when no reply differed."""
    arguments = parser(__doc__ or "")
    arguments.add_argument("--count", type=int, default=20_000)
    arguments.add_argument("--reference-binary", default="redis-server")
    arguments.add_argument("--names", action="store_true", help="print how often each was run")
    options = arguments.parse_args()
    source = Source(seed_of(options))
    names: Counter[bytes] = Counter()
    began = time.monotonic()
    done = 0
    reference = Server(options.reference_binary, DIRECTIVES)
    candidate = Server(options.server_binary, DIRECTIVES)
    with reference, candidate:
        both = SideBySide(reference, candidate)
        while done < options.count:
            epoch = list(steps(source, min(EPOCH_STEPS, options.count - done)))
            both.open()
            found = both.run(epoch)
            if found:
                explain(both, epoch, found)
                print(candidate.log())
                return 1
            done += len(epoch)
            names.update(step.name for step in epoch)
        both.close()
    print(f"oracle: {done} steps equal in {time.monotonic() - began:.1f} s")
    if options.names:
        for name, count in sorted(names.items()):
            print(f"{count:8} {name!r}")
    return 0


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    run(main)
