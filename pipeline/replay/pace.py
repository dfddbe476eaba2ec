"""How fast a replay goes: flat out, by record times, or at a rate."""

from collections.abc import Callable
from typing import Protocol

Clock = Callable[[], float]
"""Seconds that only go forward."""


class Pace(Protocol):
    """Tells when the next record is due."""

    def early(self, time_ms: int) -> float:
        """Return for how many seconds the next record, of this record time, is not due yet."""
        ...

    def went(self) -> None:
        """Note that it has gone."""
        ...


class FlatOut:
    """As fast as it goes."""

    def early(self, time_ms: int) -> float:  # noqa: ARG002 - no time is too early
        """Return zero. See `Pace`."""
        return 0.0

    def went(self) -> None:
        """Note nothing. See `Pace`."""


class ByRecordTime:
    """So many times as fast as the records were appended; a late start is caught up.

    Args:
        speed: 1 is as recorded.
        clock: What tells the time.
    """

    def __init__(self, speed: float, clock: Clock) -> None:
        self._speed = speed
        self._clock = clock
        self._first: tuple[int, float] | None = None

    def early(self, time_ms: int) -> float:
        """Return for how long the record is not due. See `Pace`."""
        now = self._clock()
        if not time_ms:
            return 0.0
        if self._first is None:
            self._first = time_ms, now
        first_ms, began = self._first
        return began + (time_ms - first_ms) / 1000 / self._speed - now

    def went(self) -> None:
        """Note nothing: the record times say it all. See `Pace`."""


class ByRate:
    """So many records a second; a late start is caught up.

    Args:
        rate: Records a second.
        clock: What tells the time.
    """

    def __init__(self, rate: float, clock: Clock) -> None:
        self._rate = rate
        self._clock = clock
        self._began: float | None = None
        self._gone = 0

    def early(self, time_ms: int) -> float:  # noqa: ARG002 - only their number counts
        """Return for how long the record is not due. See `Pace`."""
        now = self._clock()
        if self._began is None:
            self._began = now
        return self._began + self._gone / self._rate - now

    def went(self) -> None:
        """Count it. See `Pace`."""
        self._gone += 1
