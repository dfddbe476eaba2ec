"""How far one partition has been read, in time: pure, what is seen and when are arguments."""

from collections import deque
from collections.abc import Iterable
from datetime import timedelta
from typing import Final, NamedTuple

from pipeline.core.event_time import TICKS_PER_SECOND, EventTime, ticks
from pipeline.ports import Reach
from pipeline.reader.watch import Progress

_ENDS_AT_MOST: Final = 512

_AHEAD_AT_MOST: Final = ticks(timedelta(minutes=1))


class _End(NamedTuple):
    """Where a partition ended, at a moment at which it had no more."""

    at: EventTime
    offset: int


class PartitionReach:
    """Follows one partition while this worker reads it.

    Where the partition ended at a moment is remembered until it has been read to there, and
    nothing of it is with the agent any more: then all that had been appended before that moment
    has been taken into account.

    Args:
        margin: How old what is seen may be.
    """

    def __init__(self, margin: timedelta) -> None:
        self._margin = ticks(margin)
        self._fetched = 0
        self._ends: deque[_End] = deque()
        self._apart = 0
        self.reach = Reach()

    def look(self, now: EventTime, fetched: int, progress: Progress | None) -> None:
        """Take in what is to be seen.

        Args:
            now: The time, by a clock that does not jump; `reach` goes by it.
            fetched: How many values of it have been fetched since the worker's start.
            progress: How it fares; None while it is not ours.
        """
        last_record_at, read_to = self.reach.last_record_at, self.reach.read_to
        if fetched > self._fetched:
            self._fetched, last_record_at = fetched, now
        if progress is None or progress.end is None:
            self._ends.clear()
        else:
            self._remember(now, progress, progress.end)
            if progress.unfinished == 0:
                while self._ends and self._ends[0].offset <= progress.position:
                    read_to = later(read_to, self._ends.popleft().at)
        self.reach = Reach(last_record_at, read_to)

    def _remember(self, now: EventTime, progress: Progress, offset: int) -> None:
        at = EventTime(now - round(progress.unanswered * TICKS_PER_SECOND) - self._margin)
        if not self._ends:
            self._apart = 0
        elif self._ends[-1].offset >= offset:
            at = max(at, self._ends.pop().at)
        elif at < self._ends[-1].at + self._apart:
            return
        self._ends.append(_End(at, offset))
        if len(self._ends) > _ENDS_AT_MOST:  # hours of lag: remember fewer, as far apart as all
            self._ends = deque(one for place, one in enumerate(self._ends) if place % 2 == 0)
            self._apart = 2 * max(self._apart, TICKS_PER_SECOND)


def merged(one: Reach, other: Reach) -> Reach:
    """Return what two who read one partition have reached: both say what is true."""
    return Reach(later(one.last_record_at, other.last_record_at), later(one.read_to, other.read_to))


def shifted(reach: Reach, by: int) -> Reach:
    """Return what was reached, by a clock that is so many ticks ahead."""
    return Reach(
        *(
            None if at is None else EventTime(at + by)
            for at in (reach.last_record_at, reach.read_to)
        )
    )


def believed(reach: Reach, now: EventTime) -> Reach:
    """Return what can have been reached by now: what is said of the future is not known."""
    return Reach(
        *(
            None if at is None or at > now + _AHEAD_AT_MOST else at
            for at in (reach.last_record_at, reach.read_to)
        )
    )


def of_all(partitions: Iterable[Reach]) -> Reach:
    """Return how far a source has been read: heard by any partition, read to by every one."""
    reaches = list(partitions)
    heard = [one.last_record_at for one in reaches if one.last_record_at is not None]
    read_to = [one.read_to for one in reaches if one.read_to is not None]
    is_known = bool(reaches) and len(read_to) == len(reaches)
    return Reach(max(heard, default=None), min(read_to) if is_known else None)


def later(one: EventTime | None, other: EventTime | None) -> EventTime | None:
    """Return the later of two times, of which either may be unknown."""
    return max((each for each in (one, other) if each is not None), default=None)
