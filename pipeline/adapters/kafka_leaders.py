"""Asking the leader of a partition, which may have just become another, or the first."""

import time
from collections.abc import Callable
from typing import Final, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException

_MOVED: Final = (KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE)

_PAUSE: Final = 0.05
"""Seconds between two questions: an election takes a few of them."""

_Answer = TypeVar("_Answer")


def from_the_leader(
    ask: Callable[[], _Answer], consumer: Consumer, topic: str | None, *, within: float
) -> _Answer:
    """Ask, and ask again while a new topic or a change of leader takes its moment.

    Args:
        ask: Asks by the consumer.
        consumer: Learns who leads.
        topic: Whose leaders; None: of all topics.
        within: Seconds until the answer counts for an error.

    Raises:
        KafkaException: as `ask` does.
    """
    deadline = time.monotonic() + within
    while True:
        try:
            return ask()
        except KafkaException as error:
            if error.args[0].code() not in _MOVED or time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE)
            if topic is None:
                consumer.list_topics(timeout=within)
            else:
                consumer.list_topics(topic, within)
