#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Hostile input: a clear error or a closed connection, and nobody else suffers.

During each attack a second client gets its answers within a second. In the end
all data is still there, and the memory is back.
"""

from __future__ import annotations

import random
import resource
import socket
import sys
import threading
import time

from support.driver import Report, parser, run, seed_of, wait_until
from support.resp import Client, Reply, connect, encode
from support.server import Server
from support.watch import Watch

KEYS = 10_000
LONGEST_WAIT_SECONDS = 1.0
MEGABYTE = 1 << 20
OUTPUT_LIMIT = "normal 16777216 8388608 3"

# The input, and the error that Redis replies before it closes.
PROTOCOL_ERRORS = [
    ("count is no number", b"*abc\r\n", "invalid multibulk length"),
    ("count above int32", b"*2147483648\r\n", "invalid multibulk length"),
    ("count is huge", b"*" + b"9" * 30 + b"\r\n", "invalid multibulk length"),
    ("count with a space", b"* 1\r\n", "invalid multibulk length"),
    ("bulk length negative", b"*1\r\n$-1\r\n", "invalid bulk length"),
    ("bulk length no number", b"*1\r\n$abc\r\n", "invalid bulk length"),
    ("bulk length empty", b"*1\r\n$\r\n", "invalid bulk length"),
    ("bulk above proto-max-bulk-len", b"*1\r\n$536870913\r\n", "invalid bulk length"),
    ("bulk length above int64", b"*1\r\n$99999999999999999999\r\n", "invalid bulk length"),
    ("integer for bulk", b"*1\r\n:1\r\n", "expected '$', got ':'"),
    ("array for bulk", b"*1\r\n*1\r\n" * 50_000, "expected '$', got '*'"),
    ("inline of 70 KB", b"A" * 70_000, "too big inline request"),
    ("count of 70 KB", b"*" + b"1" * 70_000, "too big mbulk count string"),
    ("bulk length of 70 KB", b"*1\r\n$" + b"1" * 70_000, "too big bulk count string"),
    ("unbalanced quotes", b'SET "a\r\n', "unbalanced quotes in request"),
    ("quote inside a word", b'SET "a"b c\r\n', "unbalanced quotes in request"),
]
HARMLESS = [
    ("negative count", b"*-1\r\n"),
    ("count 0", b"*0\r\n"),
    ("empty lines", b"\r\n\r\n\n\n"),
    ("negative count, large", b"*-2147483648\r\n"),
]


def read_until_closed(stream: socket.socket, seconds: float = 10.0) -> bytes | None:
    """All bytes up to the server's close, or None if it does not close in time."""
    stream.settimeout(seconds)
    data = b""
    try:
        while chunk := stream.recv(65536):
            data += chunk
        return data
    except ConnectionResetError:
        return data
    except TimeoutError:
        return None


