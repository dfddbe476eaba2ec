"""A reader as a service of the worker, and its joining anew when ownership is in doubt."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import structlog
from mode import Service

from pipeline.adapters.metrics import Membership, Values
from pipeline.core.errors import BrokerUnavailable, MasswatchError
from pipeline.reader.batch import Partition
from pipeline.reader.counts import Counts
from pipeline.reader.reader import Reader
from pipeline.reader.watch import Progress
from pipeline.worker.source_watch import Sighting

_PAUSE = 0.5

_log = structlog.get_logger()


class Reading(Service):
    """Keeps one reader running for one agent.

    Args:
        agent: The agent that the reader feeds.
        make_reader: Makes a reader, once for each joining of the group; all count on together.
        in_doubt: When it is set, the group is left and joined anew, so that every partition is
            taken over again.
    """

    mundane_level = "debug"

    def __init__(
        self,
        agent: str,
        make_reader: Callable[[Counts], Reader],
        *,
        in_doubt: asyncio.Event,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.agent = agent
        self._make_reader = make_reader
        self._reader: Reader | None = None
        self._counts = Counts()
        self._in_doubt = in_doubt
        self._ending = False

    async def on_start(self) -> None:
        """Join the group for the first time, so that a worker that cannot does not start."""
        self._reader = self._make_reader(self._counts)
        await self._reader.start()

    @Service.task
    async def _read(self) -> None:
        reader = self.reader
        while await self._ran(reader):
            _log.warning("group.left", agent=self.agent)
            await reader.stop()
            reader = await self._joined()
        await reader.stop()

    async def _joined(self) -> Reader:
        """Join the group once more, and wait for the broker for as long as it takes."""
        while True:
            reader = self._reader = self._make_reader(self._counts)
            try:
                await reader.start()
            except BrokerUnavailable as error:
                _log.warning("broker.unavailable", agent=self.agent, error=str(error))
                await self.sleep(_PAUSE)
            else:
                return reader
            if self._ending:
                return reader

    async def _ran(self, reader: Reader) -> bool:
        """Run a reader to its end; true when the group has to be joined anew."""
        self._in_doubt.clear()
        running = asyncio.ensure_future(reader.run())
        doubting = asyncio.ensure_future(self._in_doubt.wait())
        try:
            await asyncio.wait({running, doubting}, return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                running.result()
            return self._in_doubt.is_set() and not self._ending
        finally:
            running.cancel()
            doubting.cancel()
            await asyncio.wait({running, doubting})

    async def end(self) -> None:
        """Wait for running batches, commit, leave the group; bounded."""
        self._ending = True
        if self._reader is not None:
            await self._reader.stop()

    async def on_stop(self) -> None:
        """End the reader, if that has not been done."""
        await self.end()

    @property
    def reader(self) -> Reader:
        """The reader of this joining.

        Raises:
            MasswatchError: the reading has not been started.
        """
        if self._reader is None:
            raise MasswatchError(f"{self.agent}: not started")
        return self._reader

    @property
    def partitions(self) -> frozenset[Partition]:
        """The partitions that are being read."""
        return self._reader.partitions if self._reader is not None else frozenset()

    def membership(self) -> Membership:
        """Tell how the agent has fared in its group since the worker's start."""
        counts = self._counts
        return Membership(
            self.agent,
            take_overs=counts.take_overs,
            commits=counts.commits,
            commits_refused=counts.commits_refused,
            commits_unanswered=counts.commits_unanswered,
            resets=counts.resets,
        )

    def sightings(self) -> Iterator[Sighting]:
        """Yield every partition that is being read, or was since the worker's start."""
        progressing = {one.partition: one for one in self._progress()}
        for partition in self._counts.partitions.keys() | progressing.keys():
            fetched = self._counts.of(partition).fetched
            yield Sighting(partition, fetched, progressing.get(partition))

    def _progress(self) -> Sequence[Progress]:
        return () if self._reader is None else self._reader.progress()

    def values(self) -> Iterator[Values]:
        """Yield how the values of every partition have fared since the worker's start."""
        progressing = {one.partition: one for one in self.reader.progress()}
        for partition in sorted(self._counts.partitions.keys() | progressing.keys()):
            counts = self._counts.of(partition)
            progress = progressing.get(partition)
            yield Values(
                partition.topic,
                partition.partition,
                fetched=counts.fetched,
                sieved=counts.sieved,
                opened=counts.opened,
                dropped=counts.dropped,
                lag=None
                if progress is None or progress.end is None
                else max(0, progress.end - progress.position),
            )
