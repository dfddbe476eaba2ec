"""Processes known again by pid and start time, the lock, and what is written for the servers."""

import os
import sys
from pathlib import Path
from typing import IO

import pytest

from pipeline.core.errors import ConfigError, MasswatchError
from pipeline.localstack import down, process
from pipeline.localstack.free_port import free_ports, is_free
from pipeline.localstack.kafka import _escaped
from pipeline.localstack.lock import locked
from pipeline.localstack.process import Process, is_alive, spawn, stop
from pipeline.localstack.state import Recorded, State
from pipeline.localstack.wait import until

SLEEP = [sys.executable, "-c", "import time; print('here', flush=True); time.sleep(60)"]
IGNORE_SIGTERM = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
DEAF = [
    sys.executable,
    "-c",
    IGNORE_SIGTERM + "import time; print('deaf', flush=True); time.sleep(60)",
]


def test_a_process_lives_until_it_is_stopped(tmp_path: Path) -> None:
    sleeper = spawn(SLEEP, tmp_path / "log")

    assert is_alive(sleeper)
    stop(sleeper, within=10)
    assert not is_alive(sleeper)


def test_a_process_writes_to_its_log(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "log"
    sleeper = spawn(SLEEP, log)

    assert until(lambda: log.read_text() == "here\n", within=10)
    stop(sleeper, within=10)


def test_a_process_that_does_not_heed_sigterm_is_killed(tmp_path: Path) -> None:
    log = tmp_path / "log"
    deaf = spawn(DEAF, log)
    assert until(lambda: log.read_text() == "deaf\n", within=10)

    stop(deaf, within=0.3)

    assert not is_alive(deaf)


def test_stopping_what_is_gone_already_does_no_harm(tmp_path: Path) -> None:
    sleeper = spawn(SLEEP, tmp_path / "log")
    stop(sleeper, within=10)

    stop(sleeper, within=10)


def test_a_recycled_pid_is_left_alone(tmp_path: Path) -> None:
    sleeper = spawn(SLEEP, tmp_path / "log")
    former = Process(sleeper.pid, started="1")
    State(servers={"redis": Recorded(ports=(1,), process=former)}).save(tmp_path)

    down(tmp_path)

    assert is_alive(sleeper)
    stop(sleeper, within=10)


def test_a_child_sees_nothing_of_our_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-Xmx1m")
    log = tmp_path / "log"

    spawn([sys.executable, "-c", "import os; print(os.getenv('JAVA_TOOL_OPTIONS'))"], log)

    assert until(lambda: log.read_text() == "None\n", within=10)


def test_where_there_is_no_proc_ps_tells_the_same(tmp_path: Path) -> None:
    if not any(Path(folder, "ps").exists() for folder in ("/bin", "/usr/bin")):
        with pytest.raises(MasswatchError, match="ps: not found"):
            process._look_with_ps(os.getpid())
        return
    sleeper = spawn(SLEEP, tmp_path / "log")

    first, second = (process._look_with_ps(sleeper.pid) for _ in range(2))
    stop(sleeper, within=10)

    assert first is not None
    assert first == second
    assert process._look_with_ps(sleeper.pid) is None


def test_a_lock_is_had_by_one_at_a_time(tmp_path: Path) -> None:
    lock = tmp_path / "new" / "lock"

    with (
        locked(lock, within=1),
        pytest.raises(MasswatchError, match="held by another"),
        locked(lock, within=0.1),
    ):
        pytest.fail("held twice")

    with locked(lock, within=0.1):
        pass


class DeletedOnceOpen(type(Path())):  # type: ignore[misc]  # a Path is of the system's own class
    """A lock file that its holder deletes just when the next one has opened it."""

    def open(self, mode: str) -> IO[str]:
        opened: IO[str] = super().open(mode)
        self.unlink()
        return opened


def test_a_lock_file_that_its_holder_deleted_locks_nobody_out_and_so_is_not_held(
    tmp_path: Path,
) -> None:
    with (
        pytest.raises(MasswatchError, match="held by another"),
        locked(DeletedOnceOpen(tmp_path / "lock"), within=0.1),
    ):
        pytest.fail("held a lock that the next one cannot see")


def test_a_state_of_another_version_is_told_where_it_lies(tmp_path: Path) -> None:
    (tmp_path / "stack.json").write_text('{"pid": 1}')

    with pytest.raises(ConfigError, match=r"stack\.json: not a state file of this version"):
        State.load(tmp_path)


def test_free_ports_are_free_and_below_those_of_outgoing_connections() -> None:
    ports = free_ports(3)

    assert len(set(ports)) == 3
    assert all(is_free(port) and port < 32_768 for port in ports)


@pytest.mark.parametrize(
    ("path", "written"),
    [
        ("/home/jo/x", "/home/jo/x"),
        ("/home/jürgen/x", "/home/j\\u00fcrgen/x"),
        ("/𝄞", "/\\ud834\\udd1e"),
        ("a\\b", "a\\\\b"),
    ],
)
def test_a_path_is_written_as_java_reads_it(path: str, written: str) -> None:
    assert _escaped(path) == written
