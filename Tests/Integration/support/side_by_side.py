# SPDX-License-Identifier: Apache-2.0
"""Runs one list of steps against two servers and finds the first difference.

Steps on one connection go out as a block to both servers before any reply is
read. A step that needs more than one exchange (random picks, cursors) runs
alone. A third connection to each server reads data without disturbing the
transaction state of the other two.
"""

from __future__ import annotations

import time
from typing import NamedTuple, Sequence

from generators.scenarios import CURSORS, RANDOM_PICKS, SLEEP, Step

from . import compare
from .differences import set_encoding_allowed
from .resp import ConnectionLost, ProtocolError, Reply, encode
from .server import Server

BLOCK_COMMANDS = 150
SET_ENCODINGS = {b"intset", b"listpack", b"hashtable"}
BLOCK_BYTES = 60_000


class Mismatch(NamedTuple):
    """The first step whose replies differ."""

    index: int
    reference: object
    candidate: object
    reason: str = ""


class Side:
    """The three connections to one server."""

    def __init__(self, server: Server) -> None:
        self.clients = [server.client(2, 10), server.client(3, 10)]
        self.control = server.client(2, 10)

    def look(self, database: int, *arguments: object) -> Reply:
        """A command in a database, beside the connections under test."""
        self.control.call("SELECT", database)
        return self.control.call(*arguments)

    def close(self) -> None:
        """Closes all three."""
        for client in [*self.clients, self.control]:
            client.close()


