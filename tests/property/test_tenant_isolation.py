"""Law 3: no alert holds a byte of two tenants' records, whatever their ids and texts are.

A case is a pair of tenants in one history, made to be taken for each other. The histories come from
seeds, as Hypothesis takes longer to draw one than the stages to run it; each is small enough to be
read as it is. What fails names its seed: `a_history(Random(seed))`.
"""

import asyncio
import contextlib
import logging
import math
import multiprocessing
import re
from collections.abc import Coroutine, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from fnmatch import translate
from random import Random
from typing import Any, Final

import orjson
import pytest
import structlog
from builders import JsonObject
from hostile_tenants import MARK, History, Member, a_history, a_text, akin_to, folded
from redis.asyncio import Redis
from stages import Counts, always

from pipeline.adapters.kafka_sinks import read_request, request_value
from pipeline.adapters.memory_alerts import (
    MemoryAlertsTopic,
    MemoryDeadLetters,
    MemoryRequests,
)
from pipeline.adapters.memory_facts import MemoryFacts
from pipeline.adapters.redis_client import connect
from pipeline.adapters.redis_facts import RedisFacts
from pipeline.adapters.redis_keys import Names
from pipeline.core.event_time import EventTime
from pipeline.core.evidence import Key, KeyKind, Matching
from pipeline.core.model import AssignmentId, Position, Risk
from pipeline.core.policy import Policy
from pipeline.localstack import Addresses
from pipeline.ports import Candidate, FactStore
from pipeline.sources.bounds import bounded
from pipeline.sources.decode import Decoder
from pipeline.sources.sieve import Sieve
from pipeline.stages.evaluate import Evaluate
from pipeline.stages.observe import Observe

CHUNKS: Final = 10
CASES: Final = 100_000
KEY_CASES: Final = 30_000
REDIS_HISTORIES: Final = 300
SOURCE: Final = "source"
REQUEST: Final = Position("evaluations", 0, 0)
NAMESPACES: Final = ("mw", "mw1", "mw1.0123456789ab", "mw1:", "v", "e")
NAME: Final = re.compile(r"(mw|mw1|mw1\.0123456789ab|mw1:|v|e)/[eavl](/[\w.~=%@-]*){2,4}", re.ASCII)
SCANS: Final = {one: re.compile(translate(Names(one).all_variants)) for one in NAMESPACES}
POLICIES: Final = tuple(Policy(matching=one) for one in Matching)
SIEVES: Final = {policy.matching: Sieve(policy.matching) for policy in POLICIES}


class Provider:
    """Sieve, decoder and stages of a worker, around a fact store."""

    def __init__(self, facts: FactStore, policy: Policy) -> None:
        self._sieve = SIEVES[policy.matching]
        self._requests = MemoryRequests()
        self.topic = MemoryAlertsTopic()
        self._log = self.topic.open()
        self._observe = Observe(
            facts=facts,
            requests=self._requests,
            letters=MemoryDeadLetters(),
            decode=Decoder(policy.matching),
            windows=policy.windows,
            counts=Counts(),
        )
        self._evaluate = Evaluate(
            facts=facts, policy=policy, clock=lambda: EventTime(0), counts=Counts()
        )

    async def take(self, candidates: Sequence[Candidate]) -> None:
        """Handle a batch of a source topic, then the evaluation requests that follow."""
        admitted = [one for one in candidates if self._sieve.admits(one.value or b"")]
        assert await self._observe(admitted, always)
        requests = [Candidate(REQUEST, request_value(one)) for one in self._requests.sent]
        self._requests.sent.clear()
        asked = [one for one in map(read_request, requests) if one is not None]
        assert len(asked) == len(requests)
        assert await self._evaluate(asked, self._log, always)


@pytest.fixture
def without_logs() -> Iterator[None]:
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.configure(**before)


def test_no_alert_holds_a_byte_of_two_tenants() -> None:
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as pool:
        chunks = list(pool.map(faults_of_chunk, range(CHUNKS)))

    assert sum(pairs for pairs, _ in chunks) >= CASES
    assert [fault for _, faults in chunks for fault in faults] == []


@pytest.mark.stack
@pytest.mark.usefixtures("without_logs")
def test_no_alert_holds_a_byte_of_two_tenants_whose_facts_lie_in_one_redis(
    stack: Addresses, namespace: str
) -> None:
    async def main() -> None:
        client = connect(stack.redis_url)
        async with contextlib.aclosing(client):
            for seed in range(REDIS_HISTORIES):
                await one_history(client, seed)

    async def one_history(client: Redis, seed: int) -> None:
        dice = Random(f"redis {seed}")
        history, policy = a_history(dice), POLICIES[seed % 5 == 0]
        facts = RedisFacts(client, f"{namespace}.{seed}", policy.windows)
        provider = Provider(facts, policy)

        for batch in batches_of(history, dice):
            await provider.take(batch)

        faults = faults_in(history, alerts_on(provider.topic), policy)
        stored = {of async for of in facts.assignments()}
        assert not faults, f"seed {seed}: {faults}: {history}"
        assert {of.tenant_id for of in stored} == {
            written_id(one) for one in history.members if one.is_somebody and one.assigns
        }

    asyncio.run(main())


