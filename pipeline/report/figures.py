"""The figures of a backtest: how many alerts, when, whose, how late, and what was withheld."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from math import ceil
from types import MappingProxyType
from typing import Final

from pipeline.backtest.result import Answer, Backtest, Judged
from pipeline.core.event_time import EventTime, ticks
from pipeline.core.model import Evidence
from pipeline.core.policy import AllowEntry, Reason, Severity
from pipeline.core.verdict import Verdict

Limits = Sequence[tuple[str, timedelta]]

AT_ONCE: Final = "at once"
DECIDED_WITHIN: Final[Limits] = (
    ("under 1 h", timedelta(hours=1)),
    ("1 to 6 h", timedelta(hours=6)),
    ("6 to 24 h", timedelta(hours=24)),
    ("24 to 48 h", timedelta(hours=48)),
)
KNOWN_WITHIN: Final[Limits] = (
    ("under 1 min", timedelta(minutes=1)),
    ("1 to 15 min", timedelta(minutes=15)),
    ("15 to 60 min", timedelta(hours=1)),
    *DECIDED_WITHIN[1:],
)
LATER: Final = "48 h or later"

_EPOCH: Final = date(1970, 1, 1)
_TICKS_PER_DAY: Final = ticks(timedelta(days=1))
_TICKS_PER_MILLISECOND: Final = ticks(timedelta(milliseconds=1))


@dataclass(frozen=True, slots=True)
class Days:
    """A span of days, UTC; both ends are included."""

    first: date
    last: date

    @property
    def count(self) -> int:
        """How many days these are."""
        return (self.last - self.first).days + 1


@dataclass(frozen=True, slots=True)
class Noise:
    """Alerts per day over all days of a slice; a day without alerts counts as 0.

    `p50` and `p95` are nearest ranks: on at least 50 % (95 %) of the days there were at most so
    many. `most` is the day with most, `days` how many days had any.
    """

    p50: int = 0
    p95: int = 0
    most: int = 0
    days: int = 0


@dataclass(frozen=True, slots=True)
class DayAlerts:
    """A day with alerts, by severity."""

    day: date
    by_severity: Mapping[Severity, int]


@dataclass(frozen=True, slots=True)
class TenantAlerts:
    """A tenant's alerts by severity, and how they spread over the days."""

    tenant_id: str
    by_severity: Mapping[Severity, int]
    withheld: int
    noise: Noise

    @property
    def alerts(self) -> int:
        """How many alerts there are."""
        return sum(self.by_severity.values())


@dataclass(frozen=True, slots=True)
class Bucket:
    """How many alerts fall into a span of time."""

    name: str
    alerts: int


@dataclass(frozen=True, slots=True)
class EntryUse:
    """What an allow-list entry took away.

    Attributes:
        name: That of the entry, or "disabled" for reasons that a tenant's policy has switched off.
        entry: The entry; None for disabled reasons.
        withheld: Assignments that would be alerts without it, or without it and others.
        weakened: Alerts that lost a reason to it.
        last_used: The latest event time among both.
    """

    name: str
    entry: AllowEntry | None
    withheld: int
    weakened: int
    last_used: EventTime | None


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of one policy's answer.

    `by_tenant` has the tenants of alerts and of withheld assignments, those with most alerts
    first. An alert counts under each of its reasons. `known` is how long after its event time the
    last record that an alert needed was appended; it is empty when no alert's records tell.
    """

    days: Days | None
    by_day: tuple[DayAlerts, ...]
    by_severity: Mapping[Severity, int]
    by_reason: Mapping[Reason, int]
    by_tenant: tuple[TenantAlerts, ...]
    noise: Noise
    decided: tuple[Bucket, ...]
    known: tuple[Bucket, ...]
    allow_list: tuple[EntryUse, ...]


def figures_of(backtest: Backtest, answer: Answer) -> Figures:
    """Return the figures of one of a backtest's answers."""
    days = days_of(backtest)
    verdicts = [one.verdict for one in answer.alerts]
    by_day: dict[date, list[Verdict]] = defaultdict(list)
    for verdict in verdicts:
        by_day[day_of(verdict.event_time)].append(verdict)
    arrived = [
        timedelta(
            microseconds=(one.known_at * _TICKS_PER_MILLISECOND - one.verdict.event_time) // 10
        )
        for one in answer.alerts
        if one.known_at is not None
    ]
    return Figures(
        days=days,
        by_day=tuple(DayAlerts(day, _severities(of)) for day, of in sorted(by_day.items())),
        by_severity=_severities(verdicts),
        by_reason=MappingProxyType(
            {reason: sum(reason in one.reasons for one in verdicts) for reason in Reason}
        ),
        by_tenant=_by_tenant(answer, days),
        noise=_noise(verdicts, days),
        decided=_decided(verdicts),
        known=_buckets(arrived, KNOWN_WITHIN) if arrived else (),
        allow_list=_allow_list(answer),
    )


