"""Bounded slices of topics, read without a group and without commits: nobody else notices."""

import time
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import accumulate
from typing import Final, Protocol

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from pipeline.adapters.kafka_leaders import from_the_leader
from pipeline.adapters.kafka_refusals import NEVER_JOINED, Complaints, metadata_of, refusal
from pipeline.core.errors import BrokerUnavailable, ConfigError
from pipeline.core.model import Position
from pipeline.ports import Candidate, Headers

ANSWERS_WITHIN: Final = timedelta(seconds=30)
"""How long the broker may be silent before a scan gives up."""

_VALUES_AT_ONCE: Final = 1000
_SLICE_SECONDS: Final = 0.2
PARTITION_EOF: Final = KafkaError._PARTITION_EOF  # noqa: SLF001 - librdkafka's name of an event
_OFFSET_GONE: Final = KafkaError._AUTO_OFFSET_RESET  # noqa: SLF001 - the same
_AWAY_JUST_NOW: Final = (
    KafkaError._ALL_BROKERS_DOWN,  # noqa: SLF001 - the same
    KafkaError._RESOLVE,  # noqa: SLF001 - the same
    KafkaError._TIMED_OUT,  # noqa: SLF001 - the same
    KafkaError._TRANSPORT,  # noqa: SLF001 - the same
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NOT_LEADER_FOR_PARTITION,
)
_NO_SUCH_TOPIC: Final = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.TOPIC_EXCEPTION)
_AFTER_ALL: Final = 2**63 - 1
CONSUMER: Final = {
    "group.id": "masswatch-slice-never-joined",  # librdkafka wants one
    "enable.auto.commit": "false",
    "enable.auto.offset.store": "false",
    "auto.offset.reset": "error",  # a lost offset must not pass for an end or a beginning
    "isolation.level": "read_committed",
    "fetch.wait.max.ms": "10",  # how long an end may stay unnoticed
    "enable.partition.eof": "true",
    "log_level": "0",  # what matters comes back as an error
}
"""A consumer that nobody notices, for offsets that must all be there."""


class Spots(Protocol):
    """Finds decisive words: see `pipeline.sources.sieve.Sieve.spots`."""

    def spots(self, data: bytes | memoryview) -> Sequence[int]:
        """Return the end offset of every decisive word in the data, ascending."""
        ...


@dataclass(frozen=True, slots=True, order=True)
class Range:
    """The offsets [first, end) of one partition; not each of them has to hold a value."""

    topic: str
    partition: int
    first: int
    end: int

    def __str__(self) -> str:
        return f"{self.topic}[{self.partition}]@{self.first}..{self.end}"

    def __len__(self) -> int:
        return max(0, self.end - self.first)

    def parts(self, at_most: int) -> Iterator["Range"]:
        """Yield this range in pieces of at most so many offsets."""
        for first in range(self.first, self.end, at_most):
            yield Range(self.topic, self.partition, first, min(first + at_most, self.end))


@dataclass(frozen=True, slots=True)
class Frozen:
    """A slice whose ends do not move any more.

    `cut` names the partitions that begin only after what was asked for: earlier records have been
    deleted.
    """

    ranges: tuple[Range, ...]
    cut: tuple[str, ...] = ()


class Values:
    """Values that came together, in the order of their partition."""

    def __init__(self, messages: Sequence[Message]) -> None:
        self._messages = messages

    def __len__(self) -> int:
        return len(self._messages)

    @property
    def units(self) -> int:
        """How many offsets this is; those of gaps are nobody's."""
        return len(self._messages)

    def candidates(self, sieve: Spots) -> Iterator[Candidate]:
        """Yield the values that the sieve admits, found in one pass over the bytes of all."""
        values = [message.value() or b"" for message in self._messages]
        # No decisive word holds a zero byte, so none is found across two values: what is let
        # through does not depend on which values came together.
        spots = sieve.spots(b"\0".join(values))
        if not spots:
            return
        ends = list(accumulate(len(value) + 1 for value in values))
        hits = dict.fromkeys(bisect_left(ends, spot) for spot in spots)
        yield from (_candidate(self._messages[index]) for index in hits)

    def __iter__(self) -> Iterator[Candidate]:
        """Yield every value."""
        return map(_candidate, self._messages)


