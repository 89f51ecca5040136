#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Real clients: redis-py and valkey-glide, in RESP2 and RESP3.

Needs the packages of requirements.txt; scripts/test makes the environment.
"""

from __future__ import annotations

import asyncio
import sys

import glide
import redis
import redis.asyncio

from support.driver import Report, parser, run, seed_of
from support.server import Server


def redis_py(report: Report, server: Server, protocol: int) -> None:
    """redis-py, decoded and not."""
    client = redis.Redis(server.host, server.port, protocol=protocol, decode_responses=True)
    client.flushall()
    report.check("PING", client.ping())
    report.equal("SET and GET", (client.set("s", "1", ex=100), client.get("s")), (True, "1"))
    report.equal("SET NX", client.set("s", "2", nx=True), None)
    report.equal("SET GET", client.set("s", "2", get=True, keepttl=True), "1")
    report.check("TTL", 0 < client.ttl("s") <= 100)
    report.equal("INCR", (client.incrby("n", 5), client.incrbyfloat("n", 0.5)), (5, 5.5))
    report.equal("MGET", client.mget("s", "none", "n"), ["2", None, "5.5"])
    report.equal("HSET", client.hset("h", mapping={"a": "1", "b": "2"}), 2)
    report.equal("HGETALL", client.hgetall("h"), {"a": "1", "b": "2"})
    report.equal("HMGET", client.hmget("h", "a", "x"), ["1", None])
    picked = client.hrandfield("h", 2, withvalues=True)
    report.equal("HRANDFIELD", len(picked), 2 if protocol == 3 else 4)
    report.equal("SADD", client.sadd("m", "x", "y", "z"), 3)
    report.equal("SMEMBERS", set(client.smembers("m")), {"x", "y", "z"})
    report.equal("SMISMEMBER", client.smismember("m", ["x", "q"]), [1, 0])
    report.equal("SINTERCARD", client.sintercard(2, ["m", "m"], limit=2), 2)
    report.equal("LCS", client.lcs("s", "s", len=True), 1)
    redis_py_batches(report, client)
    report.check("INFO", client.info()["redis_version"].startswith("7."))
    report.check("CLIENT LIST", len(client.client_list()) >= 1)
    report.check("CONFIG GET", "maxmemory" in client.config_get("maxmemory*"))
    report.check("COMMAND COUNT", client.command_count() > 100)
    report.check("OBJECT ENCODING", client.object("encoding", "h") == "listpack")
    raw = redis.Redis(server.host, server.port, protocol=protocol)
    every_byte = bytes(range(256))
    raw.set(every_byte, every_byte)
    report.equal("binary key and value", raw.get(every_byte), every_byte)
    raw.close()
    client.close()


def redis_py_batches(report: Report, client: redis.Redis) -> None:
    """Pipelines, transactions, optimistic locking, iteration."""
    with client.pipeline(transaction=False) as pipe:
        for number in range(1000):
            pipe.set(f"p:{number}", number)
        report.equal("pipeline of 1,000", pipe.execute(), [True] * 1000)
    with client.pipeline() as pipe:
        pipe.set("t", 1).incr("t").get("t").hgetall("h")
        report.equal("transaction", pipe.execute(), [True, 2, "2", {"a": "1", "b": "2"}])

    def increment(pipe: redis.client.Pipeline) -> None:
        value = int(pipe.get("t"))
        pipe.multi()
        pipe.set("t", value + 1)

    report.equal("WATCH", client.transaction(increment, "t"), [True])
    with client.pipeline() as pipe:
        pipe.watch("t")
        client.set("t", 50)
        pipe.multi()
        pipe.set("t", 0)
        try:
            pipe.execute()
            report.check("WATCH notices a change", False)
        except redis.WatchError:
            report.check("WATCH notices a change", True)
    report.equal("SCAN", len(set(client.scan_iter("p:*", count=100))), 1000)
    client.hset("big", mapping={f"f{number}": number for number in range(500)})
    report.equal("HSCAN", len(dict(client.hscan_iter("big"))), 500)
    client.sadd("bigset", *range(1000))
    report.equal("SSCAN", len(set(client.sscan_iter("bigset"))), 1000)
    try:
        client.incr("h")
        report.check("WRONGTYPE", False)
    except redis.ResponseError as error:
        report.check("WRONGTYPE", str(error).startswith("WRONGTYPE"), error)


async def redis_py_async(report: Report, server: Server, protocol: int) -> None:
    """redis-py's asyncio client, many commands at once."""
    client = redis.asyncio.Redis(host=server.host, port=server.port, protocol=protocol)
    await asyncio.gather(*[client.set(f"a:{number}", number) for number in range(200)])
    values = await asyncio.gather(*[client.get(f"a:{number}") for number in range(200)])
    report.equal("asyncio", values, [b"%d" % number for number in range(200)])
    await client.aclose()


