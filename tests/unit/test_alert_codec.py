import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from pipeline.adapters.alert_codec import decode, encode, to_alert, without_arrival
from pipeline.core.evaluate import evaluate
from pipeline.core.event_time import EventTime, event_time_of
from pipeline.core.model import Actor, App, Assignment, Evidence, Fact, GraphRequest, Position, Risk
from pipeline.core.policy import Policy
from pipeline.core.verdict import fact_id
from pipeline.ports import Freshness, Latest, Reach, Reaches, Revision, Status
from topics import alert as wire

TENANT = "5f0c6c0a-0d3c-4c1e-9a57-1d6f5d3f0a11"
MONDAY = event_time_of(datetime(2026, 3, 2, 9, 12, 41, 553000, tzinfo=UTC))


def an_assignment(identity: str = "admin@example.org", actor_upn: str = "") -> Assignment:
    return Assignment(
        tenant_id=TENANT,
        audit_event_id="event-1",
        event_time=MONDAY,
        operation="Create MobileAppAssignment",
        identity=identity,
        correlation_id="c0ffee",
        target_types=("AllDevicesAssignmentTarget",),
        split_signals=False,
        actor=Actor(upn=actor_upn, is_delegated_admin=True, application_id="app-id"),
        app=App(name="Notepad"),
    )


def a_revision(assignment: Assignment, *evidence: Evidence, number: int = 1) -> Revision:
    verdict = evaluate([assignment], evidence, Policy())
    facts: tuple[Fact, ...] = (*verdict.variants, *verdict.risk, *verdict.behaviors, *verdict.graph)
    return Revision(
        verdict=verdict,
        number=number,
        status=Status.ACTIVE,
        detected_at=EventTime(MONDAY + 10_000_000),
        sources=tuple(
            (fact_id(fact), Position("intune.audit.v1", 0, offset, None))
            for offset, fact in enumerate(facts)
        )[::-1],
        policy_digest="feedfacefeedface",
    )


def test_headers_follow_the_binary_mode_of_cloudevents() -> None:
    revision = a_revision(an_assignment(), number=3)
    alert_id = revision.verdict.alert_id

    key, _, headers = encode(revision)

    assert key == alert_id.encode()
    assert dict(headers) == {
        "ce_specversion": b"1.0",
        "ce_id": f"{alert_id}.3".encode(),
        "ce_source": b"masswatch",
        "ce_type": b"masswatch.alert.v1",
        "ce_subject": alert_id.encode(),
        "ce_time": b"2026-03-02T09:12:42.5530000Z",
        "ce_tenantid": TENANT.encode(),
        "content-type": b"application/json",
        "masswatch-policy": b"feedfacefeedface",
    }


def test_sources_name_the_assignment_first_and_then_each_piece_of_evidence() -> None:
    upn = "admin@example.org"
    older = Risk(TENANT, EventTime(MONDAY - 2), "High", upn=upn)
    newer = Risk(TENANT, EventTime(MONDAY - 1), "High", upn=upn)
    graph = GraphRequest(TENANT, MONDAY, "c0ffee", uri="/beta/deviceAppManagement/mobileApps")
    assignment = an_assignment()

    alert = to_alert(a_revision(assignment, graph, older, newer))

    assert [(one.fact, one.fact_id) for one in alert.sources] == [
        ("assignment", fact_id(assignment)),
        ("risk", fact_id(newer)),
        ("risk", fact_id(older)),
        ("graph", fact_id(graph)),
    ]


@pytest.mark.parametrize(
    ("identity", "actor_upn", "expected"),
    [
        ("admin@example.org", "other@example.org", "admin@example.org"),
        ("Some App", "other@example.org", "other@example.org"),
        ("See Actor details in properties", "other@example.org", "other@example.org"),
        ("Some App", "<null>", "Some App"),
        ("None", "", ""),
    ],
)
def test_the_actor_is_named_by_the_best_upn_there_is(
    identity: str, actor_upn: str, expected: str
) -> None:
    alert = to_alert(a_revision(an_assignment(identity, actor_upn)))

    assert alert.actor.upn == expected


def test_an_application_without_a_name_is_named_by_its_id() -> None:
    alert = to_alert(a_revision(an_assignment()))

    assert alert.actor.application == "app-id"


def test_a_field_of_a_later_version_is_passed_over() -> None:
    revision = a_revision(an_assignment())
    alert = json.loads(encode(revision).value)
    alert["later"] = alert["actor"]["later"] = 1

    alert_id, published = decode(json.dumps(alert).encode())

    assert (alert_id, published.digest) == (revision.verdict.alert_id, revision.verdict.digest)


def test_evidence_without_a_source_is_refused() -> None:
    alert = json.loads(
        encode(
            a_revision(an_assignment(), Risk(TENANT, MONDAY, "High", upn="admin@example.org"))
        ).value
    )
    alert["sources"] = []

    with pytest.raises(ValueError, match="sources: nothing for fact"):
        decode(json.dumps(alert).encode())


def at(seconds: int) -> EventTime:
    return EventTime(MONDAY + seconds * 10_000_000)


FRESHNESS = Freshness(
    Reaches(
        identity_info=Reach(last_record_at=at(1), read_to=at(2)),
        behavior_entities=Reach(last_record_at=at(3)),
    ),
    Latest(risk=at(4), graph=at(5)),
)


def test_each_source_says_how_far_it_was_known_and_null_where_nobody_knows() -> None:
    alert = to_alert(replace(a_revision(an_assignment()), freshness=FRESHNESS))

    assert alert.freshness.model_dump() == {
        "identity_info": {
            "read_to": "2026-03-02T09:12:43.5530000Z",
            "last_record_at": "2026-03-02T09:12:42.5530000Z",
            "latest_fact_time": "2026-03-02T09:12:45.5530000Z",
        },
        "behavior_entities": {
            "read_to": None,
            "last_record_at": "2026-03-02T09:12:44.5530000Z",
            "latest_fact_time": None,
        },
        "graph_activity": {
            "read_to": None,
            "last_record_at": None,
            "latest_fact_time": "2026-03-02T09:12:46.5530000Z",
        },
    }


def test_freshness_depends_on_arrival_alone() -> None:
    revision = a_revision(an_assignment())
    fresh, stale = to_alert(replace(revision, freshness=FRESHNESS)), to_alert(revision)

    assert fresh != stale
    assert fresh.digest == stale.digest
    assert without_arrival(fresh.model_dump()) == without_arrival(stale.model_dump())


def test_an_alert_from_before_there_was_freshness_is_still_read() -> None:
    alert = json.loads(encode(a_revision(an_assignment())).value)
    del alert["freshness"]

    alert_id, _ = decode(json.dumps(alert).encode())

    assert alert_id == alert["alert_id"]
    assert wire.Alert.model_validate(alert).freshness == wire.Freshness.unknown()
