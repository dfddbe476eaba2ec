"""An explanation as one JSON document: what programs need, and the sentences for people."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from pipeline.core.event_time import format_event_time
from pipeline.core.explain import Explanation, ReasonExplained, Weighed, WeighedEntry
from pipeline.core.model import Behavior, Evidence, Fact, GraphRequest, Position, Risk
from pipeline.core.verdict import fact_id
from pipeline.why import words
from pipeline.why.actor_search import ActorRows
from pipeline.why.answer import Live, Why
from pipeline.why.event_search import RecordSeen

Json = dict[str, Any]


def document_of(why: Why) -> Json:
    """Return the document."""
    return {
        "tenant_id": why.asked.tenant_id,
        "audit_event_id": why.asked.audit_event_id,
        "looked_in": why.place,
        "found": bool(why.records),
        "policy_digest": why.policy_digest,
        "records": [_record(one) for one in why.records],
        "is_assignment": why.explanation is not None,
        "says": _says(why),
        "verdict": None if why.explanation is None else _verdict(why.explanation),
        "reasons": _reasons(why),
        "graph": None if why.explanation is None else _graph(why.explanation, why.positions),
        "live": None if why.live is None else _live(why.live, why.policy_digest),
    }


def _says(why: Why) -> str:
    if why.explanation is not None:
        return words.outcome(why.explanation)
    return words.no_assignment(why.records) if why.records else "unknown here"


def _record(record: RecordSeen) -> Json:
    return {
        "position": str(record.position),
        "became": record.became,
        "conditions": [asdict(one) for one in record.conditions],
    }


def _verdict(explanation: Explanation) -> Json:
    verdict = explanation.verdict
    return {
        "outcome": verdict.outcome.value,
        "alert_id": verdict.alert_id,
        "severity": verdict.severity.value,
        "severity_because": words.severity(explanation),
        "severity_setting": explanation.severity.setting,
        "event_time": format_event_time(verdict.event_time),
        "variants": len(verdict.variants),
        "actor": asdict(verdict.assignment.actor) | {"identity": verdict.assignment.identity},
        "app": asdict(verdict.assignment.app),
        "target_types": list(verdict.target_types),
        "split_signals": verdict.split_signals,
        "evidence_truncated": verdict.evidence_truncated,
        "matching": explanation.matching.value,
        "window": words.window(explanation.windows.evidence),
        "digest": verdict.digest,
    }


def _reasons(why: Why) -> list[Json]:
    explanation = why.explanation
    if explanation is None:
        return []
    return [_reason(one, explanation, why) for one in explanation.reasons]


def _reason(one: ReasonExplained, explanation: Explanation, why: Why) -> Json:
    positions = why.positions
    return {
        "reason": one.reason.value,
        "asks": words.asks(one.reason),
        "holding": one.holding.value,
        "says": words.found(one),
        "disabled_by": one.disabled_by or None,
        "evidence": _facts(one.counting, explanation, positions),
        "near_misses": _facts(one.near_misses, explanation, positions),
        "allow_list": [_entry(entry) for entry in one.entries],
        "no_evidence_by_rule": None
        if why.actor_rows is None
        else [_actor_rows(of) for of in why.actor_rows if of.row.reason is one.reason],
    }


def _actor_rows(of: ActorRows) -> Json:
    return {
        "because": of.row.because.value,
        "says": words.actor_rows(of),
        "rows": of.count,
        "nearest": str(of.position),
    }


def _graph(explanation: Explanation, positions: Mapping[Fact, Position]) -> Json:
    return {
        "evidence": _facts(explanation.graph, explanation, positions),
        "near_misses": _facts(explanation.graph_near_misses, explanation, positions),
        "window": words.window(explanation.windows.graph),
    }


def _facts(
    weighed: Iterable[Weighed], explanation: Explanation, positions: Mapping[Fact, Position]
) -> list[Json]:
    return [
        {
            "fact_id": fact_id(one.fact),
            "position": str(positions[one.fact]),
            "event_time": format_event_time(one.fact.event_time),
            "apart": words.apart(one.apart),
            "says": words.says(one.fact),
            **_columns(one.fact),
            "obstacles": [
                asdict(of) | {"says": words.obstacle(of, explanation.matching)}
                for of in one.obstacles
            ],
        }
        for one in weighed
    ]


def _columns(fact: Evidence) -> Json:
    match fact:
        case Risk():
            return {
                "level": fact.level,
                "upn": fact.upn,
                "account_upn": fact.account_upn,
                "object_id": fact.object_id,
            }
        case Behavior():
            return {
                "behavior_id": fact.behavior_id,
                "action_type": fact.action_type,
                "upn": fact.upn,
                "account_name": fact.account_name,
                "object_id": fact.object_id,
            }
        case GraphRequest():
            return {
                "request_id": fact.request_id,
                "ip_address": fact.ip_address,
                "method": fact.method,
                "uri": fact.uri,
                "status": fact.status,
            }


def _entry(one: WeighedEntry) -> Json:
    entry = one.entry
    return {
        "name": entry.name,
        "owner": entry.owner,
        "cause": entry.cause,
        "since": format_event_time(entry.since),
        "until": format_event_time(entry.until),
        "takes_from": one.takes_from,
        "of": one.claimants,
        "says": words.entry(one),
    }


def _live(live: Live, policy_digest: str) -> Json:
    last = live.last
    return {
        "agrees": live.agrees,
        "says": words.last_revision(last),
        "hint": words.live_hint(live, policy_digest) or None,
        "differing": list(live.differing),
        "last": None
        if last is None
        else {
            "position": str(last.position),
            "revision": last.published.number,
            "status": last.published.status.value,
            "severity": last.alert.severity,
            "reasons": list(last.alert.reasons),
            "detected_at": last.alert.detected_at,
            "digest": last.published.digest,
            "policy_digest": last.policy_digest,
        },
    }
