"""What a provider may set: matching, windows, severities, and who is expected to do this."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from pipeline.core.event_time import EventTime
from pipeline.core.evidence import Matching, is_nothing
from pipeline.core.model import Assignment
from pipeline.core.window import Windows


class Reason(StrEnum):
    """Why an assignment becomes an alert, in the order in which alerts name them."""

    USER_RISK = "user_risk"
    RISKY_BEHAVIOR = "risky_behavior"
    DELEGATED_ADMIN = "delegated_admin"


class Severity(StrEnum):
    """How urgent an alert is, in the words of Microsoft's alerts."""

    INFORMATIONAL = "informational"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


@dataclass(frozen=True, slots=True)
class Severities:
    """`usual` for one reason; `raised` when the risk is High or two reasons hold."""

    usual: Severity = Severity.LOW
    raised: Severity = Severity.MEDIUM


@dataclass(frozen=True, slots=True)
class AllowEntry:
    """Takes reasons away from assignments of a partner tenant or of an account.

    It holds for event times in [since, until). Exactly one of `partner_tenant_id` and `account`
    (a UPN or an object id) is set, in lower case. No `tenants` means every tenant.
    """

    name: str
    reasons: frozenset[Reason]
    owner: str
    cause: str
    since: EventTime
    until: EventTime
    partner_tenant_id: str = ""
    account: str = ""
    tenants: frozenset[str] = frozenset()

    def takes(self, reason: Reason, assignment: Assignment, event_time: EventTime) -> bool:
        """Tell whether this entry takes a reason away from an assignment at its event time."""
        if reason not in self.reasons or not self.since <= event_time < self.until:
            return False
        if self.tenants and assignment.tenant_id not in self.tenants:
            return False
        if self.partner_tenant_id:
            return self.partner_tenant_id == assignment.actor.partner_tenant_id
        names = (assignment.identity, assignment.actor.upn, assignment.actor.object_id)
        return not is_nothing(self.account) and self.account in {name.lower() for name in names}


@dataclass(frozen=True, slots=True)
class TenantPolicy:
    """What one tenant has instead of the provider's own settings."""

    severities: Severities = Severities()
    disabled: frozenset[Reason] = frozenset()


@dataclass(frozen=True, slots=True)
class Policy:
    """Everything that decides, beside the records, what becomes an alert.

    `written` is the file that it was read from, word for word; None when there was none.
    """

    matching: Matching = Matching.REPAIRED
    windows: Windows = field(default_factory=Windows)
    everywhere: TenantPolicy = field(default_factory=TenantPolicy)
    tenants: Mapping[str, TenantPolicy] = field(default_factory=lambda: MappingProxyType({}))
    allow_list: tuple[AllowEntry, ...] = ()
    workspaces: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    written: str | None = field(default=None, compare=False, repr=False)

    def of(self, tenant_id: str) -> TenantPolicy:
        """Return what holds for one tenant."""
        return self.tenants.get(tenant_id, self.everywhere)

    @property
    def digest(self) -> str:
        """Name this policy by its content: two workers with one digest decide alike."""
        content = json.dumps(_plain(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(content.encode()).hexdigest()[:16]


def _plain(policy: Policy) -> dict[str, object]:
    windows = policy.windows
    return {
        "matching": policy.matching,
        "windows": [
            str(windows.evidence.before),
            str(windows.evidence.after),
            str(windows.graph.before),
            str(windows.graph.after),
            str(windows.lateness),
        ],
        "everywhere": _plain_tenant(policy.everywhere),
        "tenants": {tenant: _plain_tenant(of) for tenant, of in policy.tenants.items()},
        "allow_list": sorted(
            [
                entry.name,
                sorted(entry.reasons),
                entry.partner_tenant_id,
                entry.account,
                sorted(entry.tenants),
                entry.since,
                entry.until,
            ]
            for entry in policy.allow_list
        ),
        "workspaces": dict(policy.workspaces),
    }


def _plain_tenant(of: TenantPolicy) -> list[object]:
    return [of.severities.usual, of.severities.raised, sorted(of.disabled)]
