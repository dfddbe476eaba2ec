import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline.cli import run
from pipeline.policy_file import load_policy

RIGHT = 'disabled_reasons = ["user_risk"]\n'
OWNED = 'owner = "soc@example.org"\ncause = "planned"\n'


@pytest.fixture(autouse=True)
def _no_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MASSWATCH_POLICY_FILE", raising=False)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "policy.toml"


def an_entry(name: str, *, since: int, until: int) -> str:
    """Write an entry that holds between so many days from now."""
    moments = [datetime.now(UTC) + timedelta(days=days) for days in (since, until)]
    first, end = (moment.isoformat(timespec="seconds") for moment in moments)
    return (
        f'[[allow]]\nname = "{name}"\naccount = "{name}@example.org"\n'
        f'reasons = ["risky_behavior"]\n{OWNED}since = {first}\nuntil = {end}\n'
    )


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert run(["policy", "check", *arguments, "--output", "json"]) == 0
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


def test_a_policy_without_notes_is_fine_even_strictly(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path.write_text(RIGHT)

    code = run(["policy", "check", str(path), "--strict"])

    out = capsys.readouterr().out
    assert code == 0
    digest = load_policy(path).digest
    assert out.strip() == (
        f"{path}: no errors, 0 notes, 0 allow-list entries, digest {digest}".strip()
    )


def test_all_errors_are_told_at_once(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path.write_text(
        'matchin = "repaired"\n[windows]\nbefore = "a while"\n'
        + an_entry("one", since=-1, until=9)
        + an_entry("one", since=20, until=30)
    )

    code = run(["policy", "check", str(path)])

    captured = capsys.readouterr()
    assert code == 3
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert len(lines) == 3
    for word in ("matchin: no such key", "windows.before: not a span", "two entries of that name"):
        assert any(word in line for line in lines)


def test_notes_are_told_to_a_person_and_end_with_1_only_when_strict(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path.write_text(an_entry("old", since=-9, until=-2) + an_entry("new", since=300, until=400))

    code = run(["policy", "check", str(path)])

    out = capsys.readouterr().out
    assert code == 0
    assert all(word in out for word in ("expired", 'allow."old"', "not_begun", 'allow."new"'))
    assert "no errors, 2 notes, 2 allow-list entries" in out
    assert run(["policy", "check", str(path), "--strict"]) == 1


def test_notes_are_told_to_a_program(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path.write_text(an_entry("old", since=-9, until=-2))

    document = said(capsys, str(path))

    (note,) = document.pop("notes")
    assert document == {"file": str(path), "digest": load_policy(path).digest, "entries": 1}
    assert (note["kind"], note["where"]) == ("expired", 'allow."old"')
    assert set(note) == {"kind", "where", "what", "remedy"}


@pytest.mark.parametrize(("within", "noted"), [("9", 0), ("11", 1)])
def test_how_soon_an_entry_expires_that_is_noted_is_asked_for(
    path: Path, capsys: pytest.CaptureFixture[str], within: str, noted: int
) -> None:
    path.write_text(an_entry("soon", since=-9, until=10))

    assert len(said(capsys, str(path), "--within", within)["notes"]) == noted


def test_without_an_argument_the_file_of_the_worker_is_checked(
    path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_text(RIGHT)
    monkeypatch.setenv("MASSWATCH_POLICY_FILE", str(path))

    assert said(capsys)["file"] == str(path)


def test_without_any_file_the_defaults_are_checked(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys)["file"] is None


def test_a_file_that_is_not_there_is_wrong_configuration(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["policy", "check", str(path)]) == 3
    assert "no such file or directory" in capsys.readouterr().err
