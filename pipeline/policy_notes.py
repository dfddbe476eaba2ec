"""What a person should look at in a policy that is right, and what a change of it leaves undone."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from itertools import chain
from typing import Final

from pipeline.core.event_time import EventTime, format_event_time, ticks
from pipeline.core.evidence import NOBODY, Matching, is_nothing
from pipeline.core.policy import AllowEntry, Policy, Reason, Severity, TenantPolicy
from pipeline.core.window import Windows

_DEFAULT: Final = Windows()
_DAY: Final = timedelta(days=1)


class Kind(StrEnum):
    """What a note is about."""

    EXPIRED = "expired"
    EXPIRES_SOON = "expires_soon"
    NOT_BEGUN = "not_begun"
    TAKES_NOTHING = "takes_nothing"
    SETS_NOTHING = "sets_nothing"
    NO_TENANT = "no_tenant"
    ALL_DISABLED = "all_disabled"
    SEVERITY_FALLS = "severity_falls"
    NARROW_WINDOW = "narrow_window"
    FORGOTTEN_EARLY = "forgotten_early"


@dataclass(frozen=True, slots=True)
class Note:
    """Where in the file, what is to be looked at, and what to do about it."""

    kind: Kind
    where: str
    what: str
    remedy: str


def notes_of(policy: Policy, now: EventTime, within: timedelta) -> tuple[Note, ...]:
    """Return what a person should look at, in the order of the file.

    Args:
        policy: The policy.
        now: The time that it is.
        within: How soon an entry expires that is named for it.
    """
    return tuple(
        chain(
            _on_windows(policy.windows),
            _on_settings("policy", policy.everywhere),
            _on_workspaces(policy.workspaces),
            *(_on_tenant(tenant, policy) for tenant in policy.tenants),
            *(_on_entry(entry, policy, now, within) for entry in policy.allow_list),
        )
    )


def unknown_until_rebuilt(before: Policy, after: Policy) -> tuple[str, ...]:
    """Name the settings whose change wants what the former policy did not keep, or kept elsewhere.

    From faithful to repaired matching nothing is wanting: repaired keeps fewer Graph rows.
    """
    wants = {
        "matching": before.matching is Matching.REPAIRED and after.matching is Matching.FAITHFUL,
        "workspaces": before.workspaces != after.workspaces,
        "windows": after.windows.retention > before.windows.retention,
    }
    return tuple(name for name, is_wanting in wants.items() if is_wanting)


def _on_windows(windows: Windows) -> Iterator[Note]:
    spans = {
        "before": (windows.evidence.before, _DEFAULT.evidence.before),
        "after": (windows.evidence.after, _DEFAULT.evidence.after),
        "graph": (windows.graph.before, _DEFAULT.graph.before),
        "lateness": (windows.lateness, _DEFAULT.lateness),
    }
    for name, (span, default) in spans.items():
        if span < default:
            yield Note(
                Kind.NARROW_WINDOW,
                f"windows.{name}",
                f"{_written(span)}, where {_written(default)} is the default",
                "widen it, unless your sources are known to be that quick",
            )
    if windows.graph.before > windows.evidence.before:
        yield Note(
            Kind.FORGOTTEN_EARLY,
            "windows.graph",
            f"reaches further back than windows.before, {_written(windows.evidence.before)}: "
            "facts are not kept that long for certain",
            "narrow it, or widen windows.before",
        )


def _on_settings(where: str, of: TenantPolicy) -> Iterator[Note]:
    if of.disabled >= frozenset(Reason):
        yield Note(
            Kind.ALL_DISABLED,
            where,
            "every reason is disabled: there is never an alert",
            "leave one enabled, unless that is meant",
        )
    order = list(Severity)
    usual, raised = of.severities.usual, of.severities.raised
    if order.index(raised) < order.index(usual):
        yield Note(
            Kind.SEVERITY_FALLS,
            f"{where}.severity",
            f'raised, "{raised}", is less urgent than usual, "{usual}"',
            "set both",
        )


def _on_workspaces(workspaces: Mapping[str, str]) -> Iterator[Note]:
    for workspace, tenant in workspaces.items():
        if workspaces.get(tenant, tenant) != tenant:
            yield Note(
                Kind.NO_TENANT,
                f'workspaces."{workspace}"',
                f'"{tenant}" is itself a workspace, of "{workspaces[tenant]}"',
                f'name the tenant: "{workspaces[tenant]}"',
            )


def _on_tenant(tenant: str, policy: Policy) -> Iterator[Note]:
    where, of = f'tenants."{tenant}"', policy.tenants[tenant]
    if of == policy.everywhere:
        yield Note(
            Kind.SETS_NOTHING, where, "sets nothing that does not hold everywhere", "remove it"
        )
    else:
        yield from _on_settings(where, of)
    yield from _if_no_tenant(where, tenant, policy.workspaces)


def _on_entry(
    entry: AllowEntry, policy: Policy, now: EventTime, within: timedelta
) -> Iterator[Note]:
    where = f'allow."{entry.name}"'
    if entry.until <= now:
        yield Note(
            Kind.EXPIRED,
            where,
            f"expired on {_day(entry.until)}",
            f"ask {entry.owner}; keep it while assignments of its time are kept, or their alerts "
            "come back",
        )
    elif entry.until - now <= ticks(within):
        yield Note(
            Kind.EXPIRES_SOON,
            where,
            f"expires on {_day(entry.until)}, in {(entry.until - now) // ticks(_DAY)} days",
            f"ask {entry.owner} whether it is still needed",
        )
    if entry.since > now:
        yield Note(
            Kind.NOT_BEGUN,
            where,
            f"begins on {_day(entry.since)}: takes nothing before",
            "see whether that is meant",
        )
    yield from _if_it_takes_nothing(where, entry, policy)
    for tenant in sorted(entry.tenants):
        yield from _if_no_tenant(where, tenant, policy.workspaces)


def _if_it_takes_nothing(where: str, entry: AllowEntry, policy: Policy) -> Iterator[Note]:
    idle = {reason for reason in entry.reasons if _is_disabled(reason, entry.tenants, policy)}
    if idle:
        names = ", ".join(reason for reason in Reason if reason in idle)
        rest = "" if idle < entry.reasons else ": it takes nothing"
        yield Note(
            Kind.TAKES_NOTHING,
            where,
            f"{names} is disabled anyway for every tenant in its scope{rest}",
            "take it out of the entry" if idle < entry.reasons else "remove the entry",
        )
    if entry.account and (is_nothing(entry.account) or entry.account == NOBODY):
        yield Note(
            Kind.TAKES_NOTHING,
            where,
            f'account "{entry.account}" stands for nobody: it takes nothing',
            "name a UPN or an object id",
        )
    if entry.partner_tenant_id and entry.tenants == {entry.partner_tenant_id}:
        yield Note(
            Kind.TAKES_NOTHING,
            where,
            "a tenant is no partner of itself: it takes nothing",
            "name the customers' tenants, or none for all",
        )


def _is_disabled(reason: Reason, scope: frozenset[str], policy: Policy) -> bool:
    if scope:
        return all(reason in policy.of(tenant).disabled for tenant in scope)
    everyone = (policy.everywhere, *policy.tenants.values())
    return all(reason in of.disabled for of in everyone)


def _if_no_tenant(where: str, tenant: str, workspaces: Mapping[str, str]) -> Iterator[Note]:
    if workspaces.get(tenant, tenant) != tenant:
        yield Note(
            Kind.NO_TENANT,
            where,
            f'"{tenant}" is a workspace of "{workspaces[tenant]}"',
            f'name the tenant: "{workspaces[tenant]}"',
        )


def _day(event_time: EventTime) -> str:
    day, _, rest = format_event_time(event_time).partition("T")
    return day if rest.startswith("00:00:00.0000000") else f"{day} {rest[:5]} UTC"


def _written(span: timedelta) -> str:
    """Write a span as the policy file has it, such as 2h30m."""
    hours, seconds = divmod(span.seconds, 3600)
    minutes, seconds = divmod(seconds, 60)
    parts = ((span.days, "d"), (hours, "h"), (minutes, "m"), (seconds, "s"))
    return "".join(f"{count}{unit}" for count, unit in parts if count) or "0s"
