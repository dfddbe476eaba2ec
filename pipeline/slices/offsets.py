"""Slices of topics as shards."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pipeline.adapters.kafka_slice import ANSWERS_WITHIN, Range, SliceReader
from pipeline.ports import Candidate, Sieve, Spots
from pipeline.reader.records import Sifted
from pipeline.reader.slices import SiftedSlices
from pipeline.security import aiokafka_of
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

    def chunks(self, sieve: Sieve | None = None) -> Iterator[Chunk]:
        """Yield the committed values, many at once.

        Args:
            sieve: Whoever looks for something else finds less; without it, all values can be had.

        Raises:
            BrokerUnavailable: the broker does not answer, or the records are gone.
        """
        return self._all() if sieve is None else self._sifted(sieve)

    def _all(self) -> Iterator[Chunk]:
        reader = SliceReader(self.client)
        try:
            for one in self.ranges:
                yield from reader.read(one)
        finally:
            reader.close()

    def _sifted(self, sieve: Sieve) -> Iterator[Chunk]:
        reader = SiftedSlices(aiokafka_of(self.client), sieve, ANSWERS_WITHIN)
        try:
            for one in self.ranges:
                for sifted in reader.read(one.topic, one.partition, one.first, one.end):
                    yield _SiftedChunk(sifted)
        finally:
            reader.close()


@dataclass(frozen=True, slots=True)
class _SiftedChunk:
    """What is left of a stretch of a partition."""

    sifted: Sifted

    @property
    def units(self) -> int:
        return self.sifted.next_offset - self.sifted.first_offset

    def __len__(self) -> int:
        return self.sifted.count

    def __iter__(self) -> Iterator[Candidate]:
        return iter(self.sifted.candidates)

    def candidates(self, sieve: Spots) -> Iterator[Candidate]:
        return (one for one in self.sifted.candidates if sieve.spots(one.value or b""))


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
