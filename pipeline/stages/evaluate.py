"""Evaluate: requests become verdicts, and verdicts that say something new become revisions."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import structlog

from pipeline.core.evaluate import evaluate, keeping
from pipeline.core.event_time import EventTime, ticks
from pipeline.core.model import AssignmentId, Evidence, Fact, Position, Seen
from pipeline.core.policy import Policy
from pipeline.core.verdict import Outcome, Verdict, alert_id, fact_id
from pipeline.ports import (
    AlertLog,
    Dossier,
    FactStore,
    Freshness,
    Latest,
    Published,
    Reaches,
    Ready,
    Revision,
    Status,
)
from pipeline.stages.counts import EvaluateCounts

_FIRST_AT_ONCE: Final = 20
_MOST_AT_ONCE: Final = 250
"""Assignments whose facts are read at once: how many, their facts decide."""

_FACTS_AT_ONCE: Final = 2_000
"""Facts in one transaction, roughly: judging and writing so many takes a tenth of a second."""

_FACTS_A_TURN: Final = 100
"""Facts that are judged before others get a turn of the loop: heartbeats run on it, too."""

_LINES_AT_MOST: Final = 20
"""Lines of log about one transaction: of a flood, the topic itself tells."""

_AHEAD_AT_MOST: Final = ticks(timedelta(minutes=1))

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Rule:
    """A policy, and facts that are read by its windows: what one decision goes by."""

    facts: FactStore
    policy: Policy
    digest: str


@dataclass(frozen=True, slots=True)
class _Judged:
    verdict: Verdict
    revision: Revision | None


class Evaluate:
    """Handles the requests of one batch; calling it again with the same does no harm."""

    def __init__(
        self,
        *,
        facts: FactStore,
        policy: Policy,
        clock: Callable[[], EventTime],
        counts: EvaluateCounts,
    ) -> None:
        self._rule = _Rule(facts, policy, policy.digest)
        self._clock = clock
        self._counts = counts
        self._at_once = _FIRST_AT_ONCE
        self._reaches: Callable[[], Reaches] = Reaches

    def watch(self, reaches: Callable[[], Reaches]) -> None:
        """Ask for how far the sources have been read whenever a revision is made; not to wait."""
        self._reaches = reaches

    @property
    def policy(self) -> Policy:
        """The policy in force."""
        return self._rule.policy

    def follow(self, policy: Policy, facts: FactStore) -> None:
        """Judge by another policy, and by facts that are read by its windows, from now on.

        What is being judged is judged, and published, by the former policy to its end.
        """
        self._rule = _Rule(facts, policy, policy.digest)

    async def __call__(self, ids: Sequence[AssignmentId], alerts: AlertLog, ready: Ready) -> bool:
        """Judge what was asked for and publish what has changed, in as few transactions as fit.

        Returns:
            True when the batch may be acknowledged; false when it is no longer ours.

        Raises:
            StoreUnavailable: call again when the store is back; what was published stays.
            LostOwnership: what was decided is void; the partition must be taken over anew.
        """
        rest = list(dict.fromkeys(ids))
        while rest:
            few, rest = rest[: self._at_once], rest[self._at_once :]
            if not await self._few(few, alerts, ready):
                return False
        return True

    async def _few(self, ids: Sequence[AssignmentId], alerts: AlertLog, ready: Ready) -> bool:
        if not await ready():
            return False
        rule = self._rule
        reaches = self._reaches()  # before the facts: what is read after them is not in them
        dossiers = await rule.facts.dossiers(ids)
        self._at_once = _next_at_once(dossiers)
        for portion in _portions(dossiers):
            judged = await self._judged(portion, alerts, rule, reaches)
            revisions = [one.revision for one in judged if one.revision is not None]
            if revisions:
                if not await ready():
                    return False
                await alerts.publish(revisions)
            self._report(judged, unknown=len(portion) - len(judged))
        return True

    async def _judged(
        self, dossiers: Sequence[Dossier], alerts: AlertLog, rule: _Rule, reaches: Reaches
    ) -> list[_Judged]:
        judged: list[_Judged] = []
        facts = 0
        for one in dossiers:
            facts += _weight(one)
            if facts > _FACTS_A_TURN:
                await asyncio.sleep(0)
                facts = 0
            if one.variants:
                judged.append(self._judge(one, alerts, rule, reaches))
        return judged

    def _judge(self, dossier: Dossier, alerts: AlertLog, rule: _Rule, reaches: Reaches) -> _Judged:
        last = alerts.last(alert_id(dossier.id))
        evidence = _with_what_was_published(dossier, last)
        verdict = evaluate(
            [seen.fact for seen in dossier.variants],
            [seen.fact for seen in evidence],
            rule.policy,
            truncated_before=last is not None and last.evidence_truncated,
        )
        status = Status.ACTIVE if verdict.outcome is Outcome.ALERT else Status.WITHDRAWN
        if _says_nothing_new(verdict, status, last):
            return _Judged(verdict, None)
        if last is not None and status is Status.WITHDRAWN:
            # A narrower window may be widened again, when the store has forgotten.
            verdict = keeping(verdict, (seen.fact for seen in last.evidence))
        detected_at = self._clock()
        revision = Revision(
            verdict=verdict,
            number=1 if last is None else last.number + 1,
            status=status,
            detected_at=detected_at,
            sources=_sources(verdict, (*dossier.variants, *evidence)),
            policy_digest=rule.digest,
            freshness=Freshness(reaches, _believed(dossier.latest, detected_at)),
        )
        return _Judged(verdict, revision)

    def _report(self, judged: Sequence[_Judged], unknown: int) -> None:
        for _ in range(unknown):
            self._counts.unknown()
        for one in judged:
            self._counts.evaluated(one.verdict.outcome)
            for withholding in one.verdict.withheld:
                _log.info(
                    "verdict.withheld",
                    tenant_id=one.verdict.assignment.tenant_id,
                    audit_event_id=one.verdict.assignment.audit_event_id,
                    reason=withholding.reason,
                    entry=withholding.entry,
                )
        revisions = [one.revision for one in judged if one.revision is not None]
        for revision in revisions:
            self._counts.published(revision.status)
        for revision in revisions[:_LINES_AT_MOST]:
            _say_published(revision)
        if len(revisions) > _LINES_AT_MOST:
            _log.info("alerts.published", more=len(revisions) - _LINES_AT_MOST)


def _say_published(revision: Revision) -> None:
    verdict = revision.verdict
    _log.info(
        "alert.published",
        alert_id=verdict.alert_id,
        revision=revision.number,
        status=revision.status,
        tenant_id=verdict.assignment.tenant_id,
        severity=verdict.severity,
        reasons=[str(reason) for reason in verdict.reasons],
    )


def _weight(dossier: Dossier) -> int:
    return 1 + len(dossier.variants) + len(dossier.evidence)


def _next_at_once(dossiers: Sequence[Dossier]) -> int:
    """Return of how many assignments to read the facts next, going by these."""
    fitting = len(dossiers) * _FACTS_AT_ONCE // sum(map(_weight, dossiers))
    return min(max(1, fitting), _MOST_AT_ONCE)


def _portions(dossiers: Sequence[Dossier]) -> Iterator[Sequence[Dossier]]:
    """Part dossiers, as they may hold many times the facts that those before them held."""
    first, facts = 0, 0
    for place, one in enumerate(dossiers):
        if place > first and facts + _weight(one) > _FACTS_AT_ONCE:
            yield dossiers[first:place]
            first, facts = place, 0
        facts += _weight(one)
    yield dossiers[first:]


def _with_what_was_published(dossier: Dossier, last: Published | None) -> list[Seen[Evidence]]:
    """Join what the store knows with what the last revision carries, so that it cannot shrink."""
    known = {seen.fact: seen for seen in dossier.evidence}
    for seen in () if last is None else last.evidence:
        known[seen.fact] = seen
    return list(known.values())


def _believed(latest: Latest, now: EventTime) -> Latest:
    """Leave out what is said of the future: one wrong clock at a source would hide a silence."""
    times = (latest.risk, latest.behavior, latest.graph)
    return Latest(*(None if at is None or at > now + _AHEAD_AT_MOST else at for at in times))


def _says_nothing_new(verdict: Verdict, status: Status, last: Published | None) -> bool:
    if last is None:
        return status is not Status.ACTIVE
    if last.status is Status.WITHDRAWN and status is Status.WITHDRAWN:
        return True
    return last.digest == verdict.digest


def _sources(verdict: Verdict, seen: Sequence[Seen[Fact]]) -> tuple[tuple[str, Position], ...]:
    where = {one.fact: one.position for one in seen}
    carried: tuple[Fact, ...] = (
        *verdict.variants,
        *verdict.risk,
        *verdict.behaviors,
        *verdict.graph,
    )
    return tuple((fact_id(fact), where[fact]) for fact in carried)
