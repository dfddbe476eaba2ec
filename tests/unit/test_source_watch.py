import asyncio
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from structlog.testing import capture_logs

from pipeline.adapters.metrics import Metrics
from pipeline.adapters.redis_reaches import Place
from pipeline.core.errors import StoreUnavailable
from pipeline.core.event_time import EventTime, format_event_time, ticks
from pipeline.ports import Reach
from pipeline.reader.batch import Partition
from pipeline.reader.watch import Progress
from pipeline.worker.source_watch import Sighting, SourceWatch

NOON = EventTime(17_700_000_000_000_0000)
RISKS = "defender.identity-info.v1"
HOUR = 3600


def at(seconds: float) -> EventTime:
    return EventTime(NOON + ticks(timedelta(seconds=seconds)))


class Shared:
    """What all workers have told each other."""

    def __init__(self) -> None:
        self.held: dict[Place, Reach] = {}
        self.is_away = False

    async def exchange(
        self, ours: Mapping[Place, Reach], asked: Sequence[Place]
    ) -> dict[Place, Reach]:
        if self.is_away:
            raise StoreUnavailable("redis: away: wait")
        self.held.update(ours)
        return {place: self.held.get(place, Reach()) for place in asked}


class Watching:
    """A worker that reads some partitions of two, and whose clock a test moves."""

    def __init__(
        self,
        shared: Shared,
        *partitions: int,
        seconds: float = 0.0,
        quiet_after: timedelta = timedelta(hours=1),
    ) -> None:
        self.seconds = seconds
        self.fetched = dict.fromkeys(partitions, 0)
        self.metrics = Metrics("test")
        self.logs: list[Any] = []
        self.watch = SourceWatch(
            {"identity_info": (RISKS,)},
            sightings=self._sightings,
            partitions=lambda: {RISKS: 2},
            exchange=shared.exchange,
            clock=lambda: at(self.seconds),
            quiet_after=quiet_after,
            margin=timedelta(),
            metrics=self.metrics,
        )

    def looks(self, *, seconds: float) -> None:
        self.seconds = seconds
        with capture_logs() as logs:
            self.watch.look()
            asyncio.run(self.watch.speak())
        self.logs += logs

    def events(self) -> list[tuple[str, str | None]]:
        return [(one["event"], one.get("last_record_at")) for one in self.logs]

    def metric(self, name: str) -> float | None:
        start = f'{name}{{source="identity_info"}} '
        for line in self.metrics.text().decode().splitlines():
            if line.startswith(start):
                return float(line.removeprefix(start))
        return None

    def _sightings(self) -> Iterable[Sighting]:
        for number, fetched in self.fetched.items():
            partition = Partition(RISKS, number)
            progress = Progress(partition, fetched, fetched, 0.0, 0.0, 0.0)
            yield Sighting(partition, fetched, progress)


def test_a_source_is_read_to_where_the_last_of_all_workers_has_read() -> None:
    shared = Shared()
    one, other = Watching(shared, 0), Watching(shared, 1)
    one.looks(seconds=10)
    alone = one.watch.reaches.identity_info

    other.looks(seconds=20)
    one.looks(seconds=30)

    assert alone == Reach()
    assert one.watch.reaches.identity_info == Reach(None, at(20))
    assert one.metric("masswatch_source_read_to_timestamp_seconds") == at(20) / 1e7


def test_what_one_worker_hears_keeps_the_source_alive_for_all() -> None:
    shared = Shared()
    one, other = Watching(shared, 0), Watching(shared, 1)

    for hour in range(1, 5):
        other.fetched[1] += 1
        other.looks(seconds=hour * HOUR)
        one.looks(seconds=hour * HOUR + 1)

    assert (one.events(), other.events()) == ([], [])
    assert one.watch.reaches.identity_info.last_record_at == at(4 * HOUR)
    assert one.metric("masswatch_source_last_record_timestamp_seconds") == at(4 * HOUR) / 1e7
    assert one.metric("masswatch_source_quiet") == 0


def test_a_source_that_has_gone_quiet_is_told_once_and_again_when_it_resumes() -> None:
    watching = Watching(Shared(), 0, 1)
    watching.fetched[1] = 1
    watching.looks(seconds=0)

    for seconds in (HOUR, HOUR + 1, HOUR + 2):
        watching.looks(seconds=seconds)
    was_quiet = watching.metric("masswatch_source_quiet")
    watching.fetched[0] = 1
    watching.looks(seconds=HOUR + 3)

    assert watching.events() == [
        ("source.quieted", format_event_time(at(0))),
        ("source.resumed", None),
    ]
    assert (was_quiet, watching.metric("masswatch_source_quiet")) == (1, 0)


def test_a_source_of_which_nothing_ever_came_is_told_too() -> None:
    watching = Watching(Shared(), 0, 1)

    watching.looks(seconds=HOUR)
    patient = watching.events()
    watching.looks(seconds=HOUR + 1)

    assert (patient, watching.events()) == ([], [("source.quieted", None)])
    assert watching.logs[0]["advice"].startswith("nothing ever came")
    assert watching.metric("masswatch_source_last_record_timestamp_seconds") is None


def test_a_worker_that_starts_anew_knows_since_when_a_source_is_quiet() -> None:
    shared = Shared()
    former = Watching(shared, 0, 1)
    former.fetched[0] = 1
    former.looks(seconds=0)

    new = Watching(shared, 0, 1, seconds=2 * HOUR)
    new.looks(seconds=2 * HOUR)

    assert new.events() == [("source.quieted", format_event_time(at(0)))]


def test_one_worker_of_all_says_that_a_source_is_quiet_and_each_shows_it() -> None:
    shared = Shared()
    one, other = Watching(shared, 0), Watching(shared, 1)

    other.looks(seconds=HOUR + 1)
    one.looks(seconds=HOUR + 1)

    assert (one.events(), other.events()) == ([("source.quieted", None)], [])
    assert one.metric("masswatch_source_quiet") == other.metric("masswatch_source_quiet") == 1


def test_nobody_is_called_quiet_while_nobody_can_say_what_others_hear() -> None:
    shared = Shared()
    watching = Watching(shared, 0, 1)
    watching.looks(seconds=0)

    shared.is_away = True
    watching.looks(seconds=2 * HOUR)

    assert watching.events() == []
    assert watching.watch.reaches.identity_info == Reach(None, at(0))


def test_what_is_known_outlives_a_flush() -> None:
    shared = Shared()
    watching = Watching(shared, 0, 1)
    watching.fetched[0] = 1
    watching.looks(seconds=5)

    shared.held.clear()
    watching.looks(seconds=10)

    assert watching.watch.reaches.identity_info == Reach(at(5), at(10))


def test_a_source_may_be_as_quiet_as_it_likes_when_the_setting_says_so() -> None:
    watching = Watching(Shared(), 0, 1, quiet_after=timedelta())

    watching.looks(seconds=1000 * HOUR)

    assert watching.events() == []
    assert watching.metric("masswatch_source_quiet") is None
