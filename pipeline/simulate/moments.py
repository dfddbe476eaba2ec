"""Spans in ticks of 100 ns, and the ways in which the sources write a moment."""

from datetime import UTC, datetime
from typing import Final

from pipeline.core.event_time import TICKS_PER_SECOND, EventTime, format_event_time

TICK: Final = 1
MILLISECOND: Final = TICKS_PER_SECOND // 1000
SECOND: Final = TICKS_PER_SECOND
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR


def later(moment: EventTime, span: int) -> EventTime:
    """Return the moment so many ticks later (earlier when negative)."""
    return EventTime(moment + span)


def to_the_millisecond(moment: EventTime) -> EventTime:
    """Cut a moment to milliseconds, as Intune records its own."""
    return EventTime(moment - moment % MILLISECOND)


def short_form(moment: EventTime) -> str:
    """Write a moment without the zeros at its end, as advanced hunting does."""
    return format_event_time(moment)[:-1].rstrip("0").rstrip(".") + "Z"


def us_form(moment: EventTime) -> str:
    """Write a moment as `3/4/2026 9:12:41 AM`, as ActivityDate has it."""
    at = datetime.fromtimestamp(moment // TICKS_PER_SECOND, tz=UTC)
    half = "AM" if at.hour < 12 else "PM"
    clock = f"{at.hour % 12 or 12}:{at.minute:02d}:{at.second:02d}"
    return f"{at.month}/{at.day}/{at.year} {clock} {half}"
