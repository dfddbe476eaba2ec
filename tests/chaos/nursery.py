"""Processes of the command, forked from one that has imported everything already.

A start takes a tenth of a second of CPU that way instead of two. From there on a forked process is
the same as one that was started by the command: environment, log, signals and exit code.
"""

import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path

_FORKS = get_context("forkserver")
_FORKS.set_forkserver_preload(
    ["chaos.tampering.sitecustomize", "pipeline.cli.worker", "pipeline.cli.rebuild"]
)


class Forked:
    """A forked process of the command, as `subprocess.Popen` shows one.

    Args:
        environment: Of the process.
        log: Its output is appended here.
        command: What it does.
    """

    def __init__(self, environment: Mapping[str, str], log: Path, command: str = "worker") -> None:
        self._process = _FORKS.Process(target=_work, args=(dict(environment), log, command))
        self._process.start()

    @property
    def pid(self) -> int:
        """The process id."""
        pid = self._process.pid
        if pid is None:
            raise AssertionError("started, and has no pid")
        return pid

    def poll(self) -> int | None:
        """Return the exit code, or minus the signal that has ended it; None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float) -> int:
        """Wait for the end and return what `poll` does."""
        self._process.join(timeout)
        code = self._process.exitcode
        if code is None:
            raise subprocess.TimeoutExpired("worker", timeout)
        return code

    def send_signal(self, number: int) -> None:
        """Send a signal; nothing happens when the process has ended."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)


def _work(environment: dict[str, str], log: Path, command: str) -> None:
    from chaos.tampering import sitecustomize

    from pipeline.__main__ import main

    os.environ.clear()
    os.environ.update(environment)
    written = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for stream in (1, 2):
        os.dup2(written, stream)
    sitecustomize.spoil()
    sys.argv = ["masswatch", command]
    main()
