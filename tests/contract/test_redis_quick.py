import asyncio
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from pipeline.adapters.redis_client import connect
from pipeline.adapters.redis_pipelines import Command, call
from pipeline.core.errors import StoreUnavailable
from pipeline.localstack import Addresses

pytestmark = pytest.mark.stack

PATIENCE = timedelta(seconds=1)
MOST_OF_IT = "0.7"


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture
def client(runner: asyncio.Runner, stack: Addresses) -> Iterator[Redis]:
    client = connect(stack.redis_url, PATIENCE)
    yield client
    runner.run(client.aclose())


def commands(namespace: str) -> list[Command]:
    hashed, members, text = (f"{namespace}/{name}" for name in ("hash", "set", "text"))
    return [
        ("HSETNX", hashed, b"\xff\r\n", b"\x00"),
        ("HSETNX", hashed, "Zoë", 7),
        ("HGETALL", hashed),
        ("HGETALL", f"{namespace}/nothing"),
        ("SADD", members, b"one", "two"),
        ("SMEMBERS", members),
        ("EXPIRE", members, 60),
        ("EXPIRE", f"{namespace}/nothing", 60),
        ("SET", text, b"", "EX", 60, "GET"),
        ("SET", text, "second", "EX", 60, "GET"),
        ("GET", text),
        ("SMEMBERS", text),
        ("SCAN", 0, "MATCH", f"{namespace}/nothing*", "COUNT", 1_000_000),
    ]


async def replies_of(client: Redis, asked: Sequence[Command]) -> list[Any]:
    async with client.pipeline(transaction=False) as pipe:
        for command in asked:
            options = {"get": True} if command[-1] == "GET" else {}
            pipe.execute_command(*command, **options)
        return list(await pipe.execute(raise_on_error=False))


def test_replies_are_those_of_redis_py(
    runner: asyncio.Runner, client: Redis, stack: Addresses, namespace: str
) -> None:
    async def both() -> list[list[Any]]:
        plain = Redis.from_url(stack.redis_url, protocol=2)
        told = [
            await replies_of(plain, commands(f"{namespace}/theirs")),
            await replies_of(client, commands(f"{namespace}/ours")),
        ]
        await plain.aclose()
        return told

    theirs, ours = runner.run(both())

    assert list(map(repr, ours)) == list(map(repr, theirs))
    assert any(isinstance(one, ResponseError) for one in ours)


def test_what_a_server_tells_of_itself_is_read(runner: asyncio.Runner, client: Redis) -> None:
    [told] = runner.run(call(client, [("INFO", "server")]))

    assert len(told["run_id"]) == 40


def test_a_connection_with_replies_that_nobody_read_is_not_used_again(
    runner: asyncio.Runner, client: Redis, namespace: str
) -> None:
    async def cancelled_and_asked_again() -> list[Any]:
        slow: list[Command] = [
            ("SET", f"{namespace}/a", "1"),
            ("BLPOP", f"{namespace}/nothing", MOST_OF_IT),
        ]
        asking = asyncio.create_task(call(client, [*slow, ("GET", f"{namespace}/a")]))
        while await client.get(f"{namespace}/a") is None:
            pass
        asking.cancel()
        await asyncio.wait({asking})
        return await call(client, [("GET", f"{namespace}/b"), ("GET", f"{namespace}/a")])

    assert runner.run(cancelled_and_asked_again()) == [None, b"1"]


def test_many_replies_may_take_longer_together_than_one_may(
    runner: asyncio.Runner, client: Redis, namespace: str
) -> None:
    wait: Command = ("BLPOP", f"{namespace}/nothing", MOST_OF_IT)
    many: list[Command] = [("GET", f"{namespace}/a")] * 200

    told = runner.run(call(client, [wait, *many, wait, *many]))

    assert told == [None] * 402


def test_one_reply_that_takes_too_long_is_no_reply(
    runner: asyncio.Runner, client: Redis, namespace: str
) -> None:
    too_long: Command = ("BLPOP", f"{namespace}/nothing", "3")

    with pytest.raises(StoreUnavailable, match="does not answer in time"):
        runner.run(call(client, [("GET", f"{namespace}/a"), too_long]))
