"""What differs between two policies' verdicts, and between a backtest and the live alerts."""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache, partial, reduce
from itertools import combinations
from typing import Any, Final

from pipeline.adapters.alert_codec import without_arrival
from pipeline.backtest.result import Change, Difference
from pipeline.core.evaluate import evaluate
from pipeline.core.model import Assignment, Evidence
from pipeline.core.policy import Policy, Reason, TenantPolicy
from pipeline.core.verdict import Outcome, Verdict
from pipeline.ports import Status


class LiveKind(StrEnum):
    """How what is live differs from what the backtest says."""

    MISSING = "missing"
    UNEXPECTED = "unexpected"
    DIFFERENT = "different"


@dataclass(frozen=True, slots=True)
class LiveDifference:
    """An alert of which the live topic and the backtest say different things.

    MISSING: the backtest has it, live has not, or has withdrawn it; UNEXPECTED: it is active live
    and the backtest has it not; DIFFERENT: both have it, and `fields` (dotted) are not the same.
    """

    kind: LiveKind
    alert_id: str
    tenant_id: str
    audit_event_id: str
    fields: tuple[str, ...] = ()


_Take = Callable[[Policy, Policy], Policy]
"""Returns the first policy with one setting as the second has it."""

_FIELDS: Final[Mapping[str, Callable[[Verdict], object]]] = {
    "severity": lambda one: one.severity,
    "reasons": lambda one: one.reasons,
    "withheld": lambda one: one.withheld,
    "event_time": lambda one: one.event_time,
    "actor": lambda one: (one.assignment.identity, one.assignment.actor),
    "assignment": lambda one: (one.variants, one.target_types, one.split_signals),
    "evidence.risk": lambda one: one.risk,
    "evidence.behaviors": lambda one: one.behaviors,
    "evidence.graph": lambda one: one.graph,
    "evidence_truncated": lambda one: one.evidence_truncated,
    "ip_addresses": lambda one: one.ip_addresses,
    "recommended_actions": lambda one: one.recommended_actions,
}
"""Everything that the digest covers, as it is published and in that order."""


def difference(
    variants: Collection[Assignment],
    evidence: Collection[Evidence],
    before: Policy,
    after: Policy,
) -> Difference | None:
    """Judge an assignment by two policies; None when both say the same of it.

    The causes are the settings that decide alone: the change of one is enough, or is needed.
    Where none is (any two of three suffice), they are those that decide once another is changed
    too, or another two, and so on. `workspaces` is none of them: it decides what the facts are.

    Args:
        variants: Every known copy and variant, at least one, all of one assignment id.
        evidence: Facts in any order, repeats and strangers allowed.
        before: The policy to start from.
        after: The policy to compare it with.
    """
    found = difference_of(
        evaluate(variants, evidence, before), evaluate(variants, evidence, after), causes=()
    )
    if found is None:
        return None
    takes = _settings(found.of.tenant_id, before, after)
    first, second = (_concerning(one, found.of.tenant_id, variants) for one in (before, after))
    differing = {name: take for name, take in takes.items() if take(first, second) != first}

    @cache
    def says(changed: frozenset[str]) -> object:
        mixed = reduce(lambda into, name: takes[name](into, second), sorted(changed), first)
        verdict = evaluate(variants, evidence, mixed)
        said = tuple(_FIELDS[name](verdict) for name in found.fields)
        return said if verdict.outcome is Outcome.ALERT else None

    return replace(found, causes=_deciding(tuple(differing), says))


def difference_of(before: Verdict, after: Verdict, causes: tuple[str, ...]) -> Difference | None:
    """Compare two verdicts of one assignment, whose causes are known.

    Returns:
        Nothing when neither is an alert, or both are and say the same.
    """
    was, becomes = (one.outcome is Outcome.ALERT for one in (before, after))
    fields: tuple[str, ...] = ()
    if was and becomes:
        fields = tuple(name for name, of in _FIELDS.items() if of(before) != of(after))
        if not fields:
            return None
        change = Change.CHANGED
    elif was or becomes:
        change = Change.GONE if was else Change.NEW
    else:
        return None
    return Difference(change, after.assignment.id, before, after, causes, fields)


def live_differences(
    alerts: Mapping[str, Mapping[str, Any]], live: Mapping[str, Mapping[str, Any]]
) -> list[LiveDifference]:
    """Compare the alerts of a backtest with the last revisions that are live.

    Args:
        alerts: What should be live, as it is published, by alert id.
        live: The last revision of each alert on the topic, by alert id, withdrawn ones too.

    Returns:
        Every difference, in order of event time, then of alert id; what depends on the arrival
        of records is none.
    """
    active = {
        alert_id: without_arrival(dict(one))
        for alert_id, one in live.items()
        if one["status"] == Status.ACTIVE
    }
    found = []
    for alert_id in alerts.keys() | active.keys():
        ours, theirs = alerts.get(alert_id), active.get(alert_id)
        if ours is None:
            found.append(_live_difference(LiveKind.UNEXPECTED, active[alert_id]))
        elif theirs is None:
            found.append(_live_difference(LiveKind.MISSING, ours))
        elif fields := _differing_paths(without_arrival(dict(ours)), theirs):
            found.append(_live_difference(LiveKind.DIFFERENT, ours, fields))
    return [one for _, one in sorted(found, key=lambda one: one[0])]


