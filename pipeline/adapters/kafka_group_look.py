"""A look at consumer groups that joins none.

librdkafka's admin requests to a group's coordinator are not used: the process ends when one of
them runs out of time (librdkafka issue 4605).
"""

import re
import struct
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any, Final

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from pipeline.adapters.kafka_slice import CONSUMER
from pipeline.adapters.kafka_standing import Place

_INT16: Final = struct.Struct(">h")
_INT32: Final = struct.Struct(">i")
_CAPITAL: Final = re.compile(r"(?<!^)(?=[A-Z])")


def described(admin: AdminClient, group: str, within: float) -> tuple[str, int, frozenset[Place]]:
    """Return a group's state, its number of members, and what these own; blocks.

    The brokers are asked which groups they have: asking where a group is that there is not would
    create Kafka's own topic of groups on a cluster without any.

    Raises:
        LookupError: there is no such group, or our user may not see it.
        KafkaException: no answer in time.
    """
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        # What is to replace it asks the coordinator.
        found: list[Any] = admin.list_groups(group, timeout=within)
    if not found:
        raise LookupError(group)
    [told] = found
    owned = frozenset(place for one in told.members for place in assigned(one.assignment or b""))
    return _CAPITAL.sub(" ", told.state).lower(), len(told.members), owned


def committed(
    client: Mapping[str, str], group: str, places: Iterable[Place], within: float
) -> dict[Place, int]:
    """Return what a group that is there has committed, of those partitions; blocks.

    Raises:
        KafkaException: no answer in time, or our user may not know.
    """
    with closing(member(client, group)) as consumer:
        return committed_by(consumer, places, within)


def member(client: Mapping[str, str], group: str) -> Consumer:
    """Return a consumer that asks for a group, and joins it not; to be closed."""
    return Consumer({**client, **CONSUMER, "group.id": group})


def committed_by(consumer: Consumer, places: Iterable[Place], within: float) -> dict[Place, int]:
    """Return what the group of a `member` has committed, of those partitions; blocks.

    Raises:
        KafkaException: no answer in time, or our user may not know.
    """
    asked = [TopicPartition(*place) for place in places]
    return dict(_offsets(consumer.committed(asked, timeout=within))) if asked else {}


def assigned(assignment: bytes) -> Iterator[Place]:
    """Yield the partitions in a member's assignment, as the consumer protocol writes them."""
    if not assignment:
        return
    position = _INT16.size  # behind the version
    (topics,) = _INT32.unpack_from(assignment, position)
    position += _INT32.size
    for _ in range(topics):
        (length,) = _INT16.unpack_from(assignment, position)
        position += _INT16.size
        topic = assignment[position : position + length].decode()
        position += length
        (count,) = _INT32.unpack_from(assignment, position)
        position += _INT32.size
        for partition in struct.unpack_from(f">{count}i", assignment, position):
            yield Place(topic, partition)
        position += _INT32.size * count


def _offsets(told: Sequence[TopicPartition]) -> Iterator[tuple[Place, int]]:
    for one in told:
        if one.error is not None:
            raise KafkaException(one.error)
        if one.offset >= 0:
            yield Place(one.topic, one.partition), one.offset
