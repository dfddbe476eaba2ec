"""Scaling: CPU for the same records with more workers, and with more partitions."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NamedTuple

from pipeline.localstack import Addresses

from . import topic
from .crew import crew
from .records import Load
from .result import Result
from .topic import HeldBack


class Setup(NamedTuple):
    """So many workers of one group, and so many partitions of the topic."""

    workers: int
    partitions: int

    def __str__(self) -> str:
        plural = "s" if self.workers > 1 else ""
        return f"{self.workers} worker{plural}, {self.partitions} partitions"


SETUPS: Final[Sequence[Setup]] = (Setup(1, 4), Setup(2, 4), Setup(1, 64))
"""The first is what the others are compared with."""


@dataclass(frozen=True, slots=True)
class Scaling:
    """Where the servers are, where logs go, and what is read."""

    addresses: Addresses
    logs: Path
    load: Load

    def rounds(self, count: int) -> Iterator[Mapping[str, Result]]:
        """Yield so many rounds; in each, the same records are read by every setup."""
        for number in range(count):
            yield {str(setup): self._read_by(setup, number) for setup in SETUPS}

    def _read_by(self, setup: Setup, number: int) -> Result:
        client = self.addresses.client
        audit = f"bench.scaling.{setup.workers}.{setup.partitions}.{number}"
        load = replace(self.load, partitions=setup.partitions)
        topic.create(client, audit, setup.partitions)
        try:
            held = HeldBack(client, audit, load, "none")
            with crew(self.addresses, self.logs, audit, setup.workers) as workers:
                workers.come_to_rest()
                return workers.drain(held, load)
        finally:
            topic.delete(client, audit)
