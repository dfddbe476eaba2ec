"""`masswatch backtest` and `policy diff` over slices of a real Kafka."""

import json
import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from builders import (
    DANA,
    MONDAY,
    audit_properties,
    audit_record,
    hunting_record,
    identity_row,
    value_of,
)
from kafka_topic import KafkaTopic, Put

from pipeline.cli import run
from pipeline.core.event_time import format_event_time
from pipeline.demo.fleet import until
from pipeline.localstack import Addresses

pytestmark = pytest.mark.stack

MONDAY_MS = MONDAY // 10_000
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def ms(shift: timedelta) -> int:
    return MONDAY_MS + shift // timedelta(milliseconds=1)


def assignment(event_id: str, after: timedelta = timedelta()) -> Put:
    """Dana's, appended when it happened."""
    at = format_event_time(type(MONDAY)(ms(after) * 10_000))
    record = audit_record(properties=audit_properties(AuditEventId=event_id), time=at)
    return Put(value_of(record), at=ms(after))


def risk(after: timedelta, *, appended: timedelta | None = None, level: str = "High") -> Put:
    at = format_event_time(type(MONDAY)(ms(after) * 10_000))
    row = identity_row(AccountUpn=DANA, RiskLevel=level, Timestamp=at)
    value = value_of(hunting_record("IdentityInfo", row))
    return Put(value, at=ms(after if appended is None else appended))


@pytest.fixture
def audit(stack: Addresses, prefix: str) -> KafkaTopic:
    name = prefix + "audit"
    return KafkaTopic(name, {"bootstrap.servers": stack.bootstrap_servers}).create(2)


@pytest.fixture
def risks(stack: Addresses, prefix: str) -> KafkaTopic:
    name = prefix + "identity"
    return KafkaTopic(name, {"bootstrap.servers": stack.bootstrap_servers}).create()


