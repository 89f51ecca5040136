#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Whole conversations whose replies do not pair with requests, byte for byte as redis-server's.

The oracle reads one reply for each request. This driver tests what CLIENT REPLY suppresses, what
CLIENT PAUSE holds, what ends a connection, and what INFO counts of it all.
"""

from __future__ import annotations

import re
import socket
import sys
import time

from support import information
from support.driver import Report, parser, run, seed_of
from support.process import REPOSITORY
from support.resp import connect, encode
from support.server import Server

END = b"$3\r\nend\r\n"
# Redis's groups of commands that are missing as a whole, in README's words.
GROUPS = {
    "list": "Lists", "sorted-set": "sorted sets", "stream": "streams", "bitmap": "bitmaps",
    "hyperloglog": "HyperLogLog", "geo": "geo", "scripting": "Scripting",
    "pubsub": "publish/subscribe", "cluster": "cluster",
}
# Lines of one connection, sent as one block; ECHO marks the end of each conversation.
CONVERSATIONS = {
    "REPLY OFF and EXEC": "CLIENT REPLY OFF|MULTI|SET a 1|GET a|PING|EXEC|CLIENT REPLY ON|GET a",
    "REPLY OFF and DISCARD": "CLIENT REPLY OFF|MULTI|GET a|DISCARD|EXEC|CLIENT REPLY ON|GET a",
    "REPLY OFF and EXECABORT": "CLIENT REPLY OFF|MULTI|NOSUCH|EXEC|CLIENT REPLY ON|GET a",
    "REPLY SKIP": "CLIENT REPLY SKIP|GET a|GET a",
    "REPLY SKIP twice": "CLIENT REPLY SKIP|CLIENT REPLY SKIP|GET a|GET a",
    "REPLY SKIP and ON": "CLIENT REPLY SKIP|CLIENT REPLY ON|GET a",
    "REPLY SKIP under OFF": "CLIENT REPLY OFF|CLIENT REPLY SKIP|GET a|CLIENT REPLY ON|GET a",
    "REPLY SKIP of an error": "CLIENT REPLY SKIP|NOSUCH|GET a",
    "REPLY SKIP and MULTI": "CLIENT REPLY SKIP|MULTI|GET a|EXEC",
    "RESET under OFF": "CLIENT REPLY OFF|GET a|RESET|GET a|CLIENT REPLY ON",
    "RESET behind SKIP": "CLIENT REPLY SKIP|RESET|GET a|GET a",
    "nested MULTI": "MULTI|MULTI|GET a|EXEC",
    "WATCH inside MULTI": "MULTI|WATCH a|GET a|EXEC",
    "an expired key under WATCH, deleted": "DEBUG SET-ACTIVE-EXPIRE 0|SET x 1 PX 1|DEBUG SLEEP 0.01"
    "|WATCH x|EXISTS x|MULTI|PING|EXEC|DEBUG SET-ACTIVE-EXPIRE 1",
    "an expired key under WATCH, flushed": "DEBUG SET-ACTIVE-EXPIRE 0|SET x 1 PX 1|DEBUG SLEEP 0.01"
    "|WATCH x|FLUSHDB|MULTI|PING|EXEC|DEBUG SET-ACTIVE-EXPIRE 1",
    "an expired key under WATCH, set": "DEBUG SET-ACTIVE-EXPIRE 0|SET x 1 PX 1|DEBUG SLEEP 0.01"
    "|WATCH x|SET x 2|MULTI|PING|EXEC|DEBUG SET-ACTIVE-EXPIRE 1",
    "an expired key under WATCH, swapped in": "DEBUG SET-ACTIVE-EXPIRE 0|SET x 1 PX 1"
    "|DEBUG SLEEP 0.01|SELECT 1|WATCH x|SWAPDB 0 1|MULTI|PING|EXEC|DEBUG SET-ACTIVE-EXPIRE 1"
    "|FLUSHALL|SELECT 0",
    "a key that expires under WATCH": "DEBUG SET-ACTIVE-EXPIRE 0|SET x 1 PX 60|WATCH x"
    "|DEBUG SLEEP 0.07|DBSIZE|MULTI|PING|EXEC|DEBUG SET-ACTIVE-EXPIRE 1",
    "an expired key under WATCH, left alone": "DEBUG SET-ACTIVE-EXPIRE 0|SET x 1 PX 1"
    "|DEBUG SLEEP 0.01|WATCH x|DBSIZE|MULTI|GET x|EXEC|DBSIZE|DEBUG SET-ACTIVE-EXPIRE 1",
    "an expired key under WATCH, swapped out": "DEBUG SET-ACTIVE-EXPIRE 0|SET x 1 PX 1"
    "|DEBUG SLEEP 0.01|WATCH x|SWAPDB 0 1|MULTI|PING|EXEC|DEBUG SET-ACTIVE-EXPIRE 1|FLUSHALL",
    "an expired key under WATCH, exchanged": "DEBUG SET-ACTIVE-EXPIRE 0|SET x 1 PX 1|SELECT 1"
    "|SET x 1 PX 1|DEBUG SLEEP 0.01|WATCH x|SWAPDB 0 1|MULTI|PING|EXEC|WATCH x|EXISTS x"
    "|SWAPDB 0 1|MULTI|PING|EXEC|DEBUG SET-ACTIVE-EXPIRE 1|FLUSHALL|SELECT 0",
    "an expired key under WATCH, for a live one": "DEBUG SET-ACTIVE-EXPIRE 0|SET x 1 PX 1"
    "|SELECT 1|SET x 1|DEBUG SLEEP 0.01|SELECT 0|WATCH x|SWAPDB 0 1|MULTI|PING|EXEC"
    "|DEBUG SET-ACTIVE-EXPIRE 1|FLUSHALL",
    "a key that came and went under WATCH": "WATCH x|SET x 1|DEL x|MULTI|PING|EXEC"
    "|WATCH x|DEL x|MULTI|PING|EXEC|WATCH x x|UNWATCH|SET x 1|MULTI|PING|EXEC",
    "WATCH after a change": "WATCH x|SET x 1|WATCH x y|MULTI|PING|EXEC|MULTI|PING|EXEC",
    "WATCH in two databases": "WATCH x|SELECT 1|WATCH x|SELECT 0|SWAPDB 0 1|MULTI|PING|EXEC"
    "|WATCH x|SELECT 1|SET x 1|MULTI|PING|EXEC|WATCH x|SELECT 0|FLUSHDB|MULTI|PING|EXEC"
    "|WATCH x|SWAPDB 0 1|MULTI|PING|EXEC|FLUSHALL",
    "MOVE of nothing": "MOVE * 2|MOVE * 0|MOVE * 16|MOVE a 2|MOVE a 2|SELECT 2|MOVE a 0",
    "keys and what is done to them": "COMMAND GETKEYSANDFLAGS SET k v"
    "|COMMAND GETKEYSANDFLAGS SET k v NX GET|COMMAND GETKEYSANDFLAGS MSET a 1 b 2",
    "COMMAND INFO of nothing": "COMMAND INFO nosuch",
    "EXEC with an argument": "MULTI|SET a 1|EXEC x|EXEC|GET a|EXEC x",
    "POST, as a web page sends it": "POST / HTTP/1.1|Content-Length: 9|SET a 1",
    "Host, as a web page sends it": "host: localhost|SET a 1",
    "QUIT in a pipeline": "GET a|QUIT|GET a",
}
# Raw bytes; ECHO marks the end.
BLOCKS = {
    "an empty line behind REPLY SKIP": b"CLIENT REPLY SKIP\r\n\r\nGET a\r\nGET a\r\n",
    "no arguments behind REPLY SKIP": b"CLIENT REPLY SKIP\r\n*0\r\nGET a\r\n*-1\r\nGET a\r\n",
    "an empty line under REPLY OFF": b"CLIENT REPLY OFF\r\n\r\nGET a\r\nCLIENT REPLY ON\r\nGET a\r\n",
}
# Why apart: neither server reports the error to a client that wants no replies; but Redis keeps the
# connection, on which it never answers again, and Martlet closes it.
SILENT_ERRORS = [
    b"CLIENT REPLY OFF\r\n*x\r\nGET a\r\n", b"CLIENT REPLY OFF\r\n*1\r\n$x\r\n",
    b'CLIENT REPLY OFF\r\nGET "a\r\n', b"CLIENT REPLY SKIP\r\n*x\r\n",
    b'CLIENT REPLY SKIP\r\nGET "a\r\n', b"CLIENT REPLY SKIP\r\n*1\r\n:1\r\n",
]
# As README says.
KEY_BYTES_MAX = (1 << 24) - 1
# Why apart: in EXEC, Redis's array would have fewer elements than it announces, or begin in the
# middle. Martlet does not queue the command.
REPLY_REFUSED = b"-ERR Command not allowed inside a transaction\r\n"
REPLY_DISCARDED = b"-EXECABORT Transaction discarded because of previous errors.\r\n"
# INFO must count these errors as redis-server does.
COUNTED = [
    "GET|NOSUCH|HSET a f v|GET a|CLIENT REPLY x|CONFIG NOSUCH|AUTH x y",
    "MULTI|INCR a|INCR a|GET a|EXEC|MULTI|GET|EXEC|EXEC|DISCARD",
    "DEBUG ERROR x|DEBUG ERROR FOO|CLIENT REPLY OFF|GET|CLIENT REPLY ON",
    "SELECT 99|COPY a a|LCS a|SINTERCARD 0 a|EXPIRE a x|SHUTDOWN x",
]


def received(stream: socket.socket) -> bytes:
    """All that the server sends until the end mark, or until it closes."""
    data = b""
    try:
        while not data.endswith(END):
            part = stream.recv(65536)
            if not part:
                break
            data += part
    except (socket.timeout, ConnectionResetError) as error:
        data += repr(error).encode()
    return data


def talk(server: Server, lines: str) -> bytes:
    """What the server answers to `lines`."""
    with connect(server.address, 10) as stream:
        block = b""
        for line in [*lines.split("|"), "ECHO end"]:
            block += encode(line.split())
            # Why another block: a batch sees only one moment, so keys expire between two batches.
            if line.startswith("DEBUG SLEEP"):
                stream.sendall(block)
                block = b""
                time.sleep(0.03)
        stream.sendall(block)
        return received(stream)


def compared(reference: Server, candidate: Server, report: Report) -> None:
    """Every conversation with both."""
    for name, lines in CONVERSATIONS.items():
        replies = []
        for server in (reference, candidate):
            with server.client() as client:
                client.call("FLUSHALL")
                client.call("SET", "a", "0")
            replies.append(talk(server, lines))
        report.equal(name, replies[1], replies[0])
    for name, block in BLOCKS.items():
        replies = []
        for server in (reference, candidate):
            with connect(server.address, 10) as stream:
                stream.sendall(block + encode(["ECHO", "end"]))
                replies.append(received(stream))
        report.equal(name, replies[1], replies[0])
    for block in SILENT_ERRORS:
        with connect(reference.address, 0.2) as stream:
            stream.sendall(block)
            report.equal(f"Redis of {block!r}", received(stream), b"TimeoutError('timed out')")
        with connect(candidate.address, 10) as stream:
            stream.sendall(block)
            report.equal(f"{block!r}", received(stream), b"")


def reply_inside_multi(candidate: Server, report: Report) -> None:
    """CLIENT REPLY is refused inside MULTI, and the conversation goes on in step."""
    for word in ("ON", "OFF", "SKIP", "x"):
        data = talk(candidate, f"MULTI|GET a|CLIENT REPLY {word}|EXEC|PING")
        begin = b"+OK\r\n+QUEUED\r\n"
        expected = begin + REPLY_REFUSED + REPLY_DISCARDED + b"+PONG\r\n" + END
        report.equal(f"CLIENT REPLY {word} inside MULTI", data, expected)
    data = talk(candidate, "CLIENT REPLY OFF|MULTI|GET a|CLIENT REPLY ON|EXEC|CLIENT REPLY ON")
    report.equal("CLIENT REPLY ON inside MULTI under OFF", data, b"+OK\r\n" + END)


def only_at_start(server: Server, report: Report) -> None:
    """What Redis rebinds at once is refused with the way out, and the listener stays."""
    with server.client() as client:
        for name, value in (("port", server.port + 1), ("bind", "127.0.0.2"), ("dir", "/")):
            before = client.value("CONFIG", "GET", name)
            reply = client.call("CONFIG", "SET", name, value)
            reason = "Martlet takes it at start: change the configuration and restart"
            expected = f"ERR CONFIG SET failed (possibly related to argument '{name}') - {reason}"
            report.equal(f"CONFIG SET {name}", (reply.kind, reply.value), ("-", expected.encode()))
            report.equal(f"{name} afterwards", client.value("CONFIG", "GET", name), before)
    with server.client() as client:
        report.equal("the listener is there", client.value("PING"), b"PONG")


def key_sizes(server: Server, report: Report) -> None:
    """The longest key is a key like any other; no form of a command takes a longer one."""
    with server.client() as client:
        client.call("FLUSHALL")
        for size in (KEY_BYTES_MAX - 1, KEY_BYTES_MAX):
            key = b"k" * size
            found = [client.value(*words) for words in (
                ["SET", key, 1], ["GET", key], ["EXPIRE", key, 100], ["PERSIST", key],
                ["INCR", key], ["MGET", "x", key], ["COPY", key, "x"], ["RENAME", key, "y"],
                ["RENAME", "y", key], ["EXISTS", key, key], ["MULTI"], ["GETDEL", key], ["EXEC"],
                ["SADD", key, "a", "b"], ["SINTERCARD", 2, key, key], ["UNLINK", key], ["DEL", key],
            )]
            report.equal(f"a key of {size} bytes", found, [
                b"OK", b"1", 1, 1, 2, [None, b"2"], 1, b"OK", b"OK", 2, b"OK", b"QUEUED", [b"2"],
                2, 2, 1, 0,
            ])
            client.call("DEL", "x")
        refusal = f"ERR max key size exceeded. Limit: {KEY_BYTES_MAX} bytes".encode()
        for size in (KEY_BYTES_MAX + 1, KEY_BYTES_MAX + 2):
            key = b"k" * size
            for words in (
                ["SET", key, 1], ["SET", key, 1, "EX", 9], ["GET", key], ["GETDEL", key],
                ["EXPIRE", key, 9], ["TTL", key], ["DEL", key], ["DEL", "a", key], ["UNLINK", key],
                ["EXISTS", "a", key], ["MGET", "a", key], ["MSET", "a", 1, key, 2],
                ["MSETNX", "a", 1, key, 2], ["INCR", key], ["HSET", key, "f", 1], ["SADD", key, 1],
                ["SMOVE", "a", key, 1], ["SINTERCARD", 2, "a", key], ["SUNIONSTORE", key, "a"],
                ["RENAME", "a", key], ["COPY", "a", key], ["MOVE", key, 1], ["TYPE", key],
                ["OBJECT", "ENCODING", key], ["MEMORY", "USAGE", key],
            ):
                reply = client.call(*words)
                name = " ".join("LONG" if word is key else str(word) for word in words)
                report.equal(f"{name} of {size} bytes", (reply.kind, reply.value), ("-", refusal))
            for words in (["MULTI"], ["SET", key, 1], ["EXEC"]):
                reply = client.call(*words)
            report.check("EXEC of it", reply.value.startswith(b"EXECABORT"), reply.value)
        report.equal("keys that are left", client.value("DBSIZE"), 0)


def command_lists(reference: Server, candidate: Server, report: Report) -> None:
    """COMMAND LIST names what Redis's names, as far as Martlet has it; README names the rest."""
    with reference.client() as theirs, candidate.client() as ours:
        for words in (
            [], ["FILTERBY", "PATTERN", "*|g*"], ["FILTERBY", "PATTERN", "CONFIG*"],
            ["FILTERBY", "ACLCAT", "hash"], ["FILTERBY", "ACLCAT", "DANGEROUS"],
            ["FILTERBY", "ACLCAT", "nosuch"], ["FILTERBY", "MODULE", "json"],
        ):
            have = set(ours.value("COMMAND", "LIST"))
            expected = set(theirs.value("COMMAND", "LIST", *words)) & have
            found = {
                name for name in ours.value("COMMAND", "LIST", *words)
                if not name.startswith((b"tenant", b"records"))
                and name not in (b"client|no-touch", b"client|setinfo")
            }
            report.equal(f"COMMAND LIST {' '.join(words)}", found, expected)
        for words in (
            ["x"], ["FILTERBY"], ["FILTERBY", "MODULE"], ["FILTERBY", "x", "y"],
            ["FILTERBY", "PATTERN", "a", "b"], ["FILTERBY", "ACLCAT", "a", "FILTERBY"],
        ):
            replies = [client.call("COMMAND", "LIST", *words) for client in (ours, theirs)]
            report.equal(f"COMMAND LIST {' '.join(words)}", *replies)
        missing = set(theirs.value("COMMAND", "LIST")) - set(ours.value("COMMAND", "LIST"))
        documents = theirs.call("COMMAND", "DOCS").mapping()
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    text = text.partition("## What is not there yet")[2].partition("\n## ")[0]
    unnamed = set()
    for name in missing:
        container = name.decode().partition("|")[0]
        document = documents[container]
        group = document[document.index(b"group") + 1].decode()
        spelled = name.decode().replace("|", " ").upper()
        names = [spelled, container.upper(), GROUPS.get(group, "")]
        patterns = [rf"(?<![\w-]){re.escape(one)}(?![\w-])" for one in names if one]
        if not any(re.search(pattern, text) for pattern in patterns):
            unnamed.add(spelled)
    report.check("some are missing", bool(missing) or candidate.is_redis, len(missing))
    report.equal("missing, and not in README", unnamed, set())


