"""Both stores against a brute force over all facts, with tenants and texts made to collide."""

import asyncio
import uuid
from collections.abc import Iterator, Sequence
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from pipeline.adapters.memory_facts import MemoryFacts
from pipeline.adapters.redis_client import connect
from pipeline.adapters.redis_facts import RedisFacts
from pipeline.core.event_time import EventTime, ticks
from pipeline.core.evidence import Matching, matches, window_of
from pipeline.core.model import (
    Actor,
    Assignment,
    AssignmentId,
    Behavior,
    Evidence,
    Fact,
    GraphRequest,
    Position,
    Risk,
    Seen,
)
from pipeline.core.window import Windows
from pipeline.localstack import Addresses
from pipeline.ports import FactStore, Latest

WINDOWS = Windows()

tenants = st.sampled_from(["t", "t/i", "T", "", "t" * 200])
texts = st.sampled_from(["", "a", "A", "a/i", "b", "{a}", "*", "İ", "i̇", "none", "b" * 200])
event_times = st.builds(
    lambda start, half_days, hours, more: EventTime(
        start + ticks(timedelta(days=half_days / 2, hours=hours)) + more
    ),
    st.sampled_from([0, ticks(timedelta(days=20_500))]),
    st.integers(-32, 32),
    st.sampled_from([0, -2.5, 2.5]),
    st.integers(-1, 1),
)
ours = st.just("/deviceAppManagement/x")
assignments = st.builds(
    Assignment,
    tenant_id=tenants,
    audit_event_id=st.sampled_from(["", "a", "A", "a/b", "x" * 200]),
    event_time=event_times,
    operation=st.just("Create MobileAppAssignment"),
    identity=texts,
    correlation_id=texts,
    target_types=st.just(("AllDevicesAssignmentTarget",)),
    split_signals=st.booleans(),
    actor=st.builds(Actor, upn=texts, object_id=texts),
)
evidence = st.one_of(
    st.builds(Risk, tenants, event_times, st.just("High"), texts, texts, texts),
    st.builds(Behavior, tenants, event_times, texts, texts, texts, texts, texts),
    st.builds(GraphRequest, tenants, event_times, texts, request_id=texts, uri=ours),
)
sightings = st.builds(
    Seen[Fact],
    assignments | evidence,
    st.builds(Position, st.just("t"), st.just(0), st.integers(0, 3)),
)
batches = st.lists(st.lists(sightings, max_size=12), max_size=4)


def belongs(assignment: Assignment, fact: Evidence) -> bool:
    return window_of(fact, WINDOWS).holds(assignment.event_time, fact.event_time) and any(
        matches(assignment, fact, matching) for matching in Matching
    )


def agrees_with_brute_force(
    store: FactStore, batches: Sequence[Sequence[Seen[Fact]]], runner: asyncio.Runner
) -> None:
    first: dict[Fact, Seen[Fact]] = {}
    for batch in batches:
        runner.run(store.add(batch))
        for seen in batch:
            first.setdefault(seen.fact, seen)
    variants = [fact for fact in first if isinstance(fact, Assignment)]
    all_evidence = [fact for fact in first if not isinstance(fact, Assignment)]
    ids = list(dict.fromkeys(one.id for one in variants))

    for dossier in runner.run(store.dossiers(ids)):
        theirs = [one for one in variants if one.id == dossier.id]
        found = [
            seen for seen in dossier.evidence if any(belongs(one, seen.fact) for one in theirs)
        ]
        assert set(dossier.variants) == {first[one] for one in theirs}
        assert len(dossier.variants) == len(theirs)
        assert len({seen.fact for seen in dossier.evidence}) == len(dossier.evidence)
        assert all(first[seen.fact] == seen for seen in dossier.evidence)
        assert {seen.fact for seen in found} == {
            fact for fact in all_evidence if any(belongs(one, fact) for one in theirs)
        }
        assert dossier.latest == latest_of(dossier.id.tenant_id, all_evidence)
    for fact in first:
        touched = runner.run(store.touched([fact]))
        assert touched >= must_touch(fact, variants)
        assert touched <= {of for of in ids if of.tenant_id == fact.tenant_id}
    assert set(runner.run(listed(store))) == set(ids)


def latest_of(tenant_id: str, all_evidence: Sequence[Evidence]) -> Latest:
    theirs = [fact for fact in all_evidence if fact.tenant_id == tenant_id]
    return Latest(
        *(
            max((fact.event_time for fact in theirs if isinstance(fact, kind)), default=None)
            for kind in (Risk, Behavior, GraphRequest)
        )
    )


def must_touch(fact: Fact, variants: Sequence[Assignment]) -> set[AssignmentId]:
    if isinstance(fact, Assignment):
        return {fact.id}
    return {one.id for one in variants if belongs(one, fact)}


async def listed(store: FactStore) -> list[AssignmentId]:
    return [of async for of in store.assignments()]


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def client(runner: asyncio.Runner, stack: Addresses) -> Iterator[Redis]:
    client = connect(stack.redis_url)
    yield client
    runner.run(client.aclose())


@given(batches=batches)
def test_memory_agrees_with_a_brute_force_over_all_facts(
    runner: asyncio.Runner, batches: list[list[Seen[Fact]]]
) -> None:
    agrees_with_brute_force(MemoryFacts(WINDOWS), batches, runner)


@pytest.mark.stack
@given(batches=batches)
@settings(deadline=None)
def test_redis_agrees_with_a_brute_force_over_all_facts(
    runner: asyncio.Runner, client: Redis, batches: list[list[Seen[Fact]]]
) -> None:
    store = RedisFacts(client, f"t{uuid.uuid4().hex}", WINDOWS)

    agrees_with_brute_force(store, batches, runner)
