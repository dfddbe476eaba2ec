"""What `PlacedFacts` and the marks promise beyond `FactStore`, on a real server."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from builders import a_risk, an_assignment
from redis.asyncio import Connection, ConnectionPool, Redis

from pipeline.adapters.placed_facts import PlacedFacts
from pipeline.adapters.redis_client import connect
from pipeline.adapters.redis_marks import LostMeanwhile, Superseded
from pipeline.adapters.redis_pipelines import call
from pipeline.adapters.redis_placement import Placement, Site
from pipeline.core.errors import StoreUnavailable
from pipeline.core.model import AssignmentId, Fact, Position, Seen
from pipeline.core.window import Windows
from pipeline.localstack import Addresses

pytestmark = pytest.mark.stack

WINDOWS = Windows()
OTHER_RUN = "f" * 40


@dataclass
class Place:
    """One base on a server, and the loop in which it is spoken to."""

    client: Redis
    placement: Placement
    runner: asyncio.Runner

    def facts(self) -> PlacedFacts:
        return PlacedFacts(self.placement, WINDOWS)

    def run(self, awaited: Awaitable[Any]) -> Any:
        async def act() -> Any:
            return await awaited

        return self.runner.run(act())

    def begin(self, name: str = "a") -> Site:
        site: Site = self.run(self.placement.begin(name, WINDOWS))
        return site

    def in_force(self, name: str = "a") -> Site:
        site = self.begin(name)
        self.run(site.put_in_force())
        return site

    def ready(self, name: str = "a") -> Site:
        site = self.in_force(name)
        self.run(site.finish())
        return site

    def flush(self) -> None:
        """Delete all that the base has, as a flush does, and leave others alone."""

        async def delete() -> None:
            for pattern in (f"{{{self.placement.marks.base}}}/*", f"{self.placement.marks.base}.*"):
                async for name in self.client.scan_iter(pattern):
                    await self.client.delete(name)

        self.run(delete())

    def restart(self, namespace: str) -> None:
        """Leave the marks as another run of the server would find them: with a former one's id."""

        async def change() -> None:
            marks = self.placement.marks
            for mark in (marks.ready(namespace), marks.building(namespace)):
                await self.client.set(mark, OTHER_RUN, xx=True)

        self.run(change())


@pytest.fixture
def place(stack: Addresses, namespace: str) -> Iterator[Place]:
    with asyncio.Runner() as runner:
        client = connect(stack.redis_url)
        yield Place(client, Placement(client, namespace), runner)
        runner.run(client.aclose())


def seen(fact: Fact) -> Seen[Fact]:
    return Seen(fact, Position("intune.audit.v1", 0, 1, None))


async def listed(facts: PlacedFacts) -> set[AssignmentId]:
    return {one async for one in facts.assignments()}


ASKED_TO_DECIDE: dict[str, Callable[[PlacedFacts], Awaitable[Any]]] = {
    "dossiers": lambda facts: facts.dossiers([an_assignment().id]),
    "assignments": listed,
}
WRITTEN: dict[str, Callable[[PlacedFacts], Awaitable[Any]]] = {
    "add": lambda facts: facts.add([seen(an_assignment())]),
    "touched": lambda facts: facts.touched([a_risk()]),
}


@pytest.mark.parametrize("name", ASKED_TO_DECIDE | WRITTEN)
def test_without_a_pointer_nothing_is_answered(place: Place, name: str) -> None:
    with pytest.raises(StoreUnavailable, match="has no facts, it is new or was flushed"):
        place.run((ASKED_TO_DECIDE | WRITTEN)[name](place.facts()))


@pytest.mark.parametrize("name", ASKED_TO_DECIDE | WRITTEN)
def test_after_a_flush_nothing_is_answered_though_the_namespace_is_remembered(
    place: Place, name: str
) -> None:
    place.ready()
    facts = place.facts()
    place.run(facts.add([seen(a_risk())]))

    place.flush()

    with pytest.raises(StoreUnavailable, match="has no facts, it is new or was flushed"):
        place.run((ASKED_TO_DECIDE | WRITTEN)[name](facts))


@pytest.mark.parametrize("name", ASKED_TO_DECIDE)
def test_while_a_namespace_is_filled_nothing_is_decided_and_all_is_written(
    place: Place, name: str
) -> None:
    site = place.in_force()
    facts = place.facts()

    place.run(facts.add([seen(an_assignment())]))
    assert place.run(facts.touched([a_risk()])) == {an_assignment().id}
    with pytest.raises(StoreUnavailable, match=r"not complete \(no rebuild of them has ended\)"):
        place.run(ASKED_TO_DECIDE[name](facts))
    place.run(site.finish())

    assert place.run(ASKED_TO_DECIDE[name](facts))


@pytest.mark.parametrize("name", ASKED_TO_DECIDE)
def test_what_another_run_of_the_server_left_is_not_believed(place: Place, name: str) -> None:
    site = place.ready()
    facts = place.facts()
    place.run(facts.add([seen(an_assignment())]))

    place.restart(site.namespace)

    with pytest.raises(StoreUnavailable, match=r"not complete \(the server was restarted, or"):
        place.run(ASKED_TO_DECIDE[name](facts))


