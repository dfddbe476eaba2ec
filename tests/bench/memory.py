"""Memory: what a worker takes after so many records, and has taken at most."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pipeline.localstack import Addresses

from . import topic
from .crew import crew
from .measure import memory_of
from .records import Load, Traffic
from .topic import HeldBack

_AUDIT: Final = "bench.memory"
_DISTINCT: Final = 32
"""Few enough for the window of lz4, so that ten million records are 2 GB on the disk."""


@dataclass(frozen=True, slots=True)
class Held:
    """MiB of a worker after so many records: resident now, and at most until now."""

    records: int
    resident: float
    most: float


def measure(
    addresses: Addresses, logs: Path, traffic: Traffic, counts: Sequence[int]
) -> Iterator[Held]:
    """Let one worker read the first count of records, go on to the second, and so on."""
    client = addresses.client
    few = Traffic(traffic.plain[:_DISTINCT], traffic.hits[:_DISTINCT])
    topic.create(client, _AUDIT)
    try:
        with crew(addresses, logs, _AUDIT) as whole:
            [worker] = whole.workers
            whole.come_to_rest()
            read = 0
            for count in sorted(counts):
                load = Load(few, count - read)
                whole.drain(HeldBack(client, _AUDIT, load, "lz4"), load)
                read = count
                yield Held(count, *memory_of(worker.pid))
    finally:
        topic.delete(client, _AUDIT)
