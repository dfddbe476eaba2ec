"""The times of single records, read without a group: how long something has been waiting."""

import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import timedelta
from typing import Final

from confluent_kafka import Consumer, TopicPartition

from pipeline.adapters.kafka_slice import CONSUMER
from pipeline.adapters.kafka_standing import Place

_SETTINGS: Final = {
    **CONSUMER,
    "isolation.level": "read_uncommitted",  # a record of an open transaction waits, too
    "queued.min.messages": "1",  # one batch of each partition is enough
}
_POLL_SECONDS: Final = 0.1


def first_times(
    client: Mapping[str, str], wanted: Sequence[tuple[Place, int]], within: timedelta
) -> dict[tuple[Place, int], int]:
    """Return the record time of the first record at or behind each offset; blocks.

    Args:
        client: librdkafka's settings, `bootstrap.servers` among them.
        wanted: Partitions with an offset; none of them has to hold a record.
        within: How long it may take; what has not come by then is left out.
    """
    found: dict[tuple[Place, int], int] = {}
    left = list(dict.fromkeys(wanted))
    if not left:
        return found
    deadline = time.monotonic() + within.total_seconds()
    while left and time.monotonic() < deadline:
        # A consumer has one offset of a partition at a time, and a partition that was paused
        # may stay so when it is assigned again: so one for each turn.
        turn = dict(reversed(left))
        with closing(Consumer({**client, **_SETTINGS})) as consumer:
            found |= _turn(consumer, turn, deadline)
        left = [one for one in left if turn[one[0]] != one[1]]
    return found


def _turn(
    consumer: Consumer, turn: Mapping[Place, int], deadline: float
) -> dict[tuple[Place, int], int]:
    waiting = dict(turn)
    consumer.assign([TopicPartition(*place, offset) for place, offset in turn.items()])
    found: dict[tuple[Place, int], int] = {}
    while waiting and time.monotonic() < deadline:
        record = consumer.poll(_POLL_SECONDS)
        if record is None:
            continue
        topic, partition = record.topic(), record.partition()
        if topic is None or partition is None:
            continue
        place = Place(topic, partition)
        # What it holds more would come before what others hold.
        consumer.pause([TopicPartition(*place)])
        offset = waiting.pop(place, None)
        if offset is not None and record.error() is None:
            _, found[place, offset] = record.timestamp()
    return found
