"""What the reader hands to an agent: a batch of records, and the right to act on it."""

from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from pipeline.ports import Candidate


class Partition(NamedTuple):
    """One partition of one topic."""

    topic: str
    partition: int

    def __str__(self) -> str:
        return f"{self.topic}[{self.partition}]"


class Claim(Protocol):
    """The right to act on one batch, which a rebalance takes away."""

    async def ready(self) -> bool:
        """Wait until effects are allowed; false when the batch is not ours any more."""
        ...

    def done(self) -> None:
        """Say that every effect of the batch is durable."""
        ...

    def drop(self) -> None:
        """Say that no more effects will follow, and that not all are durable."""
        ...


@dataclass(frozen=True, slots=True)
class RecordBatch:
    """A stretch of one partition: how many values it holds, and those that the sieve let through.

    The stretch ends with `last_offset`, whatever lies there (a transaction marker has an offset
    too). `count` is the number of values in it, tombstones included; markers and aborted
    transactions are no values.
    """

    topic: str
    partition: int
    first_offset: int
    last_offset: int
    count: int
    candidates: tuple[Candidate, ...]
    claim: Claim = field(repr=False, compare=False)

    async def ready(self) -> bool:
        """Wait until an effect is allowed; to be asked before **every** effect.

        Returns:
            False when the take-over of the partition is over: somebody else reads the same
            records, so drop the batch without another effect. While the lease has lapsed it
            waits. True holds for as long as session less lease, so the effect that follows has
            to begin at once, and to end within seconds.
        """
        return await self.claim.ready()

    def done(self) -> None:
        """Say that every effect of the batch is durable, so that its offsets may be committed."""
        self.claim.done()

    def drop(self) -> None:
        """Say that no more effects will follow, though not all are durable.

        Its offsets stay uncommitted, so whoever takes the partition over next reads it again; a
        revoke need not wait for it.
        """
        self.claim.drop()

    def __str__(self) -> str:
        return f"{self.topic}[{self.partition}]@{self.first_offset}..{self.last_offset}"
