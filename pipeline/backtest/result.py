"""What a backtest says: of each policy its alerts, and between two policies what differs."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from pipeline.core.event_time import EventTime
from pipeline.core.model import AssignmentId, Position
from pipeline.core.policy import Policy
from pipeline.core.verdict import Verdict


@dataclass(frozen=True, slots=True)
class NamedPolicy:
    """A policy under the name by which a report calls it: its file, or "defaults"."""

    name: str
    policy: Policy


@dataclass(frozen=True, slots=True)
class Judged:
    """One assignment judged by one policy, and where the records that it rests on lie.

    `sources` gives, for the id of each variant and each piece of evidence, the smallest of its
    positions. `known_at` is when the last record that the verdict needed was appended, in
    milliseconds; None when the records carry no such time, as those of files.
    """

    verdict: Verdict
    sources: tuple[tuple[str, Position], ...] = ()
    known_at: int | None = None


class Change(StrEnum):
    """How what one policy says of an assignment differs from what another says."""

    NEW = "new"
    GONE = "gone"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class Difference:
    """An assignment of which two policies say different things, and the settings that decide.

    NEW: only `after` is an alert; GONE: only `before` is; CHANGED: both are, and differ. `causes`
    names the settings, as a policy file spells them, whose change makes the difference; `fields`
    names what an alert says otherwise (only when CHANGED).
    """

    change: Change
    of: AssignmentId
    before: Verdict
    after: Verdict
    causes: tuple[str, ...]
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Faults:
    """Malformed records of one reason: how many, and where the first of them lies."""

    reason: str
    records: int
    first: Position


@dataclass(frozen=True, slots=True)
class Read:
    """What was read: values fetched, those the sieve let through, records and facts in them."""

    values: int = 0
    opened: int = 0
    records: int = 0
    facts: int = 0
    malformed: tuple[Faults, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """What one policy says of the slice; in order of event time, then of alert id."""

    by: NamedPolicy
    alerts: tuple[Judged, ...] = ()
    withheld: tuple[Judged, ...] = ()
    quiet: int = 0


@dataclass(frozen=True, slots=True)
class Backtest:
    """A slice judged by one or more policies.

    Assignments count when their event time lies in [since, until); None is no bound. `sources`
    names what was read: topics or files. `warnings` says what could make the answer incomplete.
    `differences` compares the first policy with each later one.
    """

    sources: tuple[str, ...]
    since: EventTime | None
    until: EventTime | None
    read: Read
    answers: tuple[Answer, ...]
    differences: tuple[tuple[Difference, ...], ...] = ()
    warnings: tuple[str, ...] = field(default=())


def ordered(judged: Iterable[Judged]) -> tuple[Judged, ...]:
    """Put judged assignments into the order in which reports list them."""
    return tuple(sorted(judged, key=lambda one: (one.verdict.event_time, one.verdict.alert_id)))
