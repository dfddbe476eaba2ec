"""Child processes that outlive us, and are known again by more than a pid."""

import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.core.errors import MasswatchError
from pipeline.localstack.wait import until

ENVIRONMENT = {"LANG": "C.UTF-8"}
"""All of the environment that a child sees; a JAVA_TOOL_OPTIONS of the user's is none of it."""


@dataclass(frozen=True, slots=True)
class Process:
    """A process by its pid and the time it started, as the system writes it.

    The two together are never given to another process; a pid alone is, after a while.
    """

    pid: int
    started: str


def spawn(command: Sequence[str], log: Path) -> Process:
    """Start a program in a session of its own, so that it lives on when we end.

    Its output is appended to the log.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    # No Popen: it warns when dropped before its child, which is just what is wanted here.
    pid = os.posix_spawn(
        command[0],
        list(command),
        ENVIRONMENT,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), append, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
    )
    seen = _look(pid)
    if seen is None:
        raise MasswatchError(f"{command[0]}: gone as soon as it started: see {log}")
    return Process(pid, seen.started)


def is_alive(process: Process) -> bool:
    """Tell whether this very process still runs; one of its pid that started later does not."""
    seen = _look(process.pid)
    if seen is None or seen.started != process.started:
        return False
    if seen.zombie:
        _reap(process.pid)
        return False
    return True


def stop(process: Process, *, within: float) -> None:
    """End the process and wait until it is gone: SIGTERM, and SIGKILL after so many seconds.

    Raises:
        MasswatchError: it survived even that.
    """
    # SIGCONT: a paused process does not see its SIGTERM.
    for signals in ((signal.SIGTERM, signal.SIGCONT), (signal.SIGKILL,)):
        for each in signals:
            _send(process, each)
        if until(lambda: not is_alive(process), within=within):
            return
    raise MasswatchError(f"process {process.pid}: still there after SIGKILL: look at it by hand")


@dataclass(frozen=True, slots=True)
class _Seen:
    started: str
    zombie: bool


def _look(pid: int) -> _Seen | None:
    return _look_in_proc(pid) if Path("/proc/self/stat").exists() else _look_with_ps(pid)


def _look_in_proc(pid: int) -> _Seen | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The command's name stands in brackets and may hold any character; proc(5).
    fields = stat.rpartition(")")[2].split()
    # The first thread may be dead while others still hold the sockets.
    return _Seen(started=fields[19], zombie=fields[0] in "ZX" and int(fields[17]) <= 1)


def _look_with_ps(pid: int) -> _Seen | None:
    ps = shutil.which("ps", path="/bin:/usr/bin")
    if ps is None:
        raise MasswatchError("ps: not found in /bin or /usr/bin: without it no process is known")
    listed = subprocess.run(  # noqa: S603 - a fixed program, and a number
        [ps, "-o", "stat=,lstart=", "-p", str(pid)],
        env={"LC_ALL": "C"},
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    if not listed:
        return None
    state, _, started = listed.partition(" ")
    return _Seen(started=started.strip(), zombie=state.startswith("Z"))


def _send(process: Process, number: signal.Signals) -> None:
    if is_alive(process):
        try:
            os.kill(process.pid, number)
        except ProcessLookupError:
            return


def _reap(pid: int) -> None:
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return  # the child of another, who reaps it
