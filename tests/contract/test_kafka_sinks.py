import asyncio
import hashlib
from dataclasses import replace
from datetime import timedelta
from random import Random

import pytest
from confluent_kafka import Consumer, Message, TopicPartition

from pipeline.adapters import kafka_admin
from pipeline.adapters.kafka_deliveries import Deliveries, Outgoing
from pipeline.adapters.kafka_sinks import (
    KafkaDeadLetters,
    KafkaRequests,
    partition_of,
    read_request,
    request_key,
)
from pipeline.core.errors import BrokerUnavailable, ConfigError
from pipeline.core.model import AssignmentId, Position
from pipeline.localstack import Addresses
from pipeline.ports import Candidate, DeadLetter
from topics.catalogue import EVALUATIONS, catalogue, dlq_of

KIB = 1024


def create(like: str, name: str, client: dict[str, str]) -> None:
    [topic] = [one for one in catalogue(partitions=4) if one.name == like]
    kafka_admin.apply([replace(topic, name=name)], client, replication=1)


def read(topic: str, partitions: int, count: int, client: dict[str, str]) -> list[Message]:
    consumer = Consumer({**client, "group.id": "reader", "auto.offset.reset": "earliest"})
    consumer.assign([TopicPartition(topic, partition, 0) for partition in range(partitions)])
    messages = consumer.consume(count, 10)
    consumer.close()
    assert len(messages) == count
    return messages


@pytest.mark.stack
def test_a_request_comes_back_from_the_partition_of_its_assignment(
    stack: Addresses, prefix: str
) -> None:
    client, topic = {"bootstrap.servers": stack.bootstrap_servers}, prefix + "evaluations"
    create(EVALUATIONS, topic, client)
    ids = [AssignmentId("tenant", f"event-{number}") for number in range(20)]

    async def run() -> None:
        deliveries = Deliveries({**client, "partitioner": "murmur2"})
        await KafkaRequests(deliveries, 4, topic).send(ids)
        await deliveries.close()

    asyncio.run(run())

    messages = read(topic, 4, 20, client)
    read_back = {read_request(Candidate(Position(topic, 0, 0), one.value())) for one in messages}
    assert read_back == set(ids)
    for asked in ids:
        [message] = [one for one in messages if one.key() == request_key(asked)]
        assert message.partition() == partition_of(request_key(asked), 4)


@pytest.mark.stack
def test_a_dead_letter_is_the_untouched_value_and_says_where_it_came_from(
    stack: Addresses, prefix: str
) -> None:
    client, source = {"bootstrap.servers": stack.bootstrap_servers}, prefix + "audit"
    create(dlq_of("intune.audit.v1"), dlq_of(source), client)
    value = bytes(range(256)) * 4 * KIB
    candidate = Candidate(
        Position(source, 3, 81215),
        value,
        key=b"\x00key",
        headers=(("h", b"1"), ("h", b"\xff")),
        timestamp_ms=1_770_000_000_000,
    )

    async def run() -> None:
        deliveries = Deliveries(client)
        letters = [
            DeadLetter(candidate, "Properties: not JSON", 7),
            DeadLetter(candidate, "not JSON", None),
        ]
        await KafkaDeadLetters(deliveries).send(letters)
        await deliveries.close()

    asyncio.run(run())

    first, second = read(dlq_of(source), 1, 2, client)
    assert (first.value(), first.key()) == (value, b"\x00key")
    assert first.headers() == [
        ("h", b"1"),
        ("h", b"\xff"),
        ("masswatch-dlq-reason", b"Properties: not JSON"),
        ("masswatch-dlq-topic", source.encode()),
        ("masswatch-dlq-partition", b"3"),
        ("masswatch-dlq-offset", b"81215"),
        ("masswatch-dlq-index", b"7"),
        ("masswatch-dlq-timestamp", b"1770000000000"),
    ]
    assert ("masswatch-dlq-index", b"null") in (second.headers() or [])


@pytest.mark.stack
def test_a_topic_that_does_not_exist_confirms_nothing(stack: Addresses, prefix: str) -> None:
    client = {"bootstrap.servers": stack.bootstrap_servers}

    async def run() -> None:
        deliveries = Deliveries(client, time_out=timedelta(seconds=2))
        try:
            await KafkaRequests(deliveries, 4, prefix + "missing").send([AssignmentId("t", "e")])
        finally:
            await deliveries.close()

    with pytest.raises(BrokerUnavailable, match="missing: not confirmed"):
        asyncio.run(run())


@pytest.mark.stack
def test_a_record_that_no_topic_can_hold_is_a_matter_of_configuration(
    stack: Addresses, prefix: str
) -> None:
    client = {"bootstrap.servers": stack.bootstrap_servers}
    too_large = Outgoing(prefix + "audit", bytes(3 * KIB * KIB), None)

    async def run() -> None:
        deliveries = Deliveries(client)
        try:
            await deliveries.send([too_large])
        finally:
            await deliveries.close()

    with pytest.raises(ConfigError, match=r"raise the topic's max\.message\.bytes"):
        asyncio.run(run())


def test_without_a_broker_a_send_ends_with_an_error_within_its_time_out() -> None:
    async def run() -> None:
        deliveries = Deliveries({"bootstrap.servers": "127.0.0.1:1"}, time_out=timedelta(seconds=1))
        try:
            await KafkaRequests(deliveries, 1).send([AssignmentId("t", "e")])
        finally:
            await deliveries.close()

    with pytest.raises(BrokerUnavailable, match=r"evaluations\.v1: not confirmed"):
        asyncio.run(run())


@pytest.mark.stack
def test_a_dead_letter_that_no_dlq_could_hold_is_cut_and_says_what_it_was(
    stack: Addresses, prefix: str
) -> None:
    client, source = {"bootstrap.servers": stack.bootstrap_servers}, prefix + "audit"
    create(dlq_of("intune.audit.v1"), dlq_of(source), client)
    value = Random(1).randbytes(5 * KIB * KIB)
    candidate = Candidate(Position(source, 3, 17), value, key=b"k")

    async def run() -> None:
        deliveries = Deliveries(client)
        await KafkaDeadLetters(deliveries).send([DeadLetter(candidate, "not JSON", None)])
        await deliveries.close()

    asyncio.run(run())

    [message] = read(dlq_of(source), 4, 1, client)
    kept, headers = message.value() or b"", dict(message.headers() or [])
    assert KIB * KIB < len(kept) < 2 * KIB * KIB
    assert value.startswith(kept)
    assert headers["masswatch-dlq-truncated-from"] == b"%d" % len(value)
    assert headers["masswatch-dlq-sha256"] == hashlib.sha256(value).hexdigest().encode()
    assert headers["masswatch-dlq-offset"] == b"17"
