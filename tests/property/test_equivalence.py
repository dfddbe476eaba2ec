"""Law 1: whatever the order, batching, duplication, crash or pause, the alerts equal the batch's.

The real stages run over the in-memory ports as bare coroutines. Hypothesis chooses which of them
goes on at each await, which dies there, which is overtaken by another owner and wakes up later.
"""

import json
import zlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from random import Random
from typing import Any, Final

from expectation import alerts_of_the_batch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.adapters.alert_codec import without_arrival
from pipeline.adapters.memory_alerts import (
    MemoryAlerts,
    MemoryAlertsTopic,
    MemoryDeadLetters,
    MemoryRequests,
)
from pipeline.adapters.memory_facts import MemoryFacts
from pipeline.core.errors import LostOwnership
from pipeline.core.event_time import EventTime, format_event_time, parse_event_time
from pipeline.core.evidence import Matching
from pipeline.core.model import AssignmentId, Fact, Position, Seen
from pipeline.core.policy import AllowEntry, Policy, Reason
from pipeline.ports import Candidate, Dossier, FactStore, Published, Revision
from pipeline.sources.decode import Decoder
from pipeline.sources.outcome import Ignored, Malformed
from pipeline.stages.evaluate import Evaluate
from pipeline.stages.observe import Observe

HOUR: Final = 36_000_000_000
NOON: Final = parse_event_time("2026-03-04T12:00:00Z") or EventTime(0)
PARTITIONS: Final = 2


class Turn:
    """Gives the schedule the choice of who goes on."""

    def __await__(self) -> Generator[None, None, None]:
        yield


class TurnFacts:
    """A fact store in which anything may happen before and after every call."""

    def __init__(self, facts: FactStore) -> None:
        self._facts = facts

    async def add(self, facts: Sequence[Seen[Fact]]) -> None:
        for seen in facts:
            await Turn()
            await self._facts.add([seen])

    async def touched(self, facts: Sequence[Fact]) -> frozenset[AssignmentId]:
        await Turn()
        return await self._facts.touched(facts)

    async def dossiers(self, ids: Sequence[AssignmentId]) -> list[Dossier]:
        found: list[Dossier] = []
        for one in ids:
            await Turn()
            found += await self._facts.dossiers([one])
        return found

    def assignments(self) -> AsyncIterator[AssignmentId]:
        return self._facts.assignments()

    async def close(self) -> None:
        await self._facts.close()


class TurnAlerts:
    """An alert log in which anything may happen between deciding and publishing."""

    def __init__(self, log: MemoryAlerts) -> None:
        self._log = log

    def last(self, alert_id: str) -> Published | None:
        return self._log.last(alert_id)

    async def publish(self, revisions: Sequence[Revision]) -> None:
        await Turn()
        await self._log.publish(revisions)
        await Turn()


class TurnRequests(MemoryRequests):
    async def send(self, ids: Sequence[AssignmentId]) -> None:
        await Turn()
        for one in ids:
            await super().send([one])
            await Turn()


class NoCounts:
    def ignored(self, *_: object) -> None: ...
    def handled(self, *_: object) -> None: ...
    def dead_lettered(self, *_: object) -> None: ...
    def unmapped_workspace(self) -> None: ...
    def too_late(self, *_: object) -> None: ...
    def evaluated(self, *_: object) -> None: ...
    def unknown(self) -> None: ...
    def published(self, *_: object) -> None: ...


@dataclass(slots=True)
class Task:
    """A batch in somebody's hands; `again` gives it to somebody else."""

    coroutine: Coroutine[Any, Any, bool]
    again: Callable[[], None]
    log: MemoryAlerts | None = None
    sleeps: bool = False


