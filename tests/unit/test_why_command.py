import json
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from builders import (
    A_GROUP,
    ABSENT,
    DANA,
    EVENT,
    MONDAY,
    OTHER_TENANT,
    PARTNER,
    REQUEST,
    REQUIRED,
    TENANT,
    JsonObject,
    a_target,
    activity_record,
    actor_object,
    audit_properties,
    audit_record,
    audit_row,
    behavior_row,
    decoded,
    envelope,
    hunting_record,
    identity_row,
    shifted,
    value_of,
)

from pipeline.cli import run
from pipeline.core.event_time import format_event_time
from pipeline.core.model import Assignment, AssignmentId
from pipeline.core.verdict import alert_id
from pipeline.why.actor_search import KINDS_AT_MOST
from pipeline.why.event_search import RECORDS_AT_MOST

Ask = Callable[..., dict[str, Any]]


@pytest.fixture(autouse=True)
def _no_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MASSWATCH_POLICY_FILE", raising=False)


@pytest.fixture
def ask(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Ask:
    """Ask about an event in some values, one a line; the exit code is in the document."""

    def ask(
        *values: bytes,
        event: str = EVENT,
        tenant: str = TENANT,
        policy: str = "",
        more: Sequence[str] = (),
    ) -> Any:
        path, of_policy = tmp_path / "values.jsonl", tmp_path / "policy.toml"
        path.write_bytes(b"\n".join(values))
        of_policy.write_text(policy, encoding="utf-8")
        arguments = ["why", "--tenant", tenant, "--event", event, str(path)]
        code = run([*arguments, *more, "--policy", str(of_policy), "--output", "json"])
        return {**json.loads(capsys.readouterr().out), "code": code}

    return ask


def audit(**members: object) -> bytes:
    return value_of(audit_record(**members))


def risk(**members: object) -> bytes:
    return value_of(hunting_record("IdentityInfo", identity_row(**members)))


def behavior(**members: object) -> bytes:
    return value_of(hunting_record("BehaviorEntities", behavior_row(**members)))


def of(document: dict[str, Any], reason: str) -> dict[str, Any]:
    return next(one for one in document["reasons"] if one["reason"] == reason)


def failed(document: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        (one["name"], one["found"])
        for record in document["records"]
        for one in record["conditions"]
        if one["holds"] is False
    ]


def test_an_event_that_fires_shows_its_evidence_where_it_lies(ask: Ask) -> None:
    said = ask(audit(), risk(), value_of(activity_record()))

    found = of(said, "user_risk")
    assert (said["code"], said["found"], said["is_assignment"]) == (0, True, True)
    assert said["says"] == "alert, medium: user_risk"
    assert said["verdict"]["alert_id"] == alert_id(AssignmentId(TENANT, EVENT))
    assert said["verdict"]["severity_because"] == (
        "a counted risk is High: severity.raised is medium"
    )
    assert found["holding"] == "holds"
    assert [(one["level"], one["apart"]) for one in found["evidence"]] == [
        ("High", "at the same time")
    ]
    assert found["evidence"][0]["position"].endswith(f"values.jsonl[0]@{len(audit()) + 1}")
    assert [one["ip_address"] for one in said["graph"]["evidence"]] == ["203.0.113.77"]
    assert failed(said) == []


def test_an_event_that_is_quiet_by_one_tick_says_so(ask: Ask) -> None:
    late = format_event_time(shifted(MONDAY, timedelta(hours=48), plus_ticks=1))

    said = ask(audit(), risk(Timestamp=late))

    found = of(said, "user_risk")
    assert said["verdict"]["outcome"] == "quiet"
    assert found["holding"] == "does_not_hold"
    [near] = found["near_misses"]
    assert near["apart"] == "2 d 0.0000001 s after"
    assert [one["says"] for one in near["obstacles"]] == ["0.0000001 s after the window ends"]


def test_an_event_that_is_allowed_names_the_entry_and_whose_it_is(ask: Ask) -> None:
    policy = f"""
        [[allow]]
        name = "rollout 7"
        account = "{DANA}"
        reasons = ["user_risk"]
        owner = "soc lead"
        cause = "CHG-4711"
        since = 2026-03-01
        until = 2026-03-31
    """

    said = ask(audit(), risk(), policy=policy)

    assert said["says"] == "no alert: every reason is withheld: user_risk by rollout 7"
    [entry] = of(said, "user_risk")["allow_list"]
    assert entry["says"] == "takes the reason away"
    assert (entry["owner"], entry["cause"]) == ("soc lead", "CHG-4711")
    assert entry["until"] == "2026-03-31T00:00:00.0000000Z"


def test_an_entry_that_has_expired_says_since_when(ask: Ask) -> None:
    actor = actor_object(IsDelegatedAdmin=True, PartnerTenantId=PARTNER)
    policy = f"""
        [[allow]]
        name = "partner"
        partner_tenant = "{PARTNER}"
        owner = "soc"
        cause = "contract"
        since = 2026-01-01
        until = 2026-02-27T09:12:41Z
    """

    said = ask(audit(properties=audit_properties(Actor=actor)), policy=policy)

    [entry] = of(said, "delegated_admin")["allow_list"]
    assert said["says"] == "alert, low: delegated_admin"
    assert entry["says"] == (
        "expired 3 d 0.553 s before the event, at 2026-02-27T09:12:41.0000000Z"
    )


def test_a_reason_that_is_off_names_the_setting(ask: Ask) -> None:
    said = ask(audit(), risk(), policy='disabled_reasons = ["user_risk"]')

    assert of(said, "user_risk")["disabled_by"] == "disabled_reasons"
    assert "the policy has it off: disabled_reasons" in of(said, "user_risk")["says"]


def test_faithful_matching_says_what_it_would_have_wanted(ask: Ask) -> None:
    said = ask(audit(), behavior(), policy='matching = "faithful"')

    [near] = of(said, "risky_behavior")["near_misses"]
    assert [one["says"] for one in near["obstacles"]] == [
        f'AccountName is "dana.admin", faithful matching wants "{DANA}", exactly'
    ]


@pytest.mark.parametrize(
    ("record", "condition"),
    [
        (audit_record(resultType="Failure"), ("result", "Failure")),
        (audit_record(operationName="Delete MobileApp"), ("operation", "Delete MobileApp")),
        (
            audit_record(properties=audit_properties(Targets=[a_target(REQUIRED, A_GROUP)])),
            ("target_type", 'GroupAssignmentTarget under "<null>"'),
        ),
        (
            audit_record(properties=json.dumps(audit_properties()), category="Other"),
            ("table", "category Other"),
        ),
        (audit_row(ResultType="Timeout"), ("result", "Timeout")),
    ],
)
def test_an_event_that_is_no_assignment_says_which_condition_fails(
    ask: Ask, record: JsonObject, condition: tuple[str, str]
) -> None:
    said = ask(value_of(record), risk())

    assert (said["code"], said["is_assignment"], said["verdict"]) == (0, False, None)
    assert condition in failed(said)
    assert said["says"].startswith("no alert: not an assignment to everybody: not true that")
    assert f"(found: {condition[1]})" in said["says"]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (audit(properties='{"AuditEventId": "' + EVENT + '"'), "Properties: not JSON"),
        (audit()[:-40], "not JSON"),
        (audit(time="?"), "time: no readable event time"),
        (audit(tenantId=ABSENT), "tenantId: no tenant"),
    ],
)
def test_an_event_that_nobody_can_use_is_found_and_called_a_dead_letter(
    ask: Ask, value: bytes, reason: str
) -> None:
    said = ask(risk(), value)

    assert (said["code"], said["is_assignment"]) == (0, False)
    assert said["records"][0]["became"] == f"dead letter: {reason}"
    assert said["says"] == (f"no alert: nobody could use the record, it is a dead letter: {reason}")


