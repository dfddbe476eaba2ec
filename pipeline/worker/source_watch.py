"""Watches the sources: how far all workers have read each, and whether one has gone quiet."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Final, NamedTuple

import structlog

from pipeline.adapters.metrics import Metrics
from pipeline.adapters.redis_reaches import Place, Told
from pipeline.core.errors import BrokerUnavailable, StoreUnavailable
from pipeline.core.event_time import TICKS_PER_SECOND, EventTime, format_event_time, ticks
from pipeline.ports import Reach, Reaches
from pipeline.reader.batch import Partition
from pipeline.reader.watch import Progress
from pipeline.worker.reach import PartitionReach, believed, merged, of_all, shifted

LOOKS_EVERY: Final = 1.0
EXCHANGES_EVERY: Final = 5
"""Looks between two exchanges with the other workers."""

_COUNTS_EVERY: Final = ticks(timedelta(minutes=1))

Exchange = Callable[[Mapping[Place, Reach], Sequence[Place]], Awaitable[Told]]
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
    and nobody is called quiet. All times that are shared or shown go by the clock of Redis: that
    of a worker may be wrong, and what is reached only grows.

    Args:
        sources: The topics of each source.
        sightings: Looks at the partitions of this worker, whatever their topics.
        partitions: Tells how many partitions each topic has; blocks.
        exchange: Speaks to the other workers.
        clock: Ticks that never go back, from wherever they count.
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
        clock: Callable[[], int],
        quiet_after: timedelta,
        margin: timedelta,
        metrics: Metrics,
    ) -> None:
        self._sources = sources
        self._topics = tuple(dict.fromkeys(topic for of in sources.values() for topic in of))
        self._sightings = sightings
        self._partitions = partitions
        self._exchange = exchange
        self._clock = clock
        self._quiet_after = quiet_after
        self._margin = margin
        self._metrics = metrics
        self._since = clock()
        self._ahead: int | None = None
        self._counted_at = self._since
        self._counts: dict[str, int] = {}
        self._ours: dict[Partition, PartitionReach] = {}
        self._reading: frozenset[Partition] = frozenset()
        self._known: dict[Place, Reach] = {}
        self._quiet: set[str] = set()
        self._told: set[str] = set()
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
        now = EventTime(self._clock())
        sightings = [one for one in self._sightings() if one.partition.topic in self._topics]
        for one in sightings:
            if one.partition not in self._ours:
                self._ours[one.partition] = PartitionReach(self._margin)
            self._ours[one.partition].look(now, one.fetched, one.progress)
        self._reading = frozenset(one.partition for one in sightings if one.progress is not None)

    async def speak(self) -> None:
        """Tell the others, hear from them, and judge by what all know."""
        try:
            places = await self._places()
            if self._ahead is None or not self._known.keys() >= set(places):
                await self._hear({}, places)  # before ours goes over what somebody has written
            ahead = self._ahead or 0
            ours: dict[Place, Reach] = {
                place: merged(
                    self._known.get(place, Reach()), shifted(self._ours[place].reach, ahead)
                )
                for place in self._reading
            }
            now = await self._hear(ours, places)
        except (StoreUnavailable, BrokerUnavailable):
            return  # readiness, held batches and the readers say so
        self._judge(now)

    async def _hear(self, ours: Mapping[Place, Reach], places: Sequence[Place]) -> EventTime:
        told = await self._exchange(ours, places)
        self._ahead = told.now - self._clock()
        self._known = {place: believed(one, told.now) for place, one in told.reaches.items()}
        return told.now

    async def _places(self) -> Sequence[Place]:
        now = self._clock()
        is_due = not self._counts or now - self._counted_at >= _COUNTS_EVERY
        if is_due or any(number >= self._counts.get(topic, 0) for topic, number in self._reading):
            self._counted_at = now
            try:
                self._counts |= await asyncio.to_thread(self._partitions)
            except BrokerUnavailable:
                if not self._counts:
                    raise
        counted = (
            (topic, number)
            for topic in self._topics
            for number in range(self._counts.get(topic, 0))
        )
        return list(dict.fromkeys((*counted, *self._reading)))

    def _judge(self, now: EventTime) -> None:
        found = dict[str, Reach]()
        for source, topics in self._sources.items():
            reach = found[source] = of_all(
                one for (topic, _), one in self._known.items() if topic in topics
            )
            self._metrics.source_read(
                source, last_record_at=reach.last_record_at, read_to=reach.read_to
            )
            if self._quiet_after and reach.read_to is not None:
                since = EventTime(now - (self._clock() - self._since))
                self._judge_quiet(source, reach.last_record_at, reach.read_to, since)
        self.reaches = Reaches(
            identity_info=found.get("identity_info", Reach()),
            behavior_entities=found.get("behavior_entities", Reach()),
            graph_activity=found.get("graph_activity", Reach()),
        )

    def _judge_quiet(
        self, source: str, heard: EventTime | None, read_to: EventTime, since: EventTime
    ) -> None:
        """Judge by the time that has been read: what nobody has fetched yet may be full."""
        silent = read_to - (since if heard is None else heard)
        was_quiet, is_quiet = source in self._quiet, silent > ticks(self._quiet_after)
        self._metrics.source_judged(source, is_quiet=is_quiet)
        (self._quiet.add if is_quiet else self._quiet.discard)(source)
        topics = self._sources[source]
        if Partition(topics[0], 0) not in self._reading:
            self._told.discard(source)
            return  # one worker of all says it
        if is_quiet and source not in self._told:
            self._told.add(source)
            self._tell_quiet(source, heard, silent)
        elif was_quiet and not is_quiet:
            self._told.discard(source)
            _log.info("source.resumed", source=source, topics=list(topics))

    def _tell_quiet(self, source: str, heard: EventTime | None, silent: int) -> None:
        _log.warning(
            "source.quieted",
            source=source,
            topics=list(self._sources[source]),
            last_record_at=None if heard is None else format_event_time(heard),
            seconds=silent // TICKS_PER_SECOND,
            advice="nothing ever came: look at the topics' names, and whether anything is sent "
            "there"
            if heard is None
            else "see whether what fills the topics still runs",
        )
