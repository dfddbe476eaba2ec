import asyncio
import json
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer
from typing import Any, cast

import pytest

from pipeline.config import Settings
from pipeline.doctor.examination import examine
from pipeline.doctor.finding import Area, Cause, Finding, Level, ok
from pipeline.doctor.settings_checks import (
    policy_with_findings,
    settings_with_findings,
    wrong_sections,
)
from pipeline.doctor.unforeseen import judged, outcome
from pipeline.doctor.worker_checks import WorkerStanding, look_at_worker, on_worker
from pipeline.wiring import clock

NOBODY = "127.0.0.1:1"


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASSWATCH_KAFKA__BOOTSTRAP_SERVERS", NOBODY)
    monkeypatch.setenv("MASSWATCH_REDIS__URL", f"redis://{NOBODY}/0")
    monkeypatch.setenv("MASSWATCH_HTTP__PORT", "1")


@pytest.fixture
def worker() -> Iterator[tuple[str, dict[str, Any]]]:
    """Something that answers as a worker does, and what it answers with."""
    answers: dict[str, Any] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            code, body = answers[self.path]
            self.send_response(code)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", answers
        server.shutdown()
        thread.join()


def faults(findings: list[Finding]) -> list[tuple[str, str]]:
    return [(one.where, one.what) for one in findings if one.level is Level.FAULT]


def test_right_settings_have_no_fault() -> None:
    settings, findings = settings_with_findings()

    assert settings is not None
    assert [one.level for one in findings] == [Level.OK]
    assert not wrong_sections(findings)


def test_all_that_is_wrong_in_the_settings_is_told_and_the_rest_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MASSWATCH_HTTP__PORT", "many")
    monkeypatch.setenv("MASSWATCH_COLOUR", "red")
    monkeypatch.setenv("MASSWATCH_REDIS__NAMESPACE", "mw9")

    settings, findings = settings_with_findings()

    assert settings is not None
    assert settings.redis.namespace == "mw9"
    assert {where for where, _ in faults(findings)} == {
        "MASSWATCH_HTTP__PORT",
        "MASSWATCH_COLOUR",
    }
    assert {one.cause for one in findings} == {Cause.SETTINGS}
    assert "HTTP" in wrong_sections(findings)


@pytest.mark.parametrize(
    ("name", "value", "what", "remedy"),
    [
        ("QUIET_AFTER", "nan", 'not a number of seconds: "nan"', "see masswatch settings"),
        ("LEASE", "99", "not below the session time-out", "set it under 10 s"),
    ],
)
def test_what_is_wrong_with_a_setting_is_told_apart_from_what_to_do(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, what: str, remedy: str
) -> None:
    monkeypatch.setenv(f"MASSWATCH_WORKER__{name}", value)

    _, [found] = settings_with_findings()

    assert (found.where, found.what, found.remedy) == (f"MASSWATCH_WORKER__{name}", what, remedy)


