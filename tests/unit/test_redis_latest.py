import asyncio
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from memory_redis import Server, SteppedRedis

from pipeline.adapters.redis_facts import RedisFacts
from pipeline.adapters.redis_latest import KnownLatest
from pipeline.core.event_time import EventTime
from pipeline.core.model import Actor, Assignment, Fact, Position, Risk, Seen
from pipeline.core.window import Windows
from pipeline.ports import Latest

TENANT = "5f0c6c0a-0d3c-4c1e-9a57-1d6f5d3f0a11"
NAME = f"mw1.a/l/{TENANT}/risk"
NOON = EventTime(17_700_000_000_000_0000)
ASSIGNMENT = Assignment(
    tenant_id=TENANT,
    audit_event_id="event-1",
    event_time=NOON,
    operation="Create MobileAppAssignment",
    identity="admin@example.org",
    correlation_id="",
    target_types=("AllDevicesAssignmentTarget",),
    split_signals=False,
    actor=Actor(),
)


def seen(fact: Fact) -> Seen[Fact]:
    return Seen(fact, Position("defender.identity-info.v1", 0, 1, 0))


def a_risk(second: int) -> Seen[Fact]:
    at = EventTime(NOON + second * 10_000_000)
    return seen(Risk(TENANT, at, "High", "admin@example.org"))


def at(second: int) -> EventTime:
    return EventTime(NOON + second * 10_000_000)


class Counting(SteppedRedis):
    """Remembers what it was sent, a round trip each."""

    def __init__(self, server: Server) -> None:
        async def at_once() -> None:
            """Wait for nothing."""

        super().__init__(server, at_once)
        self.sent: list[list[tuple[Any, ...]]] = []

    async def send(self, commands: list[tuple[Any, ...]]) -> list[Any]:
        self.sent.append(list(commands))
        return await super().send(commands)

    def last_about_the_latest(self) -> list[list[str]]:
        return [
            [one[0] for one in trip if one[1] == NAME]
            for trip in self.sent
            if any(one[1] == NAME for one in trip)
        ]


def store(client: SteppedRedis, known: KnownLatest | None = None) -> RedisFacts:
    return RedisFacts(client.as_redis(), "mw1.a", Windows(), known=known)


async def latest(client: SteppedRedis) -> Latest:
    facts = store(client)
    await facts.add([seen(ASSIGNMENT)])
    [dossier] = await facts.dossiers([ASSIGNMENT.id])
    return dossier.latest


agents = st.lists(st.integers(0, 9), min_size=1, max_size=4)


@given(
    workers=st.lists(st.lists(agents, min_size=1, max_size=2), min_size=1, max_size=3),
    dice=st.randoms(use_true_random=False),
)
@settings(deadline=None)
def test_the_latest_stays_however_the_commands_of_workers_and_their_agents_interleave(
    workers: list[list[list[int]]], dice: Random
) -> None:
    async def run() -> Latest:
        server = Server()

        async def turn() -> None:
            for _ in range(dice.randint(0, 5)):
                await asyncio.sleep(0)

        async def work(seconds: list[int], known: KnownLatest) -> None:
            facts = store(SteppedRedis(server, turn), known)
            for second in seconds:
                await facts.add([a_risk(second)])

        knowing = [(agents, KnownLatest()) for agents in workers]
        await asyncio.gather(*(work(one, known) for agents, known in knowing for one in agents))
        return await latest(Counting(server))

    found = asyncio.run(run())

    assert found.risk == at(max(max(seconds) for agents in workers for seconds in agents))


def test_an_earlier_fact_than_the_latest_known_is_one_renewal_in_the_same_round_trip() -> None:
    client = Counting(Server())

    async def run() -> Latest:
        known = KnownLatest()
        await store(client, known).add([a_risk(5)])
        await store(client, known).add([a_risk(3)])
        return await latest(client)

    found = asyncio.run(run())

    assert client.last_about_the_latest()[:2] == [["SET"], ["EXPIRE"]]
    assert found.risk == at(5)


def test_what_another_worker_knew_is_put_back_in_a_second_round_trip() -> None:
    client = Counting(Server())

    async def run() -> Latest:
        await store(client).add([a_risk(5)])
        await store(client).add([a_risk(3)])
        return await latest(client)

    found = asyncio.run(run())

    assert client.last_about_the_latest()[:3] == [["SET"], ["SET"], ["SET"]]
    assert found.risk == at(5)


def test_a_latest_that_has_expired_is_written_anew_by_an_earlier_fact() -> None:
    server = Server()
    client = Counting(server)

    async def run() -> Latest:
        known = KnownLatest()
        await store(client, known).add([a_risk(5)])
        del server.data[NAME]
        await store(client, known).add([a_risk(3)])
        return await latest(client)

    assert asyncio.run(run()).risk == at(3)