class SideBySide:
    """Both servers, and the state of the run's connections."""

    def __init__(self, reference: Server, candidate: Server) -> None:
        self.servers = (reference, candidate)
        self.sides: list[Side] = []
        self.open()

    def open(self) -> None:
        """Empty databases and new connections; a server that died is started again."""
        self.close()
        for attempt in range(20):
            try:
                for server in self.servers:
                    if not server.alive():
                        server.kill()
                        server.start()
                self.sides = [Side(server) for server in self.servers]
                for side in self.sides:
                    side.control.value("FLUSHALL")
                break
            except (OSError, ConnectionLost):
                # Why: a server that is just dying is still a process for a moment.
                if attempt == 19:
                    raise
                time.sleep(0.05)
        self.queues: list[list[list[bytes]] | None] = [None, None]
        self.databases = [0, 0]
        self.popped = False

    def close(self) -> None:
        """Closes all connections."""
        for side in self.sides:
            side.close()

    def run(self, steps: Sequence[Step]) -> Mismatch | None:
        """Runs all steps in order; stops at the first difference."""
        position = 0
        while position < len(steps):
            step = steps[position]
            if step.connection == SLEEP:
                time.sleep(int(step.arguments[1]) / 1000)
                position += 1
            elif self._alone(step):
                found = self._run_alone(position, step)
                if found:
                    return found
                position += 1
            else:
                end = self._block_end(steps, position)
                found = self._run_block(position, steps[position:end])
                if found:
                    return found
                position = end
        return None

    def _alone(self, step: Step) -> bool:
        if self.queues[step.connection] is not None:
            return False
        if step.name in RANDOM_PICKS:
            return True
        place = 1 if step.name == b"SCAN" else 2
        return step.name in CURSORS and step.arguments[place : place + 1] == [b"0"]

    def _block_end(self, steps: Sequence[Step], start: int) -> int:
        """The end of the block: one connection, no special step in the middle.

        MULTI and EXEC end it because they change how the next step runs, and
        OBJECT because explaining an encoding needs the key as it was.
        """
        connection = steps[start].connection
        size = 0
        for end in range(start, len(steps)):
            step = steps[end]
            if step.connection != connection or size > BLOCK_BYTES:
                return end
            if step.name in RANDOM_PICKS or step.name in CURSORS:
                if end > start:
                    return end
            size += sum(len(argument) for argument in step.arguments)
            if step.name in (b"OBJECT", b"MULTI", b"EXEC", b"RESET", b"DISCARD"):
                return end + 1
            if end - start >= BLOCK_COMMANDS:
                return end + 1
        return len(steps)

    def _both(self, connection: int, arguments: Sequence[bytes]) -> list[Reply]:
        data = encode(arguments)
        for side in self.sides:
            side.clients[connection].send_raw(data)
        return [side.clients[connection].read() for side in self.sides]

    def _run_block(self, index: int, block: Sequence[Step]) -> Mismatch | None:
        connection = block[0].connection
        data = b"".join([encode(step.arguments) for step in block])
        answers: list[list[Reply]] = []
        for side in self.sides:
            try:
                side.clients[connection].send_raw(data)
            except (ConnectionLost, TimeoutError):
                pass  # Reading fails next, and knows how many replies came before.
        for side in self.sides:
            replies: list[Reply] = []
            try:
                for _ in block:
                    replies.append(side.clients[connection].read())
            except (ConnectionLost, ProtocolError, TimeoutError) as error:
                replies.append(Reply("!", repr(error)))
            answers.append(replies)
        for offset, step in enumerate(block):
            replies = [side[offset] if offset < len(side) else None for side in answers]
            if replies[1] is None or replies[1].kind == "!" or replies[0] is None:
                return Mismatch(index + offset, *replies, "no reply")
            if not self._equal(step, *replies):
                return Mismatch(index + offset, *replies)
            self._follow(step, replies[0])
        return None

    def _equal(self, step: Step, reference: Reply, candidate: Reply) -> bool:
        queue = self.queues[step.connection]
        if step.name == b"EXEC" and queue is not None:
            return compare.same_transaction(
                queue, reference, candidate, lambda *pair: self._set_in_transaction(step, *pair)
            )
        if compare.same(step.arguments, reference, candidate):
            return True
        if step.name == b"OBJECT" and len(step.arguments) == 3:
            return self._set_encoding(step, reference, candidate)
        return False

    def _set_encoding(self, step: Step, reference: Reply, candidate: Reply) -> bool:
        if not reference.kind == candidate.kind == "$":
            return False
        database = self.databases[step.connection]
        members = self.sides[0].look(database, "SMEMBERS", step.arguments[2])
        if members.is_error or candidate.value is None or reference.value is None:
            return False
        return set_encoding_allowed(
            reference.value, candidate.value, members.native(), self.popped
        )

    def _set_in_transaction(
        self, step: Step, arguments: Sequence[bytes], reference: Reply, candidate: Reply
    ) -> bool:
        """OBJECT ENCODING inside EXEC.

        The key may be gone by now, so only its type is compared.
        """
        if len(arguments) != 3 or arguments[0].upper() != b"OBJECT":
            return False
        if {reference.value, candidate.value} - SET_ENCODINGS:
            return False
        look = self.sides[0].look(self.databases[step.connection], "TYPE", arguments[2])
        return look.value in (b"set", b"none")

    def _follow(self, step: Step, reply: Reply) -> None:
        """Tracks the connection's database and transaction."""
        connection, name = step.connection, step.name
        if name == b"SELECT" and reply == Reply("+", b"OK"):
            self.databases[connection] = int(step.arguments[1])
        elif name == b"RESET":
            self.databases[connection] = 0
            self.queues[connection] = None
        elif name == b"MULTI" and not reply.is_error:
            self.queues[connection] = []
        elif reply == Reply("+", b"QUEUED"):
            queue = self.queues[connection]
            if queue is not None:
                queue.append(step.arguments)
        elif name == b"DISCARD" or name == b"EXEC":
            if not reply.is_error or reply.value.startswith(b"EXECABORT"):
                self._follow_queue(connection, name == b"EXEC" and not reply.is_null)

    def _follow_queue(self, connection: int, executed: bool) -> None:
        queue, self.queues[connection] = self.queues[connection], None
        for arguments in queue or []:
            if executed and arguments[0].upper() == b"SELECT":
                reply = self.sides[0].clients[connection].call("CLIENT", "INFO").native()
                fields = dict(word.split(b"=", 1) for word in reply.split())
                self.databases[connection] = int(fields[b"db"])

    def _run_alone(self, index: int, step: Step) -> Mismatch | None:
        try:
            if step.name in CURSORS:
                return self._run_cursor(index, step)
            return self._run_pick(index, step)
        except (ConnectionLost, ProtocolError, TimeoutError) as error:
            return Mismatch(index, None, None, repr(error))

    def _run_cursor(self, index: int, step: Step) -> Mismatch | None:
        """Follows the cursor to its end on both, and compares what was seen."""
        place = 1 if step.name == b"SCAN" else 2
        seen: list[object] = []
        for side in self.sides:
            arguments = list(step.arguments)
            items: set = set()
            for _ in range(100_000):
                reply = side.clients[step.connection].call(*arguments)
                if reply.kind != "*":
                    seen.append(reply)
                    break
                flat = [(item.kind, item.value) for item in reply.value[1].value]
                if step.name == b"HSCAN":
                    items.update(zip(flat[0::2], flat[1::2]))
                else:
                    items.update(flat)
                arguments[place] = reply.value[0].value
                if arguments[place] == b"0":
                    seen.append(items)
                    break
            else:
                return Mismatch(index, None, None, "the cursor never came back to 0")
        if seen[0] == seen[1]:
            return None
        if isinstance(seen[0], set) and isinstance(seen[1], set):
            return Mismatch(index, seen[0] - seen[1], seen[1] - seen[0], "only on one side")
        return Mismatch(index, *seen)

    def _run_pick(self, index: int, step: Step) -> Mismatch | None:
        """Each side may pick any elements that both have."""
        population = self._population(step)
        replies = self._both(step.connection, step.arguments)
        if step.name == b"RANDOMKEY":
            return self._check_random_key(index, step, replies)
        if compare.shape(replies[0]) != compare.shape(replies[1]):
            return Mismatch(index, *replies)
        if population is None or replies[0].is_error:
            return None
        for reply in replies:
            wrong = compare.check_pick(step.arguments, population, reply)
            if wrong:
                return Mismatch(index, *replies, wrong)
        if step.name == b"SPOP":
            self._level(step, replies)
        return None

    def _population(self, step: Step) -> dict | set | None:
        if len(step.arguments) < 2:
            return None
        database = self.databases[step.connection]
        if step.name == b"HRANDFIELD":
            reply = self.sides[0].look(database, "HGETALL", step.arguments[1])
            if reply.is_error:
                return None
            flat = reply.native()
            return dict(zip(flat[0::2], flat[1::2]))
        reply = self.sides[0].look(database, "SMEMBERS", step.arguments[1])
        return None if reply.is_error else set(reply.native())

    def _check_random_key(
        self, index: int, step: Step, replies: list[Reply]
    ) -> Mismatch | None:
        if compare.shape(replies[0]) != compare.shape(replies[1]):
            return Mismatch(index, *replies)
        for reply in replies:
            if not reply.is_error and reply.value is not None:
                database = self.databases[step.connection]
                if self.sides[0].look(database, "EXISTS", reply.value).value != 1:
                    return Mismatch(index, *replies, "a key that does not exist")
        return None

    def _level(self, step: Step, replies: list[Reply]) -> None:
        """Removes on each side what the other popped."""
        self.popped = True
        gone = [item for reply in replies for item in compare.picked(reply, False)]
        if gone:
            for side in self.sides:
                side.look(self.databases[step.connection], "SREM", step.arguments[1], *gone)
