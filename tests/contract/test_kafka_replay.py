"""What a replay reads with and writes with, when the broker is there and when it is not."""

from datetime import timedelta

import pytest
from kafka_topic import NOON, KafkaTopic, Put

from pipeline.adapters.kafka_feed import KafkaFeed, Recorded
from pipeline.adapters.kafka_replay import ReplayProducer, cluster_id
from pipeline.adapters.kafka_slice import Range, freeze
from pipeline.core.errors import BrokerUnavailable, ConfigError
from pipeline.localstack import Addresses

NOBODY = {"bootstrap.servers": "127.0.0.1:1"}
NOBODY_FOR_LONG = {**NOBODY, "message.timeout.ms": "300"}


@pytest.fixture
def client(stack: Addresses) -> dict[str, str]:
    return {"bootstrap.servers": stack.bootstrap_servers}


def a_record(number: int = 0) -> Recorded:
    return Recorded("audit", 3, number, b"%d" % number, time_ms=NOON - number)


def all_of(feed: KafkaFeed) -> list[Recorded]:
    found = []
    while feed.open:
        found += feed.more(feed.open)
    return found


@pytest.mark.stack
def test_a_partition_that_is_held_back_goes_on_where_it_was(
    client: dict[str, str], prefix: str
) -> None:
    topic = KafkaTopic(prefix + "audit", client).create(partitions=2)
    topic.put(*(Put(b"%d" % n, partition=n % 2) for n in range(20_000)))
    feed = KafkaFeed(client, freeze(client, [topic.name]).ranges)
    zero, one = (topic.name, 0), (topic.name, 1)
    offsets: dict[int, list[int]] = {0: [], 1: []}
    turns = 0

    # Each in turn, so that one is held back while librdkafka has much of it already.
    while feed.open:
        wanted = {(zero, one)[turns % 2]} & feed.open or set(feed.open)
        for record in feed.more(wanted):
            assert record.place in wanted
            offsets[record.partition].append(record.offset)
        turns += 1
    feed.close()

    assert offsets == {0: list(range(10_000)), 1: list(range(10_000))}


@pytest.mark.stack
def test_a_feed_ends_where_its_ranges_end_though_more_lies_there(
    client: dict[str, str], prefix: str
) -> None:
    topic = KafkaTopic(prefix + "audit", client).create(partitions=3)
    topic.put(*(Put(b"%d" % n, partition=n % 2) for n in range(20)))
    ranges = [Range(topic.name, 0, 2, 5), Range(topic.name, 1, 0, 1), Range(topic.name, 2, 0, 0)]
    feed = KafkaFeed(client, ranges)

    found = all_of(feed)
    feed.close()

    assert sorted((one.partition, one.offset) for one in found) == [(0, 2), (0, 3), (0, 4), (1, 0)]


@pytest.mark.stack
def test_records_deleted_before_they_were_read_are_an_error(
    client: dict[str, str], prefix: str
) -> None:
    topic = KafkaTopic(prefix + "audit", client).create().put(Put(b"0"), Put(b"1"))
    ranges = freeze(client, [topic.name]).ranges
    topic.delete_before(1)
    feed = KafkaFeed(client, ranges)

    with pytest.raises(BrokerUnavailable, match=r"audit: its records were deleted meanwhile"):
        all_of(feed)

    feed.close()


def test_a_feed_without_a_broker_is_told() -> None:
    feed = KafkaFeed(NOBODY, [Range("t", 0, 0, 1)], within=timedelta(seconds=0.5))

    with pytest.raises(BrokerUnavailable, match=r"t\[0\]: nothing comes for 0\.5 s"):
        all_of(feed)

    feed.close()


def test_without_a_broker_every_value_is_told_as_not_delivered() -> None:
    producer = ReplayProducer(NOBODY_FOR_LONG)
    for number in range(3):
        producer.send(a_record(number), "again")

    producer.finish()

    [failures] = producer.failures
    assert (failures.values, failures.earliest_ms) == (3, NOON - 2)
    assert producer.confirmed == {}
    with pytest.raises(BrokerUnavailable, match=r"again: 3 values not delivered.*audit\[3\]@0"):
        producer.raise_failures()


def test_waiting_for_room_ends_when_nothing_is_delivered() -> None:
    producer = ReplayProducer({**NOBODY_FOR_LONG, "queue.buffering.max.messages": "2"})

    for number in range(3):
        producer.send(a_record(number), "again")

    assert producer.failures


def test_a_value_that_no_topic_takes_is_refused_without_a_broker() -> None:
    producer = ReplayProducer(NOBODY_FOR_LONG)

    producer.send(Recorded("audit", 3, 7, b"x" * 10_000_000), "again")

    with pytest.raises(ConfigError, match=r"audit\[3\]@7 .*: raise the topic's max\.message\.byt"):
        producer.raise_failures()


@pytest.mark.stack
def test_a_cluster_is_the_same_by_any_address(client: dict[str, str]) -> None:
    other_name = client["bootstrap.servers"].replace("127.0.0.1", "localhost")

    assert cluster_id({"bootstrap.servers": other_name}) == cluster_id(client)


def test_a_cluster_that_is_away_is_told() -> None:
    with pytest.raises(BrokerUnavailable, match=r"127\.0\.0\.1:1: .*: is the broker there"):
        cluster_id(NOBODY, within=0.5)
