import asyncio
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from pipeline.adapters.metrics import Metrics
from pipeline.adapters.redis_reaches import Place, Told
from pipeline.core.errors import BrokerUnavailable, StoreUnavailable
from pipeline.core.event_time import EventTime, format_event_time, ticks
from pipeline.ports import Reach
from pipeline.reader.batch import Partition
from pipeline.reader.watch import Progress
from pipeline.worker.source_watch import Sighting, SourceWatch

NOON = EventTime(17_700_000_000_000_0000)
RISKS = "defender.identity-info.v1"
HOUR = 3600
DAY = 24 * HOUR


def at(seconds: float) -> EventTime:
    return EventTime(NOON + ticks(timedelta(seconds=seconds)))


class Shared:
    """What all workers have told each other, and the clock that they share."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.held: dict[Place, Reach] = {}
        self.is_away = False
        self.partitions = 2
        self.is_broker_away = False

    async def exchange(self, ours: Mapping[Place, Reach], asked: Sequence[Place]) -> Told:
        if self.is_away:
            raise StoreUnavailable("redis: away: wait")
        self.held.update(ours)
        reaches = {place: self.held.get(place, Reach()) for place in asked}
        return Told(at(self.seconds), reaches)

    def counts(self) -> dict[str, int]:
        if self.is_broker_away:
            raise BrokerUnavailable("kafka: away: wait")
        return {RISKS: self.partitions}


class Watching:
    """A worker that reads some partitions of two, and whose clock a test moves.

    `ahead` is by how many seconds its clock is ahead of that of the others; `behind` how many
    values of each partition wait to be read.
    """

    def __init__(
        self,
        shared: Shared,
        *partitions: int,
        seconds: float = 0.0,
        ahead: float = 0.0,
        quiet_after: timedelta = timedelta(hours=1),
    ) -> None:
        self.shared = shared
        self.ahead = ahead
        self.shared.seconds = seconds
        self.behind = 0
        self.is_answered = True
        self.others: list[Sighting] = []
        self.fetched = dict.fromkeys(partitions, 0)
        self.metrics = Metrics("test")
        self.logs: list[Any] = []
        self.watch = SourceWatch(
            {"identity_info": (RISKS,)},
            sightings=self._sightings,
            partitions=shared.counts,
            exchange=shared.exchange,
            clock=lambda: at(shared.seconds + self.ahead),
            quiet_after=quiet_after,
            margin=timedelta(),
            metrics=self.metrics,
        )

    def looks(self, *, seconds: float) -> None:
        self.shared.seconds = seconds
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
            end = fetched + self.behind if self.is_answered else None
            yield Sighting(partition, fetched, Progress(partition, fetched, end, 0.0, 0.0, 0.0))
        yield from self.others


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
    other.looks(seconds=HOUR + 1)

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


@pytest.mark.parametrize("ahead", [40 * DAY, -40 * DAY])
def test_the_clock_of_a_worker_is_nothing_to_the_others(ahead: float) -> None:
    shared = Shared()
    wrong, right = Watching(shared, 0, ahead=ahead), Watching(shared, 1)
    wrong.fetched[0] = 1

    for seconds in (5, 10, 15):
        wrong.looks(seconds=seconds)
        right.looks(seconds=seconds)

    assert wrong.watch.reaches.identity_info == Reach(at(5), at(10))
    assert right.watch.reaches.identity_info == Reach(at(5), at(15))


@pytest.mark.parametrize("place", [(RISKS, 0), (RISKS, 1)])
def test_what_somebody_has_written_of_the_future_is_not_believed(place: Place) -> None:
    shared = Shared()
    shared.held[place] = Reach(at(40 * DAY), at(40 * DAY))
    watching = Watching(shared, 0, 1)
    watching.fetched[0] = 1

    watching.looks(seconds=5)
    watching.looks(seconds=10)

    assert watching.watch.reaches.identity_info == Reach(at(5), at(10))


def test_a_quiet_source_is_told_by_whoever_comes_to_own_it_and_judged_it_quiet_before() -> None:
    shared = Shared()
    former, heir = Watching(shared, 0), Watching(shared, 1)
    for one in (former, heir, heir):
        one.looks(seconds=HOUR + 1)

    heir.fetched[0] = former.fetched.pop(0)
    heir.looks(seconds=HOUR + 2)

    assert heir.events() == [("source.quieted", None)]


def test_a_worker_that_gave_a_source_away_tells_it_again_when_it_has_come_back() -> None:
    watching = Watching(Shared(), 0, 1)
    watching.looks(seconds=HOUR + 1)

    fetched = watching.fetched.pop(0)
    watching.looks(seconds=HOUR + 2)
    watching.fetched[0] = fetched
    watching.looks(seconds=HOUR + 3)
    watching.looks(seconds=HOUR + 4)

    assert watching.events() == [("source.quieted", None)] * 2


def test_after_an_outage_of_all_workers_nobody_is_quiet_of_whom_nothing_was_fetched_yet() -> None:
    shared = Shared()
    former = Watching(shared, 0, 1)
    former.fetched[0] = 1
    former.looks(seconds=0)
    new = Watching(shared, 0, 1, seconds=2 * HOUR)

    new.is_answered = False
    new.looks(seconds=2 * HOUR)
    new.is_answered, new.behind = True, 7
    new.looks(seconds=2 * HOUR + 5)
    new.behind, new.fetched[1] = 0, 7
    new.looks(seconds=2 * HOUR + 10)

    assert new.events() == []
    assert new.watch.reaches.identity_info.last_record_at == at(2 * HOUR + 10)


def test_a_partition_that_is_read_tells_at_once_of_all_that_the_topic_has_now() -> None:
    shared = Shared()
    watching = Watching(shared, 0, 1)
    watching.looks(seconds=0)

    shared.partitions = 4
    watching.fetched[2] = 1
    watching.looks(seconds=5)

    assert watching.watch.reaches.identity_info == Reach(at(5), None)


def test_a_partition_that_is_read_counts_though_no_broker_tells_of_it() -> None:
    shared = Shared()
    watching = Watching(shared, 0, 1)
    watching.looks(seconds=0)

    shared.is_broker_away = True
    watching.fetched[2] = 1
    watching.looks(seconds=5)

    assert watching.watch.reaches.identity_info == Reach(at(5), at(5))


def test_a_partition_that_nobody_reads_is_known_within_a_minute() -> None:
    shared = Shared()
    watching = Watching(shared, 0, 1)
    watching.looks(seconds=0)

    shared.partitions = 3
    watching.looks(seconds=59)
    before = watching.watch.reaches.identity_info.read_to
    watching.looks(seconds=60)

    assert (before, watching.watch.reaches.identity_info.read_to) == (at(59), None)


def test_what_others_wrote_of_a_new_partition_is_not_written_over() -> None:
    shared = Shared()
    watching = Watching(shared, 0, 1)
    watching.looks(seconds=0)

    shared.partitions, shared.held[(RISKS, 2)] = 3, Reach(at(3), at(3))
    watching.fetched[2] = 0
    watching.looks(seconds=5)

    assert shared.held[(RISKS, 2)] == Reach(at(3), at(5))


def test_partitions_that_are_no_sources_are_not_shared() -> None:
    shared = Shared()
    watching = Watching(shared, 0, 1)
    partition = Partition("masswatch.evaluations.v1", 0)
    watching.others = [Sighting(partition, 1, Progress(partition, 1, 1, 0.0, 0.0, 0.0))]

    watching.looks(seconds=5)

    assert shared.held.keys() == {(RISKS, 0), (RISKS, 1)}
