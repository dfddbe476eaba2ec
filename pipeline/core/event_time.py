"""Event time: when something happened, to 100 ns, as the sources write it."""

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final, NewType

EventTime = NewType("EventTime", int)
"""Ticks of 100 ns since 1970-01-01T00:00:00Z; seven digits, as Azure writes times."""

TICKS_PER_SECOND: Final = 10_000_000

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_EARLIEST: Final = -621_355_968_000_000_000  # 0001-01-01T00:00:00Z
_LATEST: Final = 2_534_023_007_999_999_999  # 9999-12-31T23:59:59.9999999Z
_FORM: Final = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|z|[+-]\d\d:?\d\d)?", re.ASCII
)


def ticks(span: timedelta) -> int:
    """Return a span of time in ticks of 100 ns."""
    return span // _MICROSECOND * 10


def parse_event_time(text: object) -> EventTime | None:
    """Read an ISO 8601 date and time; without a zone it is UTC; digits past 100 ns are cut.

    Returns:
        The event time, or None when the value is no such text or no such moment.
    """
    if not isinstance(text, str) or (form := _FORM.fullmatch(text)) is None:
        return None
    day, clock, fraction, zone = form.groups()
    try:
        moment = datetime.fromisoformat(f"{day}T{clock}+00:00")
    except ValueError:
        return None
    value = ticks(moment - _EPOCH) + int(((fraction or "") + "0000000")[:7])
    if zone is not None and zone not in "Zz":
        hours, minutes = int(zone[1:3]), int(zone[-2:])
        if hours > 23 or minutes > 59:
            return None
        offset = (hours * 3600 + minutes * 60) * TICKS_PER_SECOND
        value -= offset if zone[0] == "+" else -offset
    return EventTime(value) if _EARLIEST <= value <= _LATEST else None


def format_event_time(event_time: EventTime) -> str:
    """Write an event time as `2026-03-04T09:12:41.5530000Z`: UTC, always seven digits."""
    seconds, fraction = divmod(event_time, TICKS_PER_SECOND)
    return f"{_second(seconds)}.{fraction:07d}Z"


def event_time_of(moment: datetime) -> EventTime:
    """Turn an aware datetime into an event time."""
    return EventTime(ticks(moment - _EPOCH))


@lru_cache(maxsize=1024)  # facts of one batch share theirs
def _second(seconds: int) -> str:
    return (_EPOCH + timedelta(seconds=seconds)).isoformat()[:19]
