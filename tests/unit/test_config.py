import os
from datetime import timedelta
from pathlib import Path

import pytest

from pipeline.config import (
    Settings,
    child_environment,
    every_setting,
    is_set,
    load_settings,
)
from pipeline.core.errors import ConfigError


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.upper().startswith("MASSWATCH_"):
            monkeypatch.delenv(name)


def faults() -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_settings()
    return str(caught.value).splitlines()


def test_with_an_empty_environment_the_defaults_hold() -> None:
    assert load_settings() == Settings()
    assert load_settings().kafka.sources.audit == ("intune.audit.v1",)


def test_every_part_can_be_set_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASSWATCH_KAFKA__BOOTSTRAP_SERVERS", "one:9092,other:9092")
    monkeypatch.setenv("MASSWATCH_REDIS__URL", "rediss://:secret@cache.example.org:6380/1")
    monkeypatch.setenv("MASSWATCH_HTTP__PORT", "0")
    monkeypatch.setenv("MASSWATCH_POLICY_FILE", "policy.toml")
    monkeypatch.setenv("MASSWATCH_LOG__FORMAT", "console")

    settings = load_settings()

    assert settings.kafka.client() == {"bootstrap.servers": "one:9092,other:9092"}
    assert settings.kafka.aiokafka() == {}
    assert settings.redis.client() == {
        "url": "rediss://:secret@cache.example.org:6380/1",
        "access": {"ssl_check_hostname": True},
    }
    assert (settings.http.port, settings.log.format) == (0, "console")
    assert settings.policy_file == Path("policy.toml")


def test_a_source_may_be_several_topics(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASSWATCH_KAFKA__TOPICS__AUDIT", "insights-logs-auditlogs, customer-2")

    sources = load_settings().kafka.sources

    assert sources.audit == ("insights-logs-auditlogs", "customer-2")
    assert sources.identity_info == ("defender.identity-info.v1",)


@pytest.mark.parametrize(("text", "seconds"), [("20", 20), ("0.5", 0.5), ("1e1", 10)])
def test_spans_are_given_in_seconds(
    monkeypatch: pytest.MonkeyPatch, text: str, seconds: float
) -> None:
    monkeypatch.setenv("MASSWATCH_WORKER__STUCK_AFTER", text)

    assert load_settings().worker.stuck_after == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["soon", "", "nan", "1e300", "0", "-1"])
def test_a_span_that_is_no_number_of_seconds_is_a_fault(
    monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("MASSWATCH_WORKER__STUCK_AFTER", text)

    (line,) = faults()

    assert line.startswith("MASSWATCH_WORKER__STUCK_AFTER: ")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HTTP__PORT", "65536"),
        ("HTTP__PORT", "http"),
        ("KAFKA__BOOTSTRAP_SERVERS", ""),
        ("KAFKA__FETCH_MAX_BYTES", "1"),
        ("LOG__LEVEL", "loud"),
        ("REDIS__NAMESPACE", ""),
    ],
)
def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"MASSWATCH_{name}", value)

    (line,) = faults()

    assert line.startswith(f"MASSWATCH_{name}: ")


def test_a_redis_url_without_a_scheme_says_what_to_write(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASSWATCH_REDIS__URL", "localhost:6379")

    assert faults() == [
        'MASSWATCH_REDIS__URL: no scheme in "localhost:6379": write redis://localhost:6379/0'
    ]


@pytest.mark.parametrize(
    "url",
    [
        "http://user:hunter2@cache.example.org",
        "hunter2",
        "http://cache.example.org/?password=hunter2",
        "cache.example.org:6380,password=hunter2,ssl=True",
    ],
)
def test_a_password_is_never_said(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("MASSWATCH_REDIS__URL", url)

    assert "hunter2" not in "\n".join(faults())

    monkeypatch.setenv("MASSWATCH_REDIS__URL", "redis://user:hunter2@cache.example.org")
    monkeypatch.setenv("MASSWATCH_HTTP__PORT", "x")

    assert "hunter2" not in "\n".join(faults())
    monkeypatch.delenv("MASSWATCH_HTTP__PORT")
    assert "hunter2" not in repr(load_settings())


@pytest.mark.parametrize(
    "name", ["MASSWATCH_KAFKA__BOOTSTRAP", "MASSWATCH_TYPO", "masswatch_redis__ulr"]
)
def test_a_setting_that_does_not_exist_is_a_fault(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "x")

    assert f"{name}: no such setting: see `masswatch settings`" in faults()


def test_a_lease_that_outlives_the_session_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASSWATCH_WORKER__LEASE", "10")

    (line,) = faults()

    assert line.startswith("MASSWATCH_WORKER__LEASE: not below the session time-out")
    monkeypatch.setenv("MASSWATCH_WORKER__LEASE", "9.9")
    assert load_settings().worker.lease == timedelta(seconds=9.9)


def test_every_fault_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASSWATCH_TYPO", "x")
    monkeypatch.setenv("MASSWATCH_HTTP__PORT", "x")
    monkeypatch.setenv("MASSWATCH_REDIS__URL", "nowhere")

    assert {line.split(": ")[0] for line in faults()} == {
        "MASSWATCH_TYPO",
        "MASSWATCH_HTTP__PORT",
        "MASSWATCH_REDIS__URL",
    }


def test_every_setting_is_listed_with_a_default_that_can_be_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    listed = list(every_setting())
    for name, default, _ in listed:
        if default:
            monkeypatch.setenv(name, default)

    assert load_settings() == Settings()
    assert {"MASSWATCH_REDIS__URL", "MASSWATCH_POLICY_FILE"} <= {name for name, _, _ in listed}


def test_a_setting_that_is_empty_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASSWATCH_REDIS__URL", "")

    assert not is_set("REDIS__URL")
    assert not is_set("HTTP__PORT")
    monkeypatch.setenv("MASSWATCH_REDIS__URL", "redis://x")
    assert is_set("REDIS__URL")


def test_a_child_process_inherits_the_environment_but_for_what_is_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MASSWATCH_HTTP__PORT", "1")

    environment = child_environment({"HTTP__PORT": "2"})

    assert environment == {**os.environ, "MASSWATCH_HTTP__PORT": "2"}