@dataclass(slots=True)
class World:
    """Sources, workers and topics, in the hands of a schedule."""

    policy: Policy
    schedule: Random
    batches: deque[list[Candidate]]
    crashes_left: int
    topic: MemoryAlertsTopic = field(default_factory=MemoryAlertsTopic)
    requests: TurnRequests = field(default_factory=TurnRequests)
    asked: dict[int, deque[AssignmentId]] = field(default_factory=dict)
    tasks: list[Task] = field(default_factory=list)
    logs: dict[int, MemoryAlerts] = field(default_factory=dict)
    observe: Observe = field(init=False)
    evaluate: Evaluate = field(init=False)

    def __post_init__(self) -> None:
        facts = TurnFacts(MemoryFacts(self.policy.windows))
        self.observe = Observe(
            facts=facts,
            requests=self.requests,
            letters=MemoryDeadLetters(),
            decode=Decoder(self.policy.matching),
            windows=self.policy.windows,
            counts=NoCounts(),
        )
        self.evaluate = Evaluate(
            facts=facts, policy=self.policy, clock=lambda: NOON, counts=NoCounts()
        )
        self.asked = {partition: deque() for partition in range(PARTITIONS)}
        for partition in range(PARTITIONS):
            self.logs[partition] = self.topic.open(partition)

    def run(self) -> None:
        while self.batches or self.tasks or self.requests.sent or any(self.asked.values()):
            self._collect_requests()
            starts: list[Callable[[], None]] = []
            if self.batches and len(self.tasks) < 4:
                starts.append(self._start_observing)
            starts += [
                partial(self._start_evaluating, partition)
                for partition, asked in self.asked.items()
                if asked and not self._is_evaluating(self.logs[partition])
            ]
            awake = [task for task in self.tasks if not task.sleeps]
            actions = starts + [partial(self._step, task) for task in awake]
            if self.crashes_left and self.tasks and self.schedule.random() < 0.1:
                actions = [self._crash, self._pause, self._take_over, self._take_over]
            if not actions or self.schedule.random() < 0.02:
                actions = [self._wake_one] if self.tasks else actions
            self.schedule.choice(actions)()

    def _wake_one(self) -> None:
        self.schedule.choice(self.tasks).sleeps = False

    def _is_evaluating(self, log: MemoryAlerts) -> bool:
        return any(task.log is log for task in self.tasks)

    def _collect_requests(self) -> None:
        for one in self.requests.sent:
            key = f"{one.tenant_id}|{one.audit_event_id}".encode()
            self.asked[zlib.crc32(key) % PARTITIONS].append(one)
        self.requests.sent.clear()

    def _start_observing(self) -> None:
        batch = self.batches.popleft()
        again = partial(self.batches.append, batch)
        self._start(Task(self.observe(batch, is_ready), again))

    def _start_evaluating(self, partition: int) -> None:
        asked, log = self.asked[partition], self.logs[partition]
        ids = [asked.popleft() for _ in range(self.schedule.randint(1, len(asked)))]
        running = self.evaluate(ids, TurnAlerts(log), is_ready)
        self._start(Task(running, partial(asked.extend, ids), log))

    def _start(self, task: Task) -> None:
        self.tasks.append(task)
        self._step(task)

    def _step(self, task: Task) -> None:
        task.sleeps = self.schedule.random() < 0.1
        try:
            task.coroutine.send(None)
        except StopIteration:
            self.tasks.remove(task)
        except LostOwnership:
            self.tasks.remove(task)
            task.again()

    def _crash(self) -> None:
        """Kill whoever holds a batch: somebody else gets it again."""
        self.crashes_left -= 1
        task = self.schedule.choice(self.tasks)
        self.tasks.remove(task)
        task.coroutine.close()
        task.again()

    def _pause(self) -> None:
        """Give a batch of a source to somebody else while its holder sleeps, and wakes up later."""
        self.crashes_left -= 1
        sleeper = self.schedule.choice(self.tasks)
        sleeper.sleeps = True
        if sleeper.log is None:
            sleeper.again()

    def _take_over(self) -> None:
        """Give a partition to somebody else; its last owner sleeps, and wakes up later."""
        self.crashes_left -= 1
        partition = self.schedule.randrange(PARTITIONS)
        for task in self.tasks:
            if task.log is self.logs[partition]:
                task.sleeps = True
                task.again()
        self.logs[partition] = self.topic.open(partition)


async def is_ready() -> bool:
    await Turn()
    return True


def value_of(record: dict[str, object]) -> bytes:
    return json.dumps({"records": [record]}).encode()


def audit(
    tenant: str, actor: str, number: int, at: int, *, delegated: bool, correlation: int
) -> bytes:
    signals = {"Intent": "Required", "Target.Type": "AllDevicesAssignmentTarget"}
    return value_of(
        {
            "time": format_event_time(EventTime(at)),
            "tenantId": tenant,
            "category": "AuditLogs",
            "operationName": "Create MobileAppAssignment",
            "resultType": "Success",
            "correlationId": f"request-{correlation}",
            "identity": actor,
            "properties": {
                "AuditEventId": f"event-{number}",
                "Actor": {
                    "IsDelegatedAdmin": delegated,
                    "UPN": actor.upper(),
                    "ObjectId": f"oid-of-{actor}",
                    "PartnerTenantId": "partner",
                },
                "Targets": [
                    {
                        "Name": "<null>",
                        "ModifiedProperties": [
                            {"Name": name, "New": new} for name, new in signals.items()
                        ],
                    }
                ],
            },
        }
    )


def row(tenant: str, table: str, at: int, **columns: object) -> bytes:
    return value_of(
        {
            "time": "2020-01-01T00:00:00Z",
            "tenantId": tenant,
            "category": f"AdvancedHunting-{table}",
            "properties": {"Timestamp": format_event_time(EventTime(at)), **columns},
        }
    )


tenants = st.sampled_from(["contoso", "fabrikam"])
actors = st.sampled_from(["dana@example.org", "eli@example.org"])
hours = st.sampled_from([-14 * 24, -1, 0, 1, 47, 48])
ticks = st.sampled_from([-1, 0, 1])
times = st.builds(lambda hour, tick: NOON + hour * HOUR + tick, hours, ticks)

