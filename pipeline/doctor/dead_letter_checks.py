"""How many dead letters there are, and since when."""

from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Final

from pipeline.adapters.kafka_standing import KafkaStanding
from pipeline.doctor.finding import Area, Finding, Level, ok
from pipeline.doctor.group_checks import places_of
from pipeline.doctor.plan import Plan
from pipeline.doctor.words import counted, since, span

_FRESH: Final = timedelta(days=1)


def on_dead_letters(found: KafkaStanding, plan: Plan, now_ms: int) -> Iterator[Finding]:
    """Judge the DLQs."""
    known = False
    is_empty = True
    for name in plan.dead_letters:
        places = [place for place in places_of(found, [name]) if place in found.offsets]
        known = known or bool(places)
        places = [one for one in places if found.offsets[one].end > found.offsets[one].first]
        count = sum(found.offsets[one].end - found.offsets[one].first for one in places)
        if not count:
            continue
        is_empty = False
        firsts = _all_known(found.times_ms.get((one, found.offsets[one].first)) for one in places)
        newests = _all_known(found.offsets[one].newest_ms for one in places)
        told = [counted(count, "entry", "entries")]
        if firsts:
            told.append(f"the oldest {span(since(min(firsts), now_ms))} ago")
        if newests:
            told.append(f"the newest {span(since(max(newests), now_ms))} ago")
        is_old = bool(newests) and since(max(newests), now_ms) >= _FRESH
        yield Finding(
            Level.NOTE if is_old else Level.WARNING,
            Area.DEAD_LETTERS,
            name,
            ", ".join(told),
            "run masswatch dlq list: it tells why, and what was redriven",
        )
    if known and is_empty:
        yield ok(Area.DEAD_LETTERS, "DLQs", "no dead letters")


def _all_known(times_ms: Iterable[int | None]) -> list[int]:
    """Return times, and none at all if one is missing: it may be the first or the last of them."""
    told = list(times_ms)
    known = [one for one in told if one is not None]
    return known if len(known) == len(told) else []
