"""How many dead letters there are, and since when."""

from collections.abc import Iterator
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
        count = sum(found.offsets[one].end - found.offsets[one].first for one in places)
        known = known or bool(places)
        if not count:
            continue
        is_empty = False
        firsts = [found.times_ms.get((one, found.offsets[one].first)) for one in places]
        oldest = min((one for one in firsts if one is not None), default=None)
        newest = max((found.offsets[one].newest_ms or 0 for one in places), default=0)
        is_fresh = since(newest, now_ms) < _FRESH
        told = f"the newest {span(since(newest, now_ms))} ago"
        if oldest is not None:
            told = f"the oldest {span(since(oldest, now_ms))} ago, {told}"
        yield Finding(
            Level.WARNING if is_fresh else Level.NOTE,
            Area.DEAD_LETTERS,
            name,
            f"{counted(count, 'entry', 'entries')}, {told}",
            "run masswatch dlq list: it tells why, and what was redriven",
        )
    if known and is_empty:
        yield ok(Area.DEAD_LETTERS, "DLQs", "no dead letters")