def pause(server: Server, report: Report) -> None:
    """CLIENT PAUSE holds what it should, as long as it should."""
    with server.client() as pauser, server.client() as other:
        pauser.call("CLIENT", "PAUSE", 300, "ALL")
        began = time.monotonic()
        other.call("CLIENT", "UNPAUSE")
        seconds = time.monotonic() - began
        report.check("PAUSE ALL holds CLIENT UNPAUSE too", 0.2 < seconds < 2, f"{seconds:.3f} s")
        pauser.call("CLIENT", "PAUSE", 60_000, "WRITE")
        began = time.monotonic()
        other.call("GET", "a")
        other.send("SET", "a", 1)
        time.sleep(0.1)
        fields = pauser.value("INFO", "clients").decode()
        report.check("PAUSE WRITE holds a write", "blocked_clients:1" in fields)
        pauser.call("CLIENT", "UNPAUSE")
        other.read()
        seconds = time.monotonic() - began
        report.check("UNPAUSE lets it go", seconds < 2, f"{seconds:.3f} s")


def expired_keys(client: object) -> int:
    """How many keys have been removed as expired."""
    for line in client.value("INFO", "stats").decode().split():
        if line.startswith("expired_keys:"):
            return int(line.partition(":")[2])
    return -1


def pause_and_expiry(server: Server, report: Report) -> None:
    """Under CLIENT PAUSE keys are expired for readers, and stay where they are."""
    with server.client() as client:
        client.call("FLUSHALL")
        before = expired_keys(client)
        client.call("MULTI")
        client.call("SET", "p", 1, "PX", 10)
        client.call("SET", "q", 1, "PX", 10)
        client.call("CLIENT", "PAUSE", 60_000, "WRITE")
        client.call("EXEC")
        time.sleep(0.4)
        report.equal("expired under PAUSE", client.value("MGET", "p", "q"), [None, None])
        report.equal("nothing is removed", expired_keys(client), before)
        report.equal("DBSIZE", client.value("DBSIZE"), 2)
        client.call("CLIENT", "UNPAUSE")
        client.call("MGET", "p", "q")
        report.equal("afterwards it is", expired_keys(client), before + 2)