def test_a_policy_that_is_wrong_is_told_whole(tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    file.write_text('matching = "loose"\ncolour = "red"\n')

    policy, findings = policy_with_findings(Settings(policy_file=file), clock())

    assert policy is None
    assert len(faults(findings)) == 2
    assert {one.cause for one in findings} == {Cause.SETTINGS}


def test_what_wants_a_persons_eye_in_a_policy_is_a_note(tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    file.write_text('[windows]\nlateness = "1d"\n')

    policy, findings = policy_with_findings(Settings(policy_file=file), clock())

    assert policy is not None
    assert [(one.level, one.where) for one in findings] == [
        (Level.OK, str(file)),
        (Level.NOTE, "windows.lateness"),
    ]


@pytest.mark.usefixtures("nobody")
def test_wrong_settings_of_one_server_leave_the_other_examined(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MASSWATCH_KAFKA__SESSION_TIMEOUT", "soon")

    found = examine(clock())

    levels = {one.area: one.level for one in found}
    assert levels[Area.BROKER] is Level.NOT_CHECKED
    assert levels[Area.REDIS] is Level.FAULT


def test_a_worker_that_is_ready_is_right(worker: tuple[str, dict[str, Any]]) -> None:
    url, answers = worker
    answers |= well()

    found = look_at_worker(url + "/")

    assert found == WorkerStanding(url + "/", policy="abc")
    assert [one.level for one in on_worker(found, "abc", is_named=True)] == [Level.OK]


def test_what_a_worker_says_is_wrong_is_told(worker: tuple[str, dict[str, Any]]) -> None:
    url, answers = worker
    answers |= well()
    answers["/healthz"] = (503, json.dumps({"faults": ["audit: stands still"]}))
    answers["/readyz"] = (503, json.dumps({"faults": ["graph_activity: no partitions"]}))

    told = list(on_worker(look_at_worker(url), "another", is_named=True))

    assert [(one.level, one.what) for one in told] == [
        (Level.FAULT, "audit: stands still"),
        (Level.WARNING, "not ready: graph_activity: no partitions"),
        (Level.WARNING, "follows policy abc, the file is another"),
    ]


@pytest.mark.parametrize(
    "answer", [(200, "<html>"), (200, "[]"), (404, ""), (200, '{"faults": 1}')]
)
def test_something_else_than_a_worker_is_no_worker(
    worker: tuple[str, dict[str, Any]], answer: tuple[int, str]
) -> None:
    url, answers = worker
    answers |= dict.fromkeys(("/healthz", "/readyz", "/metrics"), answer)

    assert look_at_worker(url).silence == "something else answers there"


@pytest.mark.parametrize(
    "address", ["127.0.0.1:8080", "http://127.0.0.1:80a", "http://a b", "http://a..b", "http://a/ü"]
)
def test_a_mistyped_address_is_a_finding(address: str) -> None:
    [found] = on_worker(look_at_worker(address), None, is_named=True)

    assert (found.level, found.where) == (Level.FAULT, address)
    assert found.what.startswith("not an address of HTTP: ")


@pytest.mark.parametrize("said", [b"SSH-2.0-OpenSSH_9.6\r\n", b"HTTP/1.1 200 OK\r\n\r\n\xff\xfe"])
def test_something_that_speaks_another_language_is_no_worker(said: bytes) -> None:
    class Handler(BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(1024)
            self.request.sendall(said)

    with ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            found = look_at_worker(f"http://127.0.0.1:{server.server_address[1]}")
        finally:
            server.shutdown()
            thread.join()

    assert found.silence == "something else answers there"


@pytest.mark.usefixtures("nobody")
def test_a_look_that_ends_unforeseen_is_a_fault_and_the_others_hold(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Url:
        """No address at all, which no command line gives."""

    found = examine(clock(), cast("list[str]", [Url()]))

    [broken] = [one for one in found if one.where == "doctor itself"]
    assert (broken.level, broken.area, broken.cause) == (Level.FAULT, Area.WORKER, Cause.STATE)
    assert broken.what.startswith("AttributeError at worker_checks.py:")
    assert {one.area for one in found if one.cause is Cause.AWAY} == {Area.BROKER, Area.REDIS}


def test_a_check_that_ends_unforeseen_keeps_what_it_has_found() -> None:
    def check() -> Iterator[Finding]:
        yield ok(Area.LAG, "group", "has read everything")
        raise KeyError("secret")

    first, broken = asyncio.run(judged(Area.LAG, check()))

    assert first.level is Level.OK
    assert (broken.level, broken.area) == (Level.FAULT, Area.LAG)
    assert broken.what.startswith("KeyError at test_doctor_settings.py:")
    assert "secret" not in broken.what


def test_an_end_of_the_whole_command_is_no_finding() -> None:
    async def ended() -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(outcome(ended()))


@pytest.mark.parametrize(("is_named", "level"), [(True, Level.FAULT), (False, Level.NOT_CHECKED)])
def test_a_worker_that_does_not_answer_is_a_fault_only_if_it_was_named(
    is_named: bool, level: Level
) -> None:
    found = look_at_worker(f"http://{NOBODY}")

    [told] = on_worker(found, None, is_named=is_named)

    assert told.level is level
    assert "refused" in told.what


def well() -> Mapping[str, tuple[int, str]]:
    fine = json.dumps({"faults": []})
    return {
        "/healthz": (200, fine),
        "/readyz": (200, fine),
        "/metrics": (200, '# HELP x\nmasswatch_policy_info{digest="abc"} 1.0\n'),
    }
