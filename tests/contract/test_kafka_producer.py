from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from confluent_kafka import Consumer, Message, TopicPartition

from pipeline.adapters import kafka_admin
from pipeline.adapters.kafka_producer import KafkaProducer
from pipeline.core.errors import BrokerUnavailable
from pipeline.localstack import Addresses
from topics.catalogue import Sources, catalogue

NOBODY_THERE = {"bootstrap.servers": "127.0.0.1:1", "message.timeout.ms": "300"}


def a_topic(prefix: str, client: dict[str, str]) -> str:
    [like] = [one for one in catalogue(partitions=2) if one.name == Sources().audit[0]]
    topic = replace(like, name=prefix + "audit")
    kafka_admin.apply([topic], client, replication=1)
    return topic.name


def read(
    topic: str, partitions: Sequence[int], count: int, client: dict[str, str]
) -> list[Message]:
    consumer = Consumer({**client, "group.id": "reader"})
    consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
    messages = consumer.consume(count, 10)
    consumer.close()
    return messages


@pytest.mark.stack
def test_values_arrive_in_order_with_key_and_headers(stack: Addresses, prefix: str) -> None:
    client = {"bootstrap.servers": stack.bootstrap_servers}
    topic = a_topic(prefix, client)

    with KafkaProducer(client) as producer:
        producer.send(topic, b"0", partition=1)
        producer.send(topic, b"1", b"k", [("h", b"x")], partition=1)

    first, second = read(topic, [1], 2, client)
    assert (first.value(), first.key(), first.headers()) == (b"0", None, None)
    assert (second.value(), second.key(), second.headers()) == (b"1", b"k", [("h", b"x")])


@pytest.mark.stack
def test_a_full_queue_waits_and_loses_nothing(stack: Addresses, prefix: str) -> None:
    client = {"bootstrap.servers": stack.bootstrap_servers}
    topic = a_topic(prefix, client)

    with KafkaProducer({**client, "queue.buffering.max.messages": "5"}) as producer:
        for number in range(500):
            producer.send(topic, b"%d" % number)

    values = {message.value() for message in read(topic, [0, 1], 500, client)}
    assert values == {b"%d" % number for number in range(500)}


@pytest.mark.stack
def test_a_topic_that_is_not_there_is_told(stack: Addresses, prefix: str) -> None:
    client = {"bootstrap.servers": stack.bootstrap_servers, "message.timeout.ms": "2000"}
    producer = KafkaProducer(client)
    producer.send(prefix + "nowhere", b"value")

    with pytest.raises(BrokerUnavailable, match="nowhere: 1 values not delivered"):
        producer.flush()


def test_a_broker_that_does_not_answer_is_told() -> None:
    producer = KafkaProducer(NOBODY_THERE)
    producer.send("topic", b"value")

    with pytest.raises(BrokerUnavailable, match="topic: 1 values not delivered"):
        producer.flush(timedelta(seconds=10))


def test_a_full_queue_without_a_broker_ends_in_an_error_not_in_waiting() -> None:
    producer = KafkaProducer({**NOBODY_THERE, "queue.buffering.max.messages": "2"})

    producer.send("topic", b"one")
    producer.send("topic", b"two")

    with pytest.raises(BrokerUnavailable, match="not delivered"):
        producer.send("topic", b"three")
