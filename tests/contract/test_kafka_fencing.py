"""Row P of what was seen: opening a transactional producer anew fences the one before."""

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer
from kafka_topic import KafkaTopic

from pipeline.localstack import Addresses

pytestmark = pytest.mark.stack


def opened(topic: KafkaTopic) -> Producer:
    producer = Producer({**topic.client, "transactional.id": topic.name})
    producer.init_transactions(30)
    return producer


def test_who_opens_it_again_fences_the_open_transaction_of_who_had_it(
    stack: Addresses, prefix: str
) -> None:
    topic = KafkaTopic(f"{prefix}fencing", stack.client).create()
    first = opened(topic)
    first.begin_transaction()
    first.produce(topic.name, b"first", partition=0)
    first.flush(30)

    second = opened(topic)
    second.begin_transaction()
    second.produce(topic.name, b"second", partition=0)
    second.commit_transaction(30)

    with pytest.raises(KafkaException) as refused:
        first.commit_transaction(30)
    fault = refused.value.args[0]
    assert fault.code() == KafkaError._FENCED
    assert fault.fatal()
    assert [one.value() for one in topic.messages()] == [b"second"]