def _settings(tenant_id: str, before: Policy, after: Policy) -> Mapping[str, _Take]:
    """Return every setting that can decide of this tenant, by its name in a policy file."""
    named = partial(_named, tenant_id, (before, after))
    entries = {one.name for one in (*before.allow_list, *after.allow_list)}
    own: Mapping[str, _Take] = {
        "matching": lambda into, of: replace(into, matching=of.matching),
        named("disabled_reasons", lambda one: one.disabled): _take_disabled,
        "windows.before": _take_window_before,
        "windows.after": _take_window_after,
        "windows.graph": _take_window_of_graph,
        named("severity.usual", lambda one: one.severities.usual): _take_usual,
        named("severity.raised", lambda one: one.severities.raised): _take_raised,
    }
    return {**own, **{f'allow."{name}"': partial(_take_entries, name) for name in sorted(entries)}}


def _named(
    tenant_id: str,
    policies: Collection[Policy],
    setting: str,
    value: Callable[[TenantPolicy], object],
) -> str:
    """Name a setting of a tenant as the tenant's own when it is that in either policy."""
    is_own = any(value(one.of(tenant_id)) != value(one.everywhere) for one in policies)
    return f"tenants.{tenant_id}.{setting}" if is_own else setting


def _concerning(policy: Policy, tenant_id: str, variants: Collection[Assignment]) -> Policy:
    """Return a policy that says the same of this assignment and nothing of any other tenant."""
    earliest = min(one.event_time for one in variants)
    return Policy(
        matching=policy.matching,
        windows=policy.windows,
        everywhere=policy.of(tenant_id),
        allow_list=tuple(
            entry
            for entry in policy.allow_list
            if any(entry.takes(reason, one, earliest) for reason in Reason for one in variants)
        ),
    )


def _take_disabled(into: Policy, of: Policy) -> Policy:
    return replace(into, everywhere=replace(into.everywhere, disabled=of.everywhere.disabled))


def _take_usual(into: Policy, of: Policy) -> Policy:
    severities = replace(into.everywhere.severities, usual=of.everywhere.severities.usual)
    return replace(into, everywhere=replace(into.everywhere, severities=severities))


def _take_raised(into: Policy, of: Policy) -> Policy:
    severities = replace(into.everywhere.severities, raised=of.everywhere.severities.raised)
    return replace(into, everywhere=replace(into.everywhere, severities=severities))


def _take_window_before(into: Policy, of: Policy) -> Policy:
    evidence = replace(into.windows.evidence, before=of.windows.evidence.before)
    return replace(into, windows=replace(into.windows, evidence=evidence))


def _take_window_after(into: Policy, of: Policy) -> Policy:
    evidence = replace(into.windows.evidence, after=of.windows.evidence.after)
    return replace(into, windows=replace(into.windows, evidence=evidence))


def _take_window_of_graph(into: Policy, of: Policy) -> Policy:
    return replace(into, windows=replace(into.windows, graph=of.windows.graph))


def _take_entries(name: str, into: Policy, of: Policy) -> Policy:
    ours, theirs = ([one for one in policy.allow_list if one.name == name] for policy in (into, of))
    if set(ours) == set(theirs):
        return into
    others = (one for one in into.allow_list if one.name != name)
    return replace(into, allow_list=(*others, *theirs))


def _deciding(
    settings: Collection[str], says: Callable[[frozenset[str]], object]
) -> tuple[str, ...]:
    """Return the settings whose change matters in the smallest company in which any does.

    Args:
        settings: All in which two policies differ.
        says: What is said when these have changed and the others have not; changing all of them
            makes a difference, so that some setting matters in some company.
    """
    everything = frozenset(settings)

    def matters(setting: str, company: frozenset[str]) -> bool:
        rest = everything - company
        return says(company) != says(company | {setting}) or says(rest) != says(rest - {setting})

    by_size = (
        tuple(
            setting
            for setting in settings
            if any(
                matters(setting, frozenset(company))
                for company in combinations(sorted(everything - {setting}), size)
            )
        )
        for size in range(len(settings))
    )
    return next(found for found in by_size if found)


def _live_difference(
    kind: LiveKind, alert: Mapping[str, Any], fields: tuple[str, ...] = ()
) -> tuple[tuple[str, str], LiveDifference]:
    """Return a difference behind what orders it."""
    found = LiveDifference(
        kind, alert["alert_id"], alert["tenant_id"], alert["audit_event_id"], fields
    )
    return (alert["event_time"], found.alert_id), found


def _differing_paths(ours: object, theirs: object) -> tuple[str, ...]:
    """Name what differs; the digest follows from the rest, and is named when nothing else is."""
    paths = tuple(_paths(ours, theirs))
    return tuple(one for one in paths if one != "digest") or paths


def _paths(ours: object, theirs: object, path: str = "") -> Iterator[str]:
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        for name in sorted(ours.keys() | theirs.keys()):
            inner = f"{path}.{name}" if path else name
            if (name in ours) != (name in theirs):
                yield inner
            else:
                yield from _paths(ours[name], theirs[name], inner)
    elif ours != theirs:
        yield path