def test_one_record_of_many_is_the_one_that_is_explained(ask: Ask) -> None:
    other = audit_record(properties=audit_properties(AuditEventId="another"))

    said = ask(envelope(other, 5, audit_record(resultType="Failure"), other))

    [record] = said["records"]
    assert record["position"].endswith("@0#2")


def test_an_id_is_found_in_any_case_and_behind_escapes(ask: Ask) -> None:
    escaped = EVENT.replace("b", "\\u0062").replace("-", "\\u002d").encode()
    value = audit(resultType="Failure").replace(EVENT.encode(), escaped)
    assert EVENT.encode() not in value

    said = ask(value, event=EVENT.upper())

    assert failed(said) == [("result", "Failure")]


def test_an_id_made_of_content_is_found_by_what_an_alert_shows(ask: Ask) -> None:
    record = audit_record(properties=audit_properties(AuditEventId=ABSENT))
    assignment = decoded(record)
    assert isinstance(assignment, Assignment)

    said = ask(value_of(record), event=assignment.audit_event_id)

    assert said["is_assignment"]
    assert ask(value_of(record), event="no-id:")["code"] == 1


def test_every_copy_of_an_event_is_shown_and_judged_together(ask: Ask) -> None:
    later = format_event_time(shifted(MONDAY, timedelta(days=1)))
    within_the_later = format_event_time(shifted(MONDAY, timedelta(hours=60)))

    said = ask(audit(), audit(time=later), risk(Timestamp=within_the_later))

    assert len(said["records"]) == 2
    assert said["verdict"]["variants"] == 2
    assert [one["apart"] for one in of(said, "user_risk")["evidence"]] == ["1 d 12 h after"]


