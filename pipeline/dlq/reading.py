"""DLQs read from one moment on: letters that are asked for, and notes of what was redriven."""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Final

from pipeline.adapters.kafka_feed import KafkaFeed
from pipeline.adapters.kafka_slice import Range
from pipeline.core.model import Position
from pipeline.dlq.letter import Letter, Origin, read
from pipeline.slices.progress import Progress, Watch

_WATCH_EVERY: Final = 500

Stopped = Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Selection:
    """Which letters are asked for; what is not given holds for all.

    Attributes:
        since_ms: Dead-lettered at this record time or later.
        until_ms: Dead-lettered before this record time.
        reason: A part of the reason, in any case.
        positions: Where they lie in their DLQ, or where their records came from; without an
            index, all of a value.
    """

    since_ms: int | None = None
    until_ms: int | None = None
    reason: str = ""
    positions: frozenset[Position] = frozenset()

    @property
    def is_all(self) -> bool:
        """Whether every letter is asked for."""
        return self == Selection()

    def holds(self, letter: Letter) -> bool:
        """Tell whether a letter is asked for."""
        at_ms = letter.record.time_ms
        return (
            (self.since_ms is None or at_ms >= self.since_ms)
            and (self.until_ms is None or at_ms < self.until_ms)
            and self.reason.casefold() in letter.reason.casefold()
            and (not self.positions or not self.positions.isdisjoint(_positions(letter)))
        )


@dataclass(slots=True)
class Shelf:
    """What a reading of DLQs came across beside the letters asked for.

    `strange` counts what is no letter; `stopped` tells that it was not read to the end.
    """

    noted: set[Origin] = field(default_factory=set)
    strange: int = 0
    stopped: bool = False


def notes(
    client: Mapping[str, str],
    ranges: Sequence[Range],
    *,
    stopped: Stopped = lambda: False,
    watch: Watch = lambda _: None,
) -> Shelf:
    """Read which values were redriven.

    A note lies behind the letters of its value, so ranges to the end hold those of all letters in
    them.

    Raises:
        BrokerUnavailable: the broker does not answer, or the records are gone.
    """
    shelf = Shelf()
    for _ in letters(client, ranges, Selection(), shelf, stopped=stopped, watch=watch):
        pass
    return shelf


def letters(
    client: Mapping[str, str],
    ranges: Sequence[Range],
    selection: Selection,
    shelf: Shelf,
    *,
    stopped: Stopped = lambda: False,
    watch: Watch = lambda _: None,
) -> Generator[Letter, None, None]:
    """Yield the letters that are asked for, each partition's in order; put the rest on the shelf.

    Raises:
        BrokerUnavailable: the broker does not answer, or the records are gone.
    """
    total, done = sum(map(len, ranges)), 0
    with closing(KafkaFeed(client, ranges)) as feed:
        while feed.open:
            if stopped():
                shelf.stopped = True
                return
            for record in feed.more(set(feed.open)):
                done += 1
                if done % _WATCH_EVERY == 0:
                    watch(Progress(done, done, total))
                match read(record):
                    case Letter() as letter:
                        if selection.holds(letter):
                            yield letter
                    case Origin() as origin:
                        shelf.noted.add(origin)
                    case None:
                        shelf.strange += 1
    watch(Progress(done, total, total))


def _positions(letter: Letter) -> set[Position]:
    return {letter.at, letter.source, Position(*letter.origin[:3])}
