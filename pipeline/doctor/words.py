"""How findings write times and lists."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Final

_UNITS: Final = (
    (timedelta(days=2), timedelta(days=1), "days"),
    (timedelta(hours=2), timedelta(hours=1), "h"),
    (timedelta(minutes=2), timedelta(minutes=1), "min"),
    (timedelta(seconds=1), timedelta(seconds=1), "s"),
)
_MEBIBYTE: Final = 1024 * 1024


def span(length: timedelta) -> str:
    """Write how long something is, in its largest sensible unit."""
    for at_least, unit, name in _UNITS:
        if length >= at_least:
            return f"{length // unit} {name}"
    return f"{length.total_seconds() * 1000:.3g} ms"


def since(then_ms: int, now_ms: int) -> timedelta:
    """Return the time from one moment to another, both in milliseconds; never below nothing."""
    return timedelta(milliseconds=max(0, now_ms - then_ms))


def listed(names: Iterable[object], at_most: int = 3) -> str:
    """Write the first of some names, and how many more there are."""
    all_names: Sequence[str] = [str(name) for name in names]
    more = len(all_names) - at_most
    rest = f" and {more} more" if more > 0 else ""
    return ", ".join(all_names[:at_most]) + rest


def counted(count: int, one: str, many: str = "") -> str:
    """Write a number of things."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def mebibytes(size: int) -> str:
    """Write a number of bytes."""
    return f"{size / _MEBIBYTE:,.1f} MiB"
