# SPDX-License-Identifier: Apache-2.0
"""A RESP2/RESP3 client that keeps the exact type of every reply.

Ordinary clients fold `+OK` and `$2 OK` into one string, and a null bulk and a
null array into one None. A test that compares servers must see the difference,
so a reply here is a pair of its wire type and its value:

    +  bytes    -  bytes    :  int      $  bytes or None    *  tuple or None
    %  tuple of (key, value) pairs      ~  tuple            >  tuple (push)
    ,  bytes (a double as written)      #  bool             _  None
    (  int      =  bytes (verbatim, with its three letter prefix)
"""

from __future__ import annotations

import socket
from typing import Any, Iterable, NamedTuple, Sequence

Argument = bytes | str | int | float


class ConnectionLost(Exception):
    """The server closed the connection, or stopped in the middle of a reply."""


class ProtocolError(Exception):
    """The server sent bytes that are not RESP."""


class ReplyError(Exception):
    """An error reply when the caller wanted a value."""


class Reply(NamedTuple):
    """One reply: its wire type and its value."""

    kind: str
    value: Any

    @property
    def is_error(self) -> bool:
        """True for an error reply."""
        return self.kind == "-"

    @property
    def is_null(self) -> bool:
        """True for any of the three nulls."""
        return self.value is None

    def native(self) -> Any:
        """The value as plain Python; raises ReplyError for an error."""
        if self.kind == "-":
            raise ReplyError(self.value.decode("utf-8", "replace"))
        if self.value is None:
            return None
        if self.kind == "%":
            return {key.native(): value.native() for key, value in self.value}
        if self.kind in "*~>":
            return [item.native() for item in self.value]
        if self.kind == ",":
            return float(self.value)
        if self.kind == "=":
            return self.value[4:]
        return self.value

    def mapping(self) -> dict[str, Any]:
        """A map, or RESP2's flat array of pairs, as a dict with text keys."""
        if self.kind == "%":
            pairs = [(key.native(), value.native()) for key, value in self.value]
        else:
            flat = self.native()
            pairs = list(zip(flat[0::2], flat[1::2]))
        return {key.decode(): value for key, value in pairs}


def to_bytes(argument: Argument) -> bytes:
    """An argument as it goes on the wire."""
    return argument if isinstance(argument, bytes) else str(argument).encode()


def encode(arguments: Sequence[Argument]) -> bytes:
    """One command as a multibulk."""
    parts = [b"*%d\r\n" % len(arguments)]
    for argument in arguments:
        data = argument if isinstance(argument, bytes) else str(argument).encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(data), data))
    return b"".join(parts)


def connect(address: tuple[str, int] | str, timeout: float) -> socket.socket:
    """A socket to (host, port), or to the unix socket at a path."""
    if isinstance(address, str):
        stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        stream.settimeout(timeout)
        stream.connect(address)
        return stream
    stream = socket.create_connection(address, timeout=timeout)
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return stream


class Client:
    """A blocking connection. Not for use by two threads at once."""

    def __init__(
        self,
        address: tuple[str, int] | str,
        protocol: int = 2,
        timeout: float = 30.0,
    ) -> None:
        self.address = address
        self.socket = connect(address, timeout)
        self._reader = self.socket.makefile("rb", 1 << 16)
        self.protocol = 2
        if protocol == 3:
            self.call("HELLO", 3).native()
            self.protocol = 3

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection; never fails."""
        try:
            self._reader.close()
            self.socket.close()
        except OSError:
            pass

    def send_raw(self, data: bytes) -> None:
        """Sends bytes as they are."""
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise ConnectionLost(str(error)) from error

    def send(self, *arguments: Argument) -> None:
        """Sends one command and does not wait."""
        self.send_raw(encode(arguments))

    def call(self, *arguments: Argument) -> Reply:
        """Sends one command and reads its reply."""
        self.send_raw(encode(arguments))
        return self.read()

    def value(self, *arguments: Argument) -> Any:
        """The reply of one command as plain Python; raises on an error."""
        return self.call(*arguments).native()

    def pipeline(
        self, commands: Iterable[Sequence[Argument]], window: int = 500
    ) -> list[Reply]:
        """Sends many commands, at most `window` of them unanswered at a time."""
        replies: list[Reply] = []
        block: list[bytes] = []
        for command in commands:
            block.append(encode(command))
            if len(block) >= window:
                self.send_raw(b"".join(block))
                replies.extend(self.read() for _ in block)
                block = []
        if block:
            self.send_raw(b"".join(block))
            replies.extend(self.read() for _ in block)
        return replies

    def raw_replies(self, count: int) -> bytes:
        """The bytes of the next replies, as RESP2 has them."""
        return b"".join(self._raw_reply() for _ in range(count))

    def _raw_reply(self) -> bytes:
        line = self._reader.readline()
        if line[:1] == b"$" and not line.startswith(b"$-"):
            return line + self._reader.read(int(line[1:]) + 2)
        if line[:1] == b"*" and not line.startswith(b"*-"):
            return line + self.raw_replies(int(line[1:]))
        return line

    def read(self) -> Reply:
        """Reads one reply."""
        try:
            line = self._reader.readline()
            if not line.endswith(b"\r\n"):
                raise ConnectionLost("closed while a reply was expected")
            return self._parse(line)
        except ConnectionResetError as error:
            raise ConnectionLost(str(error)) from error

    def _parse(self, line: bytes) -> Reply:
        kind = chr(line[0])
        rest = line[1:-2]
        if kind in "+-,":
            return Reply(kind, rest)
        if kind == ":" or kind == "(":
            return Reply(kind, int(rest))
        if kind == "$" or kind == "=":
            return Reply(kind, self._bulk(int(rest)))
        if kind in "*~>":
            count = int(rest)
            if count < 0:
                return Reply(kind, None)
            return Reply(kind, tuple([self.read() for _ in range(count)]))
        if kind == "%":
            pairs = [(self.read(), self.read()) for _ in range(int(rest))]
            return Reply(kind, tuple(pairs))
        if kind == "_":
            return Reply(kind, None)
        if kind == "#":
            return Reply(kind, rest == b"t")
        raise ProtocolError(f"unexpected reply line {line[:80]!r}")

    def _bulk(self, size: int) -> bytes | None:
        if size < 0:
            return None
        data = self._reader.read(size + 2)
        if len(data) != size + 2:
            raise ConnectionLost("closed inside a bulk string")
        if data[-2:] != b"\r\n":
            raise ProtocolError(f"bulk of {size} bytes does not end in CRLF")
        return data[:-2]
