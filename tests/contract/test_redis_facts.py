"""What `RedisFacts` promises beyond `FactStore`: lives, sizes, round trips, and its errors."""

import asyncio
import hashlib
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Connection, ConnectionPool, Redis
from redis.asyncio.client import Pipeline

from pipeline.adapters.redis_client import connect
from pipeline.adapters.redis_facts import NAMES_AT_ONCE, RedisFacts
from pipeline.adapters.redis_pipelines import COMMANDS_AT_ONCE
from pipeline.core.errors import ConfigError, StoreUnavailable
from pipeline.core.event_time import EventTime
from pipeline.core.model import (
    Actor,
    Assignment,
    AssignmentId,
    Behavior,
    Fact,
    GraphRequest,
    Position,
    Risk,
    Seen,
)
from pipeline.core.window import Windows
from pipeline.localstack import Addresses, valkey
from pipeline.localstack.free_port import HOST, free_ports
from pipeline.localstack.process import Process, spawn, stop
from pipeline.localstack.wait import until

WINDOWS = Windows()
KEPT_AT_LEAST = timedelta(days=23).total_seconds()
TENANT = "0f4ad6e2-7c1b-4a3e-9f55-2b8d1c6e9a10"
OBJECT_ID = "7d1f2c3b-4a59-4687-9b0c-d1e2f3a4b5c6"
UPN = "Dana.Administrator@ContosoServices.examp"
SECOND = 10_000_000
THEN = EventTime(2_560 * 8 * 86_400 * SECOND)  # the start of a bucket
LIFE_LEFT = timedelta(milliseconds=200)
SECRET = "correct-horse"  # noqa: S105 - what must not show


def an_assignment(audit_event_id: str = "a3f1") -> Assignment:
    return Assignment(
        tenant_id=TENANT,
        audit_event_id=audit_event_id,
        event_time=THEN,
        operation="Create MobileAppAssignment",
        identity=UPN,
        correlation_id="b2c3d4e5-f6a7-4b89-90ab-cdef01234567",
        target_types=("AllDevicesAssignmentTarget",),
        split_signals=False,
        actor=Actor(upn=UPN, object_id=OBJECT_ID),
    )


def a_risk(number: int = 0) -> Risk:
    return Risk(TENANT, EventTime(THEN + number * SECOND), "High", UPN, UPN, OBJECT_ID)


