import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import pytest
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from undecided import leave_undecided

from pipeline.adapters import kafka_admin
from pipeline.adapters.alert_codec import decode, encode
from pipeline.adapters.kafka_alerts import KafkaAlerts
from pipeline.adapters.memory_alerts import MemoryAlerts, MemoryAlertsTopic
from pipeline.core.errors import BrokerUnavailable, LostOwnership
from pipeline.core.evaluate import evaluate
from pipeline.core.event_time import EventTime
from pipeline.core.model import Actor, Assignment, Position, Risk
from pipeline.core.policy import Policy
from pipeline.core.verdict import fact_id
from pipeline.localstack import Addresses
from pipeline.ports import Published, Revision, Status
from topics.catalogue import ALERTS, catalogue

TENANT = "5f0c6c0a-0d3c-4c1e-9a57-1d6f5d3f0a11"
NOON = EventTime(17_700_000_000_000_0000)
PARTITION = 1

Log = KafkaAlerts | MemoryAlerts


def a_revision(event: str = "event-1", number: int = 1, status: Status = Status.ACTIVE) -> Revision:
    assignment = Assignment(
        tenant_id=TENANT,
        audit_event_id=event,
        event_time=NOON,
        operation="Create MobileAppAssignment",
        identity="admin@example.org",
        correlation_id="",
        target_types=("AllDevicesAssignmentTarget",),
        split_signals=False,
        actor=Actor(is_delegated_admin=True),
    )
    risk = Risk(TENANT, EventTime(NOON + number), "High", upn="admin@example.org")
    return Revision(
        verdict=evaluate([assignment], [risk], Policy()),
        number=number,
        status=status,
        detected_at=NOON,
        sources=tuple(
            (fact_id(fact), Position("intune.audit.v1", 0, 7, None)) for fact in (assignment, risk)
        ),
        policy_digest="feedfacefeedface",
    )


def a_revision_that_cannot_be_written() -> Revision:
    return replace(a_revision("event-unwritable"), sources=())


@dataclass
class Topic:
    """An alerts topic, real or not: how to take a partition over, and what its readers see."""

    open: Callable[[], Awaitable[Log]]
    committed: Callable[[], list[tuple[str, Published]]]


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.stack)])
def alerts_topic(request: pytest.FixtureRequest) -> Topic:
    if request.param == "memory":
        topic = MemoryAlertsTopic()

        async def open_memory() -> MemoryAlerts:
            return topic.open(PARTITION)

        return Topic(open_memory, lambda: [decode(one.value) for one in topic.records[PARTITION]])
    stack: Addresses = request.getfixturevalue("stack")
    name = request.getfixturevalue("prefix") + "alerts"
    client = {"bootstrap.servers": stack.bootstrap_servers}
    create_alerts_topic(name, client)

    async def open_kafka() -> KafkaAlerts:
        return await KafkaAlerts.open(PARTITION, client=client, application=name, topic=name)

    return Topic(open_kafka, lambda: list(committed_on(client, name)))


def create_alerts_topic(name: str, client: dict[str, str]) -> None:
    [alerts] = [topic for topic in catalogue(partitions=2) if topic.name == ALERTS]
    kafka_admin.apply([replace(alerts, name=name)], client, replication=1)


def committed_on(client: dict[str, str], topic: str) -> Iterator[tuple[str, Published]]:
    consumer = Consumer(
        {
            **client,
            "group.id": "reader",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
        }
    )
    consumer.assign([TopicPartition(topic, PARTITION, 0)])
    while (message := consumer.poll(10)) is not None:
        if (error := message.error()) is not None:
            assert error.code() == KafkaError._PARTITION_EOF, error
            break
        value = message.value()
        assert value is not None
        yield decode(value)
    consumer.close()


@asynccontextmanager
async def opened(topic: Topic) -> AsyncIterator[Log]:
    log = await topic.open()
    try:
        yield log
    finally:
        log.close()


def test_a_partition_without_alerts_has_no_last_revision(alerts_topic: Topic) -> None:
    async def run() -> None:
        async with opened(alerts_topic) as log:
            assert log.last(a_revision().verdict.alert_id) is None

    asyncio.run(run())


