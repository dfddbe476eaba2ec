"""Revisions of alerts to and from what `masswatch.alerts.v1` carries: JSON, CloudEvents headers."""

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

import orjson

from pipeline.core.event_time import EventTime, format_event_time, parse_event_time
from pipeline.core.evidence import is_nothing
from pipeline.core.model import (
    Assignment,
    Behavior,
    Evidence,
    Fact,
    GraphRequest,
    Position,
    Risk,
    Seen,
)
from pipeline.core.verdict import (
    DETECTION_ID,
    DETECTION_TITLE,
    DETECTION_VERSION,
    TECHNIQUES,
    Verdict,
    fact_id,
)
from pipeline.ports import Freshness, Headers, Published, Reach, Revision, Status
from topics import alert as wire

CE_TYPE: Final = "masswatch.alert.v1"
CE_SOURCE: Final = "masswatch"

ARRIVAL_FIELDS: Final = ("revision", "detected_at", "sources", "freshness")
"""What an alert says that depends on when and where its records arrived (`design.md`, law 5)."""


_Document = dict[str, Any]

_DETECTION: Final = {
    "id": DETECTION_ID,
    "version": DETECTION_VERSION,
    "title": DETECTION_TITLE,
    "techniques": TECHNIQUES,
}


class Encoded(NamedTuple):
    """A revision as Kafka keeps it."""

    key: bytes
    value: bytes
    headers: Headers


def encode(revision: Revision) -> Encoded:
    """Write a revision as key, value and headers.

    Raises:
        KeyError: `revision.sources` lacks a variant or a piece of evidence.
    """
    document = _document(revision)
    return Encoded(
        key=document["alert_id"].encode(),
        value=orjson.dumps(document),
        headers=_headers(document, revision.policy_digest),
    )


def decode(value: bytes) -> tuple[str, Published]:
    """Read the alert id and what the next revision must know of this one.

    Fields that a later version has added are passed over, so that a worker of this version can
    take over from one of that.

    Raises:
        ValueError: the value is not an alert.
    """
    alert = wire.Alert.model_validate_json(value, extra="ignore")
    try:
        evidence = tuple(_evidence_of(alert))
    except KeyError as missing:
        raise ValueError(f"{alert.alert_id}: sources: nothing for fact {missing}") from missing
    return alert.alert_id, Published(
        number=alert.revision,
        status=Status(alert.status),
        digest=alert.digest,
        evidence=evidence,
        evidence_truncated=alert.evidence_truncated,
    )


def to_alert(revision: Revision) -> wire.Alert:
    """Return what is published of a revision, as those who read it see it.

    Raises:
        KeyError: `revision.sources` lacks a variant or a piece of evidence.
    """
    return wire.Alert.model_validate(_document(revision))


def without_arrival(alert: Mapping[str, Any]) -> dict[str, Any]:
    """Return a published alert, as JSON has it, without what depends on arrival."""
    return {name: value for name, value in alert.items() if name not in ARRIVAL_FIELDS}


def _document(revision: Revision) -> _Document:
    """Return a revision as `wire.Alert` has it: without its checks, as a flood has many."""
    verdict = revision.verdict
    assignment = verdict.assignment
    return {
        "alert_id": verdict.alert_id,
        "revision": revision.number,
        "status": revision.status.value,
        "tenant_id": assignment.tenant_id,
        "audit_event_id": assignment.audit_event_id,
        "detection": _DETECTION,
        "severity": verdict.severity.value,
        "reasons": tuple([reason.value for reason in verdict.reasons]),
        "withheld": tuple(
            [{"reason": one.reason.value, "entry": one.entry} for one in verdict.withheld]
        ),
        "event_time": format_event_time(verdict.event_time),
        "detected_at": format_event_time(revision.detected_at),
        "actor": _actor(assignment),
        "assignment": _assignment(verdict),
        "evidence": {
            "risk": tuple(map(_risk, verdict.risk)),
            "behaviors": tuple(map(_behavior, verdict.behaviors)),
            "graph": tuple(map(_graph, verdict.graph)),
        },
        "evidence_truncated": verdict.evidence_truncated,
        "ip_addresses": verdict.ip_addresses,
        "recommended_actions": verdict.recommended_actions,
        "sources": tuple(_sources(verdict, dict(revision.sources))),
        "freshness": _freshness(revision.freshness),
        "digest": verdict.digest,
    }


def _headers(document: _Document, policy_digest: str) -> Headers:
    alert_id = document["alert_id"]
    texts = {
        "ce_specversion": "1.0",
        "ce_id": f"{alert_id}.{document['revision']}",
        "ce_source": CE_SOURCE,
        "ce_type": CE_TYPE,
        "ce_subject": alert_id,
        "ce_time": document["detected_at"],
        "ce_tenantid": document["tenant_id"],
        "content-type": "application/json",
        "masswatch-policy": policy_digest,
    }
    return tuple([(name, text.encode()) for name, text in texts.items()])


