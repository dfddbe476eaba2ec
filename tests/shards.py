"""Shards in memory: values as they would lie in the partitions of topics."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipeline.core.model import Position
from pipeline.ports import Candidate, Sieve, Spots


@dataclass(frozen=True, slots=True)
class HeldShard:
    """Some values of one partition, handed out a few at a time."""

    topic: str
    partition: int
    first: int
    values: tuple[bytes, ...]
    at_once: int = 100

    @property
    def units(self) -> int:
        return len(self.values)

    def chunks(self, sieve: Sieve | None = None) -> Iterator["HeldChunk"]:
        for begin in range(0, len(self.values), self.at_once):
            some = self.values[begin : begin + self.at_once]
            yield HeldChunk(self.topic, self.partition, self.first + begin, some)


@dataclass(frozen=True, slots=True)
class HeldChunk:
    """The values of one hand."""

    topic: str
    partition: int
    first: int
    values: Sequence[bytes]

    @property
    def units(self) -> int:
        return len(self.values)

    def __len__(self) -> int:
        return len(self.values)

    def __iter__(self) -> Iterator[Candidate]:
        for offset, value in enumerate(self.values, self.first):
            yield Candidate(Position(self.topic, self.partition, offset), value)

    def candidates(self, sieve: Spots) -> Iterator[Candidate]:
        return (one for one in self if sieve.spots(one.value or b""))