async def valkey_glide(report: Report, server: Server, version: glide.ProtocolVersion) -> None:
    """valkey-glide's asyncio client."""
    address = glide.NodeAddress(server.host, server.port)
    configuration = glide.GlideClientConfiguration(
        [address], protocol=version, client_name="martlet-test", request_timeout=5000
    )
    client = await glide.GlideClient.create(configuration)
    try:
        await client.flushall()
        report.equal("PING", await client.ping(), b"PONG")
        expiry = glide.ExpirySet(glide.ExpiryType.SEC, 100)
        report.equal("SET", await client.set("s", "1", expiry=expiry), "OK")
        report.equal("GET", await client.get("s"), b"1")
        report.check("TTL", 0 < await client.ttl("s") <= 100)
        report.equal("INCR", await client.incr("n"), 1)
        report.equal("MGET", await client.mget(["s", "none"]), [b"1", None])
        report.equal("HSET", await client.hset("h", {"a": "1", "b": "2"}), 2)
        report.equal("HGETALL", await client.hgetall("h"), {b"a": b"1", b"b": b"2"})
        report.equal("SADD", await client.sadd("m", ["x", "y"]), 2)
        report.equal("SMEMBERS", await client.smembers("m"), {b"x", b"y"})
        report.equal("SISMEMBER", await client.sismember("m", "x"), True)
        report.equal("INCRBYFLOAT", await client.incrbyfloat("f", 0.5), 0.5)
        report.equal("EXPIRE", await client.expire("h", 50), True)
        report.equal("TYPE", await client.type("h"), b"hash")
        await glide_batches(report, client)
        name = await client.client_getname()
        report.equal("CLIENT GETNAME", name, b"martlet-test")
        report.check("INFO", b"redis_version" in await client.info())
    finally:
        await client.close()


async def glide_batches(report: Report, client: glide.GlideClient) -> None:
    """Pipelines, transactions and SCAN through valkey-glide."""
    pipeline = glide.Batch(is_atomic=False)
    for number in range(500):
        pipeline.set(f"p:{number}", str(number))
    report.equal("pipeline of 500", await client.exec(pipeline, True), ["OK"] * 500)
    transaction = glide.Batch(is_atomic=True)
    transaction.set("t", "1").incr("t").hgetall("h")
    result = await client.exec(transaction, True)
    report.equal("transaction", result, ["OK", 2, {b"a": b"1", b"b": b"2"}])
    keys: set[bytes] = set()
    cursor: bytes | str = "0"
    while True:
        answer = await client.scan(cursor, match="p:*", count=100)
        keys.update(answer[1])
        cursor = answer[0]
        if cursor == b"0":
            break
    report.equal("SCAN", len(keys), 500)
    try:
        await client.incr("h")
        report.check("WRONGTYPE", False)
    except glide.RequestError as error:
        report.check("WRONGTYPE", "WRONGTYPE" in str(error), error)
    custom = await client.custom_command(["OBJECT", "ENCODING", "h"])
    report.equal("custom command", custom, b"listpack")


def main() -> int:
    """All clients in both protocols; 0 when every check held."""
    options = parser(__doc__ or "").parse_args()
    seed_of(options)
    report = Report("clients")
    with Server(options.server_binary) as server:
        for protocol in (2, 3):
            with report.section(f"redis-py, RESP{protocol}"):
                redis_py(report, server, protocol)
                asyncio.run(redis_py_async(report, server, protocol))
        for version in (glide.ProtocolVersion.RESP2, glide.ProtocolVersion.RESP3):
            with report.section(f"valkey-glide, {version.name}"):
                asyncio.run(valkey_glide(report, server, version))
    return report.finish()


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    run(main)