def test_what_was_published_is_the_last_revision_at_once_and_after_a_take_over(
    alerts_topic: Topic,
) -> None:
    first, second = a_revision(number=1), a_revision(number=2)
    alert_id = first.verdict.alert_id

    async def run() -> tuple[Published | None, Published | None]:
        async with opened(alerts_topic) as log:
            await log.publish([first])
            await log.publish([second])
            at_once = log.last(alert_id)
        async with opened(alerts_topic) as log:
            return at_once, log.last(alert_id)

    at_once, later = asyncio.run(run())

    assert at_once is not None
    assert (at_once.number, at_once.digest) == (2, second.verdict.digest)
    assert [seen.fact for seen in at_once.evidence] == list(second.verdict.risk)
    assert later == at_once
    assert [published.number for _, published in alerts_topic.committed()] == [1, 2]


def test_a_withdrawn_alert_is_still_withdrawn_after_a_take_over(alerts_topic: Topic) -> None:
    withdrawn = a_revision(number=2, status=Status.WITHDRAWN)

    async def run() -> Published | None:
        async with opened(alerts_topic) as log:
            await log.publish([a_revision(), withdrawn])
        async with opened(alerts_topic) as log:
            return log.last(withdrawn.verdict.alert_id)

    last = asyncio.run(run())

    assert last is not None
    assert (last.number, last.status) == (2, Status.WITHDRAWN)
    assert last.evidence


def test_an_earlier_owner_is_fenced_and_publishes_nothing(alerts_topic: Topic) -> None:
    async def run() -> None:
        async with opened(alerts_topic) as earlier, opened(alerts_topic) as later:
            with pytest.raises(LostOwnership):
                await earlier.publish([a_revision("stale")])
            await later.publish([a_revision("fresh")])
            with pytest.raises(LostOwnership):
                await earlier.publish([a_revision("stale")])
            assert earlier.last(a_revision("stale").verdict.alert_id) is None

    asyncio.run(run())

    committed = [alert_id for alert_id, _ in alerts_topic.committed()]
    assert committed == [a_revision("fresh").verdict.alert_id]


def test_a_closed_log_publishes_nothing(alerts_topic: Topic) -> None:
    async def run() -> None:
        log = await alerts_topic.open()
        log.close()
        with pytest.raises(LostOwnership):
            await log.publish([a_revision()])

    asyncio.run(run())

    assert alerts_topic.committed() == []


def test_of_several_revisions_all_are_published_or_none(alerts_topic: Topic) -> None:
    async def run() -> None:
        async with opened(alerts_topic) as log:
            with pytest.raises(KeyError):
                await log.publish([a_revision(), a_revision_that_cannot_be_written()])
            assert log.last(a_revision().verdict.alert_id) is None
            await log.publish([a_revision("one"), a_revision("two")])

    asyncio.run(run())

    assert [alert_id for alert_id, _ in alerts_topic.committed()] == [
        a_revision("one").verdict.alert_id,
        a_revision("two").verdict.alert_id,
    ]


def test_a_thousand_alerts_are_read_back_quickly(alerts_topic: Topic) -> None:
    revisions = [a_revision(f"event-{number}") for number in range(1000)]

    async def run() -> tuple[float, set[int]]:
        async with opened(alerts_topic) as log:
            await log.publish(revisions)
        began = time.monotonic()
        async with opened(alerts_topic) as log:
            took = time.monotonic() - began
            last = [log.last(revision.verdict.alert_id) for revision in revisions]
        return took, {published.number for published in last if published is not None}

    took, numbers = asyncio.run(run())

    assert numbers == {1}
    assert took < 5


def test_an_alert_with_much_evidence_is_read_back_whole(alerts_topic: Topic) -> None:
    revision = a_revision()
    risk = tuple(
        Risk(TENANT, EventTime(NOON - number), "High", upn="admin@example.org")
        for number in range(500)
    )
    revision = replace(
        revision,
        verdict=replace(revision.verdict, risk=risk),
        sources=(
            *revision.sources,
            *((fact_id(fact), Position("defender.identity-info.v1", 0, 1)) for fact in risk),
        ),
    )

    async def run() -> Published | None:
        async with opened(alerts_topic) as log:
            await log.publish([revision])
        async with opened(alerts_topic) as log:
            return log.last(revision.verdict.alert_id)

    last = asyncio.run(run())

    assert last is not None
    assert [seen.fact for seen in last.evidence] == list(risk)


