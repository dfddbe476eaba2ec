"""Shards: what a slice is cut into, so that several processes can scan it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from pipeline.ports import Candidate, Sieve, Spots


class Chunk(Protocol):
    """Values that were read together; to be asked before the next chunk is."""

    @property
    def units(self) -> int:
        """How much of the shard this is, roughly, in the shard's own measure."""
        ...

    def __len__(self) -> int:
        """How many values."""
        ...

    def __iter__(self) -> Iterator[Candidate]:
        """Yield every value, or what is left of them."""
        ...

    def candidates(self, sieve: Spots) -> Iterator[Candidate]:
        """Yield the values that may hold a fact."""
        ...


class Shard(Protocol):
    """A part of a slice. Whatever the cuts between shards, together they hold the same values."""

    @property
    def units(self) -> int:
        """How much there is to do, roughly: bytes of a file, offsets of a partition."""
        ...

    def chunks(self, sieve: Sieve | None = None) -> Iterator[Chunk]:
        """Yield the values, many at once.

        Args:
            sieve: Values that it does not let through are counted, but may be left out.

        Raises:
            ConfigError: a file cannot be read.
            BrokerUnavailable: the broker does not answer.
        """
        ...


@dataclass(frozen=True, slots=True)
class Slice:
    """What is read: shards, the names of what they are parts of, and whose facts are wanted."""

    shards: tuple[Shard, ...]
    sources: tuple[str, ...]
    tenants: frozenset[str] = frozenset()
    warnings: tuple[str, ...] = ()
