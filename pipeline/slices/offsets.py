"""Slices of topics as shards."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pipeline.adapters.kafka_slice import Range, SliceReader
from pipeline.slices.shard import Chunk


@dataclass(frozen=True, slots=True)
class Offsets:
    """Offsets of some partitions, read one after another."""

    ranges: tuple[Range, ...]
    client: Mapping[str, str]

    @property
    def units(self) -> int:
        """How much there is to do: offsets."""
        return sum(map(len, self.ranges))

    def chunks(self) -> Iterator[Chunk]:
        """Yield the committed values, many at once.

        Raises:
            BrokerUnavailable: the broker does not answer, or the records are gone.
        """
        reader = SliceReader(self.client)
        try:
            for one in self.ranges:
                yield from reader.read(one)
        finally:
            reader.close()


def offsets_of(
    ranges: Sequence[Range], client: Mapping[str, str], *, about: int
) -> Iterator[Offsets]:
    """Deal ranges to about so many shards of like size, so that processes end together."""
    size = max(1, -(-sum(map(len, ranges)) // about))
    room, dealt = size, list[Range]()
    for one in ranges:
        first = one.first
        while first < one.end:
            end = min(one.end, first + room)
            dealt.append(Range(one.topic, one.partition, first, end))
            first, room = end, room - (end - first)
            if not room:
                yield Offsets(tuple(dealt), client)
                room, dealt = size, []
    if dealt:
        yield Offsets(tuple(dealt), client)
