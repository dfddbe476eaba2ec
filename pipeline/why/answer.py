"""Why an audit event became an alert, or did not: from a slice, or from the live store."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from pipeline.core.explain import Explanation, explain
from pipeline.core.model import AssignmentId, Fact, Position
from pipeline.core.policy import Policy
from pipeline.ports import FactStore
from pipeline.sources.conditions import conditions_met
from pipeline.why.actor_search import ActorRows
from pipeline.why.event_search import Found, RecordSeen
from pipeline.why.last_revision import LastRevision, agrees, differing_fields

_STORED: Final = "assignment, kept in the store"

LastOf = Callable[[AssignmentId], LastRevision | None]
"""Finds the last revision of an alert; None: nothing was published of it."""


@dataclass(frozen=True, slots=True)
class Live:
    """What was published last, and whether a worker would now publish anything else.

    `differing` names the fields of the alert that would change.
    """

    last: LastRevision | None
    agrees: bool
    differing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Why:
    """All that is to be said of one audit event.

    Attributes:
        asked: What was asked for.
        place: Where it was looked for.
        records: The records of the event; none: it is unknown there.
        explanation: Of its verdict; None when it is no assignment.
        positions: Where the facts were first seen.
        policy_digest: By which policy it was judged.
        live: What was published; None when nobody looked.
        actor_rows: Rows of the actor that are no evidence by rule; None when nobody looked.
    """

    asked: AssignmentId
    place: str
    policy_digest: str
    records: tuple[RecordSeen, ...] = ()
    explanation: Explanation | None = None
    positions: Mapping[Fact, Position] = field(default_factory=dict)
    live: Live | None = None
    actor_rows: tuple[ActorRows, ...] | None = None


async def look_up(store: FactStore, asked: AssignmentId) -> Found:
    """Look an assignment up in the store; its id as asked, else in lower case.

    Raises:
        StoreUnavailable: the store does not answer, or is not complete.
    """
    lower = AssignmentId(asked.tenant_id, asked.audit_event_id.lower())
    dossiers = await store.dossiers(list(dict.fromkeys((asked, lower))))
    for dossier in dossiers:
        if dossier.variants:
            return Found(
                records=tuple(
                    RecordSeen(seen.position, conditions_met(seen.fact), _STORED)
                    for seen in sorted(dossier.variants, key=lambda one: one.position)
                ),
                variants=dossier.variants,
                evidence=dossier.evidence,
            )
    return Found()


def answer(
    asked: AssignmentId,
    place: str,
    found: Found,
    policy: Policy,
    last_of: LastOf | None = None,
    *,
    is_live: bool = False,
) -> Why:
    """Explain what was found.

    Args:
        asked: What was asked for.
        place: Where it was found, for people.
        found: What is known there.
        policy: By which to judge.
        last_of: Finds what was published; None: do not look.
        is_live: Judge as a worker does, which adds the evidence that the last revision carries:
            it may have expired in the store since.
    """
    if not found.variants:
        return Why(asked, place, policy.digest, found.records)
    of = found.variants[0].fact.id
    last = last_of(of) if last_of is not None else None
    positions: dict[Fact, Position] = {one.fact: one.position for one in found.variants}
    evidence = list(found.evidence)
    if is_live and last is not None:
        evidence += last.published.evidence
    for one in evidence:
        positions[one.fact] = min(one.position, positions.get(one.fact, one.position))
    explanation = explain(
        [one.fact for one in found.variants],
        [one.fact for one in evidence],
        policy,
        truncated_before=is_live and last is not None and last.published.evidence_truncated,
    )
    return Why(
        asked=asked,
        place=place,
        policy_digest=policy.digest,
        records=found.records,
        explanation=explanation,
        positions=positions,
        live=None if last_of is None else _compared(explanation, last),
    )


def _compared(explanation: Explanation, last: LastRevision | None) -> Live:
    verdict = explanation.verdict
    if agrees(verdict, last):
        return Live(last, agrees=True)
    return Live(last, agrees=False, differing=differing_fields(verdict, last) if last else ())