def freeze(
    client: Mapping[str, str],
    topics: Sequence[str],
    *,
    since_ms: int | None = None,
    until_ms: int | None = None,
    within: timedelta = ANSWERS_WITHIN,
) -> Frozen:
    """Find the offsets of a slice, once: what is appended later does not belong to it.

    Of each partition it is what lies from the first record as late as `since_ms` up to the first
    one as late as `until_ms`; where record times go back, records of other times are among it.

    Args:
        client: How to find the cluster.
        topics: Their names; all must exist.
        since_ms: Record time from which on; None: from the beginning.
        until_ms: Record time before which; None: to the last stable offset.
        within: How long the broker may take for an answer.

    Raises:
        ConfigError: topics do not exist.
        BrokerUnavailable: the broker does not answer.
    """
    with _consumer(client, within) as consumer:
        partitions = consumer.partitions(topics)
        begins = consumer.offsets_at(partitions, since_ms)
        ends = consumer.offsets_at(partitions, until_ms)
        ranges, cut = [], []
        for one in partitions:
            place = (one.topic, one.partition)
            low, high = consumer.watermarks(one)
            first = min(max(low, begins.get(place, low)), high)
            ranges.append(Range(*place, first, max(first, min(high, ends.get(place, high)))))
            if 0 < low == first:
                cut.append(f"{one.topic}[{one.partition}]")
    return Frozen(tuple(sorted(ranges)), tuple(sorted(cut)))


class SliceReader:
    """Reads ranges, one after another, through one consumer.

    Args:
        client: How to find the cluster.
        within: How long the broker may be silent.
    """

    def __init__(self, client: Mapping[str, str], within: timedelta = ANSWERS_WITHIN) -> None:
        self._consumer = Consumer({**client, **CONSUMER})
        self._within = within.total_seconds()
        self._known: set[str] = set()
        self._is_stopping = False

    def stop(self) -> None:
        """Let a reading in another thread end soon, as if there were no more."""
        self._is_stopping = True

    def close(self) -> None:
        """Let go of the broker."""
        self._consumer.close()

    def read(self, wanted: Range) -> Iterator[Values]:
        """Yield every committed value of a range.

        Raises:
            BrokerUnavailable: the broker does not answer, or the records are gone.
        """
        if not len(wanted):
            return
        start = TopicPartition(wanted.topic, wanted.partition, wanted.first)
        try:
            if wanted.topic not in self._known:
                # librdkafka takes half a second to find a topic that it is merely assigned.
                self._consumer.list_topics(wanted.topic, self._within)
                self._known.add(wanted.topic)
            self._consumer.assign([start])
            yield from self._values(wanted)
        except KafkaException as error:
            raise unavailable(str(wanted), error) from error
        finally:
            self._consumer.unassign()

    def _values(self, wanted: Range) -> Iterator[Values]:
        deadline = time.monotonic() + self._within
        at, at_the_end = wanted.first, False
        while not at_the_end and not self._is_stopping:
            # Not more than can come, so that the last few are not waited for.
            count = min(_VALUES_AT_ONCE, max(1, wanted.end - at))
            messages = heard(self._consumer.consume(count, _SLICE_SECONDS))
            if not messages:
                if time.monotonic() > deadline:
                    raise BrokerUnavailable(
                        f"{wanted}: nothing comes for {self._within:g} s: is the broker there"
                    )
                continue
            deadline = time.monotonic() + self._within
            at = (messages[-1].offset() or 0) + 1
            messages, at_the_end = _bounded(messages, wanted.end)
            if messages:
                yield Values(messages)


def heard(messages: list[Message]) -> list[Message]:
    """Leave out what only says that a broker is away just now, which counts as silence."""
    if not any(map(Message.error, messages)):
        return messages
    return [one for one in messages if (error := one.error()) is None or not _passes(error)]


def _passes(error: KafkaError) -> bool:
    return error.code() in (*_AWAY_JUST_NOW, NEVER_JOINED) or error.retriable()


def _bounded(messages: list[Message], end: int) -> tuple[list[Message], bool]:
    """Return the values before the end, and whether the end was reached.

    Raises:
        KafkaException: the broker reports an error.
    """
    ahead = (messages[-1].offset() or 0) < end - 1
    if ahead and not any(map(Message.error, messages)):
        return messages, False
    kept: list[Message] = []
    reached = False
    for one in messages:
        error, offset = one.error(), one.offset() or 0
        if error is None:
            if offset < end:
                kept.append(one)
            reached = reached or offset >= end - 1
        elif error.code() == PARTITION_EOF:
            reached = reached or offset >= end
        else:
            raise KafkaException(error)
    return kept, reached