audits = st.builds(
    audit,
    tenants,
    actors,
    st.integers(1, 3),
    st.sampled_from([NOON, NOON + 1, NOON + HOUR]),
    delegated=st.sampled_from([False, False, True]),
    correlation=st.integers(1, 2),
)
risks = st.builds(
    lambda tenant, actor, at, level, by_id: row(
        tenant,
        "IdentityInfo",
        at,
        Type="User",
        RiskLevel=level,
        AccountUpn=None if by_id else actor,
        AccountObjectId=f"oid-of-{actor}" if by_id else None,
    ),
    tenants,
    actors,
    times,
    st.sampled_from(["High", "Medium", "Low"]),
    st.booleans(),
)
behaviors = st.builds(
    lambda tenant, actor, at, number: row(
        tenant,
        "BehaviorEntities",
        at,
        EntityType="User",
        ActionType="ImpossibleTravelActivity",
        BehaviorId=f"b{number}",
        AccountName=actor.partition("@")[0],
        AccountDomain="example.org",
    ),
    tenants,
    actors,
    times,
    st.integers(1, 2),
)
requests = st.builds(
    lambda tenant, number, at: row(
        tenant,
        "GraphAPIAuditEvents",
        at,
        ClientRequestId=f"REQUEST-{number}",
        RequestUri="/beta/deviceAppManagement/mobileApps",
        IpAddress=f"203.0.113.{number}",
    ),
    tenants,
    st.integers(1, 2),
    st.sampled_from([NOON - HOUR, NOON, NOON + 3 * HOUR]),
)
histories = st.lists(st.one_of(audits, risks, behaviors, requests), min_size=1, max_size=14)

PARTNER_EXPECTED: Final = AllowEntry(
    name="partner's change window",
    reasons=frozenset({Reason.DELEGATED_ADMIN}),
    owner="soc",
    cause="contract",
    since=EventTime(NOON + 1),
    until=EventTime(NOON + HOUR),
    partner_tenant_id="partner",
)
policies = st.sampled_from(
    [Policy(), Policy(matching=Matching.FAITHFUL), Policy(allow_list=(PARTNER_EXPECTED,))]
)


@settings(max_examples=1000, deadline=None)
@given(histories, policies, st.randoms(use_true_random=True), st.integers(0, 6))
def test_any_delivery_of_a_history_leaves_the_alerts_of_the_batch_evaluation(
    history: list[bytes], policy: Policy, schedule: Random, crashes: int
) -> None:
    world = World(policy, schedule, delivered(history, schedule), crashes)

    world.run()

    assert alerts_on(world.topic) == alerts_of_the_batch(facts_of(history, policy), policy)
    assert every_source_was_delivered(world.topic)
    assert every_revision_says_something_new(world.topic)


def delivered(history: list[bytes], schedule: Random) -> deque[list[Candidate]]:
    """Deal a history out in any order, some of it twice, in batches of any size."""
    values = history + [value for value in history if schedule.random() < 0.3]
    schedule.shuffle(values)
    candidates = [
        Candidate(Position("source", 0, offset), value) for offset, value in enumerate(values)
    ]
    batches: deque[list[Candidate]] = deque()
    while candidates:
        size = schedule.choice([1, 1, 1, 2, 4])
        batches.append(candidates[:size])
        candidates = candidates[size:]
    return batches


def alerts_on(topic: MemoryAlertsTopic) -> dict[str, dict[str, object]]:
    last = {
        record.key: json.loads(record.value)
        for records in topic.records.values()
        for record in records
    }
    return {
        alert["alert_id"]: without_arrival(alert)
        for alert in last.values()
        if alert["status"] == "active"
    }


def facts_of(history: list[bytes], policy: Policy) -> list[Fact]:
    decode = Decoder(policy.matching)
    decoded = [record.decoded for value in history for record in decode(value)]
    return [one for one in decoded if not isinstance(one, Ignored | Malformed)]


def every_revision_says_something_new(topic: MemoryAlertsTopic) -> bool:
    """Revisions count from 1 without a gap or a repeat, and no two neighbours say the same."""
    said: dict[str, list[tuple[int, str]]] = {}
    for records in topic.records.values():
        for record in records:
            alert = json.loads(record.value)
            said.setdefault(alert["alert_id"], []).append((alert["revision"], alert["digest"]))
    return all(
        [number for number, _ in revisions] == list(range(1, len(revisions) + 1))
        and all(one != other for (_, one), (_, other) in pairwise(revisions))
        for revisions in said.values()
    )


def every_source_was_delivered(topic: MemoryAlertsTopic) -> bool:
    return all(
        source["topic"] == "source" and source["index"] == 0
        for records in topic.records.values()
        for record in records
        for source in json.loads(record.value)["sources"]
    )