@pytest.mark.stack
def test_the_open_transaction_of_a_dead_owner_is_aborted_by_the_next(
    stack: Addresses, prefix: str
) -> None:
    name = prefix + "alerts"
    client = {"bootstrap.servers": stack.bootstrap_servers}
    create_alerts_topic(name, client)
    half = encode(a_revision("half"))
    dead = Producer({**client, "transactional.id": f"{name}-{PARTITION}", "log_level": 0})
    dead.init_transactions(30)
    dead.begin_transaction()
    dead.produce(name, half.value, half.key, PARTITION)
    dead.flush()

    async def run() -> Published | None:
        log = await KafkaAlerts.open(PARTITION, client=client, application=name, topic=name)
        await log.publish([a_revision("whole")])
        log.close()
        return log.last(a_revision("half").verdict.alert_id)

    last = asyncio.run(run())

    assert last is None
    committed = [alert_id for alert_id, _ in committed_on(client, name)]
    assert committed == [a_revision("whole").verdict.alert_id]


@pytest.mark.stack
def test_a_commit_that_left_no_marker_never_appears_beside_what_the_next_owner_publishes(
    stack: Addresses, prefix: str
) -> None:
    name, revision = prefix + "alerts", a_revision()
    create_alerts_topic(name, stack.client)
    hidden = encode(revision)

    async def run() -> Published | None:
        await leave_undecided(stack.client, f"{name}-{PARTITION}", name, PARTITION, hidden.value)
        log = await KafkaAlerts.open(PARTITION, client=stack.client, application=name, topic=name)
        last = log.last(revision.verdict.alert_id)
        await log.publish([revision])
        log.close()
        return last

    last = asyncio.run(run())

    assert last is None
    assert [published.number for _, published in committed_on(stack.client, name)] == [1]


@pytest.mark.stack
def test_a_partition_is_not_taken_over_while_another_writer_holds_it_undecided(
    stack: Addresses, prefix: str
) -> None:
    name, revision = prefix + "alerts", a_revision()
    create_alerts_topic(name, stack.client)
    other = Producer({**stack.client, "transactional.id": f"{name}-other", "log_level": 0})
    other.init_transactions(30)
    other.begin_transaction()
    foreign = encode(revision)
    other.produce(name, foreign.value, foreign.key, PARTITION)
    other.flush()

    async def run(within: float) -> Published | None:
        log = await KafkaAlerts.open(
            PARTITION, client=stack.client, application=name, topic=name, within=within
        )
        log.close()
        return log.last(revision.verdict.alert_id)

    with pytest.raises(BrokerUnavailable, match="open at @0"):
        asyncio.run(run(within=2))
    other.commit_transaction(30)
    last = asyncio.run(run(within=30))

    assert last is not None
    assert last.number == 1


@pytest.mark.stack
def test_what_readers_do_not_see_is_not_published(stack: Addresses, prefix: str) -> None:
    name, revision = prefix + "alerts", a_revision()
    create_alerts_topic(name, stack.client)

    async def run() -> Published | None:
        log = await KafkaAlerts.open(PARTITION, client=stack.client, application=name, topic=name)
        hidden = encode(a_revision("hidden"))
        await leave_undecided(stack.client, f"{name}-lost", name, PARTITION, hidden.value)
        with pytest.raises(LostOwnership, match="is open at"):
            await log.publish([revision])
        return log.last(revision.verdict.alert_id)

    last = asyncio.run(run())

    assert last is None
    assert list(committed_on(stack.client, name)) == []


def test_a_broker_that_is_away_is_said_to_be_away() -> None:
    async def run() -> None:
        await KafkaAlerts.open(
            0,
            client={"bootstrap.servers": "127.0.0.1:1"},
            application="nobody",
            within=0.5,
        )

    with pytest.raises(BrokerUnavailable, match=r"masswatch\.alerts\.v1\[0\]: not taken over"):
        asyncio.run(run())