def days_of(backtest: Backtest) -> Days | None:
    """Return the days over which alerts per day are counted.

    They reach from the day of `since` to the day in which `until` ends, [since, until). Where one
    of these is None, the day of the earliest or latest alert or withheld assignment of any answer
    stands in its place. None when there is no such day.
    """
    judged = [
        one.verdict.event_time
        for answer in backtest.answers
        for of in (answer.alerts, answer.withheld)
        for one in of
    ]
    since, until = backtest.since, backtest.until
    if until is not None:
        judged.append(EventTime(until - 1))
    if since is not None:
        judged.append(since)
    if not judged or (since is not None and until is not None and until <= since):
        return None
    first = min(judged) if since is None else since
    last = max(judged) if until is None else EventTime(until - 1)
    return Days(day_of(first), day_of(last))


def day_of(event_time: EventTime) -> date:
    """Return the day of an event time, UTC."""
    return _EPOCH + timedelta(days=event_time // _TICKS_PER_DAY)


def decided_after(verdict: Verdict) -> timedelta:
    """Return how long after the assignment it became an alert, in event time.

    That is when the first reason that counts held: 0 for a delegated admin and for evidence that
    lies before the assignment.

    Raises:
        ValueError: the verdict is no alert.
    """
    evidence: Mapping[Reason, Sequence[Evidence]] = {
        Reason.USER_RISK: verdict.risk,
        Reason.RISKY_BEHAVIOR: verdict.behaviors,
    }
    earliest = min(
        verdict.event_time
        if reason is Reason.DELEGATED_ADMIN
        else min(one.event_time for one in evidence[reason])
        for reason in verdict.reasons
    )
    return timedelta(microseconds=max(0, earliest - verdict.event_time) // 10)


def _severities(verdicts: Iterable[Verdict]) -> Mapping[Severity, int]:
    counted = Counter(one.severity for one in verdicts)
    return MappingProxyType({severity: counted[severity] for severity in Severity})


def _by_tenant(answer: Answer, days: Days | None) -> tuple[TenantAlerts, ...]:
    alerts: dict[str, list[Verdict]] = defaultdict(list)
    withheld = Counter(one.verdict.assignment.tenant_id for one in answer.withheld)
    for one in answer.alerts:
        alerts[one.verdict.assignment.tenant_id].append(one.verdict)
    found = [
        TenantAlerts(tenant, _severities(of), withheld[tenant], _noise(of, days))
        for tenant in {*alerts, *withheld}
        for of in [alerts.get(tenant, [])]
    ]
    return tuple(sorted(found, key=lambda one: (-one.alerts, -one.withheld, one.tenant_id)))


def _noise(verdicts: Iterable[Verdict], days: Days | None) -> Noise:
    counts = sorted(Counter(day_of(one.event_time) for one in verdicts).values())
    if days is None or not counts:
        return Noise()
    without = days.count - len(counts)

    def rank(percent: int) -> int:
        place = ceil(days.count * percent / 100) - without
        return counts[place - 1] if place > 0 else 0

    return Noise(p50=rank(50), p95=rank(95), most=counts[-1], days=len(counts))


def _decided(verdicts: Sequence[Verdict]) -> tuple[Bucket, ...]:
    after = [decided_after(one) for one in verdicts]
    late = [one for one in after if one]
    return (Bucket(AT_ONCE, len(after) - len(late)), *_buckets(late, DECIDED_WITHIN))


def _buckets(spans: Sequence[timedelta], limits: Limits) -> tuple[Bucket, ...]:
    below = [sum(span < limit for span in spans) for _, limit in limits]
    counts = [high - low for low, high in zip([0, *below], [*below, len(spans)], strict=True)]
    names = [*(name for name, _ in limits), LATER]
    return tuple(Bucket(name, count) for name, count in zip(names, counts, strict=True))


def _allow_list(answer: Answer) -> tuple[EntryUse, ...]:
    withheld, weakened = _used(answer.withheld), _used(answer.alerts)
    entries: dict[str, AllowEntry | None] = {one.name: one for one in answer.by.policy.allow_list}
    for name in sorted({*withheld, *weakened} - set(entries)):
        entries[name] = None
    return tuple(
        EntryUse(
            name=name,
            entry=entry,
            withheld=len(withheld[name]),
            weakened=len(weakened[name]),
            last_used=max((*withheld[name], *weakened[name]), default=None),
        )
        for name, entry in entries.items()
    )


def _used(judged: Iterable[Judged]) -> defaultdict[str, list[EventTime]]:
    used: defaultdict[str, list[EventTime]] = defaultdict(list)
    for one in judged:
        for name in {each.entry for each in one.verdict.withheld}:
            used[name].append(one.verdict.event_time)
    return used