class Attacks:
    """The attacks, in order; each leaves the server as it found it."""

    def __init__(self, server: Server, report: Report, options) -> None:
        self.server = server
        self.report = report
        self.options = options
        self.random = random.Random(seed_of(options))

    def watched(self, title: str, attack) -> None:
        """Runs an attack while a second client watches."""
        with self.report.section(title):
            with Watch(self.server.address, "canary") as watch:
                attack()
            result = watch.result
            fine = not result.failure and result.longest < LONGEST_WAIT_SECONDS
            self.report.check("others were answered within 1 s", fine, result)

    def protocol_errors(self) -> None:
        """Each violation gets Redis's error, then the connection is closed."""
        for name, data, text in PROTOCOL_ERRORS:
            with connect(self.server.address, 10) as stream:
                try:
                    stream.sendall(data)
                except OSError:
                    pass
                answer = read_until_closed(stream)
            expected = f"-ERR Protocol error: {text}\r\n".encode()
            # Why: a close with unread input may reset and so swallow the error.
            reset = answer == b"" and len(data) > 60_000
            self.report.check(name, answer == expected or reset, answer)
        for name, data in HARMLESS:
            with self.server.client() as client:
                client.send_raw(data)
                self.report.equal(name, client.call("PING"), Reply("+", b"PONG"))

    def truncated(self) -> None:
        """Every cut of a pipeline, then a close; and every cut sent in two parts."""
        pipeline = b"".join([
            encode(["SET", "cut", b"\r\n$5\r\n"]), b"PING\r\n", encode(["GET", "cut"]), b"*0\r\n",
        ])
        expected = b"+OK\r\n+PONG\r\n$6\r\n\r\n$5\r\n\r\n"
        wrong = []
        for cut in range(len(pipeline)):
            with connect(self.server.address, 10) as stream:
                stream.sendall(pipeline[:cut])
            with connect(self.server.address, 10) as stream:
                stream.sendall(pipeline[:cut])
                time.sleep(0.0005)
                stream.sendall(pipeline[cut:])
                stream.shutdown(socket.SHUT_WR)
                if read_until_closed(stream) != expected:
                    wrong.append(cut)
        self.report.equal(f"all {len(pipeline)} cuts", wrong, [])
        with self.server.client() as client:
            client.call("DEL", "cut")

    def many_arguments(self) -> None:
        """100,000 arguments in one command."""
        names = [f"argument:{number}" for number in range(100_000)]
        with self.server.client() as client:
            self.report.equal("DEL", client.call("DEL", *names), Reply(":", 0))
            pairs = [word for name in names[:50_000] for word in (name, "v")]
            self.report.equal("MSET", client.call("MSET", *pairs), Reply("+", b"OK"))
            self.report.equal("UNLINK", client.call("UNLINK", *names), Reply(":", 50_000))
            self.report.equal("SADD", client.call("SADD", "many", *names), Reply(":", 100_000))
            self.report.equal("DEL of the set", client.call("DEL", "many"), Reply(":", 1))
            reply = client.call("PING", *names)
            text = b"ERR wrong number of arguments for 'ping' command"
            self.report.equal("PING", reply, Reply("-", text))

    def idle_connections(self) -> None:
        """10,000 connections that sent one PING."""
        wanted = self.options.connections
        before = self.server.resident()
        streams: list[socket.socket] = []
        try:
            for _ in range(wanted):
                stream = connect(self.server.address, 10)
                stream.sendall(b"PING\r\n")
                streams.append(stream)
            answered = sum(stream.recv(64) == b"+PONG\r\n" for stream in streams)
            self.report.equal(f"{wanted} connections answered", answered, wanted)
            each = (self.server.resident() - before) / wanted
            self.report.measured("under 64 KB a connection", each < 65536, f"{each:.0f} bytes")
        finally:
            for stream in streams:
                stream.close()
        with self.server.client() as client:
            took = wait_until(lambda: self._connected(client) < 20, 10)
            self.report.check("all are gone after their close", took is not None, took)

    @staticmethod
    def _connected(client: Client) -> int:
        text = client.value("INFO", "clients").decode()
        return int(text.split("connected_clients:")[1].split()[0])

    def half_sent(self) -> None:
        """Commands begun, announced as large, and held open."""
        heads = [
            b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$10000000\r\n" + b"x" * 1000,
            b"*1000000\r\n$3\r\nDEL\r\n",
            b"*3\r\n$3\r\nSET\r\n$500000000\r\n",
            b"*2\r\n$3\r\nGE",
            b"GET hal",
        ]
        before = self.server.resident()
        streams = [connect(self.server.address, 10) for _ in range(300)]
        for number, stream in enumerate(streams):
            stream.sendall(heads[number % len(heads)])
        time.sleep(1)
        grown = (self.server.resident() - before) / MEGABYTE
        self.report.measured("300 of them cost under 64 MB", grown < 64, f"{grown:.1f} MB")
        for stream in streams:
            stream.close()

    def never_reading(self) -> None:
        """Ten clients ask for 2 GB each and read nothing of it."""
        before = self.server.resident()
        streams = []
        sent = encode(["GET", "large"]) * 2000
        for _ in range(10):
            stream = socket.socket()
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
            stream.settimeout(2)
            stream.connect(self.server.address)
            streams.append(stream)
        for stream in streams:
            try:
                stream.sendall(sent)
            except OSError:
                pass
        most = 0.0
        for _ in range(50):
            most = max(most, (self.server.resident() - before) / MEGABYTE)
            time.sleep(0.1)
        # Bound: ten times the output limit, and as much again for bytes in flight.
        self.report.measured("their replies cost under 350 MB", most < 350, f"{most:.1f} MB")
        with self.server.client() as client:
            left = self._connected(client)
        self.report.check("they were disconnected", left < 5, f"{left} connections left")
        for stream in streams:
            stream.close()

    def long_pipeline(self) -> None:
        """A pipeline of 1,000,000 commands, its replies read meanwhile."""
        count = self.options.pipeline
        with self.server.client() as client:
            client.call("DEL", "counter")
            block = encode(["INCR", "counter"]) * 1000

            def send() -> None:
                for _ in range(count // 1000):
                    client.send_raw(block)

            sender = threading.Thread(target=send)
            sender.start()
            last = Reply(":", 0)
            for _ in range(count):
                last = client.read()
            sender.join()
            self.report.equal(f"{count} INCR", last, Reply(":", count))
            client.call("DEL", "counter")

    def slow_patterns(self) -> None:
        """Globs that make a naive matcher try every split."""
        with self.server.client() as client:
            client.call("SET", "a" * 4000, 1)
            for pattern in ("a*" * 30 + "b", "*a" * 30 + "*b", "*" * 5000 + "b", "[" * 5000):
                reply = client.call("KEYS", pattern)
                self.report.check(f"KEYS {pattern[:8]}...", reply == Reply("*", ()), reply.kind)
            client.call("DEL", "a" * 4000)

    def fuzz(self) -> None:
        """Random bytes, and valid pipelines with random bytes in them."""
        templates = [
            encode(["SET", "fuzz", "value", "EX", 100]), encode(["GET", "fuzz"]), b"PING\r\n",
            encode(["HSET", "fuzzh", "f", "v"]), encode(["SADD", "fuzzs", "a", "b"]),
            encode(["MULTI"]), encode(["EXEC"]), encode(["HELLO", 3]), encode(["CLIENT", "INFO"]),
        ]
        for _ in range(self.options.fuzz):
            if self.random.randrange(3) == 0:
                data = self.random.randbytes(self.random.randint(1, 2000))
            else:
                data = bytearray(b"".join(self.random.choices(templates, k=20)))
                for _ in range(self.random.randint(1, 8)):
                    place = self.random.randrange(len(data))
                    junk = self.random.choice([b"\r", b"\n", b"*", b"$", b"-", b"9", b"\0"])
                    data[place : place + self.random.randrange(2)] = junk
            try:
                with connect(self.server.address, 5) as stream:
                    stream.sendall(data)
                    stream.shutdown(socket.SHUT_WR)
                    if read_until_closed(stream, 5) is None:
                        self.report.check("closed after the client's end", False, bytes(data))
                        return
            except (BrokenPipeError, ConnectionResetError):
                pass
        with self.server.client() as client:
            self.report.equal("still answers", client.call("PING"), Reply("+", b"PONG"))
            # Why: a mutated SET writes unpredictable keys.
            names = client.value("KEYS", "*")
            known = (b"key:", b"canary", b"large")
            client.call("DEL", "fuzz", *[name for name in names if not name.startswith(known)])


def unauthenticated(report: Report, options) -> None:
    """Before AUTH no client may announce anything large."""
    with report.section("limits before authentication"):
        with Server(options.server_binary, [("requirepass", "secret")]) as server:
            for data, text in [
                (b"*11\r\n", b"unauthenticated multibulk length"),
                (b"*2\r\n$16385\r\n", b"unauthenticated bulk length"),
            ]:
                with connect(server.address, 10) as stream:
                    stream.sendall(data)
                    answer = read_until_closed(stream)
                report.equal(text.decode(), answer, b"-ERR Protocol error: " + text + b"\r\n")


def attack_all(attacks: Attacks) -> None:
    """All attacks of part 7 in a fixed order."""
    attacks.watched("protocol errors", attacks.protocol_errors)
    attacks.watched("truncated pipelines", attacks.truncated)
    attacks.watched("100,000 arguments", attacks.many_arguments)
    attacks.watched("idle connections", attacks.idle_connections)
    attacks.watched("half-sent commands", attacks.half_sent)
    attacks.watched("readers that never read", attacks.never_reading)
    attacks.watched("a long pipeline", attacks.long_pipeline)
    attacks.watched("slow patterns", attacks.slow_patterns)
    attacks.watched("random bytes", attacks.fuzz)


def main() -> int:
    """Runs all attacks; 0 when every check held."""
    arguments = parser(__doc__ or "")
    arguments.add_argument("--connections", type=int, default=10_000)
    arguments.add_argument("--pipeline", type=int, default=1_000_000)
    arguments.add_argument("--fuzz", type=int, default=2000)
    options = arguments.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    options.connections = min(options.connections, hard - 500)
    report = Report("hostile")
    directives = [("maxclients", 12_000), ("client-output-buffer-limit", OUTPUT_LIMIT)]
    with Server(options.server_binary, directives) as server:
        with server.client() as client:
            client.pipeline([("SET", f"key:{n}", f"value {n}" * 10) for n in range(KEYS)])
            client.value("SET", "canary", "alive")
            client.value("SET", "large", b"x" * MEGABYTE)
        before = server.resident()
        attack_all(Attacks(server, report, options))
        with report.section("afterwards"):
            with server.client() as client:
                replies = client.pipeline([("GET", f"key:{n}") for n in range(KEYS)])
                right = sum(
                    reply.value == f"value {n}".encode() * 10 for n, reply in enumerate(replies)
                )
                report.equal("every value is intact", right, KEYS)
                report.equal("and nothing else is there", client.value("DBSIZE"), KEYS + 2)
            limit = before + max(32 * MEGABYTE, before // 2)
            took = wait_until(lambda: server.resident() < limit, 20, 0.2)
            grown = (server.resident() - before) / MEGABYTE
            report.measured("the memory is back", took is not None, f"{grown:+.1f} MB")
    unauthenticated(report, options)
    return report.finish()


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    run(main)