def test_facts_of_another_tenant_are_neither_evidence_nor_near_misses(ask: Ask) -> None:
    theirs = value_of(hunting_record("IdentityInfo", identity_row(), tenantId=OTHER_TENANT))

    said = ask(audit(), theirs)

    found = of(said, "user_risk")
    assert (found["evidence"], found["near_misses"]) == ([], [])


def test_an_event_of_another_tenant_is_shown_as_one(ask: Ask) -> None:
    said = ask(audit(), tenant=OTHER_TENANT)

    assert said["code"] == 0
    assert failed(said) == [("asked_tenant", TENANT)]
    assert said["says"] == (f"no alert here: it is an assignment of another tenant, {TENANT}")


def test_a_tenant_is_found_in_any_case(ask: Ask) -> None:
    assert ask(audit(), tenant=f" {TENANT.upper()} ")["is_assignment"]


@pytest.mark.parametrize("event", ["nope", REQUEST, "é"])
def test_an_unknown_event_ends_with_1(ask: Ask, event: str) -> None:
    said = ask(audit(), risk(), event=event)

    assert (said["code"], said["found"], said["records"]) == (1, False, [])


def test_records_of_an_id_that_is_everywhere_are_bounded(ask: Ask) -> None:
    said = ask(*[audit(resultType="Failure")] * (RECORDS_AT_MOST + 5))

    assert len(said["records"]) == RECORDS_AT_MOST


ACTOR = [
    identity_row(RiskLevel="Low"),
    identity_row(RiskLevel="Low", Timestamp="2026-03-02T08:12:41.553Z"),
    identity_row(RiskLevel="High", Type="ServiceAccount", AccountUpn=DANA.upper()),
    identity_row(RiskLevel="None", AccountUpn="", AccountObjectId="", AccountName="dana.admin"),
    identity_row(RiskLevel="Low", AccountUpn="eve@example.org", AccountObjectId="eve"),
]


def test_rows_of_the_actor_that_never_count_are_shown_on_request(ask: Ask) -> None:
    values = [
        audit(),
        *(value_of(hunting_record("IdentityInfo", row)) for row in ACTOR),
        behavior(ActionType="MassDownload", Timestamp="?"),
        value_of({"TenantId": TENANT, **behavior_row(EntityType="App")}),
        value_of(hunting_record("IdentityInfo", identity_row(RiskLevel="Low"), tenantId="x")),
        b"   ",
    ]

    said = ask(*values, more=("--actor-rows",))

    assert [one["says"] for one in of(said, "user_risk")["no_evidence_by_rule"]] == [
        "RiskLevel Low, Type User: 2 rows, the nearest at the same time",
        "RiskLevel High, Type ServiceAccount: 1 row at the same time",
        "RiskLevel None, Type User: 1 row at the same time",
    ]
    assert [
        (one["says"], one["because"]) for one in of(said, "risky_behavior")["no_evidence_by_rule"]
    ] == [
        (
            "ActionType ImpossibleTravelActivity, EntityType App: 1 row at the same time",
            "not_a_user",
        ),
        (
            "ActionType MassDownload, EntityType User: 1 row at no time that can be read",
            "other_behavior",
        ),
    ]
    assert of(ask(*values), "user_risk")["no_evidence_by_rule"] is None