def _actor(assignment: Assignment) -> _Document:
    actor = assignment.actor
    return {
        "upn": _upn(assignment),
        "identity": assignment.identity,
        "object_id": actor.object_id,
        "is_delegated_admin": actor.is_delegated_admin,
        "partner_tenant_id": actor.partner_tenant_id,
        "application": actor.application_name or actor.application_id,
    }


def _upn(assignment: Assignment) -> str:
    identity = "" if is_nothing(assignment.identity) else assignment.identity
    actor_upn = "" if is_nothing(assignment.actor.upn) else assignment.actor.upn
    return identity if "@" in identity else actor_upn or identity


def _assignment(verdict: Verdict) -> _Document:
    assignment = verdict.assignment
    return {
        "operation": assignment.operation,
        "target_types": verdict.target_types,
        "app": {"name": assignment.app.name, "object_id": assignment.app.object_id},
        "split_signals": verdict.split_signals,
        "correlation_id": assignment.correlation_id,
    }


def _risk(fact: Risk) -> _Document:
    return {
        "fact_id": fact_id(fact),
        "level": fact.level,
        "time": format_event_time(fact.event_time),
        "upn": fact.upn,
        "account_upn": fact.account_upn,
        "object_id": fact.object_id,
    }


def _behavior(fact: Behavior) -> _Document:
    return {
        "fact_id": fact_id(fact),
        "behavior_id": fact.behavior_id,
        "action_type": fact.action_type,
        "time": format_event_time(fact.event_time),
        "upn": fact.upn,
        "account_name": fact.account_name,
        "object_id": fact.object_id,
    }


def _graph(fact: GraphRequest) -> _Document:
    return {
        "fact_id": fact_id(fact),
        "time": format_event_time(fact.event_time),
        "client_request_id": fact.client_request_id,
        "request_id": fact.request_id,
        "ip_address": fact.ip_address,
        "method": fact.method,
        "uri": fact.uri,
        "status": fact.status,
        "user_id": fact.user_id,
        "application_id": fact.application_id,
    }


def _sources(verdict: Verdict, positions: Mapping[str, Position]) -> Iterator[_Document]:
    of_kinds: tuple[tuple[str, tuple[Fact, ...]], ...] = (
        ("assignment", verdict.variants),
        ("risk", verdict.risk),
        ("behavior", verdict.behaviors),
        ("graph", verdict.graph),
    )
    for kind, facts in of_kinds:
        for fact in facts:
            name = fact_id(fact)
            position = positions[name]
            yield {
                "fact": kind,
                "fact_id": name,
                "topic": position.topic,
                "partition": position.partition,
                "offset": position.offset,
                "index": position.index,
            }


def _freshness(of: Freshness) -> _Document:
    reaches, latest = of.reaches, of.latest
    return {
        "identity_info": _source_freshness(reaches.identity_info, latest.risk),
        "behavior_entities": _source_freshness(reaches.behavior_entities, latest.behavior),
        "graph_activity": _source_freshness(reaches.graph_activity, latest.graph),
    }


def _source_freshness(reach: Reach, latest: EventTime | None) -> _Document:
    return {
        "read_to": _text(reach.read_to),
        "last_record_at": _text(reach.last_record_at),
        "latest_fact_time": _text(latest),
    }


def _text(event_time: EventTime | None) -> str | None:
    return None if event_time is None else format_event_time(event_time)


def _evidence_of(alert: wire.Alert) -> Iterator[Seen[Evidence]]:
    positions = {
        source.fact_id: Position(source.topic, source.partition, source.offset, source.index)
        for source in alert.sources
    }
    tenant_id = alert.tenant_id
    for risk in alert.evidence.risk:
        yield Seen(
            Risk(
                tenant_id=tenant_id,
                event_time=_event_time(risk.time),
                level=risk.level,
                upn=risk.upn,
                account_upn=risk.account_upn,
                object_id=risk.object_id,
            ),
            positions[risk.fact_id],
        )
    for behavior in alert.evidence.behaviors:
        yield Seen(
            Behavior(
                tenant_id=tenant_id,
                event_time=_event_time(behavior.time),
                behavior_id=behavior.behavior_id,
                action_type=behavior.action_type,
                upn=behavior.upn,
                account_name=behavior.account_name,
                object_id=behavior.object_id,
            ),
            positions[behavior.fact_id],
        )
    for graph in alert.evidence.graph:
        yield Seen(
            GraphRequest(
                tenant_id=tenant_id,
                event_time=_event_time(graph.time),
                client_request_id=graph.client_request_id,
                request_id=graph.request_id,
                ip_address=graph.ip_address,
                method=graph.method,
                uri=graph.uri,
                status=graph.status,
                user_id=graph.user_id,
                application_id=graph.application_id,
            ),
            positions[graph.fact_id],
        )


def _event_time(text: str) -> EventTime:
    event_time = parse_event_time(text)
    if event_time is None:
        raise ValueError(f"evidence: time: not an event time: {text!r}")
    return event_time