def test_no_key_is_that_of_two_tenants() -> None:
    meant: dict[str, tuple[object, ...]] = {}
    for seed in range(KEY_CASES):
        dice = Random(f"keys {seed}")
        if seed % 100 == 0:
            meant.clear()  # what is akin was drawn close together
            tenants = [a_text(dice) for _ in range(10)]
            texts = [*tenants, *(a_text(dice) for _ in range(10))]
        tenant = dice.choice(tenants) if dice.random() < 0.3 else akin_to(dice.choice(texts), dice)
        text = dice.choice(texts) if dice.random() < 0.3 else akin_to(tenant, dice)
        space = Names(dice.choice(NAMESPACES))

        for meaning, name in keys_of(space, tenant, text, dice):
            assert meant.setdefault(name, meaning) == meaning, f"seed {seed}: {name}"
            assert NAME.fullmatch(name), f"seed {seed}: {name}"
            scanned = {space.namespace} if meaning[0] == "v" else set()
            assert scanned_by(name) == scanned, f"seed {seed}: {name}"

        told = space.assignment_of(space.variants(AssignmentId(tenant, text)))
        assert told in (None, AssignmentId(tenant, text)), f"seed {seed}"


def faults_of_chunk(chunk: int) -> tuple[int, list[str]]:
    """Run histories of every CHUNKS-th seed; return how many pairs of tenants, and the faults."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    seed, pairs, faults = chunk, 0, list[str]()
    while pairs < CASES / CHUNKS:
        dice = Random(seed)
        history, policy = a_history(dice), POLICIES[seed % 5 == 0]
        provider = Provider(MemoryFacts(policy.windows), policy)
        for batch in batches_of(history, dice):
            finish(provider.take(batch))
        found = faults_in(history, alerts_on(provider.topic), policy)
        faults += [f"seed {seed}: {fault}: {history}" for fault in found]
        pairs += math.comb(len(history.members), 2)
        seed += CHUNKS
    return pairs, faults


def keys_of(
    space: Names, tenant: str, text: str, dice: Random
) -> Iterator[tuple[tuple[object, ...], str]]:
    """Yield what each key of a tenant and a text is about, and its name."""
    kind, bucket = dice.choice(tuple(KeyKind)), dice.randrange(-3, 3)
    about = (space.namespace, tenant, kind, text, bucket)
    yield ("e", *about), space.evidence(tenant, Key(kind, text), bucket)
    yield ("a", *about), space.index(tenant, Key(kind, text), bucket)
    yield ("l", space.namespace, tenant, kind), space.latest(tenant, kind)
    yield ("v", space.namespace, tenant, text), space.variants(AssignmentId(tenant, text))


def scanned_by(name: str) -> set[str]:
    """Return the namespaces in which a scan for all variants finds the name."""
    return {one for one, pattern in SCANS.items() if pattern.match(name)}


def batches_of(history: History, dice: Random) -> Iterator[list[Candidate]]:
    """Yield the values of a history in one batch or two."""
    candidates = [
        Candidate(Position(SOURCE, 0, offset), value)
        for offset, (value, _) in enumerate(history.values)
    ]
    cut = dice.randrange(len(candidates) + 1) if dice.random() < 0.4 else 0
    yield from (batch for batch in (candidates[:cut], candidates[cut:]) if batch)


def finish(running: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine that waits for nothing, without an event loop."""
    while True:
        try:
            running.send(None)
        except StopIteration:
            return


def alerts_on(topic: MemoryAlertsTopic) -> list[tuple[bytes, JsonObject]]:
    """Return every revision in its order: all of its bytes, and what it says."""
    return [
        (
            b"\n".join([one.key, one.value, *(of or b"" for _, of in one.headers)]),
            orjson.loads(one.value),
        )
        for one in topic.records[0]
    ]


def faults_in(
    history: History, alerts: Sequence[tuple[bytes, JsonObject]], policy: Policy
) -> list[str]:
    """Say which alerts hold what is not their tenant's, or lack what is."""
    faults, last = list[str](), dict[int, JsonObject]()
    members = {one.number: one for one in history.members}
    for content, alert in alerts:
        marks = {int(one or other) for one, other in MARK.findall(content)}
        if len(marks) != 1:
            faults.append(f"{alert['alert_id']} holds bytes of {marks}")
            continue
        (number,) = marks
        numbers = {
            history.values[source["offset"]][1][source["index"] or 0] for source in alert["sources"]
        }
        if numbers != marks:
            faults.append(f"an alert of {number} names records of {numbers}")
        if alert["tenant_id"] != written_id(members[number]):
            faults.append(f"an alert of {number} says it is of {alert['tenant_id']!r}")
        if last.setdefault(number, alert)["alert_id"] != alert["alert_id"]:
            faults.append(f"{number} has two alerts")
        last[number] = alert
    if len({alert["alert_id"] for _, alert in alerts}) != len(last):
        faults.append("tenants share an alert id")
    if policy.matching is Matching.REPAIRED:
        faults += [f"{one.number}: not as if alone" for one in history.members if lacks(one, last)]
    return faults


def lacks(member: Member, last: dict[int, JsonObject]) -> bool:
    """Tell whether a tenant's alert is another than if nobody else were there."""
    alert = last.get(member.number)
    if alert is None or not member.is_alerted:
        return member.is_alerted is not (alert is not None)
    kinds = (("risk", "risk"), ("behavior", "behaviors"), ("graph", "graph"))
    return any(
        len(alert["evidence"][field]) != member.evidence.count(kind) for kind, field in kinds
    )


def written_id(member: Member) -> str:
    """Return the tenant of a member as an alert writes it."""
    return bounded(Risk(folded(member.tenant), EventTime(0), "")).tenant_id
