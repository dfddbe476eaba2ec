"""What must come of the traffic, worked out from what was planted, never from the records.

The ledger knows who did what when, because the generator decided it; it reads no record and
calls nothing of the detection, so that it can contradict it.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, TypeVar

from pipeline.core.event_time import EventTime, format_event_time
from pipeline.simulate.delivery import Kind
from pipeline.simulate.moments import DAY, HOUR, MINUTE

BEFORE: Final = 14 * DAY
AFTER: Final = 48 * HOUR
GRAPH_SPAN: Final = 150 * MINUTE


class Mode(StrEnum):
    """The two ways in which evidence is matched."""

    REPAIRED = "repaired"
    FAITHFUL = "faithful"


@dataclass(frozen=True, slots=True)
class PlantedAssignment:
    """An app made Required for everybody.

    `times` are those of its copies; `handles` is whatever names the actor in lower case (UPNs,
    object id); `joins` is the column Identity, as the seed compares it.
    """

    tenant_id: str
    audit_event_id: str
    label: str
    times: tuple[EventTime, ...]
    handles: frozenset[str]
    joins: str
    is_delegated_admin: bool
    split_signals: bool
    correlation_id: str
    identities: tuple[str, ...]
    object_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PlantedRisk:
    """A row of Medium or High risk of a user; `joins` is "" when the seed overlooks it."""

    tenant_id: str
    time: EventTime
    handles: frozenset[str]
    joins: str
    level: str


@dataclass(frozen=True, slots=True)
class PlantedBehavior:
    """A User row of a behaviour that counts; `joins` is its AccountName."""

    tenant_id: str
    time: EventTime
    handles: frozenset[str]
    joins: str
    behavior_id: str
    action_type: str


@dataclass(frozen=True, slots=True)
class PlantedRequest:
    """A request to Graph; `is_app_management` when its URI says so."""

    tenant_id: str
    time: EventTime
    client_request_id: str
    ip_address: str
    is_app_management: bool


@dataclass(frozen=True, slots=True)
class ExpectedAlert:
    """What the alert of one audit event must say."""

    reasons: tuple[str, ...]
    severity: str
    event_time: str
    risk: tuple[tuple[str, str], ...]
    behaviors: tuple[tuple[str, str], ...]
    ip_addresses: tuple[str, ...]
    identities: tuple[str, ...]
    actor_object_ids: tuple[str, ...]
    split_signals: bool


@dataclass(frozen=True, slots=True)
class ExpectedDeadLetter:
    """A record that must be dead-lettered, by place: the n-th value of a kind, from 0.

    `index` is its place in `records`, or None for the value as a whole.
    """

    kind: Kind
    ordinal: int
    index: int | None
    reason: str


Alerts = dict[str, dict[str, ExpectedAlert]]
"""By tenant and audit event."""


@dataclass(slots=True)
class Ledger:
    """Everything that was planted, as decided and not as written."""

    assignments: list[PlantedAssignment] = field(default_factory=list)
    risks: list[PlantedRisk] = field(default_factory=list)
    behaviors: list[PlantedBehavior] = field(default_factory=list)
    requests: list[PlantedRequest] = field(default_factory=list)

    def alerts(self, mode: Mode) -> Alerts:
        """Return the alerts that must come."""
        risks = _by_name(self.risks, mode)
        behaviors = _by_name(self.behaviors, mode)
        requests: dict[tuple[str, str], list[PlantedRequest]] = defaultdict(list)
        for request in self.requests:
            requests[request.tenant_id, request.client_request_id.lower()].append(request)
        alerts: Alerts = {}
        for one in self.assignments:
            calls = requests[one.tenant_id, one.correlation_id.lower()]
            alert = _alert(
                one,
                _about(one, risks, mode),
                _about(one, behaviors, mode),
                [call for call in calls if _adds_addresses(one, call, mode)],
            )
            if alert is not None:
                alerts.setdefault(one.tenant_id, {})[one.audit_event_id] = alert
        return alerts

    def labels(self) -> dict[tuple[str, str], str]:
        """Return the case for which each assignment was planted, by tenant and audit event."""
        return {(one.tenant_id, one.audit_event_id): one.label for one in self.assignments}


Row = TypeVar("Row", PlantedRisk, PlantedBehavior)
Named = dict[tuple[str, str], list[Row]]


def _by_name(rows: Sequence[Row], mode: Mode) -> Named[Row]:
    named: Named[Row] = defaultdict(list)
    for row in rows:
        names = row.handles if mode is Mode.REPAIRED else {row.joins} - {""}
        for name in names:
            named[row.tenant_id, name].append(row)
    return named


def _about(one: PlantedAssignment, named: Named[Row], mode: Mode) -> list[Row]:
    names = one.handles if mode is Mode.REPAIRED else {one.joins}
    rows = [row for name in sorted(names) for row in named.get((one.tenant_id, name), ())]
    return [row for row in rows if _within(one, row.time, BEFORE, AFTER)]


def _within(one: PlantedAssignment, time: EventTime, before: int, after: int) -> bool:
    return any(-before <= time - copy <= after for copy in one.times)


def _adds_addresses(one: PlantedAssignment, call: PlantedRequest, mode: Mode) -> bool:
    if not _within(one, call.time, GRAPH_SPAN, GRAPH_SPAN):
        return False
    if mode is Mode.REPAIRED:
        return call.is_app_management
    return call.client_request_id == one.correlation_id


def _alert(
    one: PlantedAssignment,
    risks: list[PlantedRisk],
    behaviors: list[PlantedBehavior],
    calls: list[PlantedRequest],
) -> ExpectedAlert | None:
    grounds = {
        "user_risk": bool(risks),
        "risky_behavior": bool(behaviors),
        "delegated_admin": one.is_delegated_admin,
    }
    reasons = tuple(reason for reason, holds in grounds.items() if holds)
    if not reasons:
        return None
    is_grave = len(reasons) > 1 or any(risk.level.lower() == "high" for risk in risks)
    return ExpectedAlert(
        reasons=reasons,
        severity="medium" if is_grave else "low",
        event_time=format_event_time(min(one.times)),
        risk=tuple(sorted({(risk.level, format_event_time(risk.time)) for risk in risks})),
        behaviors=tuple(sorted({(row.behavior_id, row.action_type) for row in behaviors})),
        ip_addresses=tuple(sorted({call.ip_address for call in calls} - {""})),
        identities=one.identities,
        actor_object_ids=one.object_ids,
        split_signals=one.split_signals,
    )
