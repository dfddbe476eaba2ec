"""How workers share in Redis how far they have read."""

import asyncio
from collections.abc import Iterator

import pytest
from redis.asyncio import Redis

from pipeline.adapters.redis_client import connect
from pipeline.adapters.redis_reaches import KEPT_FOR, RedisReaches
from pipeline.core.errors import StoreUnavailable
from pipeline.core.event_time import TICKS_PER_SECOND, EventTime
from pipeline.localstack import Addresses
from pipeline.ports import Reach

pytestmark = pytest.mark.stack

ZERO, ONE = ("intune.audit.v1", 0), ("intune.audit.v1", 1)


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture
def client(runner: asyncio.Runner, stack: Addresses) -> Iterator[Redis]:
    client = connect(stack.redis_url)
    yield client
    runner.run(client.aclose())


def test_what_one_worker_has_read_every_other_knows(
    runner: asyncio.Runner, client: Redis, namespace: str
) -> None:
    one, other = RedisReaches(client, namespace), RedisReaches(client, namespace)
    first, second = Reach(EventTime(17), EventTime(-18)), Reach(None, EventTime(19))

    runner.run(one.exchange({ZERO: first}, [ZERO]))
    known = runner.run(other.exchange({ONE: second}, [ONE, ZERO])).reaches

    assert known == {ZERO: first, ONE: second}


def test_nothing_is_known_of_a_partition_that_nobody_has_read(
    runner: asyncio.Runner, client: Redis, namespace: str
) -> None:
    told = runner.run(RedisReaches(client, namespace).exchange({}, [ZERO]))

    assert told.reaches == {ZERO: Reach()}


def test_another_namespace_is_another_pipeline(
    runner: asyncio.Runner, client: Redis, namespace: str
) -> None:
    runner.run(RedisReaches(client, namespace).exchange({ZERO: Reach(EventTime(17))}, [ZERO]))

    known = runner.run(RedisReaches(client, f"{namespace}x").exchange({}, [ZERO])).reaches

    assert known == {ZERO: Reach()}


def test_what_nobody_writes_any_more_expires(
    runner: asyncio.Runner, client: Redis, namespace: str
) -> None:
    runner.run(RedisReaches(client, namespace).exchange({ZERO: Reach(EventTime(17))}, [ZERO]))

    async def life_left() -> int:
        return int(await client.ttl(f"{{{namespace}}}/reach/intune.audit.v1/0"))

    left = runner.run(life_left())

    assert 0 < left <= KEPT_FOR.total_seconds()


@pytest.mark.parametrize("rubbish", ["", "17", "17 x", "1 2 3"])
def test_what_somebody_else_wrote_is_not_believed(
    runner: asyncio.Runner, client: Redis, namespace: str, rubbish: str
) -> None:
    async def write() -> None:
        await client.set(f"{{{namespace}}}/reach/intune.audit.v1/0", rubbish)

    runner.run(write())

    with pytest.raises(StoreUnavailable, match="find out who else writes there"):
        runner.run(RedisReaches(client, namespace).exchange({}, [ZERO]))


def test_the_server_tells_which_time_it_is(
    runner: asyncio.Runner, client: Redis, namespace: str
) -> None:
    async def server_seconds() -> int:
        seconds, _ = await client.time()
        return int(seconds)

    told = runner.run(RedisReaches(client, namespace).exchange({}, []))
    seconds = runner.run(server_seconds())

    assert seconds - 5 <= told.now / TICKS_PER_SECOND < seconds + 1