def _candidate(message: Message) -> Candidate:
    kind, timestamp_ms = message.timestamp()
    return Candidate(
        position=Position(message.topic() or "", message.partition() or 0, message.offset() or 0),
        value=message.value(),
        key=message.key(),
        headers=_headers(message),
        timestamp_ms=timestamp_ms if kind else 0,
    )


def _headers(message: Message) -> Headers:
    pairs = message.headers() or ()
    named = pairs.items() if isinstance(pairs, dict) else pairs
    return tuple(
        (name, value.encode() if isinstance(value, str) else value or b"") for name, value in named
    )


class _Asking:
    """A consumer that is asked where records lie, and reads none."""

    def __init__(self, client: Mapping[str, str], within: timedelta) -> None:
        self._heard = Complaints()
        self._where = client.get("bootstrap.servers", "kafka")
        self._consumer = Consumer({**client, **CONSUMER, "error_cb": self._heard})
        self._within = within.total_seconds()

    def close(self) -> None:
        self._consumer.close()

    def partitions(self, topics: Sequence[str]) -> list[TopicPartition]:
        """Return the partitions of all topics.

        Raises:
            ConfigError: some do not exist.
            BrokerRefuses: we are not let in, or may not see one of them.
            BrokerUnavailable: the broker has another reason to tell nothing of one of them.
        """
        found, missing = [], []
        for topic in dict.fromkeys(topics):
            metadata = metadata_of(
                self._consumer, self._heard, self._where, within=self._within, topic=topic
            ).topics[topic]
            if metadata.error is None:
                found += [TopicPartition(topic, one) for one in sorted(metadata.partitions)]
            elif metadata.error.code() in _NO_SUCH_TOPIC:
                missing.append(topic)
            else:
                raise unavailable(f"topic {topic}", KafkaException(metadata.error), "Describe")
        if missing:
            raise ConfigError(
                "\n".join(
                    f"topic {one}: there is none on the cluster: correct the name"
                    for one in missing
                )
            )
        return found

    def offsets_at(
        self, partitions: Sequence[TopicPartition], moment_ms: int | None
    ) -> dict[tuple[str, int], int]:
        """Return the first offset at or after a record time; without a time, none."""
        if moment_ms is None:
            return {}
        asked = [TopicPartition(one.topic, one.partition, max(0, moment_ms)) for one in partitions]
        found = from_the_leader(
            lambda: self._offsets_for_times(asked), self._consumer, None, within=self._within
        )
        # Minus one stands for the end: nothing as late as that.
        return {
            (one.topic, one.partition): one.offset if one.offset >= 0 else _AFTER_ALL
            for one in found
        }

    def watermarks(self, of: TopicPartition) -> tuple[int, int]:
        """Return the first offset and the last stable one."""
        low, high = from_the_leader(
            lambda: self._consumer.get_watermark_offsets(of, self._within, cached=False),
            self._consumer,
            of.topic,
            within=self._within,
        )
        return low, high

    def _offsets_for_times(self, asked: list[TopicPartition]) -> list[TopicPartition]:
        found = self._consumer.offsets_for_times(asked, self._within)
        for one in found:
            if one.error is not None:
                raise KafkaException(one.error)
        return found


@contextmanager
def _consumer(client: Mapping[str, str], within: timedelta) -> Iterator[_Asking]:
    consumer = _Asking(client, within)
    try:
        yield consumer
    except KafkaException as error:
        raise unavailable(client.get("bootstrap.servers", "kafka"), error) from error
    finally:
        consumer.close()


def unavailable(where: str, error: KafkaException, operation: str = "Read") -> BrokerUnavailable:
    """Say what a reader of slices can do about an error of librdkafka's."""
    reason: KafkaError = error.args[0]
    if (refused := refusal(where, reason, operation)) is not None:
        return refused
    if reason.code() == _OFFSET_GONE:
        return BrokerUnavailable(f"{where}: its records were deleted meanwhile: begin again")
    return BrokerUnavailable(f"{where}: {reason.str()}: is the broker there")