@pytest.fixture(autouse=True)
def _settings(
    stack: Addresses, audit: KafkaTopic, risks: KafkaTopic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MASSWATCH_KAFKA__BOOTSTRAP_SERVERS", stack.bootstrap_servers)
    monkeypatch.setenv("MASSWATCH_KAFKA__TOPICS__AUDIT", audit.name)
    monkeypatch.setenv("MASSWATCH_KAFKA__TOPICS__IDENTITY_INFO", risks.name)
    monkeypatch.setenv("MASSWATCH_KAFKA__TOPICS__BEHAVIOR_ENTITIES", audit.name)
    monkeypatch.setenv("MASSWATCH_KAFKA__TOPICS__GRAPH_ACTIVITY", audit.name)
    monkeypatch.delenv("MASSWATCH_POLICY_FILE", raising=False)


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert run(["backtest", *arguments, "--processes", "1", "--output", "json"]) == 0
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


def events(document: dict[str, Any]) -> list[str]:
    return [one["audit_event_id"] for one in document["policies"][0]["alerts"]]


def test_assignments_count_from_the_first_moment_on_and_before_the_last(
    audit: KafkaTopic, risks: KafkaTopic, capsys: pytest.CaptureFixture[str]
) -> None:
    audit.put(assignment("a", -DAY), assignment("b"), assignment("c", DAY))
    risks.put(risk(-2 * DAY))
    first, end = (format_event_time(type(MONDAY)(MONDAY + by)) for by in (0, 864_000_000_000))

    assert events(said(capsys)) == ["a", "b", "c"]
    assert events(said(capsys, "--from", first, "--to", end)) == ["b"]


def test_only_what_can_be_evidence_is_read(
    audit: KafkaTopic, risks: KafkaTopic, capsys: pytest.CaptureFixture[str]
) -> None:
    audit.put(assignment("old", -100 * DAY), assignment("new"))
    risks.put(risk(-100 * DAY), risk(-14 * DAY), risk(2 * DAY, appended=30 * DAY))

    whole, slice_ = said(capsys), said(capsys, "--from", "2026-03-01")

    assert (whole["values"], slice_["values"]) == (5, 3)
    assert events(slice_) == ["new"]
    [alert] = slice_["policies"][0]["alerts"]
    assert len(alert["evidence"]["risk"]) == 2


def test_a_bound_on_lateness_leaves_out_what_was_appended_later(
    audit: KafkaTopic, risks: KafkaTopic, capsys: pytest.CaptureFixture[str]
) -> None:
    audit.put(assignment("a"))
    risks.put(risk(2 * DAY, appended=30 * DAY))
    bounded = ("--from", "2026-03-01", "--to", "2026-03-03", "--late-at-most")

    assert events(said(capsys, *bounded, "29")) == ["a"]
    assert events(said(capsys, *bounded, "20")) == []


def test_a_topic_that_begins_too_late_is_warned_of(
    audit: KafkaTopic, risks: KafkaTopic, capsys: pytest.CaptureFixture[str]
) -> None:
    audit.put(assignment("a"))
    risks.put(risk(-DAY), risk(-HOUR)).delete_before(1)

    assert said(capsys)["warnings"] == [
        f"{risks.name}[0]: earlier records have been deleted: evidence may be missing"
    ]


def test_an_empty_slice_is_warned_of(
    audit: KafkaTopic, risks: KafkaTopic, capsys: pytest.CaptureFixture[str]
) -> None:
    audit.put(assignment("a"))

    [warning] = said(capsys, "--from", "2030-01-01")["warnings"]

    assert warning.startswith("nothing lies in the slice")


def test_how_late_an_alert_could_be_known_comes_from_the_times_of_records(
    audit: KafkaTopic, risks: KafkaTopic, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    audit.put(assignment("a"))
    risks.put(risk(-DAY, appended=3 * HOUR))

    assert run(["backtest", "--html", str(tmp_path / "page.html")]) == 0

    assert "<html" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_a_new_policy_is_compared_with_the_one_in_force(
    audit: KafkaTopic,
    risks: KafkaTopic,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    audit.put(assignment("a"), assignment("b", 3 * DAY))
    risks.put(risk(-12 * DAY))
    new = tmp_path / "new.toml"
    new.write_text('[windows]\nbefore = "13d"\n')

    assert run(["policy", "diff", str(new), "--output", "json"]) == 0
    [differences] = json.loads(capsys.readouterr().out)["differences"]
    assert run(["policy", "diff", str(new)]) == 0
    out = capsys.readouterr().out

    assert [(one["audit_event_id"], one["change"]) for one in differences["alerts"]] == []
    new.write_text('[windows]\nbefore = "11d"\n')
    assert run(["policy", "diff", str(new), "--output", "json"]) == 0
    [differences] = json.loads(capsys.readouterr().out)["differences"]
    assert [
        (one["audit_event_id"], one["change"], one["causes"]) for one in differences["alerts"]
    ] == [("a", "gone", ["windows.before"])]
    assert "0 added, 0 changed, 0 withdrawn; 1 alerts become 1" in out


def test_a_broker_that_is_away_ends_with_4(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MASSWATCH_KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:1")

    assert run(["backtest"]) == 4
    assert "is the broker there" in capsys.readouterr().err


def test_a_topic_that_is_not_there_ends_with_3(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], prefix: str
) -> None:
    monkeypatch.setenv("MASSWATCH_KAFKA__TOPICS__AUDIT", prefix + "missing")

    assert run(["backtest"]) == 3
    assert prefix + "missing" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("number", "to_all", "exit_code"),
    [
        (signal.SIGINT, True, 130),  # as a terminal does
        (signal.SIGTERM, False, 128 + signal.SIGTERM),
        (signal.SIGHUP, False, 128 + signal.SIGHUP),
    ],
)
def test_a_signal_in_the_middle_ends_every_process_and_leaves_no_file(
    audit: KafkaTopic, tmp_path: Path, number: signal.Signals, to_all: bool, exit_code: int
) -> None:
    hit = assignment("a").value or b""
    for partition in range(2):
        audit.put(*(Put(hit, at=MONDAY_MS, partition=partition) for _ in range(40_000)))
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-m", "pipeline", "backtest", "--processes", "2"]
    with subprocess.Popen(
        command, env=environment, stderr=subprocess.PIPE, start_new_session=True
    ) as process:
        until(lambda: any(tmp_path.glob("masswatch-backtest-*/*/*")), "the scan begun", 30)

        if to_all:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
        _, said_last = process.communicate(timeout=20)

    assert process.returncode == exit_code
    assert b"Traceback" not in said_last
    assert list(tmp_path.iterdir()) == []
    until(lambda: _is_gone(process.pid), "every process ended", 10)


def _is_gone(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False
