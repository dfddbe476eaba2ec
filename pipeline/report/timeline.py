"""An alert as the page shows it: in words, and its evidence on a time line around it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from pipeline.core.event_time import EventTime, format_event_time
from pipeline.core.evidence import is_nothing
from pipeline.core.model import Assignment, Behavior, Evidence, GraphRequest, Risk
from pipeline.core.policy import Reason
from pipeline.core.verdict import Verdict
from pipeline.core.window import Window
from pipeline.report.figures import decided_after

STEPS_AT_MOST: Final = 25
"""Pieces of evidence of one alert that are listed in words."""

_LETTERS_AT_MOST: Final = 300

_REASONS: Final = {
    Reason.USER_RISK: "user risk",
    Reason.RISKY_BEHAVIOR: "risky behavior",
    Reason.DELEGATED_ADMIN: "delegated admin",
}
_TARGETS: Final = {
    "AllDevicesAssignmentTarget": "All Devices",
    "AllLicensedUsersAssignmentTarget": "All Users",
}
_LANES: Final = (("risk", Risk), ("behavior", Behavior), ("Graph", GraphRequest))
_UNITS: Final = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


@dataclass(frozen=True, slots=True)
class Step:
    """One line of the time line: when, how far from the assignment, of what kind, and what."""

    time: str
    distance: str
    kind: str
    title: str
    note: str


@dataclass(frozen=True, slots=True)
class Lane:
    """The evidence of one kind: where its dots lie, in per cent of the window's width."""

    kind: str
    facts: int
    dots: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Timeline:
    """The evidence of an alert within its window."""

    before: str
    after: str
    assigned_at: float
    lanes: tuple[Lane, ...]
    steps: tuple[Step, ...]
    left_out: int


@dataclass(frozen=True, slots=True)
class Row:
    """What an assignment comes to in one line."""

    time: str
    tenant: str
    who: str
    app: str
    target: str
    reasons: str


@dataclass(frozen=True, slots=True)
class Listed:
    """An alert in full."""

    row: Row
    verdict: Verdict
    decided: str
    withheld: tuple[str, ...]
    timeline: Timeline


def listed(verdict: Verdict, window: Window) -> Listed:
    """Return an alert as the page shows it."""
    after = decided_after(verdict)
    return Listed(
        row=row_of(verdict),
        verdict=verdict,
        decided=f"{span_in_words(after)} after the assignment" if after else "at once",
        withheld=tuple(f"{_REASONS[one.reason]} ({one.entry})" for one in verdict.withheld),
        timeline=timeline_of(verdict, window),
    )


def row_of(verdict: Verdict) -> Row:
    """Return an assignment in one line; its reasons are those that count, else those that held."""
    assignment = verdict.assignment
    reasons = verdict.reasons or dict.fromkeys(one.reason for one in verdict.withheld)
    return Row(
        time=moment_in_words(verdict.event_time),
        tenant=assignment.tenant_id,
        who=_who(assignment),
        app=assignment.app.name or assignment.app.object_id or "unnamed app",
        target=", ".join(_TARGETS.get(one, one) for one in verdict.target_types),
        reasons=", ".join(_REASONS[one] for one in reasons),
    )


def reason_in_words(reason: Reason) -> str:
    """Write a reason for a reader who is no engineer."""
    return _REASONS[reason]


def moment_in_words(event_time: EventTime) -> str:
    """Write an event time to the second, UTC."""
    return format_event_time(event_time)[:19].replace("T", " ")


def span_in_words(span: timedelta) -> str:
    """Write a span in its two largest units: `2 d 3 h`."""
    seconds = int(span.total_seconds())
    parts: list[str] = []
    for unit, length in _UNITS:
        count, seconds = divmod(seconds, length)
        if count:
            parts.append(f"{count} {unit}")
        if len(parts) == 2 or (parts and not count):
            break
    return " ".join(parts) or "under 1 s"


def timeline_of(verdict: Verdict, window: Window) -> Timeline:
    """Place the evidence of an alert within its window, in pictures and in words."""
    evidence: Sequence[Evidence] = (*verdict.risk, *verdict.behaviors, *verdict.graph)
    first, last = window.around(verdict.event_time)
    nearest = sorted(
        evidence,
        key=lambda one: (isinstance(one, GraphRequest), abs(one.event_time - verdict.event_time)),
    )[:STEPS_AT_MOST]
    return Timeline(
        before=span_in_words(window.before),
        after=_hours(window.after),
        assigned_at=_per_cent(verdict.event_time, first, last),
        lanes=tuple(_lanes(evidence, first, last)),
        steps=tuple(_steps(verdict, nearest)),
        left_out=len(evidence) - len(nearest),
    )


def _lanes(evidence: Sequence[Evidence], first: EventTime, last: EventTime) -> Iterable[Lane]:
    for name, kind in _LANES:
        times = [one.event_time for one in evidence if isinstance(one, kind)]
        if times:
            # Dots that would hide each other are drawn once: an alert may carry 500 of a kind.
            dots = sorted({_per_cent(time, first, last) for time in times})
            yield Lane(name, len(times), tuple(dots))


def _per_cent(time: EventTime, first: EventTime, last: EventTime) -> float:
    return round(min(max((time - first) / max(last - first, 1), 0.0), 1.0) * 100, 1)


def _steps(verdict: Verdict, evidence: Iterable[Evidence]) -> Iterable[Step]:
    assignment = verdict.assignment
    made = Step(
        time=moment_in_words(verdict.event_time),
        distance="the assignment",
        kind="assignment",
        title=f"{assignment.app.name or 'an app'} made Required",
        note=assignment.operation,
    )
    of_time = [(one.event_time, _step(one, verdict.event_time)) for one in evidence]
    of_time.append((verdict.event_time, made))
    return (step for _, step in sorted(of_time, key=lambda one: one[0]))


def _step(fact: Evidence, assigned_at: EventTime) -> Step:
    kind, title, note = _told(fact)
    distance = fact.event_time - assigned_at
    words = span_in_words(timedelta(microseconds=abs(distance) // 10))
    return Step(
        time=moment_in_words(fact.event_time),
        distance=f"{words} {'before' if distance < 0 else 'after'}" if distance else "same moment",
        kind=kind,
        title=_cut(title),
        note=_cut(note),
    )


def _told(fact: Evidence) -> tuple[str, str, str]:
    match fact:
        case Risk():
            return "risk", f"{fact.level} user risk", fact.upn or fact.account_upn or fact.object_id
        case Behavior():
            return "behavior", fact.action_type, f"behavior {fact.behavior_id}"
        case GraphRequest():
            origin = f"from {fact.ip_address}" if fact.ip_address else ""
            parts = (fact.method, fact.uri, fact.status, origin)
            return "Graph", "Graph request", " ".join(part for part in parts if part)


def _cut(text: str) -> str:
    return text if len(text) <= _LETTERS_AT_MOST else f"{text[:_LETTERS_AT_MOST]}…"


def _who(assignment: Assignment) -> str:
    actor = assignment.actor
    names = (actor.upn, assignment.identity, actor.object_id)
    return next((name for name in names if not is_nothing(name)), "not named in the audit event")


def _hours(span: timedelta) -> str:
    hours, rest = divmod(span, timedelta(hours=1))
    return span_in_words(span) if rest or span < timedelta(hours=1) else f"{hours} h"