def test_kinds_of_rows_that_never_count_are_bounded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "values.jsonl"
    rows = [behavior(ActionType=f"Other{one}") for one in range(KINDS_AT_MOST + 10)]
    path.write_bytes(b"\n".join([audit(), *rows]))

    out = printed(capsys, path, "--actor-rows")

    assert out.count("EntityType User: 1 row at the same time") == 20
    assert f"and {KINDS_AT_MOST - 20} more kinds of rows that never count" in out


def printed(capsys: pytest.CaptureFixture[str], path: Path, *arguments: str, code: int = 0) -> str:
    assert run(["why", "--tenant", TENANT, "--event", EVENT, str(path), *arguments]) == code
    return capsys.readouterr().out


def test_a_person_reads_truth_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "values.jsonl"
    path.write_bytes(b"\n".join([audit(), risk(), behavior(Timestamp="2026-03-09T00:00:00Z")]))

    out = printed(capsys, path)

    assert out.splitlines()[0] == "alert, medium: user_risk"
    assert "true   ResultType is Success" in out
    assert "Reason user_risk: HOLDS, 1 such row in the window" in out
    assert "Reason risky_behavior: does not hold, no such row; 1 near it that does not count" in out
    assert "4 d 14 h 47 min 18.447 s after the window ends" in out
    assert "severity: a counted risk is High: severity.raised is medium" in out


def test_a_person_reads_first_what_failed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "values.jsonl"
    path.write_bytes(audit(resultType="Failure"))

    out = printed(capsys, path)

    assert out.splitlines()[0] == (
        "no alert: not an assignment to everybody: not true that ResultType is Success "
        "(found: Failure)"
    )
    assert "FALSE  ResultType is Success" in out


def test_a_person_is_told_where_else_to_look(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "values.jsonl"
    path.write_bytes(risk())

    out = printed(capsys, path, code=1)

    assert f"event {EVENT} of tenant {TENANT}: not in {path}" in out
    assert "it is not the CorrelationId" in out


def test_no_name_of_an_attacker_reaches_the_terminal_as_a_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "values.jsonl"
    hostile = "App\x1b[2J\nno alert\u202e"
    properties = audit_properties(TargetDisplayNames=[hostile])
    path.write_bytes(audit(properties=properties, identity=hostile) + b"\n" + risk(AccountUpn=DANA))

    out = printed(capsys, path)

    assert "\x1b" not in out
    assert "\u202e" not in out
    assert "App\\x1b[2J\\nno alert\\u202e" in out


def test_a_person_reads_what_the_allow_list_did(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, policy = tmp_path / "values.jsonl", tmp_path / "policy.toml"
    path.write_bytes(b"\n".join([audit(), risk()]))
    policy.write_text(
        f"""
        [[allow]]
        name = "rollout 7"
        account = "{DANA}"
        reasons = ["user_risk"]
        owner = "soc lead"
        cause = "CHG-4711"
        since = 2026-03-01
        until = 2026-03-31
        """,
        encoding="utf-8",
    )

    out = printed(capsys, path, "--policy", str(policy))

    assert "Reason user_risk: WITHHELD" in out
    assert "applies  allow-list entry rollout 7: takes the reason away" in out
    assert "owner soc lead, cause CHG-4711, from 2026-03-01" in out


def test_many_files_are_named_in_part(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(6):
        (tmp_path / f"{number}.jsonl").write_bytes(audit())

    out = printed(capsys, tmp_path)

    assert "3.jsonl and 2 more" in out


def test_long_lists_say_that_they_go_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "values.jsonl"
    rows = [risk(Timestamp=f"2026-03-02T09:12:{one:02}Z") for one in range(25)]
    path.write_bytes(b"\n".join([*[audit()] * 7, *rows]))

    out = printed(capsys, path)

    assert "and 5 more that count: see --output json" in out
    assert "and 2 more records of this event: see --output json" in out


@pytest.mark.parametrize(
    "arguments",
    [
        ["x.jsonl", "--from", "2026-03-01"],
        ["x.jsonl", "--topics"],
        ["--from", "yesterday"],
        ["--topics", "--late-at-most", "3"],
        ["--actor-rows"],
    ],
)
def test_what_does_not_go_together_is_wrong_usage(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["why", "--tenant", TENANT, "--event", EVENT, *arguments]) == 2
    assert capsys.readouterr().err


def test_a_file_that_is_not_there_ends_with_3(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "missing.jsonl"

    assert run(["why", "--tenant", TENANT, "--event", EVENT, str(path)]) == 3
    assert str(path) in capsys.readouterr().err