def section(client: object, name: str) -> dict[str, str]:
    """A section of INFO by its names."""
    lines = client.value("INFO", name).decode().split("\r\n")
    return dict(line.split(":", 1) for line in lines if ":" in line)


def counted(server: Server) -> dict[str, str]:
    """What INFO counts of `COUNTED`, times left out."""
    with server.client() as client:
        client.call("FLUSHALL")
        client.call("SET", "a", "x")
        client.call("CONFIG", "RESETSTAT")
    for lines in COUNTED:
        talk(server, lines)
    with server.client() as client:
        counts = section(client, "errorstats")
        counts["replies"] = section(client, "stats")["total_error_replies"]
        for name, text in section(client, "commandstats").items():
            fields = [part for part in text.split(",") if not part.startswith("usec")]
            counts[name] = ",".join(fields)
        # Why without INFO: the number of INFO requests differs.
        counts.pop("cmdstat_info", None)
        return counts


def statistics(reference: Server, candidate: Server, report: Report) -> None:
    """Errors and commands are counted alike, and forgotten alike."""
    ours, theirs = counted(candidate), counted(reference)
    for name in sorted(ours.keys() | theirs.keys()):
        report.equal(name, ours.get(name), theirs.get(name))
    with candidate.client() as client:
        client.call("CONFIG", "RESETSTAT")
        report.equal("errors after RESETSTAT", section(client, "errorstats"), {})
        report.equal("in all", section(client, "stats")["total_error_replies"], "0")


