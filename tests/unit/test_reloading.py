import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict

from pipeline.adapters.metrics import Metrics
from pipeline.core.evidence import Matching
from pipeline.core.policy import Policy
from pipeline.policy_file import load_policy
from pipeline.worker.reloading import Reloading

FAITHFUL = 'matching = "faithful"\n'
WIDE = '[windows]\nbefore = "30d"\n'
QUIET = 'disabled_reasons = ["user_risk"]\n'
WRONG = 'matching = "both"\nwindow = 3\n'


@dataclass
class Governed:
    """What happened, in its order, to whatever a policy is in force for."""

    policy: Policy = field(default_factory=Policy)
    happened: list[str] = field(default_factory=list)

    def follow(self, policy: Policy) -> None:
        self.policy = policy
        self.happened.append("followed")

    def ask(self, *, everywhere: bool) -> None:
        self.happened.append("asked everywhere" if everywhere else "asked")


class Worker:
    """A reloading with its file."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.governed = Governed()
        self.metrics = Metrics("1")
        self.reloading = Reloading(path, self.governed, ask=self.governed.ask, metrics=self.metrics)

    def reloads(self, content: str) -> list[EventDict]:
        """Write the file, reload, and return what was logged."""
        assert self.path is not None
        self.path.write_text(content)
        with capture_logs() as logs:
            asyncio.run(self.reloading.reload())
        return logs

    def counted(self, end: str) -> bool:
        line = f'masswatch_policy_reloads_total{{end="{end}"}} 1.0'
        return line in self.metrics.text().decode().splitlines()


@pytest.fixture
def worker(tmp_path: Path) -> Worker:
    return Worker(tmp_path / "policy.toml")


def events(logs: list[EventDict]) -> list[str]:
    return [one["event"] for one in logs]


def test_a_changed_policy_is_put_in_force_and_then_asked_about(worker: Worker) -> None:
    (log,) = worker.reloads(QUIET)

    assert worker.path is not None
    assert worker.governed.policy == load_policy(worker.path)
    assert worker.governed.happened == ["followed", "asked"]
    assert log["event"] == "policy.reloaded"
    assert (log["before"], log["policy"]) == (Policy().digest, worker.governed.policy.digest)
    assert worker.counted("reloaded")


def test_when_the_windows_change_every_assignment_is_asked_for(worker: Worker) -> None:
    worker.reloads(WIDE)

    assert worker.governed.happened == ["followed", "asked everywhere"]


def test_a_wrong_file_is_refused_with_all_its_faults_and_nothing_changes(worker: Worker) -> None:
    (log,) = worker.reloads(WRONG)

    assert worker.governed.happened == []
    assert (log["event"], log["log_level"]) == ("policy.refused", "error")
    assert log["policy"] == Policy().digest
    assert [one.partition(": ")[2].partition(":")[0] for one in log["faults"]] == [
        "matching",
        "window",
    ]
    assert worker.counted("refused")


def test_a_file_that_has_gone_is_refused(worker: Worker) -> None:
    worker.reloads(QUIET)
    assert worker.path is not None
    worker.path.unlink()

    with capture_logs() as logs:
        asyncio.run(worker.reloading.reload())

    assert events(logs) == ["policy.refused"]
    assert worker.governed.happened == ["followed", "asked"]


def test_a_policy_that_decides_alike_asks_for_nothing(worker: Worker) -> None:
    logs = worker.reloads("# a new remark\n")

    assert events(logs) == ["policy.unchanged"]
    assert worker.governed.happened == []
    assert worker.counted("unchanged")


@pytest.mark.parametrize(
    ("content", "changed"),
    [
        (FAITHFUL, ("matching",)),
        (WIDE, ("windows",)),
        ('[workspaces]\n"w" = "t"\n', ("workspaces",)),
    ],
)
def test_what_the_former_policy_did_not_keep_is_said(
    worker: Worker, content: str, changed: tuple[str, ...]
) -> None:
    logs = worker.reloads(content)

    assert events(logs) == ["policy.reloaded", "policy.needs_rebuild"]
    assert logs[1]["changed"] == changed
    assert "masswatch rebuild" in logs[1]["advice"]


def test_without_a_policy_file_there_is_nothing_to_reload() -> None:
    worker = Worker(None)

    with capture_logs() as logs:
        asyncio.run(worker.reloading.reload())

    assert events(logs) == ["reload.skipped"]
    assert worker.governed.happened == []


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not holds():  # noqa: ASYNC110 - a policy tells nobody that it is in force
            await asyncio.sleep(0.01)


def test_each_time_that_it_is_hung_up_the_file_is_read_anew(worker: Worker) -> None:
    path = worker.path
    assert path is not None

    async def act() -> None:
        hung_up = asyncio.Event()
        hung_up.set()  # before anybody waits
        path.write_text(QUIET)
        running = asyncio.create_task(worker.reloading.run(hung_up))
        await until(lambda: worker.governed.policy != Policy())
        path.write_text(FAITHFUL)
        hung_up.set()
        await until(lambda: worker.governed.policy.matching is Matching.FAITHFUL)
        running.cancel()

    asyncio.run(act())

    assert worker.governed.happened == ["followed", "asked"] * 2