def a_behavior(number: int = 0) -> Behavior:
    behavior_id = "oa" + hashlib.sha256(bytes([number % 256, number // 256])).hexdigest()
    at, name = EventTime(THEN + number * SECOND + 1), UPN.partition("@")[0]
    return Behavior(TENANT, at, behavior_id, "ImpossibleTravelActivity", UPN, name, OBJECT_ID)


def a_graph_request() -> GraphRequest:
    return GraphRequest(TENANT, THEN, "b2c3d4e5-f6a7-4b89-90ab-cdef01234567", method="POST")


def seen(fact: Fact, offset: int = 123_456_789) -> Seen[Fact]:
    return Seen(fact, Position("defender.behavior-entities.v1", 11, offset, 37))


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture
def client(runner: asyncio.Runner, stack: Addresses) -> Iterator[Redis]:
    client = connect(stack.redis_url)
    yield client
    runner.run(client.aclose())


@dataclass
class OwnRedis:
    """A server that a test may break."""

    folder: Path
    port: int
    process: Process | None = None

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self.port}/0"

    def start(self) -> None:
        service = valkey.service(self.folder)
        self.process = spawn(service.prepare((self.port,)), service.log)
        assert until(lambda: service.answers(self.port), within=service.starts_within)

    def stop(self) -> None:
        if self.process is not None:
            stop(self.process, within=10)


@pytest.fixture
def own(tmp_path: Path) -> Iterator[OwnRedis]:
    (port,) = free_ports(1)
    own = OwnRedis(tmp_path / "redis", port)
    own.start()
    yield own
    own.stop()


async def all_names(client: Redis, namespace: str) -> list[bytes]:
    return [name async for name in client.scan_iter(f"{namespace}/*")]


@pytest.mark.stack
def test_every_key_lives_at_least_as_long_as_facts_must(
    runner: asyncio.Runner, client: Redis, namespace: str
) -> None:
    facts = RedisFacts(client, namespace, WINDOWS)
    all_facts: list[Fact] = [
        an_assignment(),
        an_assignment("x" * 500),
        a_risk(),
        a_behavior(),
        a_graph_request(),
    ]

    async def lives() -> list[int]:
        await facts.add([seen(fact) for fact in all_facts])
        return [await client.ttl(name) for name in await all_names(client, namespace)]

    # two assignments, their index under three keys, evidence under four, the latest of three kinds
    assert [life >= KEPT_AT_LEAST for life in runner.run(lives())] == [True] * 12


@pytest.mark.stack
@pytest.mark.parametrize(
    "touching",
    [a_risk(), replace(an_assignment(), event_time=EventTime(THEN - 1))],
    ids=["evidence", "a copy of another time"],
)
def test_touching_an_assignment_renews_it_under_all_of_its_keys(
    runner: asyncio.Runner, client: Redis, namespace: str, touching: Fact
) -> None:
    facts = RedisFacts(client, namespace, WINDOWS)

    async def lives() -> list[int]:
        await facts.add([seen(an_assignment())])
        names = await all_names(client, namespace)
        for name in names:
            await client.expire(name, 60)
        await facts.add([seen(touching)])
        await facts.touched([touching])
        return [await client.ttl(name) for name in names]

    assert [life >= KEPT_AT_LEAST for life in runner.run(lives())] == [True] * 4


@pytest.mark.stack
def test_a_repeat_renews_the_life_of_evidence(
    runner: asyncio.Runner, client: Redis, namespace: str
) -> None:
    facts = RedisFacts(client, namespace, WINDOWS)

    async def lives() -> list[int]:
        await facts.add([seen(a_risk(), 2)])
        names = await all_names(client, namespace)
        for name in names:
            await client.expire(name, 60)
        await facts.add([seen(a_risk(), 3)])
        return [await client.ttl(name) for name in names]

    # under two keys, and the latest of its kind
    assert [life >= KEPT_AT_LEAST for life in runner.run(lives())] == [True] * 3


@pytest.mark.stack
@pytest.mark.parametrize("lost", ["i", "o"])
def test_of_two_positions_of_one_fact_the_smallest_is_told(
    runner: asyncio.Runner, client: Redis, namespace: str, lost: str
) -> None:
    facts = RedisFacts(client, namespace, WINDOWS)

    async def told() -> set[Seen[Fact]]:
        await facts.add([seen(an_assignment()), seen(a_risk(), 5)])
        await client.delete(*[one async for one in client.scan_iter(f"{namespace}/e/*/{lost}/*")])
        await facts.add([seen(a_risk(), 3)])
        [dossier] = await facts.dossiers([an_assignment().id])
        return set(dossier.evidence)

    assert runner.run(told()) == {seen(a_risk(), 3)}


@pytest.mark.stack
@pytest.mark.parametrize(
    "rows",
    [
        [*map(a_risk, range(5)), *map(a_behavior, range(5))],
        [*map(a_behavior, range(10))],
        [*map(a_risk, range(10))],
    ],
    ids=["mixed", "behaviors", "risk"],
)
def test_ten_rows_of_an_identity_take_at_most_a_kilobyte_under_each_key(
    runner: asyncio.Runner, client: Redis, namespace: str, rows: list[Fact]
) -> None:
    facts = RedisFacts(client, namespace, WINDOWS)

    async def sizes() -> dict[bytes, int]:
        await facts.add([seen(row, 123_456_789 + place) for place, row in enumerate(rows)])
        names = await all_names(client, namespace)
        return {name: await client.memory_usage(name) or 0 for name in names}

    measured = runner.run(sizes())
    assert len(measured) >= 2
    assert all(0 < size <= 1_000 for size in measured.values()), measured


@pytest.mark.stack
def test_an_assignment_that_touches_itself_is_not_written_twice(
    runner: asyncio.Runner, client: Redis, namespace: str
) -> None:
    facts = RedisFacts(client, namespace, WINDOWS)

    async def writes() -> int:
        await facts.add([seen(an_assignment())])
        before = (await client.info("commandstats"))["cmdstat_hsetnx"]["calls"]
        await facts.touched([an_assignment()])
        return int((await client.info("commandstats"))["cmdstat_hsetnx"]["calls"] - before)

    assert runner.run(writes()) == 0


class CountingConnection(Connection):
    """A connection that counts how often something is sent."""

    sent = 0

    async def send_packed_command(self, *args: Any, **settings: Any) -> None:
        type(self).sent += 1
        await super().send_packed_command(*args, **settings)


@pytest.mark.stack
@pytest.mark.parametrize("count", [1, 200])
def test_round_trips_do_not_grow_with_the_batch(
    runner: asyncio.Runner, stack: Addresses, namespace: str, count: int
) -> None:
    class Counting(CountingConnection):
        sent = 0

    pool = ConnectionPool.from_url(stack.redis_url, connection_class=Counting, protocol=2)
    facts = RedisFacts(Redis.from_pool(pool), namespace, WINDOWS)
    assignments = [an_assignment(f"a{number}") for number in range(count)]
    risks = [a_risk(number) for number in range(count)]

    async def trips() -> list[int]:
        await facts.dossiers([AssignmentId(TENANT, "to connect")])
        counts = [Counting.sent]
        await facts.add([*map(seen, assignments), *map(seen, risks)])
        counts.append(Counting.sent)
        assert len(await facts.touched(risks)) == count
        counts.append(Counting.sent)
        await facts.dossiers([one.id for one in assignments])
        counts.append(Counting.sent)
        await facts.close()
        return [after - before for before, after in pairwise(counts)]

    assert runner.run(trips()) == [1, 3, 2]


@pytest.mark.stack
def test_a_batch_of_more_than_one_pipeline_is_written_whole(
    runner: asyncio.Runner, client: Redis, namespace: str
) -> None:
    facts = RedisFacts(client, namespace, WINDOWS)
    rows = [a_behavior(number) for number in range(COMMANDS_AT_ONCE // 2)]

    async def read_back() -> set[Fact]:
        await facts.add([*map(seen, rows), seen(an_assignment())])
        [dossier] = await facts.dossiers([an_assignment().id])
        return {one.fact for one in dossier.evidence}

    assert runner.run(read_back()) == set(rows)


@pytest.mark.stack
def test_namespaces_live_beside_each_other(
    runner: asyncio.Runner, client: Redis, namespace: str
) -> None:
    ours = RedisFacts(client, namespace, WINDOWS)
    theirs = RedisFacts(client, f"{namespace}:2", WINDOWS)

    async def listed() -> list[AssignmentId]:
        await ours.add([seen(an_assignment("a"))])
        await theirs.add([seen(an_assignment("b"))])
        return [of async for of in ours.assignments()]

    assert runner.run(listed()) == [an_assignment("a").id]


@pytest.mark.parametrize("namespace", ["", "a/v", "a*", "a[b]", "{a}", "a b"])
def test_a_namespace_that_could_be_mistaken_is_refused(namespace: str) -> None:
    with pytest.raises(ConfigError, match=r"redis namespace: .*: rename it"):
        RedisFacts(connect("redis://localhost:6379/0"), namespace, WINDOWS)


@pytest.mark.parametrize("url", ["localhost:6379", f"redis://:{SECRET}@host:{SECRET}/0"])
def test_a_url_that_cannot_be_read_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ConfigError, match="redis url: ") as caught:
        connect(url)

    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None


CALLS: dict[str, Callable[[RedisFacts], Any]] = {
    "add": lambda facts: facts.add([seen(a_risk())]),
    "touched": lambda facts: facts.touched([a_risk()]),
    "dossiers": lambda facts: facts.dossiers([an_assignment().id]),
    "assignments": lambda facts: anext(facts.assignments()),
}


def error_of(runner: asyncio.Runner, client: Redis, call: str = "add") -> str:
    async def ask() -> None:
        try:
            await CALLS[call](RedisFacts(client, "masswatch", WINDOWS))
        finally:
            await client.aclose()

    with pytest.raises(StoreUnavailable) as caught:
        runner.run(ask())
    assert SECRET not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("call", CALLS)
def test_without_a_server_every_call_says_that_the_store_is_away(
    runner: asyncio.Runner, call: str
) -> None:
    (port,) = free_ports(1)
    client = connect(f"redis://:{SECRET}@{HOST}:{port}/0")

    said = error_of(runner, client, call)

    assert said == f"redis {HOST}:{port}: not reachable: start it or correct the url"


@pytest.mark.parametrize("call", CALLS)
def test_a_server_that_does_not_answer_is_away_in_time(runner: asyncio.Runner, call: str) -> None:
    with socket.create_server((HOST, 0)) as silent:
        port = silent.getsockname()[1]
        client = connect(f"redis://{HOST}:{port}/0", timedelta(milliseconds=100))
        asked_at = time.monotonic()

        said = error_of(runner, client, call)

    assert time.monotonic() - asked_at < 4  # the client's own default is 5 s
    assert said.startswith(f"redis {HOST}:{port}: does not answer in time: ")


@pytest.mark.stack
@pytest.mark.parametrize("call", CALLS)
def test_a_server_that_stops_between_two_calls_is_away_until_it_is_back(
    runner: asyncio.Runner, own: OwnRedis, call: str
) -> None:
    client = connect(own.url)
    facts = RedisFacts(client, "masswatch", WINDOWS)
    runner.run(facts.add([seen(an_assignment())]))

    own.stop()
    said = error_of(runner, client, call)
    own.start()

    assert said == f"redis {HOST}:{own.port}: not reachable: start it or correct the url"
    runner.run(facts.add([seen(an_assignment())]))
    runner.run(facts.close())


@pytest.mark.stack
@pytest.mark.parametrize(
    ("broken_by", "said"),
    [
        (("CONFIG", "SET", "maxmemory", "1"), "out of memory: raise maxmemory, keep noeviction"),
        (
            ("REPLICAOF", HOST, "1"),
            "is a replica and takes no writes: name the primary",
        ),
        (
            ("CONFIG", "SET", "requirepass", "another"),
            (
                "refuses user or password: correct MASSWATCH_REDIS__USERNAME and "
                "MASSWATCH_REDIS__PASSWORD"
            ),
        ),
        (
            ("ACL", "SETUSER", "default", "-hsetnx"),
            "forbids a command to this user: extend its ACL (README, Least privileges)",
        ),
    ],
    ids=["memory", "replica", "password", "acl"],
)
def test_a_server_that_takes_no_writes_is_told_apart(
    runner: asyncio.Runner, own: OwnRedis, broken_by: tuple[str, ...], said: str
) -> None:
    async def break_it() -> None:
        admin = connect(own.url)
        await admin.execute_command(*broken_by)  # type: ignore[no-untyped-call]
        await admin.aclose()

    runner.run(break_it())

    client = connect(f"redis://:{SECRET}@{HOST}:{own.port}/0" if "pass" in said else own.url)
    assert error_of(runner, client) == f"redis {HOST}:{own.port}: {said}"


@pytest.mark.stack
def test_a_reply_that_is_an_error_fails_the_batch_whichever_it_is(
    runner: asyncio.Runner, client: Redis, namespace: str
) -> None:
    facts = RedisFacts(client, namespace, WINDOWS)

    async def add_over_a_key_of_another_type() -> None:
        await facts.add([seen(a_risk())])
        name = min(await all_names(client, namespace))
        await client.set(name, "taken")
        await facts.add([seen(a_risk(1)), seen(a_risk(2))])

    with pytest.raises(StoreUnavailable, match=r"answers 'WRONGTYPE .*': look at the server"):
        runner.run(add_over_a_key_of_another_type())


class PipelineOfAFlushedServer(Pipeline):
    """Sets lives a moment too late: whatever was written is gone by then."""

    def execute_command(self, *args: Any, **settings: Any) -> Any:
        if args[0] == "EXPIRE":
            args = ("EXPIRE", f"{args[1]}/gone", args[2])
        return super().execute_command(*args, **settings)


class FlushedRedis(Redis):
    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:
        return PipelineOfAFlushedServer(
            self.connection_pool, self.response_callbacks, transaction, shard_hint
        )


@pytest.mark.stack
def test_a_key_that_is_gone_before_its_life_was_set_was_not_written(
    runner: asyncio.Runner, stack: Addresses, namespace: str
) -> None:
    facts = RedisFacts(FlushedRedis.from_url(stack.redis_url, protocol=2), namespace, WINDOWS)

    with pytest.raises(StoreUnavailable, match="a key was gone as soon as it was written"):
        runner.run(facts.add([seen(a_risk())]))

    runner.run(facts.close())


class SlowPipeline(Pipeline):
    """Lets time pass on the server between the first field of a batch and the rest."""

    waits_at: int | None = None

    def execute_command(self, *args: Any, **settings: Any) -> Any:
        queued = super().execute_command(*args, **settings)
        if args[0] == "HSETNX" and self.waits_at is None:
            self.waits_at = len(self.command_stack)
            super().execute_command("BLPOP", f"{args[1]}/nothing", 2 * LIFE_LEFT.total_seconds())
        return queued

    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        replies = await super().execute(raise_on_error)
        if self.waits_at is not None:
            del replies[self.waits_at]
        return replies


class SlowRedis(Redis):
    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:
        return SlowPipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)


@pytest.mark.stack
def test_a_key_whose_life_would_end_while_it_is_written_is_written_whole(
    runner: asyncio.Runner, client: Redis, stack: Addresses, namespace: str
) -> None:
    facts = RedisFacts(SlowRedis.from_url(stack.redis_url, protocol=2), namespace, WINDOWS)
    row = Risk(TENANT, THEN, "High", UPN, UPN, "")  # its account is a field before its own

    async def told() -> set[Fact]:
        await facts.add([seen(an_assignment()), seen(row)])
        [name] = [name async for name in client.scan_iter(f"{namespace}/e/*")]
        await client.pexpire(name, LIFE_LEFT)
        await facts.add([seen(row)])
        [dossier] = await facts.dossiers([an_assignment().id])
        await facts.close()
        return {one.fact for one in dossier.evidence}

    assert runner.run(told()) == {row}


@pytest.mark.stack
def test_a_restart_during_a_scan_is_told_and_the_next_scan_finds_every_assignment(
    runner: asyncio.Runner, own: OwnRedis
) -> None:
    facts = RedisFacts(connect(own.url), "masswatch", WINDOWS)
    assignments = [an_assignment(f"a{number}") for number in range(3 * NAMES_AT_ONCE)]

    async def scan_over_a_restart() -> None:
        await facts.add([*map(seen, assignments)])
        scan = facts.assignments()
        await anext(scan)
        own.stop()
        own.start()
        async for _ in scan:
            pass

    async def scan_again() -> set[AssignmentId]:
        return {of async for of in facts.assignments()}

    with pytest.raises(StoreUnavailable, match=r"was restarted during a scan: scan again"):
        runner.run(scan_over_a_restart())
    assert runner.run(scan_again()) == {one.id for one in assignments}

    runner.run(facts.close())


@pytest.mark.stack
@pytest.mark.parametrize("field", [b"\x23abc", b"\x12abc", b"", b"\x16" + bytes(9)])
def test_what_another_version_wrote_is_not_passed_over(
    runner: asyncio.Runner, client: Redis, namespace: str, field: bytes
) -> None:
    facts = RedisFacts(client, namespace, WINDOWS)

    async def read_it() -> None:
        await facts.add([seen(an_assignment()), seen(a_risk())])
        [name, *_] = [name async for name in client.scan_iter(f"{namespace}/e/*")]
        await client.hset(name, field, b"")
        await facts.dossiers([an_assignment().id])

    with pytest.raises(StoreUnavailable, match=r"cannot read .*: rebuild into another namespace"):
        runner.run(read_it())