def average_time_to_live(server: Server, report: Report) -> None:
    """INFO's avg_ttl is near the average; redis-server takes a moment to find it."""
    with server.client() as client:
        client.call("FLUSHALL")
        for number in range(2000):
            client.call("SET", f"k{number}", 1, "PX", 50_000 + number % 2 * 20_000)
        deadline = time.monotonic() + 5
        average = 0
        while not 55_000 < average < 65_000 and time.monotonic() < deadline:
            fields = section(client, "keyspace")["db0"].split(",")
            average = int(fields[2].partition("=")[2])
            time.sleep(0.05)
        report.check("avg_ttl", 55_000 < average < 65_000, str(average))
        report.equal("keys and expires", fields[:2], ["keys=2000", "expires=2000"])


def main() -> int:
    """All of it; 0 when every check held."""
    arguments = parser(__doc__ or "")
    arguments.add_argument("--reference-binary", default="redis-server")
    options = arguments.parse_args()
    seed_of(options)
    report = Report("conversations")
    directives = [("enable-debug-command", "yes")]
    reference = Server(options.reference_binary, directives)
    candidate = Server(options.server_binary, directives)
    with reference, candidate:
        with report.section("the same conversation with both"):
            compared(reference, candidate, report)
        with report.section("names of commands"):
            command_lists(reference, candidate, report)
        if not candidate.is_redis:
            with report.section("CLIENT REPLY inside MULTI"):
                reply_inside_multi(candidate, report)
            with report.section("CONFIG SET of what is taken at start"):
                only_at_start(candidate, report)
            with report.section("sizes of keys"):
                key_sizes(candidate, report)
        with report.section("what both count"):
            statistics(reference, candidate, report)
        with report.section("INFO, field by field"):
            information.formats(reference, candidate, report)
        if not candidate.is_redis:
            with report.section("a tenant's INFO"):
                information.of_a_tenant(options.server_binary, report)
            with report.section("the clients' memory"):
                information.client_memory(candidate, report)
        for server in (reference, candidate):
            with report.section(f"avg_ttl of {'Redis' if server.is_redis else 'Martlet'}"):
                average_time_to_live(server, report)
            with report.section(f"INFO's figures of {'Redis' if server.is_redis else 'Martlet'}"):
                information.rates(server, report)
                information.counts(server, report)
            with report.section(f"CLIENT PAUSE of {'Redis' if server.is_redis else 'Martlet'}"):
                pause(server, report)
                pause_and_expiry(server, report)
    return report.finish()


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    run(main)
