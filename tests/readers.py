"""What tests of the reader share: an agent, a sieve for one word, and waiting."""

import asyncio
import contextlib
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence

from pipeline.reader.batch import RecordBatch
from pipeline.reader.reader import Reader

NEEDLE = b"needle"


class Needle:
    """A sieve for one word."""

    def spots(self, data: bytes | memoryview) -> Sequence[int]:
        return [found.end() for found in re.finditer(NEEDLE, data)]

    def admits(self, value: bytes) -> bool:
        return NEEDLE in value


class Agent:
    """Takes batches as an agent does; holds those back that it is told to."""

    def __init__(self, holds: Callable[[RecordBatch], bool] = lambda _: False) -> None:
        self.batches: list[RecordBatch] = []
        self.values: Counter[bytes | None] = Counter()
        self.held: list[RecordBatch] = []
        self._holds = holds

    async def deliver(self, batch: RecordBatch) -> None:
        self.batches.append(batch)
        if not await batch.ready():
            return
        self.values.update(candidate.value for candidate in batch.candidates)
        if self._holds(batch):
            self.held.append(batch)
        else:
            batch.done()


@contextlib.asynccontextmanager
async def reading(reader: Reader) -> AsyncIterator[asyncio.Task[None]]:
    """Run a reader, and stop it at the end."""
    await reader.start()
    running = asyncio.create_task(reader.run())
    try:
        yield running
    finally:
        await reader.stop()
    await running


async def until(holds: Callable[[], object], seconds: float = 30) -> None:
    """Wait until it holds; of what happens in a broker no event of ours could tell."""
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


def fetched(reader: Reader) -> int:
    """Return how many values were fetched."""
    return sum(each.fetched for each in reader.counts.partitions.values())
