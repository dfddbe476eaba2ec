"""Judge what was spilled, one bucket of tenants at a time, by every policy."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from pipeline.backtest.batch import Joined
from pipeline.backtest.compare import difference, difference_of
from pipeline.backtest.result import Change, Difference, Judged, NamedPolicy
from pipeline.backtest.scan import reading_of, readings_of
from pipeline.backtest.spill import Sighting, spilled
from pipeline.core.evaluate import evaluate
from pipeline.core.event_time import EventTime
from pipeline.core.model import AssignmentId, Fact, Position
from pipeline.core.policy import Policy, Reason
from pipeline.core.verdict import Outcome, Verdict, fact_id

WORKSPACES: Final = "workspaces"


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of the facts: by which policies, about which event times ([since, until))."""

    policies: tuple[NamedPolicy, ...]
    since: EventTime | None = None
    until: EventTime | None = None

    def is_about(self, event_time: EventTime) -> bool:
        """Tell whether an assignment of that time counts."""
        return (self.since is None or self.since <= event_time) and (
            self.until is None or event_time < self.until
        )


@dataclass(slots=True)
class Said:
    """What one policy says of some assignments."""

    alerts: list[Judged] = field(default_factory=list)
    withheld: list[Judged] = field(default_factory=list)
    quiet: int = 0

    def add(self, other: "Said") -> None:
        """Add what it says of others."""
        self.alerts += other.alerts
        self.withheld += other.withheld
        self.quiet += other.quiet


@dataclass(frozen=True, slots=True)
class Judgement:
    """What each policy says, and in what the first and each later one differ."""

    said: tuple[Said, ...]
    differences: tuple[list[Difference], ...]


def judge_bucket(folder: Path, bucket: int, question: Question) -> Judgement:
    """Judge the assignments of a bucket by every policy."""
    readings = readings_of(question.policies)
    seen = [_Facts(spilled(folder, number, bucket)) for number in range(len(readings))]
    of_policy = [seen[readings.index(reading_of(one.policy))] for one in question.policies]
    said = tuple(
        _said(facts, one.policy, question)
        for facts, one in zip(of_policy, question.policies, strict=True)
    )
    first = question.policies[0].policy
    differences = tuple(
        list(_differences((of_policy[0], first), (facts, one.policy), question))
        for facts, one in zip(of_policy[1:], question.policies[1:], strict=True)
    )
    return Judgement(said, differences)


class _Facts:
    """The facts of a bucket, joined, and where each was seen."""

    def __init__(self, sightings: Iterable[Sighting]) -> None:
        self._at: dict[Fact, tuple[Position, int | None]] = {}
        for fact, position, appended_at in sightings:
            first, earliest = self._at.get(fact, (position, appended_at))
            self._at[fact] = (min(first, position), _earlier(earliest, appended_at))
        self.joined = Joined(self._at)
        self._sources: dict[Fact, tuple[str, Position]] = {}

    def judged(self, verdict: Verdict) -> Judged:
        """Add where the records lie, and when the last one needed was appended."""
        carried: tuple[Fact, ...] = (
            *verdict.variants,
            *verdict.risk,
            *verdict.behaviors,
            *verdict.graph,
        )
        sources = tuple(self._source(fact) for fact in carried)
        return Judged(verdict, sources, self._known_at(verdict))

    def _source(self, fact: Fact) -> tuple[str, Position]:
        """Return a fact's id and place, made once: many alerts may carry it."""
        known = self._sources.get(fact)
        if known is None:
            known = self._sources[fact] = (fact_id(fact), self._at[fact][0])
        return known

    def _known_at(self, verdict: Verdict) -> int | None:
        seen = self._first(verdict.variants)
        reasons: Mapping[Reason, Sequence[Fact]] = {
            Reason.USER_RISK: verdict.risk,
            Reason.RISKY_BEHAVIOR: verdict.behaviors,
            Reason.DELEGATED_ADMIN: [
                one for one in verdict.variants if one.actor.is_delegated_admin
            ],
        }
        moments = [
            moment
            for reason in verdict.reasons
            if (moment := self._first(reasons[reason])) is not None
        ]
        return None if seen is None or not moments else max(seen, min(moments))

    def _first(self, facts: Iterable[Fact]) -> int | None:
        moments = [moment for fact in facts if (moment := self._at[fact][1]) is not None]
        return min(moments, default=None)


def _said(facts: _Facts, policy: Policy, question: Question) -> Said:
    said = Said()
    for of in facts.joined:
        verdict = _verdict(facts.joined, of, policy)
        if not question.is_about(verdict.event_time):
            continue
        match verdict.outcome:
            case Outcome.ALERT:
                said.alerts.append(facts.judged(verdict))
            case Outcome.WITHHELD:
                said.withheld.append(facts.judged(verdict))
            case Outcome.QUIET:
                said.quiet += 1
    return said


def _verdict(joined: Joined, of: AssignmentId, policy: Policy) -> Verdict:
    return evaluate(joined.variants(of), joined.evidence(of), policy)


def _differences(
    before: tuple[_Facts, Policy], after: tuple[_Facts, Policy], question: Question
) -> Iterator[Difference]:
    (ours, first), (theirs, second) = (before[0].joined, before[1]), (after[0].joined, after[1])
    for of in dict.fromkeys((*ours, *theirs)):
        if not ours.variants(of):
            found = _of_one_side(Change.NEW, of, _verdict(theirs, of, second))
        elif not theirs.variants(of):
            found = _of_one_side(Change.GONE, of, _verdict(ours, of, first))
        elif first.workspaces == second.workspaces or _same_facts(ours, theirs, of):
            evidence = ours.evidence(of) | theirs.evidence(of)
            found = difference(ours.variants(of), evidence, first, second)
        else:
            found = difference_of(
                _verdict(ours, of, first), _verdict(theirs, of, second), (WORKSPACES,)
            )
        if found is not None and question.is_about(found.after.event_time):
            yield found


def _same_facts(ours: Joined, theirs: Joined, of: AssignmentId) -> bool:
    return ours.variants(of) == theirs.variants(of) and ours.evidence(of) == theirs.evidence(of)


def _of_one_side(change: Change, of: AssignmentId, verdict: Verdict) -> Difference | None:
    """Tell of an assignment that by the other policy's workspaces is another tenant's."""
    if verdict.outcome is not Outcome.ALERT:
        return None
    nothing = replace(verdict, reasons=(), withheld=())
    before, after = (nothing, verdict) if change is Change.NEW else (verdict, nothing)
    return Difference(change, of, before, after, (WORKSPACES,))


def _earlier(one: int | None, other: int | None) -> int | None:
    return min((moment for moment in (one, other) if moment is not None), default=None)
