import json
from pathlib import Path
from typing import Any

import pytest
from builders import (
    DANA,
    EVENT,
    PARTNER,
    TENANT,
    actor_object,
    audit_properties,
    audit_record,
    envelope,
    hunting_record,
    identity_row,
    value_of,
)

from pipeline.cli import run
from pipeline.core.model import AssignmentId
from pipeline.core.policy import Policy
from pipeline.core.verdict import alert_id


@pytest.fixture(autouse=True)
def _no_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MASSWATCH_POLICY_FILE", raising=False)


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """An assignment of Dana's, her High risk, and some records that nobody can use."""
    audit, identity = tmp_path / "audit.jsonl", tmp_path / "identity.jsonl"
    audit.write_bytes(
        b"\n".join(
            [
                envelope(audit_record(), audit_record(time="?")),
                b'{"operationName": "Create MobileAppAssignment"',
                value_of(audit_record(operationName="Create ClientCertificate")),
            ]
        )
    )
    identity.write_bytes(value_of(hunting_record("IdentityInfo", identity_row())) + b"\n\n")
    return [str(identity), str(audit)]


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert run(["backtest", *arguments, "--output", "json"]) == 0
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


def alerts_in(document: dict[str, Any]) -> list[dict[str, Any]]:
    """The alerts of the first policy."""
    alerts: list[dict[str, Any]] = document["policies"][0]["alerts"]
    return alerts


