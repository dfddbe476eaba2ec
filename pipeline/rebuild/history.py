"""What the source topics still say of the time for which facts are kept."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from pipeline.adapters.kafka_slice import Range, SliceReader, Values, freeze
from pipeline.core.model import Fact, Position, Seen
from pipeline.ports import Candidate
from pipeline.sources.outcome import Decode, Ignored, Malformed
from pipeline.sources.sieve import Sieve

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Harvest:
    """The facts in some values that came together."""

    values: int
    facts: tuple[Seen[Fact], ...]


class History(Protocol):
    """The past of the source topics; every call blocks."""

    def freeze(self) -> tuple[Range, ...]:
        """Return what there is at this moment.

        Raises:
            BrokerUnavailable: the broker does not answer.
        """
        ...

    def read(self, wanted: Range) -> Iterator[Harvest]:
        """Yield the facts of a range.

        Raises:
            BrokerUnavailable: the broker does not answer, or the records are gone.
        """
        ...

    def stop(self) -> None:
        """Let a reading that runs in another thread end soon."""
        ...

    def close(self) -> None:
        """Give back what it holds open; nothing may be reading."""
        ...


class TopicHistory:
    """The records of topics that were appended since a moment.

    Args:
        client: How to find the cluster.
        topics: Their names.
        since_ms: The moment.
        sieve: The byte test.
        decode: Takes a value apart.
    """

    def __init__(
        self,
        client: Mapping[str, str],
        topics: Sequence[str],
        since_ms: int,
        sieve: Sieve,
        decode: Decode,
    ) -> None:
        self._client = client
        # One consumer for all: to find its brokers takes it a tenth of a second.
        self._reader = SliceReader(client)
        self._topics = topics
        self._since_ms = since_ms
        self._sieve = sieve
        self._decode = decode

    def freeze(self) -> tuple[Range, ...]:
        """Return what there is at this moment. See `History`."""
        frozen = freeze(self._client, self._topics, since_ms=self._since_ms)
        if frozen.cut:
            _log.warning(
                "history.cut",
                partitions=frozen.cut,
                advice="nothing is wrong if the topics are young; else keep them longer than facts",
            )
        return frozen.ranges

    def read(self, wanted: Range) -> Iterator[Harvest]:
        """Yield the facts of a range. See `History`."""
        for values in self._reader.read(wanted):
            yield self._harvest(values)

    def stop(self) -> None:
        """Let a reading that runs in another thread end soon. See `History`."""
        self._reader.stop()

    def close(self) -> None:
        """Let go of the broker. See `History`."""
        self._reader.close()

    def _harvest(self, values: Values) -> Harvest:
        candidates = values.candidates(self._sieve)
        return Harvest(len(values), tuple(one for each in candidates for one in self._facts(each)))

    def _facts(self, candidate: Candidate) -> Iterator[Seen[Fact]]:
        """Yield the facts of a value; what is malformed was dead-lettered by whoever read it."""
        where = candidate.position
        for record in self._decode(candidate.value):
            if not isinstance(record.decoded, Ignored | Malformed):
                position = Position(where.topic, where.partition, where.offset, record.index)
                yield Seen(record.decoded, position)


def beyond(ranges: Sequence[Range], read: Sequence[Range]) -> tuple[Range, ...]:
    """Return what lies in the ranges behind those that have been read."""
    ends = {(one.topic, one.partition): one.end for one in read}
    return tuple(
        Range(one.topic, one.partition, max(one.first, ends.get(place, one.first)), one.end)
        for one in ranges
        for place in [(one.topic, one.partition)]
    )
