"""A backtest as one JSON document: the same bytes for the same records, however they were cut."""

from collections.abc import Iterable
from typing import Any

from pipeline.adapters.alert_codec import to_alert, without_arrival
from pipeline.backtest.result import Answer, Backtest, Difference, Judged
from pipeline.core.event_time import EventTime, format_event_time
from pipeline.core.model import Position
from pipeline.core.verdict import Verdict
from pipeline.ports import Revision, Status
from pipeline.report.figures import DayAlerts, Figures, Noise, TenantAlerts, figures_of

Json = dict[str, Any]


def document_of(backtest: Backtest, *, positions: bool = False) -> Json:
    """Return the document.

    Args:
        backtest: What to write down.
        positions: Whether to say where the records lie, which depends on how topics are
            partitioned and files are named.
    """
    read = backtest.read
    return {
        "sources": list(backtest.sources),
        "from": _moment(backtest.since),
        "to": _moment(backtest.until),
        "warnings": list(backtest.warnings),
        "values": read.values,
        "opened": read.opened,
        "records": read.records,
        "facts": read.facts,
        "malformed": [
            {"reason": one.reason, "records": one.records}
            | ({"first": str(one.first)} if positions else {})
            for one in read.malformed
        ],
        "policies": [
            _answer(one, figures_of(backtest, one), positions=positions) for one in backtest.answers
        ],
        "differences": [
            {
                "before": backtest.answers[0].by.name,
                "after": after.by.name,
                "alerts": [_difference(one) for one in found],
            }
            for after, found in zip(backtest.answers[1:], backtest.differences, strict=True)
        ],
    }


def published(judged: Judged) -> Json:
    """Return an alert as live publishes it, but for what depends on arrival."""
    return without_arrival(_alert(judged.verdict, judged.sources))


def _answer(answer: Answer, figures: Figures, *, positions: bool) -> Json:
    return {
        "name": answer.by.name,
        "digest": answer.by.policy.digest,
        "figures": _figures(figures),
        "alerts": [_listed(one, positions=positions) for one in answer.alerts],
        "withheld": [_withheld(one.verdict) for one in answer.withheld],
        "quiet": answer.quiet,
    }


def _figures(figures: Figures) -> Json:
    return {
        "days": None if figures.days is None else figures.days.count,
        "by_day": [{"day": one.day.isoformat(), **_severities(one)} for one in figures.by_day],
        "by_reason": {reason.value: count for reason, count in figures.by_reason.items()},
        "alerts_a_day": _noise(figures.noise),
        "by_tenant": [
            {
                "tenant_id": one.tenant_id,
                **_severities(one),
                "withheld": one.withheld,
                "alerts_a_day": _noise(one.noise),
            }
            for one in figures.by_tenant
        ],
        "decided_after": {one.name: one.alerts for one in figures.decided},
        "known_after": {one.name: one.alerts for one in figures.known},
        "allow_list": [
            {
                "entry": one.name,
                "withheld": one.withheld,
                "weakened": one.weakened,
                "last_used": _moment(one.last_used),
            }
            for one in figures.allow_list
        ],
    }


def _severities(of: DayAlerts | TenantAlerts) -> Json:
    return {severity.value: count for severity, count in of.by_severity.items() if count}


def _noise(noise: Noise) -> Json:
    return {"p50": noise.p50, "p95": noise.p95, "most": noise.most}


def _listed(judged: Judged, *, positions: bool) -> Json:
    alert = _alert(judged.verdict, judged.sources)
    sources = {"sources": alert["sources"]} if positions else {}
    return without_arrival(alert) | sources


def _alert(verdict: Verdict, sources: Iterable[tuple[str, Position]]) -> Json:
    revision = Revision(verdict, 1, Status.ACTIVE, EventTime(0), tuple(sources), "")
    alert: Json = to_alert(revision).model_dump(mode="json")
    return alert


def _withheld(verdict: Verdict) -> Json:
    return {
        "alert_id": verdict.alert_id,
        "tenant_id": verdict.assignment.tenant_id,
        "audit_event_id": verdict.assignment.audit_event_id,
        "event_time": format_event_time(verdict.event_time),
        "withheld": [{"reason": one.reason.value, "entry": one.entry} for one in verdict.withheld],
    }


def _difference(one: Difference) -> Json:
    return {
        "change": one.change.value,
        "alert_id": one.after.alert_id,
        "tenant_id": one.of.tenant_id,
        "audit_event_id": one.of.audit_event_id,
        "event_time": format_event_time(one.after.event_time),
        "causes": list(one.causes),
        "fields": list(one.fields),
    }


def _moment(event_time: EventTime | None) -> str | None:
    return None if event_time is None else format_event_time(event_time)
