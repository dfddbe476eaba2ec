"""How far reading is behind, what holds it back, and which sources are quiet."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Final

from pipeline.adapters.kafka_standing import GroupStanding, KafkaStanding, Place
from pipeline.doctor.finding import Area, Finding, Level, ok, unchecked
from pipeline.doctor.group_checks import places_of
from pipeline.doctor.plan import Plan
from pipeline.doctor.words import counted, listed, since, span

_READS_ALONG: Final = timedelta(minutes=1)
_OPEN_TOO_LONG: Final = timedelta(minutes=1)
_OPEN_FOR_GOOD: Final = timedelta(minutes=15)
"""Kafka's own limit of a transaction, unless the broker has another."""
_QUIET: Final = timedelta(days=1)

_RETENTION: Final = "retention.ms"
_FOREVER: Final = "-1"

Behind = tuple[int, Place, int]
"""The records between an offset of a partition, which comes last, and its stable end."""


def wanted_times(found: KafkaStanding, plan: Plan) -> Iterator[tuple[Place, int]]:
    """Yield the records whose times are needed to judge what waits: by partition and offset."""
    for name, topics in plan.groups.items():
        for _, place, offset in _behind(found, found.groups.get(name), topics):
            yield place, offset
    for place, stable in _open(found):
        yield place, stable
    for name in plan.dead_letters:
        for place in places_of(found, [name]):
            offsets = found.offsets.get(place)
            if offsets is not None and offsets.end > offsets.first:
                yield place, offsets.first


def on_lag(found: KafkaStanding, plan: Plan, now_ms: int) -> Iterator[Finding]:
    """Judge how far the groups are behind, and what is held back."""
    if "offsets" in found.untold:
        yield unchecked(
            Area.LAG, "offsets", found.untold["offsets"], "run masswatch doctor again in a minute"
        )
    if "newest_ms" in found.untold:
        yield unchecked(
            Area.LAG,
            "quiet sources",
            f"the times of the newest records: {found.untold['newest_ms']}",
            "look at masswatch_source_last_record_timestamp_seconds of the workers",
        )
    for name, topics in plan.groups.items():
        group = found.groups.get(name)
        if group is not None:
            yield _on_group(name, _behind(found, group, topics), found, plan, now_ms)
    yield from _on_open(found, now_ms)
    yield from _on_quiet(found, plan, now_ms)


def _behind(
    found: KafkaStanding, group: GroupStanding | None, topics: Sequence[str]
) -> list[Behind]:
    """Return where a group is behind, the most first."""
    behind: list[Behind] = []
    for place in places_of(found, topics):
        offsets = found.offsets.get(place)
        if offsets is None or group is None:
            continue
        begin = max(offsets.first, group.committed.get(place, offsets.first))
        if offsets.stable > begin:
            behind.append((offsets.stable - begin, place, begin))
    return sorted(behind, key=lambda one: (-one[0], one[1]))


def _on_group(
    name: str, behind: Sequence[Behind], found: KafkaStanding, plan: Plan, now_ms: int
) -> Finding:
    if not behind:
        return ok(Area.LAG, name, "has read everything")
    total = sum(count for count, _, _ in behind)
    worst = listed(f"{place} {count:,}" for count, place, _ in behind)
    what = f"{counted(total, 'offset')} behind: {worst}"
    waits = {
        place: since(found.times_ms[place, offset], now_ms)
        for _, place, offset in behind
        if (place, offset) in found.times_ms
    }
    ageless = [place for _, place, _ in behind if place not in waits]
    if not waits:
        return Finding(
            Level.WARNING,
            Area.LAG,
            name,
            f"{what}; since when could not be read",
            "run masswatch doctor again: see whether it falls",
        )
    doomed = {
        place: waited
        for place, waited in waits.items()
        if waited > _kept(found, plan, place.topic) / 2
    }
    longest = doomed or waits
    oldest = max(longest, key=longest.__getitem__)
    what += f"; the oldest of {oldest} has waited for {span(waits[oldest])}"
    if doomed:
        remedy = "start more workers now, or keep the topic longer: see masswatch topics"
        what += f"; it is deleted after {span(_kept(found, plan, oldest.topic))}"
        return Finding(Level.FAULT, Area.LAG, name, what, remedy)
    if ageless:
        what += f"; since when {listed(ageless)} waits could not be read"
    elif waits[oldest] < _READS_ALONG:
        return ok(Area.LAG, name, what)
    remedy = "run masswatch doctor again: if it does not fall, see /readyz and the workers' logs"
    return Finding(Level.WARNING, Area.LAG, name, what, remedy)


def _kept(found: KafkaStanding, plan: Plan, topic: str) -> timedelta:
    """Return how long a topic keeps records, as it is set or else as it should be."""
    told = found.configs.get(topic, {}).get(_RETENTION, "")
    if told == _FOREVER:
        return timedelta.max
    if not told.isdecimal():
        return plan.retention(topic)
    return timedelta(milliseconds=min(int(told), timedelta.max // timedelta(milliseconds=1)))


def _open(found: KafkaStanding) -> Iterator[tuple[Place, int]]:
    """Yield where an open transaction begins."""
    for place, offsets in found.offsets.items():
        if offsets.stable < offsets.end:
            yield place, offsets.stable


def _on_open(found: KafkaStanding, now_ms: int) -> Iterator[Finding]:
    for place, stable in _open(found):
        then_ms = found.times_ms.get((place, stable))
        lasts = None if then_ms is None else since(then_ms, now_ms)
        if lasts is not None and lasts < _OPEN_TOO_LONG:
            continue
        since_when = "for an unknown time" if lasts is None else f"for {span(lasts)}"
        held = found.offsets[place].end - stable
        is_grave = lasts is not None and lasts >= _OPEN_FOR_GOOD
        yield Finding(
            Level.FAULT if is_grave else Level.WARNING,
            Area.LAG,
            str(place),
            f"a transaction is open at @{stable} {since_when}: {counted(held, 'offset')} behind "
            "it are seen by nobody",
            "let its producer commit once more: Kafka 4.3 and 4.4 may lose the marker of a commit "
            "that they confirmed (KAFKA-20734); kafka-transactions.sh abort would lose the records",
        )


def _on_quiet(found: KafkaStanding, plan: Plan, now_ms: int) -> Iterator[Finding]:
    empty: list[str] = []
    for name in plan.sources:
        offsets = [found.offsets[one] for one in places_of(found, [name]) if one in found.offsets]
        if not offsets:
            continue
        times = [one.newest_ms for one in offsets if one.newest_ms is not None]
        if all(one.end == one.first for one in offsets):
            empty.append(name)
        elif times and since(max(times), now_ms) > _QUIET:
            yield Finding(
                Level.NOTE,
                Area.LAG,
                name,
                f"quiet: its newest record is {span(since(max(times), now_ms))} old",
                "look whether its sender still runs",
            )
    if empty:
        yield Finding(
            Level.NOTE,
            Area.LAG,
            listed(empty, at_most=5),
            "nothing in it",
            "connect its sender; masswatch simulate sends traffic to try with",
        )
