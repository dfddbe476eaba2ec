"""What was expected and what was seen, side by side."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pipeline.simulate.expected import Alerts, ExpectedAlert
from topics.alert import Alert

Event = tuple[str, str]
"""Tenant and audit event."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The sums of a run; `wrong` names alerts that came and say something else."""

    expected: int
    seen: int
    missing: tuple[Event, ...]
    wrong: tuple[Event, ...]
    unexpected: tuple[Event, ...]

    @property
    def holds(self) -> bool:
        """Tell whether what was seen is what was expected."""
        return not (self.missing or self.wrong or self.unexpected)


def compare(expected: Alerts, seen: Iterable[Alert]) -> Comparison:
    """Compare active alerts with the expected ones, in all that an expectation names."""
    active = {event_of(alert): alert for alert in seen if alert.status == "active"}
    wanted = {
        (tenant_id, event_id): alert
        for tenant_id, events in expected.items()
        for event_id, alert in events.items()
    }
    return Comparison(
        expected=len(wanted),
        seen=len(active),
        missing=tuple(event for event in wanted if event not in active),
        wrong=tuple(event for event in wanted if _differs(event, wanted, active)),
        unexpected=tuple(event for event in active if event not in wanted),
    )


def event_of(alert: Alert) -> Event:
    """Name the event that an alert is about."""
    return alert.tenant_id, alert.audit_event_id


def says(alert: Alert, expected: ExpectedAlert) -> bool:
    """Tell whether an alert says what was expected."""
    evidence = alert.evidence
    return (
        alert.reasons == expected.reasons
        and alert.severity == expected.severity
        and alert.event_time == expected.event_time
        and {(one.level, one.time) for one in evidence.risk} == set(expected.risk)
        and {(one.behavior_id, one.action_type) for one in evidence.behaviors}
        == set(expected.behaviors)
        and alert.ip_addresses == expected.ip_addresses
        and alert.assignment.split_signals == expected.split_signals
    )


def _differs(
    event: Event, wanted: Mapping[Event, ExpectedAlert], active: Mapping[Event, Alert]
) -> bool:
    return event in active and not says(active[event], wanted[event])
