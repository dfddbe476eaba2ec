"""Judge one assignment by its evidence and a policy.

Goal: say that an admin who is risky, behaves riskily, or comes from a partner tenant has made an
app Required for everybody.
Blind spots: bulk `assign` calls that leave no ModifiedProperties; actors without UPN and object
id; evidence outside the windows.
False positives: ordinary rollouts by delegated partners (allow-list them) and by admins whose
risk is stale.
Response: mark the user as compromised or disable the account, then remove the assignment.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import Final, TypeVar

from pipeline.core.evidence import matches, window_of
from pipeline.core.model import Assignment, Behavior, Evidence, GraphRequest, Risk
from pipeline.core.policy import Policy, Reason, Severity
from pipeline.core.verdict import Verdict, Withholding, canonical

CARRIED_AT_MOST: Final = 500
"""Variants, and facts a kind, that an alert carries: what fits into a record of the topic."""

DISABLED: Final = "disabled"
"""Named in place of an allow-list entry when the tenant's policy has switched a reason off."""

_ACTIONS: Final = {
    Reason.USER_RISK: "mark the user as compromised in Entra ID or disable the account",
    Reason.RISKY_BEHAVIOR: "revoke the user's sessions and review the sign-ins behind the behavior",
    Reason.DELEGATED_ADMIN: "confirm the rollout with the partner and review its delegated rights",
}
_ACTIONS_ALWAYS: Final = (
    "review the assignment and remove it unless a change record explains it",
    "check on which devices the app was already installed",
)

_Kind = TypeVar("_Kind", Risk, Behavior, GraphRequest)


def evaluate(
    variants: Collection[Assignment],
    evidence: Iterable[Evidence],
    policy: Policy,
    *,
    truncated_before: bool = False,
) -> Verdict:
    """Judge the variants of one assignment by whatever evidence may belong to them.

    Args:
        variants: Every known copy and variant, at least one, all of one assignment id.
        evidence: Facts in any order, repeats and strangers allowed.
        policy: What decides beside the records.
        truncated_before: Whether the last revision already carried less than was known, so that
            facts which have expired since do not look as if they had never been.

    Returns:
        The verdict; the same for the same sets, whatever their order.
    """
    ordered = sorted(set(variants), key=lambda one: (one.event_time, canonical(one)))
    ours = {fact for fact in evidence if any(_belongs(fact, one, policy) for one in ordered)}
    risk, behaviors, graph = (
        _latest(Risk, ours),
        _latest(Behavior, ours),
        _latest(GraphRequest, ours),
    )
    carried: tuple[Evidence, ...] = (*risk, *behaviors, *graph)
    reasons, withheld = _weigh(ordered, carried, policy)
    return Verdict(
        assignment=ordered[0],
        variants=tuple(ordered[:CARRIED_AT_MOST]),
        target_types=tuple(sorted({kind for one in ordered for kind in one.target_types})),
        split_signals=all(one.split_signals for one in ordered),
        reasons=reasons,
        withheld=withheld,
        severity=_severity(reasons, risk, policy, ordered[0].tenant_id),
        risk=risk,
        behaviors=behaviors,
        graph=graph,
        evidence_truncated=(
            truncated_before or len(carried) < len(ours) or len(ordered) > CARRIED_AT_MOST
        ),
        ip_addresses=tuple(sorted({one.ip_address for one in graph if one.ip_address})),
        recommended_actions=(*(_ACTIONS[reason] for reason in reasons), *_ACTIONS_ALWAYS),
    )


def keeping(verdict: Verdict, evidence: Iterable[Evidence]) -> Verdict:
    """Return a verdict that carries this evidence beside its own, whether it counts or not."""
    known: set[Evidence] = {*verdict.risk, *verdict.behaviors, *verdict.graph, *evidence}
    return replace(
        verdict,
        risk=_latest(Risk, known),
        behaviors=_latest(Behavior, known),
        graph=_latest(GraphRequest, known),
    )


def _belongs(fact: Evidence, assignment: Assignment, policy: Policy) -> bool:
    window = window_of(fact, policy.windows)
    return window.holds(assignment.event_time, fact.event_time) and matches(
        assignment, fact, policy.matching
    )


def _latest(kind: type[_Kind], facts: Iterable[Evidence]) -> tuple[_Kind, ...]:
    of_kind = [fact for fact in facts if isinstance(fact, kind)]
    return tuple(sorted(of_kind, key=lambda one: (-one.event_time, canonical(one))))[
        :CARRIED_AT_MOST
    ]


def _weigh(
    variants: Sequence[Assignment], evidence: Sequence[Evidence], policy: Policy
) -> tuple[tuple[Reason, ...], tuple[Withholding, ...]]:
    reasons: list[Reason] = []
    withheld: list[Withholding] = []
    for reason in Reason:
        claimants = [one for one in variants if _claims(reason, one, evidence, policy)]
        if not claimants:
            continue
        entries = _taken_by(reason, claimants, variants[0], policy)
        if entries:
            withheld.extend(Withholding(reason, entry) for entry in entries)
        else:
            reasons.append(reason)
    return tuple(reasons), tuple(withheld)


def _claims(
    reason: Reason, assignment: Assignment, evidence: Sequence[Evidence], policy: Policy
) -> bool:
    if reason is Reason.DELEGATED_ADMIN:
        return assignment.actor.is_delegated_admin
    kind = Risk if reason is Reason.USER_RISK else Behavior
    return any(isinstance(fact, kind) and _belongs(fact, assignment, policy) for fact in evidence)


def _taken_by(
    reason: Reason, claimants: Sequence[Assignment], earliest: Assignment, policy: Policy
) -> list[str]:
    """Name what takes a reason away from all who claim it; nothing when one of them keeps it."""
    if reason in policy.of(earliest.tenant_id).disabled:
        return [DISABLED]
    names: set[str] = set()
    for claimant in claimants:
        taking = {
            entry.name
            for entry in policy.allow_list
            if entry.takes(reason, claimant, earliest.event_time)
        }
        if not taking:
            return []
        names |= taking
    return sorted(names)


def _severity(
    reasons: Collection[Reason], risk: Iterable[Risk], policy: Policy, tenant_id: str
) -> Severity:
    severities = policy.of(tenant_id).severities
    is_high = Reason.USER_RISK in reasons and any(one.level.lower() == "high" for one in risk)
    return severities.raised if is_high or len(reasons) > 1 else severities.usual
