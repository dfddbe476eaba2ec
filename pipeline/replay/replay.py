"""Replay: what lies in topics or files is written into topics again, at the pace one likes.

Values are written as they are, to the byte. Event times inside of them are never moved: no verdict
compares them with the clock, only with each other, so history judged tomorrow says what it said
when it was new; to move them would break every id and digest that they are part of. What can be
moved is the record time, which says when a record was appended.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from pipeline.adapters.kafka_feed import Recorded
from pipeline.adapters.kafka_replay import Failures
from pipeline.core.errors import ConfigError, MasswatchError
from pipeline.replay.merging import Feed, in_time_order
from pipeline.replay.pace import Pace
from pipeline.replay.routes import Route
from pipeline.slices.progress import Progress, Watch
from pipeline.slices.shard import Shard

FILES: Final = "files"
"""What stands for the source when it is files."""

_SLICE_SECONDS: Final = 0.1
_WATCH_EVERY: Final = 500

Stopped = Callable[[], bool]


class Source(Protocol):
    """What is replayed."""

    @property
    def total(self) -> int:
        """How much there is to do, roughly."""
        ...

    @property
    def done(self) -> int:
        """How much of it has been handed out."""
        ...

    def records(self, stopped: Stopped) -> Iterator[tuple[str, Recorded]]:
        """Yield every record, and the name of the source that it has in the routes."""
        ...


class Sender(Protocol):
    """What a replay writes to: see `pipeline.adapters.kafka_replay.ReplayProducer`."""

    confirmed: Counter[str]

    @property
    def failures(self) -> Sequence[Failures]:
        """What has not arrived."""
        ...

    def send(
        self, record: Recorded, topic: str, partition: int | None = None, time_ms: int = 0
    ) -> None:
        """Hand a record over."""
        ...

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        ...

    def finish(self) -> None:
        """Wait until of every value it is known whether it arrived."""
        ...


@dataclass(frozen=True, slots=True)
class Replayed:
    """How far a replay came.

    `sent` and `confirmed` count by new topic. A replay from the record time `up_to_ms` on goes on
    where this one ended: it is the latest of what was sent, or the earliest of what did not
    arrive, before any shift. `ended_by` is what kept it from reading to the end.
    """

    sent: Mapping[str, int]
    confirmed: Mapping[str, int]
    failures: tuple[Failures, ...]
    up_to_ms: int
    stopped: bool = False
    ended_by: MasswatchError | None = None


class TopicSource:
    """Records of topics, in the order of their record times.

    Args:
        feed: Where they come from.
        total: How many offsets there are.
    """

    def __init__(self, feed: Feed, total: int) -> None:
        self._feed = feed
        self.total = total
        self.done = 0

    def records(self, stopped: Stopped) -> Iterator[tuple[str, Recorded]]:
        """Yield every record with its topic. See `Source`."""
        for record in in_time_order(self._feed, stopped=stopped):
            self.done += 1
            yield record.topic, record


class FileSource:
    """The values in files, in their order; empty lines are none.

    Args:
        shards: The files, one after another.
    """

    def __init__(self, shards: Sequence[Shard]) -> None:
        self._shards = shards
        self.total = sum(one.units for one in shards)
        self.done = 0

    def records(self, stopped: Stopped) -> Iterator[tuple[str, Recorded]]:  # noqa: ARG002 - never waits
        """Yield every value. See `Source`."""
        for shard in self._shards:
            for chunk in shard.chunks():
                for one in chunk:
                    if one.value:
                        where = one.position
                        yield (
                            FILES,
                            Recorded(where.topic, where.partition, where.offset, one.value),
                        )
                self.done += chunk.units


@dataclass(frozen=True, slots=True)
class Manner:
    """How a replay goes: how fast, with which record times, and until when."""

    pace: Pace
    shift_ms: int = 0
    stopped: Stopped = lambda: False


def run(
    source: Source,
    routes: Mapping[str, Route],
    sender: Sender,
    manner: Manner,
    watch: Watch = lambda _: None,
) -> Replayed:
    """Send every record on its way, and wait until of each it is known whether it arrived.

    Ends early when asked to, when a value does not arrive, or when the source cannot be read;
    what is in flight is waited for even then.

    Args:
        source: What is replayed.
        routes: Where each source goes.
        sender: What writes.
        manner: How.
        watch: Told now and then how far it is.
    """
    journey = _Journey(routes, sender, manner)
    stopped, ended_by = False, None
    try:
        for name, record in source.records(manner.stopped):
            stopped = not journey.due(record) or manner.stopped()
            if stopped or sender.failures:
                break
            journey.send(name, record)
            if journey.count % _WATCH_EVERY == 0:
                watch(Progress(journey.count, source.done, source.total))
    except MasswatchError as error:
        ended_by = error
    sender.finish()
    watch(Progress(journey.count, source.done, source.total))
    return Replayed(
        sent=journey.sent,
        confirmed=sender.confirmed,
        failures=tuple(sender.failures),
        up_to_ms=min([journey.up_to_ms, *(one.earliest_ms for one in sender.failures)]),
        stopped=stopped or manner.stopped(),
        ended_by=ended_by,
    )


class _Journey:
    def __init__(self, routes: Mapping[str, Route], sender: Sender, manner: Manner) -> None:
        self._routes = routes
        self._sender = sender
        self._manner = manner
        self.count = 0
        self.sent: Counter[str] = Counter({one.target: 0 for one in routes.values()})
        self.up_to_ms = 0

    def due(self, record: Recorded) -> bool:
        """Wait until a record is due; false when somebody stops it meanwhile."""
        early = self._manner.pace.early
        while (seconds := early(record.time_ms)) > 0 and not self._sender.failures:
            if self._manner.stopped():
                return False
            self._sender.wait(min(seconds, _SLICE_SECONDS))
        return True

    def send(self, name: str, record: Recorded) -> None:
        route = self._routes[name]
        time_ms = record.time_ms and record.time_ms + self._manner.shift_ms
        if time_ms < 0 or (record.time_ms and not time_ms):
            raise ConfigError(f"{record.topic}: a record time before 1970: shift it less")
        self._sender.send(record, route.target, route.partition_of(record), time_ms)
        self._manner.pace.went()
        self.count += 1
        self.sent[route.target] += 1
        self.up_to_ms = max(self.up_to_ms, record.time_ms)
