"""Records of many partitions through one consumer, each partition held back while it may not."""

import time
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import timedelta
from typing import Final, NamedTuple, cast

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from pipeline.adapters.kafka_slice import (
    ANSWERS_WITHIN,
    CONSUMER,
    PARTITION_EOF,
    Range,
    heard,
    unavailable,
)
from pipeline.core.errors import BrokerUnavailable

Place = tuple[str, int]
"""A topic and one of its partitions."""

_RECORDS_AT_ONCE: Final = 500
_SLICE_SECONDS: Final = 0.2


class Recorded(NamedTuple):
    """A record as it lies in a topic; `time_ms` is its record time, 0 when it has none."""

    topic: str
    partition: int
    offset: int
    value: bytes | None
    key: bytes | None = None
    headers: Sequence[tuple[str, bytes | None]] = ()
    time_ms: int = 0

    @property
    def place(self) -> Place:
        """The partition in which it lies."""
        return self.topic, self.partition


class KafkaFeed:
    """Reads some ranges side by side, without a group and without commits.

    Args:
        client: How to find the cluster.
        ranges: At most one of each partition.
        within: How long the broker may be silent.
    """

    def __init__(
        self,
        client: Mapping[str, str],
        ranges: Sequence[Range],
        within: timedelta = ANSWERS_WITHIN,
    ) -> None:
        self._consumer = Consumer({**client, **CONSUMER})
        self._within = within.total_seconds()
        self._next = {(one.topic, one.partition): one.first for one in ranges if len(one)}
        self._end = {(one.topic, one.partition): one.end for one in ranges if len(one)}
        self._held_back: set[Place] = set()
        self._silent_since: float | None = None
        self._consumer.assign([TopicPartition(*place, first) for place, first in self._places()])

    def close(self) -> None:
        """Let go of the broker."""
        self._consumer.close()

    @property
    def open(self) -> AbstractSet[Place]:
        """The partitions of which more may come."""
        return self._next.keys()

    def more(self, of: AbstractSet[Place]) -> list[Recorded]:
        """Return further records of some partitions, each one's in order; perhaps none yet.

        Raises:
            BrokerUnavailable: the broker does not answer, or the records are gone.
        """
        try:
            self._hold_back_all_but(of)
            left = sum(self._end[one] - self._next[one] for one in of if one in self._next)
            count = min(_RECORDS_AT_ONCE, max(1, left))
            messages = heard(self._consumer.consume(count, _SLICE_SECONDS))
            self._note_silence(silent=not messages)
            return [one for message in messages if (one := self._taken(message)) is not None]
        except KafkaException as error:
            raise unavailable(", ".join(sorted(topic for topic, _ in self._next)), error) from error

    def _places(self) -> Iterator[tuple[Place, int]]:
        yield from self._next.items()

    def _hold_back_all_but(self, of: AbstractSet[Place]) -> None:
        hold = self._next.keys() - of - self._held_back
        free = self._held_back & of
        if hold:
            self._consumer.pause([TopicPartition(*place) for place in hold])
        if free:
            self._consumer.resume([TopicPartition(*place) for place in free])
        self._held_back = (self._held_back | hold) - free

    def _taken(self, message: Message) -> Recorded | None:
        """Return what is to be handed out, and note how far its partition is."""
        topic, partition, offset = message.topic(), message.partition(), message.offset()
        error = message.error()
        if error is not None and error.code() != PARTITION_EOF:
            raise KafkaException(error)
        if topic is None or partition is None or offset is None:
            return None
        place = topic, partition
        due, end = self._next.get(place), self._end.get(place, 0)
        if due is None or offset < due:
            return None
        # The end of a partition is told with the offset that comes next.
        at = offset if error is not None else offset + 1
        if at < end:
            self._next[place] = at
        else:
            self._close(place)
        return _recorded(message, place, offset) if error is None and offset < end else None

    def _close(self, place: Place) -> None:
        del self._next[place]
        self._held_back.discard(place)
        self._consumer.pause([TopicPartition(*place)])

    def _note_silence(self, *, silent: bool) -> None:
        now = time.monotonic()
        if not silent:
            self._silent_since = None
        elif self._silent_since is None:
            self._silent_since = now
        elif now - self._silent_since > self._within:
            waiting = ", ".join(f"{topic}[{partition}]" for topic, partition in sorted(self._next))
            raise BrokerUnavailable(
                f"{waiting}: nothing comes for {self._within:g} s: is the broker there"
            )


def _recorded(message: Message, place: Place, offset: int) -> Recorded:
    kind, time_ms = message.timestamp()
    # Consumed headers are pairs of a name and bytes or nothing, whatever else the stub allows.
    headers = cast("Sequence[tuple[str, bytes | None]]", message.headers() or ())
    return Recorded(*place, offset, message.value(), message.key(), headers, time_ms if kind else 0)
