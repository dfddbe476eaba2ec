"""Explain a verdict: of each reason what counts, what nearly does, and what took it away.

The verdict is that of `evaluate`; this says what it rests on, for an event that stayed quiet, too.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, assert_never

from pipeline.core.evaluate import evaluate
from pipeline.core.evidence import Matching, keys_of
from pipeline.core.model import Assignment, Behavior, Evidence, GraphRequest, Risk
from pipeline.core.near_misses import (
    Bar,
    EntryObstacle,
    Obstacle,
    entry_obstacles,
    is_about,
    obstacles,
)
from pipeline.core.policy import AllowEntry, Policy, Reason
from pipeline.core.verdict import Verdict, canonical
from pipeline.core.window import Windows

_NOT_CARRIED: Final = (Obstacle(Bar.CROWDED_OUT),)


class Holding(StrEnum):
    """What became of a reason."""

    HOLDS = "holds"
    WITHHELD = "withheld"
    ABSENT = "does_not_hold"


@dataclass(frozen=True, slots=True)
class Weighed:
    """A fact that shares a key with a variant, and why it does not count; no obstacle: it does.

    `apart` is how many ticks it lies after the variant to which it fits best; negative: before.
    """

    fact: Evidence
    apart: int
    obstacles: tuple[Obstacle, ...] = ()

    @property
    def counts(self) -> bool:
        """Tell whether it is evidence."""
        return not self.obstacles


@dataclass(frozen=True, slots=True)
class WeighedEntry:
    """An allow-list entry about this actor: of how many claiming variants it takes the reason.

    A reason is gone only when it is taken from all of them.
    """

    entry: AllowEntry
    takes_from: int
    claimants: int
    obstacles: tuple[EntryObstacle, ...] = ()


@dataclass(frozen=True, slots=True)
class ReasonExplained:
    """One reason: what became of it, and what that rests on.

    `claimants` are the variants for which it holds; `entries` are looked at only then.
    `disabled_by` is the setting that switches the reason off, else "".
    """

    reason: Reason
    holding: Holding
    claimants: tuple[Assignment, ...]
    counting: tuple[Weighed, ...]
    near_misses: tuple[Weighed, ...]
    entries: tuple[WeighedEntry, ...]
    disabled_by: str


@dataclass(frozen=True, slots=True)
class SeverityExplained:
    """Why an alert is as severe as it is: what raises it, and whose setting names it."""

    setting: str
    is_high_risk: bool
    are_several_reasons: bool

    @property
    def is_raised(self) -> bool:
        """Tell whether anything raises it."""
        return self.is_high_risk or self.are_several_reasons


@dataclass(frozen=True, slots=True)
class Explanation:
    """A verdict and what it rests on; near misses come nearest first, evidence latest first."""

    verdict: Verdict
    matching: Matching
    windows: Windows
    reasons: tuple[ReasonExplained, ...]
    graph: tuple[Weighed, ...]
    graph_near_misses: tuple[Weighed, ...]
    severity: SeverityExplained


def explain(
    variants: Collection[Assignment],
    evidence: Iterable[Evidence],
    policy: Policy,
    *,
    truncated_before: bool = False,
) -> Explanation:
    """Judge like `evaluate`, and say why; the arguments are its arguments.

    Args:
        variants: Every known copy and variant, at least one, all of one assignment id.
        evidence: Facts in any order; those that share no key with a variant are passed over.
        policy: What decides beside the records.
        truncated_before: Whether the last revision already carried less than was known.
    """
    evidence = list(evidence)
    verdict = evaluate(variants, evidence, policy, truncated_before=truncated_before)
    known = sorted(set(variants), key=lambda one: (one.event_time, canonical(one)))
    weighed = _weighed(known, evidence, verdict, policy)
    graph, graph_near_misses = _parted(weighed, GraphRequest)
    return Explanation(
        verdict=verdict,
        matching=policy.matching,
        windows=policy.windows,
        reasons=tuple(_reason(one, known, weighed, verdict, policy) for one in Reason),
        graph=graph,
        graph_near_misses=graph_near_misses,
        severity=_severity(verdict, policy),
    )


def _weighed(
    variants: Sequence[Assignment], evidence: Iterable[Evidence], verdict: Verdict, policy: Policy
) -> list[Weighed]:
    tenant_id = verdict.assignment.tenant_id
    keys = {key for one in variants for key in keys_of(one)}
    carried: set[Evidence] = {*verdict.risk, *verdict.behaviors, *verdict.graph}
    found = []
    for fact in set(evidence):
        if fact.tenant_id == tenant_id and keys & keys_of(fact):
            best = _best(variants, fact, policy)
            is_left_out = best.counts and fact not in carried
            found.append(Weighed(fact, best.apart, _NOT_CARRIED) if is_left_out else best)
    return found


def _best(variants: Sequence[Assignment], fact: Evidence, policy: Policy) -> Weighed:
    """Weigh a fact against the variant to which it fits best."""
    by_variant = [
        Weighed(fact, fact.event_time - one.event_time, obstacles(one, fact, policy))
        for one in variants
    ]
    return min(by_variant, key=lambda one: (len(one.obstacles), abs(one.apart)))


def _parted(
    weighed: Iterable[Weighed], kind: type[Risk | Behavior | GraphRequest]
) -> tuple[tuple[Weighed, ...], tuple[Weighed, ...]]:
    of_kind = [one for one in weighed if isinstance(one.fact, kind)]
    counting = [one for one in of_kind if one.counts]
    near = [one for one in of_kind if not one.counts]
    return (
        tuple(sorted(counting, key=lambda one: (-one.fact.event_time, canonical(one.fact)))),
        tuple(sorted(near, key=_distance)),
    )


def _distance(near_miss: Weighed) -> tuple[int, int, int, str]:
    beyond = sum(one.beyond for one in near_miss.obstacles)
    return len(near_miss.obstacles), beyond, abs(near_miss.apart), canonical(near_miss.fact)


def _reason(
    reason: Reason,
    variants: Sequence[Assignment],
    weighed: Sequence[Weighed],
    verdict: Verdict,
    policy: Policy,
) -> ReasonExplained:
    counting: tuple[Weighed, ...] = ()
    near_misses: tuple[Weighed, ...] = ()
    match reason:
        case Reason.DELEGATED_ADMIN:
            claimants = [one for one in variants if one.actor.is_delegated_admin]
        case Reason.USER_RISK | Reason.RISKY_BEHAVIOR:
            kind = Risk if reason is Reason.USER_RISK else Behavior
            counting, near_misses = _parted(weighed, kind)
            claimants = [
                one
                for one in variants
                if any(not obstacles(one, by.fact, policy) for by in counting)
            ]
        case _:
            assert_never(reason)
    return ReasonExplained(
        reason=reason,
        holding=_holding(reason, verdict),
        claimants=tuple(claimants),
        counting=counting,
        near_misses=near_misses,
        entries=tuple(_entries(reason, claimants, verdict, policy)),
        disabled_by=_disabled_by(reason, verdict.assignment.tenant_id, policy),
    )


def _holding(reason: Reason, verdict: Verdict) -> Holding:
    if reason in verdict.reasons:
        return Holding.HOLDS
    is_withheld = any(one.reason is reason for one in verdict.withheld)
    return Holding.WITHHELD if is_withheld else Holding.ABSENT


def _entries(
    reason: Reason, claimants: Sequence[Assignment], verdict: Verdict, policy: Policy
) -> list[WeighedEntry]:
    at = verdict.event_time
    found = []
    for entry in policy.allow_list:
        concerned = [one for one in claimants if is_about(entry, one)]
        if concerned:
            takes_from = sum(entry.takes(reason, one, at) for one in claimants)
            barred = entry_obstacles(entry, reason, verdict.assignment.tenant_id, at)
            found.append(WeighedEntry(entry, takes_from, len(claimants), barred))
    return found


def _disabled_by(reason: Reason, tenant_id: str, policy: Policy) -> str:
    if reason not in policy.of(tenant_id).disabled:
        return ""
    return f"{_settings_of(tenant_id, policy)}disabled_reasons"


def _severity(verdict: Verdict, policy: Policy) -> SeverityExplained:
    tenant_id = verdict.assignment.tenant_id
    is_high_risk = Reason.USER_RISK in verdict.reasons and any(
        one.level.lower() == "high" for one in verdict.risk
    )
    are_several = len(verdict.reasons) > 1
    name = "raised" if is_high_risk or are_several else "usual"
    return SeverityExplained(
        setting=f"{_settings_of(tenant_id, policy)}severity.{name}",
        is_high_risk=is_high_risk,
        are_several_reasons=are_several,
    )


def _settings_of(tenant_id: str, policy: Policy) -> str:
    return f"tenants.{tenant_id}." if tenant_id in policy.tenants else ""