def test_who_remembers_a_former_namespace_writes_to_the_one_in_force(place: Place) -> None:
    place.ready("a")
    late, other = place.facts(), place.facts()
    place.run(late.add([seen(an_assignment(event_id="before"))]))
    place.ready("b")

    place.run(late.add([seen(an_assignment(event_id="after"))]))

    assert place.run(listed(other)) == {an_assignment(event_id="after").id}


def test_who_remembers_a_former_namespace_reads_from_the_one_in_force(place: Place) -> None:
    place.ready("a")
    late, other = place.facts(), place.facts()
    place.run(late.add([seen(an_assignment())]))
    place.ready("b")
    facts: list[Fact] = [an_assignment(), a_risk()]

    place.run(other.add([seen(fact) for fact in facts]))

    assert place.run(late.touched(facts[1:])) == {an_assignment().id}
    [dossier] = place.run(late.dossiers([an_assignment().id]))
    assert [one.fact for one in dossier.evidence] == facts[1:]


def test_a_namespace_that_becomes_ready_between_two_reads_is_read_again(place: Place) -> None:
    place.ready("a")
    facts = place.facts()
    place.run(facts.add([seen(an_assignment())]))
    site = place.in_force("b")

    async def read_while_it_becomes_ready() -> None:
        witness = place.placement.complete(site.namespace)
        before = await call(place.client, witness.before)
        await site.finish()
        after = await call(place.client, witness.after)
        witness.judge(before, after)

    with pytest.raises(StoreUnavailable, match="not complete"):
        place.run(read_while_it_becomes_ready())


@pytest.mark.parametrize("step", ["writes", "ends"])
@pytest.mark.parametrize("loss", ["flush", "restart"])
def test_a_rebuild_whose_server_lost_its_beginning_does_not_make_it_ready(
    place: Place, step: str, loss: str
) -> None:
    site = place.in_force()

    if loss == "flush":
        place.flush()
    else:
        place.restart(site.namespace)

    with pytest.raises(LostMeanwhile, match="during a rebuild: start over"):
        place.run(site.facts.add([seen(a_risk())]) if step == "writes" else site.finish())
    assert not place.run(place.placement.look()).is_ready


def test_of_two_rebuilds_the_former_gives_up_and_the_latter_makes_the_store_ready(
    place: Place,
) -> None:
    former = place.in_force("a")
    latter = place.in_force("b")

    with pytest.raises(Superseded, match="leave it to that one"):
        place.run(former.facts.add([seen(a_risk())]))
    with pytest.raises(Superseded, match="leave it to that one"):
        place.run(former.finish())
    assert not place.run(place.placement.look()).is_ready
    place.run(latter.finish())

    assert place.run(place.placement.look()).namespace == latter.namespace
    assert place.run(place.placement.look()).is_ready


def test_an_end_whose_reply_was_lost_can_be_asked_for_again(place: Place) -> None:
    site = place.ready()

    place.run(site.finish())
    former = place.run(site.put_in_force())

    assert former is None
    assert place.run(place.placement.look()).is_ready


def test_a_rebuild_is_seen_until_its_last_sign_of_life(place: Place) -> None:
    site = place.in_force()

    assert place.run(place.placement.look()).is_being_rebuilt
    place.run(site.last_sign_of_life())

    assert not place.run(place.placement.look()).is_being_rebuilt


def test_a_namespace_is_forgotten_with_its_marks_and_no_other(place: Place) -> None:
    former = place.ready("a")
    facts = place.facts()
    place.run(facts.add([seen(an_assignment(event_id=str(number))) for number in range(1_500)]))
    site = place.in_force("b")
    place.run(facts.add([seen(an_assignment())]))
    place.run(site.finish())

    place.run(place.placement.forget(former.namespace))

    async def names(pattern: str) -> list[bytes]:
        return [name async for name in place.client.scan_iter(pattern)]

    assert place.run(names(f"*{former.namespace}*")) == []
    assert place.run(listed(facts)) == {an_assignment().id}


class CountingConnection(Connection):
    """A connection that counts how often something is sent."""

    sent = 0

    async def send_packed_command(self, *args: Any, **settings: Any) -> None:
        CountingConnection.sent += 1
        await super().send_packed_command(*args, **settings)


def test_the_witnesses_take_no_round_trips_of_their_own(
    place: Place, stack: Addresses, namespace: str
) -> None:
    place.ready()
    pool = ConnectionPool.from_url(stack.redis_url, connection_class=CountingConnection, protocol=2)
    facts = PlacedFacts(Placement(Redis.from_pool(pool), namespace), WINDOWS)

    async def trips() -> list[int]:
        await facts.dossiers([an_assignment().id])  # connects, and finds the namespace
        counts = []
        for asked in (
            facts.add([seen(an_assignment()), seen(a_risk())]),
            facts.touched([a_risk()]),
            facts.dossiers([an_assignment().id]),
        ):
            CountingConnection.sent = 0
            await asked
            counts.append(CountingConnection.sent)
        await facts.close()
        return counts

    assert place.run(trips()) == [1, 3, 2]