def test_alerts_are_printed_for_a_person(
    files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(["backtest", *files])

    out = capsys.readouterr().out
    assert code == 0
    assert all(word in out for word in ("medium", TENANT, DANA, "Remote Helper 4.2", "user_risk"))
    assert "5 values, 3 opened, 4 records in them, 2 malformed" in out
    assert "defaults: 1 alerts, 0 withheld, 0 quiet" in out


def test_alerts_are_printed_for_a_program(
    files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    document = said(capsys, *files)

    [policy] = document.pop("policies")
    [alert] = policy.pop("alerts")
    figures = policy.pop("figures")
    assert document == {
        "sources": sorted(files),
        "from": None,
        "to": None,
        "warnings": [],
        "values": 5,
        "opened": 3,
        "records": 4,
        "facts": 2,
        "malformed": [
            {"reason": "not JSON", "records": 1},
            {"reason": "time: no readable event time", "records": 1},
        ],
        "differences": [],
    }
    assert policy == {
        "name": "defaults",
        "digest": Policy().digest,
        "withheld": [],
        "quiet": 0,
    }
    assert figures == {
        "days": 1,
        "by_day": [{"day": "2026-03-02", "medium": 1}],
        "by_reason": {"user_risk": 1, "risky_behavior": 0, "delegated_admin": 0},
        "alerts_a_day": {"p50": 1, "p95": 1, "most": 1},
        "by_tenant": [
            {
                "tenant_id": TENANT,
                "medium": 1,
                "withheld": 0,
                "alerts_a_day": {"p50": 1, "p95": 1, "most": 1},
            }
        ],
        "decided_after": {
            "at once": 1,
            "under 1 h": 0,
            "1 to 6 h": 0,
            "6 to 24 h": 0,
            "24 to 48 h": 0,
            "48 h or later": 0,
        },
        "known_after": {},
        "allow_list": [],
    }
    assert alert["alert_id"] == alert_id(AssignmentId(TENANT, EVENT))
    assert (alert["severity"], alert["reasons"]) == ("medium", ["user_risk"])
    assert not {"revision", "detected_at", "sources"} & alert.keys()


def test_positions_are_said_when_asked_for(
    files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    document = said(capsys, *files, "--positions")

    [alert] = document["policies"][0]["alerts"]
    assert {(one["topic"], one["offset"], one["index"]) for one in alert["sources"]} == {
        (files[1], 0, 0),
        (files[0], 0, None),
    }
    second_line = Path(files[1]).read_bytes().index(b"\n") + 1
    assert [one["first"] for one in document["malformed"]] == [
        f"{files[1]}[0]@{second_line}",
        f"{files[1]}[0]@0#1",
    ]


def test_the_order_of_files_changes_no_alert(
    files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = said(capsys, *files), said(capsys, *reversed(files))

    assert first == second


def test_an_assignment_without_a_reason_is_no_alert(
    files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    [policy] = said(capsys, files[1])["policies"]

    assert (policy["alerts"], policy["quiet"]) == ([], 1)


def test_alerts_are_sorted_by_event_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def delegated(event_id: str, time: str) -> object:
        actor = actor_object(IsDelegatedAdmin=True, PartnerTenantId=PARTNER)
        properties = audit_properties(Actor=actor, AuditEventId=event_id)
        return audit_record(properties=properties, time=time)

    path = tmp_path / "audit.jsonl"
    path.write_bytes(
        envelope(
            delegated("b", "2026-03-02T10:00:00Z"),
            delegated("c", "2026-03-02T08:00:00Z"),
            delegated("a", "2026-03-02T09:00:00Z"),
        )
    )

    alerts = alerts_in(said(capsys, str(path)))

    assert [one["audit_event_id"] for one in alerts] == ["c", "a", "b"]


def test_a_policy_file_decides_from_an_option_or_from_the_environment(
    files: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text('[severity]\nraised = "high"\n', encoding="utf-8")

    by_option = said(capsys, *files, "--policy", str(policy))
    monkeypatch.setenv("MASSWATCH_POLICY_FILE", str(policy))
    by_environment = said(capsys, *files)

    assert by_option == by_environment
    assert alerts_in(by_option)[0]["severity"] == "high"


def test_the_matching_of_the_policy_reaches_the_decoder(
    files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text('matching = "faithful"\n', encoding="utf-8")
    lower = tmp_path / "lower.jsonl"
    row = identity_row(AccountUpn=DANA.lower())
    lower.write_bytes(value_of(hunting_record("IdentityInfo", row)))

    repaired = said(capsys, str(lower), files[1])
    faithful = said(capsys, str(lower), files[1], "--policy", str(policy))

    assert (len(alerts_in(repaired)), len(alerts_in(faithful))) == (1, 0)


def test_workspaces_of_the_policy_reach_the_decoder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], files: list[str]
) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text(f'[workspaces]\nworkspace-1 = "{TENANT}"\n', encoding="utf-8")
    row = tmp_path / "row.jsonl"
    row.write_bytes(value_of({"TenantId": "workspace-1", **identity_row()}))

    with_entry = said(capsys, str(row), files[1], "--policy", str(policy))
    without = said(capsys, str(row), files[1])

    assert (len(alerts_in(with_entry)), len(alerts_in(without))) == (1, 0)


def test_a_file_that_is_not_there_ends_with_3_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "missing.jsonl"

    code = run(["backtest", str(path)])

    assert code == 3
    assert capsys.readouterr().err == f"{path}: no such file: name a file or a folder\n"


def test_a_wrong_policy_ends_with_3_and_names_every_fault(
    files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text('machting = "faithful"\nother = 1\n', encoding="utf-8")

    code = run(["backtest", *files, "--policy", str(policy)])

    assert code == 3
    assert len(capsys.readouterr().err.splitlines()) == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ["backtest", "x", "--output", "yaml"],
        ["backtest", "x", "--from", "yesterday"],
        ["backtest", "x", "--from", "2026-03-02", "--to", "2026-03-02"],
        ["backtest", "x", "--against", "dead"],
        ["backtest", "x", "--junit", "report.xml"],
        ["backtest", "x", "--html", "no-such-folder/page.html"],
        ["backtset"],
        ["--what"],
    ],
)
def test_wrong_usage_ends_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code = run(arguments)

    assert code == 2
    assert capsys.readouterr().err


def test_help_says_what_it_does(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["backtest", "--help"]) == 0
    assert "Judge the past: what would have been alerted" in capsys.readouterr().out
