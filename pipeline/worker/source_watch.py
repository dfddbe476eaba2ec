"""Watches the sources: how far all workers have read each, and whether one has gone quiet."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Final, NamedTuple

import structlog

from pipeline.adapters.metrics import Metrics
from pipeline.adapters.redis_reaches import Place
from pipeline.core.errors import BrokerUnavailable, StoreUnavailable
from pipeline.core.event_time import TICKS_PER_SECOND, EventTime, format_event_time, ticks
from pipeline.ports import Reach, Reaches
from pipeline.reader.batch import Partition
from pipeline.reader.watch import Progress
from pipeline.worker.reach import PartitionReach, merged, of_all

LOOKS_EVERY: Final = 1.0
EXCHANGES_EVERY: Final = 5
"""Looks between two exchanges with the other workers."""

Exchange = Callable[[Mapping[Place, Reach], Sequence[Place]], Awaitable[dict[Place, Reach]]]
"""Tells the others how far we have read, and returns how far all have."""

_log = structlog.get_logger()


class Sighting(NamedTuple):
    """A partition that this worker reads, or has read: how much of it, and how it fares."""

    partition: Partition
    fetched: int
    progress: Progress | None


class SourceWatch:
    """Knows how far each source has been read, by all workers together.

    What others have read comes from Redis; while that is away, the last that was known stands,
    and nobody is called quiet.

    Args:
        sources: The topics of each source.
        sightings: Looks at the partitions of this worker.
        places: Tells how many partitions each topic has; blocks.
        exchange: Speaks to the other workers.
        clock: The time.
        quiet_after: How long a source may have no record; nothing: as long as it likes.
        margin: How old a sighting may be.
        metrics: Where it shows.
    """

    def __init__(  # noqa: PLR0913 - all have names, and tests replace them
        self,
        sources: Mapping[str, Sequence[str]],
        *,
        sightings: Callable[[], Iterable[Sighting]],
        partitions: Callable[[], Mapping[str, int]],
        exchange: Exchange,
        clock: Callable[[], EventTime],
        quiet_after: timedelta,
        margin: timedelta,
        metrics: Metrics,
    ) -> None:
        self._sources = sources
        self._sightings = sightings
        self._partitions = partitions
        self._exchange = exchange
        self._clock = clock
        self._quiet_after = quiet_after
        self._margin = margin
        self._metrics = metrics
        self._since = clock()
        self._places: Sequence[Place] = ()
        self._ours: dict[Partition, PartitionReach] = {}
        self._reading: frozenset[Partition] = frozenset()
        self._known: dict[Place, Reach] = {}
        self._quiet: set[str] = set()
        self.reaches = Reaches()

    async def run(self) -> None:
        """Look and speak to the others, for ever."""
        while True:
            for _ in range(EXCHANGES_EVERY):
                await asyncio.sleep(LOOKS_EVERY)
                self.look()
            await self.speak()

    def look(self) -> None:
        """Look at the partitions of this worker."""
        now = self._clock()
        sightings = list(self._sightings())
        for one in sightings:
            if one.partition not in self._ours:
                self._ours[one.partition] = PartitionReach(self._margin)
            self._ours[one.partition].look(now, one.fetched, one.progress)
        self._reading = frozenset(one.partition for one in sightings if one.progress is not None)

    async def speak(self) -> None:
        """Tell the others, hear from them, and judge by what all know."""
        try:
            if not self._places:
                self._places = await self._all_places()
            if not self._known:  # before ours goes over what somebody has written
                self._known = await self._exchange({}, self._places)
            ours: dict[Place, Reach] = {
                place: merged(self._known.get(place, Reach()), self._ours[place].reach)
                for place in self._reading
            }
            self._known = await self._exchange(ours, self._places)
        except (StoreUnavailable, BrokerUnavailable):
            return  # readiness, held batches and the readers say so
        self._judge()

    async def _all_places(self) -> Sequence[Place]:
        counts = await asyncio.to_thread(self._partitions)
        topics = dict.fromkeys(topic for of in self._sources.values() for topic in of)
        return [(topic, one) for topic in topics for one in range(counts.get(topic, 0))]

    def _judge(self) -> None:
        now, found = self._clock(), dict[str, Reach]()
        for source, topics in self._sources.items():
            reach = found[source] = of_all(
                one for (topic, _), one in self._known.items() if topic in topics
            )
            self._metrics.source_read(
                source, last_record_at=reach.last_record_at, read_to=reach.read_to
            )
            if self._quiet_after:
                self._judge_quiet(source, reach.last_record_at, now)
        self.reaches = Reaches(
            identity_info=found.get("identity_info", Reach()),
            behavior_entities=found.get("behavior_entities", Reach()),
            graph_activity=found.get("graph_activity", Reach()),
        )

    def _judge_quiet(self, source: str, heard: EventTime | None, now: EventTime) -> None:
        silent = now - (self._since if heard is None else heard)
        is_quiet = silent > ticks(self._quiet_after)
        self._metrics.source_judged(source, is_quiet=is_quiet)
        if is_quiet == (source in self._quiet):
            return
        self._quiet ^= {source}
        topics = self._sources[source]
        if Partition(topics[0], 0) not in self._reading:
            return  # one worker of all says it
        if not is_quiet:
            _log.info("source.resumed", source=source, topics=list(topics))
            return
        _log.warning(
            "source.quieted",
            source=source,
            topics=list(topics),
            last_record_at=None if heard is None else format_event_time(heard),
            seconds=silent // TICKS_PER_SECOND,
            advice="nothing ever came: look at the topics' names, and whether anything is sent "
            "there"
            if heard is None
            else "see whether what fills the topics still runs",
        )
